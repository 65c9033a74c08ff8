//! From any revision of the reference's databases to its head, without Python.
//!
//! A [`Chain`] is a list of revisions; each has steps for PostgreSQL and for SQLite. [`upgrade`] applies the
//! pending ones, each in one transaction with its name in the version table, so that whatever ends it at any point
//! leaves a database that the next run finishes. [`plan`] says what it would do, [`check`] compares a database with
//! what its revision should be.

mod analytics;
mod apply;
mod auth;
mod backup;
mod check;
mod definition;
mod events;
mod introspect;
mod plan;
mod revision;
mod sqlite;
mod state;
mod tracking;
mod upgrade;

pub use check::{Report, check};
pub use events::Event;
pub use plan::{Plan, PlannedStep, TableSize, plan};
pub use revision::Revision;
pub(crate) use state::tables;
pub use state::{State, state};
pub use upgrade::{Done, Options, upgrade};

use revision::{Change, Step};

use crate::db::DbError;

/// The revisions of one set of tables.
#[derive(Debug)]
pub struct Chain {
    /// `tracking` or `auth`.
    pub name: &'static str,
    /// The release of the reference that the head belongs to.
    pub release: &'static str,
    /// Where the database keeps its revision.
    version_table: &'static str,
    /// Tables that tell a database without a revision from an empty one.
    marks: &'static [&'static str],
    /// The tables before the first revision.
    initial: &'static [Step],
    /// The revision of a database that has tables and no revision, if it has one by its tables.
    unversioned: Option<&'static str>,
    groups: &'static [&'static [Revision]],
    /// The key of the advisory lock that an upgrade holds.
    lock: i64,
}

/// Experiments, runs, models, traces: `mlflow server --backend-store-uri`.
pub static TRACKING: Chain = Chain {
    name: "tracking",
    release: "MLflow 3.17.2",
    version_table: "alembic_version",
    marks: &["experiments", "runs"],
    initial: tracking::INITIAL,
    unversioned: None,
    groups: tracking::REVISIONS,
    lock: crate::schema::LOCK_KEY,
};

/// Users, roles and permissions: `mlflow server --app-name basic-auth`.
pub static AUTH: Chain = Chain {
    name: "auth",
    release: "MLflow 3.17.2",
    version_table: "alembic_version_auth",
    marks: &["users"],
    initial: &[],
    // Before 3.6.0 the users database had no version table of this name.
    unversioned: Some("8606fa83a998"),
    groups: &[auth::REVISIONS],
    lock: crate::schema::LOCK_KEY + 1,
};

impl Chain {
    /// Every revision, from the first to the head.
    pub fn revisions(&self) -> impl Iterator<Item = &'static Revision> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The newest revision.
    #[must_use]
    pub fn head(&self) -> &'static str {
        self.revisions().last().map_or("", |revision| revision.id)
    }

    /// How many revisions there are up to this one, with it; 0 for none.
    fn reached(&self, revision: Option<&str>) -> Option<usize> {
        match revision {
            None => Some(0),
            Some(id) => self.revisions().position(|revision| revision.id == id).map(|place| place + 1),
        }
    }

    /// The revisions behind one up to another.
    fn between(
        &self,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = (Option<&'static str>, &'static Revision)> + use<> {
        let before = std::iter::once(None).chain(self.revisions().map(|revision| Some(revision.id)));
        before.zip(self.revisions()).skip(from).take(to.saturating_sub(from))
    }
}

/// Why a database can not be migrated or looked at.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database has a revision that is not in the chain.
    #[error(
        "the {chain} database is at revision {found}, which this version does not know: it knows the revisions up to \
         {head} ({release}). It was made by a newer MLflow or by something else: use the ferroflow that matches it, \
         or restore the backup from before its upgrade"
    )]
    Unknown {
        /// The name of the chain.
        chain: &'static str,
        /// What the database says.
        found: String,
        /// The newest revision known here.
        head: &'static str,
        /// The release of the newest revision.
        release: &'static str,
    },
    /// The database is at a later revision than the one that is asked for.
    #[error(
        "the {chain} database is at revision {found}, which comes after {target}: there is no downgrade, restore the backup that \
         was taken before the upgrade"
    )]
    Later {
        /// The name of the chain.
        chain: &'static str,
        /// The revision of the database.
        found: String,
        /// The revision that was asked for.
        target: String,
    },
    /// `--to` names something that is no revision of the chain.
    #[error("{target} is not a revision of the {chain} chain, whose head is {head}")]
    NoSuchTarget {
        /// The name of the chain.
        chain: &'static str,
        /// What was asked for.
        target: String,
        /// The newest revision.
        head: &'static str,
    },
    /// The tables are not those of the revision.
    #[error("the {chain} database at revision {found} can not be upgraded to {target}: {reason}")]
    Broken {
        /// The name of the chain.
        chain: &'static str,
        /// The revision of the database.
        found: String,
        /// The revision that was asked for.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// A revision found data that it can not carry over, or failed.
    #[error("revision {to} ({title}) was not applied, the database is still at {from}: {reason}")]
    Step {
        /// The revision of the database.
        from: String,
        /// The revision that failed.
        to: &'static str,
        /// What it does.
        title: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else held a lock for too long.
    #[error("{what} was not obtained in {seconds} s while upgrading {from} to {to}: {hint}")]
    Lock {
        /// Which lock.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// The revision of the database.
        from: String,
        /// The next revision, or the one that was asked for.
        to: String,
        /// What to do.
        hint: &'static str,
    },
    /// There is no copy of the database to go back to.
    #[error("no backup: {0}")]
    Backup(String),
    /// The disk has too little room to begin.
    #[error("{0}")]
    Room(String),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A revision in a message; a database that has none is said to be older than all of them.
fn shown(revision: Option<&str>) -> String {
    revision.unwrap_or("none (older than MLflow 1.0)").to_owned()
}
