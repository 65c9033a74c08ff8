//! Statistics of SQL statements. Their names are those of the code, so there are a few hundred at most.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{Histogram, SECONDS};

/// The statistics of a statement since the start of the process.
#[derive(Debug)]
pub struct Statistics {
    /// The name: the module and the constant, such as `tracking::runs::BY_ID`.
    pub name: &'static str,
    /// Time from sending the statement to its last row, in nanoseconds.
    pub duration: Histogram,
    /// Rows returned, changed or inserted.
    pub rows: AtomicU64,
    /// Executions that failed or were cancelled.
    pub failed: AtomicU64,
    /// Executions that took longer than the limit for slow statements.
    pub slow: AtomicU64,
    is_listed: AtomicBool,
}

/// Those of all statements that have run.
static USED: Mutex<Vec<&'static Statistics>> = Mutex::new(Vec::new());

impl Statistics {
    /// The statistics of a statement that has not run. A prefix `ferroflow_store::` of the name is left out.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name: without_crate(name),
            duration: Histogram::new(SECONDS),
            rows: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            is_listed: AtomicBool::new(false),
        }
    }

    /// The family: the name without its last part, such as `tracking::runs`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.name.rsplit_once("::").map_or(self.name, |(family, _)| family)
    }

    /// Counts an execution.
    pub fn record(&'static self, duration: Duration, rows: u64, has_failed: bool) {
        self.duration.observe_duration(duration);
        if rows > 0 {
            self.rows.fetch_add(rows, Ordering::Relaxed);
        }
        if has_failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        if !self.is_listed.load(Ordering::Relaxed) && !self.is_listed.swap(true, Ordering::Relaxed) {
            USED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        }
    }
}

/// The statistics of all statements that have run in this process, by name.
#[must_use]
pub fn used_statements() -> Vec<&'static Statistics> {
    let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    used.sort_unstable_by_key(|statistics| statistics.name);
    used
}

/// The name without the crate of the statements.
const fn without_crate(name: &'static str) -> &'static str {
    let prefix = b"ferroflow_store::";
    let mut place = 0;
    while place < prefix.len() {
        if place >= name.len() || name.as_bytes()[place] != prefix[place] {
            return name;
        }
        place += 1;
    }
    match name.split_at_checked(prefix.len()) {
        Some((_, rest)) => rest,
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_listed_once_it_has_run() {
        static FIRST: Statistics = Statistics::new("ferroflow_store::tracking::runs::BY_ID");
        static NEVER: Statistics = Statistics::new("insert::metrics");
        FIRST.record(Duration::from_millis(3), 2, false);
        FIRST.record(Duration::from_secs(60), 0, true);
        let used = used_statements();
        assert_eq!(used.len(), 1);
        assert_eq!((used[0].name, used[0].family()), ("tracking::runs::BY_ID", "tracking::runs"));
        assert_eq!((used[0].duration.count(), used[0].rows.load(Ordering::Relaxed)), (2, 2));
        assert_eq!(used[0].failed.load(Ordering::Relaxed), 1);
        assert_eq!((NEVER.name, NEVER.family()), ("insert::metrics", "insert"));
    }
}
