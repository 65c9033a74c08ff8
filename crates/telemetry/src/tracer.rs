//! Traces that are recorded, and the bounded queue of their spans.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, UNIX_EPOCH},
};

use ferroflow_model::clock;
use tokio::sync::mpsc;

use crate::{ActiveSpan, Context, Sampler, Span, TraceParent, span::Value};

/// Capacity of the queue of spans that wait for the exporter. A span takes at most 5 KiB, most of it the text of a search.
const QUEUE: usize = 4096;

/// Maximum number of attributes that work adds to the span of its request.
const NOTES: usize = 16;

/// Records the spans of sampled requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tracer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sampler: Sampler,
    queue: mpsc::Sender<Span>,
    stats: Arc<TracerStats>,
}

/// The spans that wait for the exporter.
pub type SpanQueue = mpsc::Receiver<Span>;

/// Counters of spans since the start.
#[derive(Debug, Default)]
pub struct TracerStats {
    /// Spans that the collector has accepted.
    pub exported: AtomicU64,
    /// Spans that were dropped: the queue was full, or the collector did not accept them.
    pub dropped: AtomicU64,
}

/// The id of a trace. Displayed as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub(crate) u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The part of a trace that is one request to this server.
pub(crate) struct Trace {
    pub(crate) tracer: Tracer,
    pub(crate) id: u128,
    pub(crate) state: Option<Box<str>>,
    /// The same moment on both clocks: durations are right even if the system's clock is set meanwhile.
    start: (Instant, u64),
    notes: Mutex<Vec<(&'static str, Value)>>,
}

impl Trace {
    /// A moment, in nanoseconds since 1970.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        let (start, epoch) = self.start;
        let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(start) {
            Some(since) => epoch.saturating_add(nanos(since)),
            None => epoch.saturating_sub(nanos(start.duration_since(at))),
        }
    }

    /// Adds an attribute to the span of the request.
    pub(crate) fn note(&self, key: &'static str, value: Value) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES {
            notes.push((key, value));
        }
    }

    /// Takes those attributes.
    pub(crate) fn notes(&self) -> Vec<(&'static str, Value)> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tracer {
    /// A tracer, and the queue that an exporter empties.
    #[must_use]
    pub fn new(sampler: Sampler) -> (Self, SpanQueue) {
        Self::with_capacity(sampler, QUEUE)
    }

    fn with_capacity(sampler: Sampler, capacity: usize) -> (Self, SpanQueue) {
        let (queue, spans) = mpsc::channel(capacity);
        (Self(Arc::new(Inner { sampler, queue, stats: Arc::default() })), spans)
    }

    /// Starts the span of a request; `None` if the request is not sampled.
    #[must_use]
    pub fn begin(&self, name: Cow<'static, str>, parent: Option<TraceParent>) -> Option<ActiveSpan> {
        let id = parent.as_ref().map_or_else(|| rand::random::<u128>().max(1), |parent| parent.trace);
        if !self.0.sampler.takes(id, parent.as_ref()) {
            return None;
        }
        let (above, state) = parent.map_or((0, None), |parent| (parent.span, parent.state));
        let epoch = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let start = (Instant::now(), u64::try_from(epoch).unwrap_or(u64::MAX));
        let trace = Trace { tracer: self.clone(), id, state, start, notes: Mutex::default() };
        let context = Context { trace: Arc::new(trace), span: new_span_id() };
        Some(ActiveSpan::root(context, above, name))
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Arc<TracerStats> {
        &self.0.stats
    }

    /// Spans that wait for the exporter.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.queue.max_capacity() - self.0.queue.capacity()
    }

    /// Queues a span, or drops it if the queue is full.
    pub(crate) fn record(&self, span: Span) {
        if self.0.queue.try_send(span).is_err() {
            self.0.stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A random id of a span.
pub(crate) fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Origin, note};

    fn drain(queue: &mut SpanQueue) -> Vec<Span> {
        std::iter::from_fn(|| queue.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn spans_of_a_request_are_below_that_of_the_client() {
        let (tracer, mut queue) = Tracer::new(Sampler::default());
        let parent = TraceParent { trace: 9, span: 8, is_sampled: true, state: Some("a=1".into()) };
        let root = tracer.begin("GET /runs".into(), Some(parent)).unwrap();
        let origin = Origin::traced(root.context().unwrap());
        origin
            .carry(async {
                let mut inner = ActiveSpan::start("inner", Kind::Client);
                inner.set("rows", 3_u64);
                let below = Origin::current().below(inner.context());
                // As on the thread of a connection.
                std::thread::spawn(move || below.enter(|| drop(ActiveSpan::start("innermost", Kind::Internal))))
                    .join()
                    .unwrap();
                note("workspace", || "default");
            })
            .await;
        drop(root);
        let spans = drain(&mut queue);
        let [innermost, inner, root] = spans.as_slice() else { panic!("{spans:?}") };
        assert!(spans.iter().all(|span| span.trace == 9 && span.state.as_deref() == Some("a=1")));
        assert_eq!((root.parent, inner.parent, innermost.parent), (8, root.id, inner.id));
        assert!(root.has_remote_parent && !inner.has_remote_parent);
        assert_eq!(root.attributes, [("workspace", "default".into())]);
        assert_eq!(inner.attributes, [("rows", Value::Int(3))]);
        assert!(root.start <= inner.start && inner.end <= root.end);
    }

    #[tokio::test]
    async fn nothing_is_recorded_without_a_sampled_request() {
        let (tracer, mut queue) = Tracer::new(Sampler::named(Some("always_off"), None).unwrap());
        assert!(tracer.begin("GET /".into(), None).is_none());
        let mut span = ActiveSpan::start("x", Kind::Internal);
        span.set("a", true);
        assert!(!span.is_recorded() && span.context().is_none());
        drop(span);
        note("never", || -> &'static str { unreachable!("without a trace") });
        assert!(drain(&mut queue).is_empty());
    }

    #[test]
    fn a_full_queue_drops_spans_and_counts_them() {
        let (tracer, mut queue) = Tracer::with_capacity(Sampler::default(), 2);
        for _ in 0..5 {
            drop(tracer.begin("GET /".into(), None));
        }
        assert_eq!(tracer.stats().dropped.load(Ordering::Relaxed), 3);
        assert_eq!((tracer.waiting(), drain(&mut queue).len()), (2, 2));
    }
}
