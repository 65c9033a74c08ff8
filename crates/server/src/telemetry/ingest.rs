//! Metrics of `/v1/traces`, with the names of the reference.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// The protocol, as the reference's label says.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Protocol {
    protocol: &'static str,
}

const OTLP: Protocol = Protocol { protocol: "otlp" };

/// Sizes of bodies in bytes.
const BYTES: [f64; 9] =
    [1_024.0, 5_120.0, 20_480.0, 102_400.0, 524_288.0, 1_048_576.0, 5_242_880.0, 10_485_760.0, 33_554_432.0];

/// Numbers of spans.
const SPANS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];

/// Durations in seconds: those of Python's client.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The metrics.
pub(crate) struct Ingest {
    spans: Family<Protocol, Counter>,
    errors: Family<Protocol, Counter>,
    duration: Histogram,
    bytes: Histogram,
    spans_per_request: Histogram,
}

impl Ingest {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            spans: Family::default(),
            errors: Family::default(),
            duration: Histogram::new(SECONDS),
            bytes: Histogram::new(BYTES),
            spans_per_request: Histogram::new(SPANS),
        };
        registry.register("mlflow_spans_ingested", "Spans written", metrics.spans.clone());
        registry.register(
            "mlflow_trace_ingestion_server_errors",
            "Requests with spans that failed by a fault of the server",
            metrics.errors.clone(),
        );
        registry.register(
            "mlflow_otlp_request_duration_seconds",
            "Time to answer requests with spans",
            metrics.duration.clone(),
        );
        registry.register(
            "mlflow_otlp_request_payload_bytes",
            "Size of requests with spans, as they were sent",
            metrics.bytes.clone(),
        );
        registry.register("mlflow_otlp_spans_per_request", "Spans of a request", metrics.spans_per_request.clone());
        metrics
    }

    /// Records the size of a body.
    pub(crate) fn record_body(&self, bytes: usize) {
        self.bytes.observe(float(bytes as u64));
    }

    /// Records the spans of a request that were written.
    pub(crate) fn record_spans(&self, spans: u64) {
        self.spans.get_or_create(&OTLP).inc_by(spans);
        self.spans_per_request.observe(float(spans));
    }

    /// Records a response.
    pub(crate) fn record_response(&self, status: u16, elapsed: Duration) {
        if status >= 500 {
            self.errors.get_or_create(&OTLP).inc();
        }
        self.duration.observe(elapsed.as_secs_f64());
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of requests are far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}
