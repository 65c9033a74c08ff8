//! Why requests get 429: the limit that they met.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit of the server that refuses requests while it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No database connection became free in time.
    Connections,
    /// The caller's other requests kept its share of the database connections.
    CallerShare,
    /// Other large results kept the memory of results.
    Results,
    /// The queue of writes was full.
    Writes,
    /// The queue of spans was full.
    Spans,
    /// No memory for the body became free in time.
    Bodies,
}

static COUNTS: [AtomicU64; Refusal::ALL.len()] = [const { AtomicU64::new(0) }; Refusal::ALL.len()];

impl Refusal {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Connections, Self::CallerShare, Self::Results, Self::Writes, Self::Spans, Self::Bodies];

    /// The name, a label of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::CallerShare => "caller_share",
            Self::Results => "results",
            Self::Writes => "writes",
            Self::Spans => "spans",
            Self::Bodies => "bodies",
        }
    }

    /// Counts a refusal.
    pub fn record(self) {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The number of refusals since the start of the process.
    #[must_use]
    pub fn count(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_place_of_its_own() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
            refusal.record();
        }
        assert!(Refusal::ALL.into_iter().all(|refusal| refusal.count() == 1));
    }
}
