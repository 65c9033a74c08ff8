//! Migrates the reference's databases from any revision to a head, without Python.
//!
//! A [`Chain`] is a list of revisions; each has steps for PostgreSQL and for SQLite. [`upgrade`] applies the pending
//! ones, each in one transaction together with the update of the version table, so that an interrupted upgrade is
//! completed by the next run. [`plan`] shows what it would do, [`check`] compares a database with the schema of its
//! revision.

mod analytics;
mod apply;
mod auth;
mod backup;
mod check;
mod definition;
mod events;
mod heads;
mod introspect;
mod issue_categories;
mod plan;
mod revision;
mod sqlite;
mod state;
mod tracking;
mod upgrade;

pub use check::{Report, check};
pub use events::Event;
pub use heads::Head;
pub use plan::{Plan, PlannedStep, TableSize, plan};
pub use revision::Revision;
pub(crate) use state::tables;
pub use state::{State, state};
pub use upgrade::{Done, Options, upgrade};

use revision::{Change, Step};

use crate::db::DbError;

/// The revisions of one database schema.
#[derive(Debug)]
pub struct Chain {
    /// `tracking` or `auth`.
    pub name: &'static str,
    /// The heads that this server serves, the oldest first. New databases get the first one.
    pub heads: &'static [Head],
    /// The version table.
    version_table: &'static str,
    /// Tables that distinguish a database without a revision from an empty one.
    marker_tables: &'static [&'static str],
    /// The steps that create the tables before the first revision.
    initial: &'static [Step],
    /// The revision of a database that has tables but no revision; `None` is before the first one.
    unversioned: Option<&'static str>,
    groups: &'static [&'static [Revision]],
    /// The key of the advisory lock held by an upgrade.
    lock: i64,
}

/// Experiments, runs, models, traces: `mlflow server --backend-store-uri`.
pub static TRACKING: Chain = Chain {
    name: "tracking",
    heads: heads::TRACKING,
    version_table: "alembic_version",
    marker_tables: &["experiments", "runs"],
    initial: tracking::INITIAL,
    unversioned: None,
    groups: tracking::REVISIONS,
    lock: crate::schema::LOCK_KEY,
};

/// Users, roles and permissions: `mlflow server --app-name basic-auth`.
pub static AUTH: Chain = Chain {
    name: "auth",
    heads: heads::AUTH,
    version_table: "alembic_version_auth",
    marker_tables: &["users"],
    initial: &[],
    // Before 3.6.0 the users database did not have this version table.
    unversioned: Some("8606fa83a998"),
    groups: &[auth::REVISIONS],
    lock: crate::schema::LOCK_KEY + 1,
};

impl Chain {
    /// Whether a database at `revision` has what the revision `needed` adds. One that this version does not know has not.
    pub(crate) fn has(&self, revision: Option<&str>, needed: &str) -> bool {
        self.reached(revision) >= self.reached(Some(needed))
    }

    /// Every revision, from the first to the last known head.
    pub fn revisions(&self) -> impl Iterator<Item = &'static Revision> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The number of revisions up to and including this one; 0 for `None`.
    fn reached(&self, revision: Option<&str>) -> Option<usize> {
        match revision {
            None => Some(0),
            Some(id) => self.revisions().position(|revision| revision.id == id).map(|place| place + 1),
        }
    }

    /// The revisions from position `from` to `to`, each with its predecessor.
    fn between(
        &self,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = (Option<&'static str>, &'static Revision)> + use<> {
        let before = std::iter::once(None).chain(self.revisions().map(|revision| Some(revision.id)));
        before.zip(self.revisions()).skip(from).take(to.saturating_sub(from))
    }
}

/// Why a database cannot be migrated or inspected.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database has a revision that is not in the chain.
    #[error(
        "the {chain} database is at revision {found}, which this version does not know: it knows {known} and the \
         revisions before. It was made by a newer MLflow or by something else: use the ferroflow that matches it, \
         or restore the backup from before its upgrade"
    )]
    Unknown {
        /// The name of the chain.
        chain: &'static str,
        /// The content of the version table.
        found: String,
        /// The known heads.
        known: String,
    },
    /// The database is at a later revision than the target.
    #[error(
        "the {chain} database is at revision {found}, which comes after {target}: there is no downgrade, restore the backup that \
         was taken before the upgrade"
    )]
    Later {
        /// The name of the chain.
        chain: &'static str,
        /// The revision of the database.
        found: String,
        /// The target revision.
        target: String,
    },
    /// `--to` is neither a revision of the chain nor a release with a known head.
    #[error("{target} is neither a revision of the {chain} chain nor a release with a known head: {known}")]
    NoSuchTarget {
        /// The name of the chain.
        chain: &'static str,
        /// The value of `--to`.
        target: String,
        /// The known heads.
        known: String,
    },
    /// The tables do not match the revision.
    #[error("the {chain} database at revision {found} cannot be upgraded to {target}: {reason}")]
    Broken {
        /// The name of the chain.
        chain: &'static str,
        /// The revision of the database.
        found: String,
        /// The target revision.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// A revision failed, or found data that it cannot convert.
    #[error("revision {to} ({title}) was not applied, the database is still at {from}: {reason}")]
    Step {
        /// The revision of the database.
        from: String,
        /// The revision that failed.
        to: &'static str,
        /// The title of that revision.
        title: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A lock was not obtained in time.
    #[error("{what} was not obtained in {seconds} s while upgrading {from} to {to}: {hint}")]
    Lock {
        /// Which lock.
        what: &'static str,
        /// How long the upgrade waited, in seconds.
        seconds: u64,
        /// The revision of the database.
        from: String,
        /// The next revision, or the target.
        to: String,
        /// Advice for the user.
        hint: &'static str,
    },
    /// The database could not be backed up.
    #[error("no backup: {0}")]
    Backup(String),
    /// The disk has too little free space.
    #[error("{0}")]
    DiskSpace(String),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A revision for messages; a database without one is older than all of them.
fn shown(revision: Option<&str>) -> String {
    revision.unwrap_or("none (older than MLflow 1.0)").to_owned()
}
