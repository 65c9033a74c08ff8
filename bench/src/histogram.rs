//! Latencies of hours in little memory.

use std::time::Duration;

/// Each bucket is so many times as wide as the one before: percentiles are exact to one percent.
const WIDTH: f64 = 1.02;

/// Number of buckets: the last one begins at more than six minutes.
const BUCKETS: usize = 1_000;

/// Counts of latencies by microseconds, on a logarithmic scale.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0 }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the logarithm is between 0 and 50")]
    pub(crate) fn add(&mut self, latency: Duration) {
        let micros = (latency.as_secs_f64() * 1e6).max(1.0);
        let bucket = (micros.ln() / WIDTH.ln()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Milliseconds below which so many percent of the latencies are; 0 without any.
    pub(crate) fn percentile(&self, percent: u64) -> f64 {
        let below = self.count * percent / 100;
        let mut seen = 0;
        let mut middle = WIDTH.sqrt();
        for count in &self.counts {
            seen += count;
            if seen > below {
                return middle / 1000.0;
            }
            middle *= WIDTH;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_a_percent() {
        let mut histogram = Histogram::new();
        for millis in 1..=1000 {
            histogram.add(Duration::from_millis(millis));
        }
        for (percent, exact) in [(0, 1.0), (50, 501.0), (99, 991.0)] {
            let found = histogram.percentile(percent);
            assert!((found / exact - 1.0).abs() < 0.011, "{percent}: {found}");
        }
        assert_eq!(histogram.count(), 1000);
        assert!(Histogram::new().percentile(50).abs() < f64::EPSILON);
    }
}
