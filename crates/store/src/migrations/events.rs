//! Progress reports of an upgrade.

use std::{path::PathBuf, time::Duration};

use super::Revision;

/// A progress report.
#[derive(Debug, Clone)]
pub enum Event {
    /// Waiting for a lock; reported once per wait.
    Waiting {
        /// The lock.
        what: &'static str,
    },
    /// The file is being backed up.
    Backup {
        /// Number of copied pages.
        done: u64,
        /// Total number of pages.
        total: u64,
    },
    /// The backup is complete and verified.
    BackedUp {
        /// The path of the backup.
        path: PathBuf,
    },
    /// The tables of an empty database were created at this revision.
    Create {
        /// The revision.
        revision: &'static str,
    },
    /// A revision begins.
    Begin {
        /// The revision of the database.
        from: Option<&'static str>,
        /// The revision that is applied.
        to: &'static Revision,
        /// Its position among the pending revisions, starting at 1.
        number: usize,
        /// Number of pending revisions.
        of: usize,
    },
    /// Rows were processed by a long step.
    Rows {
        /// The table.
        table: &'static str,
        /// Number of processed rows.
        done: u64,
        /// Total number of rows.
        total: u64,
    },
    /// A revision was committed.
    End {
        /// The revision.
        to: &'static Revision,
        /// How long it took.
        took: Duration,
    },
}

/// The receiver of events.
pub(super) struct Progress<'a> {
    report: &'a mut (dyn FnMut(Event) + Send),
}

impl<'a> Progress<'a> {
    pub(super) fn new(report: &'a mut (dyn FnMut(Event) + Send)) -> Self {
        Self { report }
    }

    pub(super) fn report(&mut self, event: Event) {
        (self.report)(event);
    }
}
