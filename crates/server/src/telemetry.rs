//! Prometheus metrics. Labels have bounded cardinality: route templates, never paths sent by clients.

mod ingest;
mod refused;
mod replica;

use std::{sync::atomic::Ordering, time::Duration};

use ferroflow_jobs::JobMetrics;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use self::{ingest::Ingest, refused::Refusals, replica::Replica};
use crate::{access::Access, app::App};

/// The metrics of a server.
pub struct Telemetry {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram>,
    running: Gauge,
    connections: Gauge,
    waiting: Gauge,
    written: Gauge,
    transactions: Gauge,
    resident: Gauge,
    jobs: JobMetrics,
    audit_lost: Gauge,
    refused: Refusals,
    ingest: Ingest,
    replica: Replica,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut all = Registry::default();
        let ingest = Ingest::register(&mut all);
        let registry = all.sub_registry_with_prefix("ferroflow");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let duration = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0005, 4.0, 9))
        });
        registry.register_with_unit("http_request_duration", "Time to answer", Unit::Seconds, duration.clone());
        let jobs = JobMetrics::default();
        jobs.register(registry);
        let refused = Refusals::register(registry);
        let replica = Replica::register(registry);
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            running: gauge("http_requests_running", "Requests in flight"),
            connections: gauge("database_connections_in_use", "Database connections in use"),
            waiting: gauge("writes_waiting", "Write requests that wait for their transaction"),
            written: gauge("writes", "Write requests that were committed or refused since the start"),
            transactions: gauge("write_transactions", "Transactions that committed write requests since the start"),
            resident: gauge("process_resident_memory_bytes", "Resident memory"),
            audit_lost: gauge("audit_lines_lost", "Lines of the audit log that could not be written since the start"),
            refused,
            requests,
            duration,
            jobs,
            ingest,
            replica,
            registry: all,
        }
    }
}

/// Guard of a request in flight.
pub(crate) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Telemetry {
    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.running.inc();
        InFlight(&self.running)
    }

    /// Counts an answered request.
    pub(crate) fn record_response(&self, method: &http::Method, route: &str, status: u16, elapsed: Duration) {
        // Other methods could be any text.
        let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
        let method = known.into_iter().find(|known| method.as_str() == *known).unwrap_or("other");
        let labels = RequestLabels { method: method.into(), route: route.into(), status };
        self.requests.get_or_create(&labels).inc();
        self.duration.get_or_create(&RouteLabels { route: route.into() }).observe(elapsed.as_secs_f64());
    }

    /// The metrics of the background jobs.
    pub(crate) fn jobs(&self) -> &JobMetrics {
        &self.jobs
    }

    /// The metrics of requests with spans.
    pub(crate) fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// All metrics in the `OpenMetrics` text format.
    pub(crate) fn render(&self, app: &App) -> String {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let (in_use, _) = app.store.db().pool_status();
        set(&self.connections, in_use as u64);
        set(&self.waiting, app.store.batch().waiting() as u64);
        set(&self.written, app.store.batch().stats().requests.load(Ordering::Relaxed));
        set(&self.transactions, app.store.batch().stats().transactions.load(Ordering::Relaxed));
        set(&self.audit_lost, app.access.as_ref().map_or(0, Access::audit_lines_lost));
        set(&self.resident, resident_bytes());
        self.refused.set(app);
        self.replica.set(app.store.db().replica_status());
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Writing to a string does not fail; an incomplete response would be worse than none.
            text.clear();
        }
        text
    }
}

/// Resident memory of this process in bytes, 0 if unknown.
fn resident_bytes() -> u64 {
    // `statm` has it in pages, whose size depends on the machine.
    resident(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// The resident memory in `/proc/PID/status`, in bytes.
fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_does_not_depend_on_the_size_of_a_page() {
        // From an arm64 machine with pages of 64 KiB, where `statm` says 331.
        assert_eq!(resident("Name:\tferroflow\nVmHWM:\t   21312 kB\nVmRSS:\t   21184 kB\nThreads:\t7\n"), 331 * 65536);
        assert_eq!(resident(""), 0);
        assert!(resident_bytes() > 1 << 20);
    }
}
