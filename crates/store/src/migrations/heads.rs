//! The heads of the reference that this server serves.
//!
//! A release of the reference serves databases of one revision, its head. ferroflow serves every head listed here, so that
//! a team can replace the server first and upgrade the database later. Each head after the first only adds to the one
//! before, which is what makes that possible: tables and columns that the statements of this server do not name, or only
//! after a look at the revision.

use super::{Chain, MigrationError};

/// A revision that a release of the reference requires.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The revision.
    pub revision: &'static str,
    /// The release, such as `MLflow 3.17.2`.
    pub release: &'static str,
    /// The values of `--to` that mean this head, besides its revision.
    targets: &'static [&'static str],
    /// What its tables hold beyond those of the head before: the server reads nothing of it, and writes it for the issues
    /// that it creates. Empty for the first.
    pub adds: &'static str,
}

impl Head {
    /// The shortest value of `--to` that means this head.
    #[must_use]
    pub fn target(&self) -> &'static str {
        self.targets[0]
    }
}

pub(super) const TRACKING: &[Head] = &[
    Head { revision: "dc11669786a5", release: "MLflow 3.17.2", targets: &["3.17", "3.17.2"], adds: "" },
    Head {
        revision: "f4a9b2c7d1e6",
        release: "MLflow 3.18.0",
        targets: &["3.18", "3.18.0"],
        adds: "skills; categories, metadata and times of issues",
    },
];

pub(super) const AUTH: &[Head] = &[Head {
    revision: "f1a2b3c4d5e6",
    release: "MLflow 3.17.2 and 3.18.0",
    targets: &["3.17", "3.17.2", "3.18", "3.18.0"],
    adds: "",
}];

impl Chain {
    /// The revision of new databases, and the oldest one that is served.
    #[must_use]
    pub fn head(&self) -> &'static str {
        self.heads[0].revision
    }

    /// The release of [`Chain::head`].
    #[must_use]
    pub fn release(&self) -> &'static str {
        self.heads[0].release
    }

    /// The known head with this revision.
    #[must_use]
    pub fn head_at(&self, revision: Option<&str>) -> Option<&'static Head> {
        self.heads.iter().find(|head| Some(head.revision) == revision)
    }

    /// Whether the server works with a database at this revision: a known head, or one between two of them, where an
    /// upgrade was interrupted.
    #[must_use]
    pub fn serves(&self, revision: Option<&str>) -> bool {
        self.reached(revision) >= self.reached(Some(self.head()))
    }

    /// The head that an upgrade without a target leads to: the first one that the database has not passed.
    #[must_use]
    pub fn goal(&self, revision: Option<&str>) -> &'static Head {
        let reached = self.reached(revision);
        let ahead = self.heads.iter().find(|head| self.reached(Some(head.revision)) >= reached);
        ahead.unwrap_or(&self.heads[0])
    }

    /// The number of revisions between this one and its goal; `None` for an unknown revision.
    #[must_use]
    pub fn pending(&self, revision: Option<&str>) -> Option<usize> {
        let goal = self.reached(Some(self.goal(revision).revision))?;
        Some(goal - self.reached(revision)?)
    }

    /// The revision that a value of `--to` means: itself, or the head of a release such as `3.18`.
    ///
    /// # Errors
    /// It is neither.
    pub fn target(&self, text: &str) -> Result<&'static str, MigrationError> {
        let named = self.heads.iter().find(|head| head.targets.contains(&text)).map(|head| head.revision);
        let same = || self.revisions().find(|revision| revision.id == text).map(|revision| revision.id);
        named.or_else(same).ok_or_else(|| MigrationError::NoSuchTarget {
            chain: self.name,
            target: text.to_owned(),
            known: self.known(),
        })
    }

    /// The known heads with their releases, for messages.
    #[must_use]
    pub fn known(&self) -> String {
        self.heads.iter().map(|head| format!("{} ({})", head.revision, head.release)).collect::<Vec<_>>().join(", ")
    }

    /// A revision with the release whose head it is, for messages.
    #[must_use]
    pub fn named(&self, revision: Option<&str>) -> String {
        let Some(id) = revision else { return super::shown(None) };
        match self.head_at(revision) {
            Some(head) => format!("{id} ({})", head.release),
            None if self.reached(revision).is_none() => format!("{id} (unknown to this version)"),
            None => id.to_owned(),
        }
    }
}
