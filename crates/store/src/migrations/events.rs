//! What an upgrade tells while it runs.

use std::{path::PathBuf, time::Duration};

use super::Revision;

/// What happens during an upgrade.
#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody else holds what is needed; told once for each wait.
    Waiting {
        /// What is waited for.
        what: &'static str,
    },
    /// A copy of the file is being made: pages done, and all.
    Backup {
        /// Pages that are copied.
        done: u64,
        /// All pages.
        total: u64,
    },
    /// The copy is complete and was checked.
    BackedUp {
        /// Where it is.
        path: PathBuf,
    },
    /// The tables of an empty database are made, at this revision.
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
        /// Its place among the pending ones, from 1.
        number: usize,
        /// How many are pending.
        of: usize,
    },
    /// Rows of a long step.
    Rows {
        /// The table.
        table: &'static str,
        /// Rows that are done.
        done: u64,
        /// All rows.
        total: u64,
    },
    /// A revision is committed.
    End {
        /// The revision.
        to: &'static Revision,
        /// How long it took.
        took: Duration,
    },
}

/// Where events go.
pub(super) struct Progress<'a> {
    tell: &'a mut (dyn FnMut(Event) + Send),
}

impl<'a> Progress<'a> {
    pub(super) fn new(tell: &'a mut (dyn FnMut(Event) + Send)) -> Self {
        Self { tell }
    }

    pub(super) fn tell(&mut self, event: Event) {
        (self.tell)(event);
    }
}
