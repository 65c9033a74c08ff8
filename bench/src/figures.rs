//! What a measurement comes to.

use std::time::Duration;

/// Latencies of all repetitions and the time they took together.
pub(crate) struct Figures {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Figures {
    pub(crate) fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self { latencies, elapsed }
    }

    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }

    /// Count, rate per second, and milliseconds at the median and the 99th percentile.
    #[allow(clippy::cast_precision_loss)] // far fewer than 2^52 repetitions
    pub(crate) fn to_json(&self) -> String {
        serde_json::json!({
            "count": self.latencies.len(),
            "per_second": self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON),
            "p50_ms": self.percentile(50),
            "p99_ms": self.percentile(99),
        })
        .to_string()
    }
}
