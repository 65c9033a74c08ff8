//! How far the replica is behind, by positions of the primary and when they were measured. The clocks of the servers and
//! the times of transactions, which say nothing while none is committed, are left out of it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Maximum number of positions, one a second: more than an hour.
const MOST: usize = 4096;

/// What is known of the lag.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// Positions of the primary that the replica has not reached, the oldest first.
    ahead: VecDeque<(Instant, i64)>,
    /// The last position of the primary.
    primary: i64,
    /// What the replica has replayed.
    replayed: Option<i64>,
}

impl Lag {
    /// Adds a position of the primary.
    pub(super) fn primary_is_at(&mut self, position: i64, now: Instant) {
        self.primary = self.primary.max(position);
        let is_new = self.ahead.back().is_none_or(|(_, last)| *last < position);
        if is_new && self.replayed.is_none_or(|replayed| replayed < position) {
            if self.ahead.len() == MOST {
                // The oldest one stays: it says how long the replica has been behind.
                self.ahead.remove(1);
            }
            self.ahead.push_back((now, position));
        }
    }

    /// Sets what the replica has replayed.
    pub(super) fn replica_is_at(&mut self, replayed: i64) {
        self.replayed = Some(replayed);
        let reached = self.ahead.partition_point(|(_, position)| *position <= replayed);
        self.ahead.drain(..reached);
    }

    /// Bytes of the write-ahead log that the replica has not replayed; `None` before it has answered.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.replayed.map(|replayed| u64::try_from(self.primary - replayed).unwrap_or_default())
    }

    /// How long ago the primary was at the first position that the replica has not reached.
    pub(super) fn time(&self, now: Instant) -> Duration {
        self.ahead.front().map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_first_position_that_is_not_replayed() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut lag = Lag::default();
        lag.primary_is_at(100, at(0));
        assert_eq!((lag.bytes(), lag.time(at(2))), (None, Duration::from_secs(2)));
        lag.replica_is_at(100);
        assert_eq!((lag.bytes(), lag.time(at(2))), (Some(0), Duration::ZERO));
        // An idle primary does not make the replica late.
        lag.primary_is_at(100, at(60));
        assert_eq!(lag.time(at(90)), Duration::ZERO);
        lag.primary_is_at(300, at(91));
        lag.primary_is_at(500, at(92));
        lag.primary_is_at(500, at(95));
        assert_eq!((lag.bytes(), lag.time(at(96))), (Some(400), Duration::from_secs(5)));
        lag.replica_is_at(300);
        assert_eq!((lag.bytes(), lag.time(at(96))), (Some(200), Duration::from_secs(4)));
        lag.replica_is_at(501);
        assert_eq!((lag.bytes(), lag.time(at(96))), (Some(0), Duration::ZERO));
    }

    #[test]
    fn a_long_lag_is_bounded_in_memory_and_keeps_its_beginning() {
        let start = Instant::now();
        let mut lag = Lag::default();
        lag.replica_is_at(0);
        for second in 1..=3 * i64::try_from(MOST).unwrap() {
            lag.primary_is_at(second, start + Duration::from_secs(second.unsigned_abs()));
        }
        assert_eq!(lag.ahead.len(), MOST);
        assert_eq!(lag.time(start + Duration::from_secs(20_001)), Duration::from_secs(20_000));
    }
}
