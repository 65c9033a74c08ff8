//! What a measurement comes to.

use std::time::Duration;

/// Latencies of all repetitions and the time they took together.
pub(crate) struct Figures {
    latencies: Vec<Duration>,
    elapsed: Duration,
    /// The median and the 99th percentile of each part, in milliseconds.
    parts: Vec<[f64; 2]>,
}

impl Figures {
    pub(crate) fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self { latencies, elapsed, parts: Vec::new() }
    }

    /// With the percentiles of parts, each with the latencies of its own.
    pub(crate) fn with_parts(mut self, parts: Vec<Vec<Duration>>) -> Self {
        let percentiles = |mut latencies: Vec<Duration>| {
            latencies.sort_unstable();
            [50, 99].map(|percent| percentile(&latencies, percent))
        };
        self.parts = parts.into_iter().map(percentiles).collect();
        self
    }

    /// Count, rate per second, and milliseconds at the median and the 99th percentile, those of each part included.
    #[allow(clippy::cast_precision_loss)] // far fewer than 2^52 repetitions
    pub(crate) fn to_json(&self) -> String {
        let mut figures = serde_json::json!({
            "count": self.latencies.len(),
            "per_second": self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON),
            "p50_ms": percentile(&self.latencies, 50),
            "p99_ms": percentile(&self.latencies, 99),
        });
        if !self.parts.is_empty() {
            figures["parts"] =
                self.parts.iter().map(|[p50, p99]| serde_json::json!({"p50_ms": p50, "p99_ms": p99})).collect();
        }
        figures.to_string()
    }
}

/// Milliseconds at a percentile of latencies in ascending order.
fn percentile(latencies: &[Duration], percent: usize) -> f64 {
    let index = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
    latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}
