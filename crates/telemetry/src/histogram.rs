//! A histogram of atomics: a static, without locks and allocations.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Maximum number of buckets, without the one for all larger values.
const BUCKETS: usize = 9;

/// Upper bounds of durations, in nanoseconds: 0.5 ms to 32.768 s, as those of HTTP requests.
pub const SECONDS: &[u64; BUCKETS] = &[
    500_000,
    2_000_000,
    8_000_000,
    32_000_000,
    128_000_000,
    512_000_000,
    2_048_000_000,
    8_192_000_000,
    32_768_000_000,
];

/// Upper bounds of numbers of requests that are committed together.
pub const SIZES: &[u64; BUCKETS] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A histogram of integers.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64; BUCKETS],
    counts: [AtomicU64; BUCKETS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, in ascending order.
    #[must_use]
    pub const fn new(bounds: &'static [u64; BUCKETS]) -> Self {
        Self { bounds, counts: [const { AtomicU64::new(0) }; BUCKETS + 1], sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(BUCKETS);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a duration, in nanoseconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The upper bounds, in ascending order.
    #[must_use]
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// The number of values of each bucket; the last one is for values above all bounds.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// The number of all values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_of_the_first_bound_that_is_not_below_it() {
        let histogram = Histogram::new(SIZES);
        for value in [1, 2, 3, 256, 257] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts(), [1, 1, 1, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 519));
    }
}
