//! Exports the spans of the server to a collector: OTLP over HTTP, in protobuf.
//!
//! A collector that is away costs nothing but its spans: the queue is bounded, a batch is repeated a few times with
//! growing waits and then dropped, and dropped spans are counted.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferroflow_telemetry::{Sampler, Span, SpanQueue, TracerStats, otlp};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Client, Url, redirect::Policy};
use rustls::RootCertStore;
use tokio::{sync::watch, time::timeout};

use super::traces::EXPORTER;
use crate::http_client;

/// Maximum number of spans in a request, as `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`.
const BATCH: usize = 512;

/// How long spans wait until a batch is full.
const DELAY: Duration = Duration::from_secs(5);

/// How often a batch is sent.
const ATTEMPTS: u32 = 5;

/// The wait before the second attempt; it doubles.
const BACK_OFF: Duration = Duration::from_secs(1);

/// How long the export of what is left may take when the server stops.
const FLUSH: Duration = Duration::from_secs(5);

/// Where and how the server exports its traces.
#[derive(Clone)]
pub struct TraceSettings {
    /// The collector, such as `http://collector:4318/v1/traces`.
    pub endpoint: Url,
    /// Headers of its requests, such as credentials.
    pub headers: HeaderMap,
    /// Attributes of this server, such as `service.name`.
    pub resource: Vec<(String, String)>,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// How long a request to the collector may take.
    pub timeout: Duration,
}

impl fmt::Debug for TraceSettings {
    /// Omits the headers, which may have credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceSettings").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}

/// The client of the collector cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {0}")]
pub struct TraceSettingsError(String);

/// Sends spans to a collector.
pub(super) struct Exporter {
    client: Client,
    settings: TraceSettings,
    queue: SpanQueue,
    stats: Arc<TracerStats>,
    /// Whether the last batch was lost: logged once.
    is_failing: bool,
}

/// Why a batch was not accepted.
enum Failure {
    /// Another attempt may succeed.
    Transient(String),
    Final(String),
}

impl Exporter {
    pub(super) fn new(
        settings: TraceSettings,
        queue: SpanQueue,
        stats: Arc<TracerStats>,
    ) -> Result<Self, TraceSettingsError> {
        let mut roots = RootCertStore::empty();
        if settings.endpoint.scheme() == "https" {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let failed = |error: &dyn fmt::Display| TraceSettingsError(error.to_string());
        let client = http_client::builder(roots)
            .map_err(|error| failed(&error))?
            .user_agent(format!("{EXPORTER}{}", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { client, settings, queue, stats, is_failing: false })
    }

    /// Exports until the server stops, then what is left.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let has_stopped = self.gather(&mut batch, &mut stopped).await;
            if has_stopped {
                break;
            }
            let spans = std::mem::take(&mut batch);
            tokio::select! {
                () = self.export(spans, ATTEMPTS) => {}
                // What is being sent may arrive or not: it is counted as neither.
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        if timeout(FLUSH, self.flush(batch)).await.is_err() {
            tracing::warn!("not all spans could be exported before the stop");
        }
    }

    /// Fills a batch. Returns whether the server stops.
    async fn gather(&mut self, batch: &mut Vec<Span>, stopped: &mut watch::Receiver<bool>) -> bool {
        let stop = async { stopped.wait_for(|stopped| *stopped).await.is_ok() };
        let fill = async {
            let first = self.queue.recv_many(batch, BATCH).await;
            let more =
                async { while batch.len() < BATCH && self.queue.recv_many(batch, BATCH - batch.len()).await > 0 {} };
            if first > 0 {
                // The delay is over, or the batch is full.
                let _ = timeout(DELAY, more).await;
            }
        };
        tokio::select! {
            biased;
            _ = stop => true,
            () = fill => false,
        }
    }

    async fn flush(&mut self, mut batch: Vec<Span>) {
        self.queue.close();
        loop {
            while batch.len() < BATCH {
                let Ok(span) = self.queue.try_recv() else { break };
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.export(std::mem::take(&mut batch), 1).await;
        }
    }

    /// Sends a batch, at most `attempts` times. Counts its spans.
    async fn export(&mut self, spans: Vec<Span>, attempts: u32) {
        let count = spans.len() as u64;
        let body = bytes::Bytes::from(otlp::encode(&self.settings.resource, spans));
        let mut wait = BACK_OFF;
        for attempt in 1..=attempts {
            let failure = match self.send(body.clone()).await {
                Ok(()) => {
                    self.stats.exported.fetch_add(count, Ordering::Relaxed);
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("the collector of traces answers again");
                    }
                    return;
                }
                Err(failure) => failure,
            };
            let (reason, is_final) = match failure {
                Failure::Transient(reason) => (reason, attempt == attempts),
                Failure::Final(reason) => (reason, true),
            };
            if !std::mem::replace(&mut self.is_failing, true) {
                tracing::warn!(%reason, "the collector of traces does not accept spans: they are dropped if that lasts");
            }
            if is_final {
                break;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.stats.dropped.fetch_add(count, Ordering::Relaxed);
    }

    async fn send(&self, body: bytes::Bytes) -> Result<(), Failure> {
        let mut headers = self.settings.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let sent = self.client.post(self.settings.endpoint.clone()).headers(headers).body(body).send().await;
        // The address may have credentials.
        let response = sent.map_err(|error| Failure::Transient(error.without_url().to_string()))?;
        let status = response.status();
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Transient(format!("HTTP status {status}"))),
            _ if status.is_success() => Ok(()),
            _ => Err(Failure::Final(format!("HTTP status {status}"))),
        }
    }
}
