//! Prometheus metrics. Labels have bounded cardinality: route templates, never paths sent by clients.

mod export;
mod ingest;
mod process;
mod refused;
mod replica;
mod traces;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use ferroflow_jobs::JobMetrics;
use ferroflow_store::db::Db;
use ferroflow_telemetry::{Tracer, TracerStats};
use http::HeaderMap;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use tokio::{sync::watch, task::JoinHandle};

pub use self::export::{TraceSettings, TraceSettingsError};
pub(crate) use self::traces::TracedRequest;
use self::{export::Exporter, ingest::Ingest, process::Process, refused::Refusals, replica::Replica};
use crate::{access::Access, app::App};

/// Bytes in a permit of a budget of memory.
const KIB: usize = 1024;

/// The metrics of a server.
pub struct Telemetry {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram>,
    running: Gauge,
    connections: Family<DatabaseLabels, Gauge>,
    connections_max: Family<DatabaseLabels, Gauge>,
    memory: Family<BudgetLabels, Gauge>,
    memory_max: Family<BudgetLabels, Gauge>,
    spans_waiting: Gauge,
    waiting: Gauge,
    written: Gauge,
    transactions: Gauge,
    resident: Gauge,
    jobs: JobMetrics,
    audit_lost: Gauge,
    refused: Refusals,
    ingest: Ingest,
    replica: Replica,
    traces: Option<Traces>,
}

/// The traces of the server itself.
struct Traces {
    tracer: Tracer,
    export: Mutex<Export>,
}

/// The export of traces.
enum Export {
    Ready(Box<Exporter>),
    Running(watch::Sender<bool>, JoinHandle<()>),
    Ended,
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DatabaseLabels {
    database: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BudgetLabels {
    budget: &'static str,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Telemetry {
    /// The metrics, and the traces of the server itself.
    ///
    /// # Errors
    /// The client of the collector cannot be built.
    pub fn with_traces(settings: TraceSettings) -> Result<Self, TraceSettingsError> {
        let (tracer, queue) = Tracer::new(settings.sampler);
        let exporter = Exporter::new(settings, queue, Arc::clone(tracer.stats()))?;
        let export = Mutex::new(Export::Ready(Box::new(exporter)));
        Ok(Self::new(Some(Traces { tracer, export })))
    }

    fn new(traces: Option<Traces>) -> Self {
        let spans: Option<Arc<TracerStats>> = traces.as_ref().map(|traces| Arc::clone(traces.tracer.stats()));
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
        registry.register_collector(Box::new(Process { spans: spans.unwrap_or_default() }));
        registry.register(
            "build",
            "The version of this server",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        let connections = Family::<DatabaseLabels, Gauge>::default();
        registry.register("database_connections_in_use", "Database connections in use", connections.clone());
        let connections_max = Family::<DatabaseLabels, Gauge>::default();
        registry.register("database_connections_max", "Maximum number of connections", connections_max.clone());
        let memory = Family::<BudgetLabels, Gauge>::default();
        registry.register("memory_in_use_bytes", "Memory of a budget that requests hold", memory.clone());
        let memory_max = Family::<BudgetLabels, Gauge>::default();
        registry.register("memory_max_bytes", "The size of a budget", memory_max.clone());
        let refused = Refusals::register(registry);
        let replica = Replica::register(registry);
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            running: gauge("http_requests_running", "Requests in flight"),
            connections,
            connections_max,
            memory,
            memory_max,
            spans_waiting: gauge("otel_spans_waiting", "Spans of this server's own traces that wait for the export"),
            traces,
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
        let labels = RequestLabels { method: known(method).into(), route: route.into(), status };
        self.requests.get_or_create(&labels).inc();
        self.duration.get_or_create(&RouteLabels { route: route.into() }).observe(elapsed.as_secs_f64());
    }

    /// Begins the trace of a request; `None` if it is not traced.
    pub(crate) fn begin_trace(
        &self,
        headers: &HeaderMap,
        method: &http::Method,
        route: &str,
        id: &str,
    ) -> Option<TracedRequest> {
        traces::begin(&self.traces.as_ref()?.tracer, headers, known(method), route, id)
    }

    /// Starts to export traces, if the server has them.
    pub(crate) fn start_export(&self) {
        let Some(traces) = &self.traces else { return };
        let mut export = traces.export.lock().unwrap_or_else(PoisonError::into_inner);
        *export = match std::mem::replace(&mut *export, Export::Ended) {
            Export::Ready(exporter) => {
                let (stop, stopped) = watch::channel(false);
                Export::Running(stop, tokio::spawn(exporter.run(stopped)))
            }
            other => other,
        };
    }

    /// Exports what is left, for a few seconds at most.
    pub(crate) async fn stop_export(&self) {
        let Some(traces) = &self.traces else { return };
        let ended =
            std::mem::replace(&mut *traces.export.lock().unwrap_or_else(PoisonError::into_inner), Export::Ended);
        if let Export::Running(stop, task) = ended {
            // The task has a receiver, or has ended.
            let _ = stop.send(true);
            let _ = task.await;
        }
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
        let users = app.access.as_ref().map(|access| ("users", access.auth.users().db()));
        let databases: [Option<(&'static str, &Db)>; 2] = [Some(("tracking", app.store.db())), users];
        for (database, db) in databases.into_iter().flatten() {
            let (in_use, max) = db.pool_status();
            set(&self.connections.get_or_create(&DatabaseLabels { database }), in_use as u64);
            set(&self.connections_max.get_or_create(&DatabaseLabels { database }), max as u64);
        }
        for budget in app.bodies.budgets() {
            let labels = BudgetLabels { budget: budget.resource().name() };
            set(&self.memory.get_or_create(&labels), (budget.taken() * KIB) as u64);
            set(&self.memory_max.get_or_create(&labels), (budget.size() * KIB) as u64);
        }
        set(&self.spans_waiting, self.traces.as_ref().map_or(0, |traces| traces.tracer.waiting()) as u64);
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

/// The name of a method. Others could be any text.
fn known(method: &http::Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
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
