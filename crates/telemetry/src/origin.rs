//! Which request work belongs to. A task knows it by itself; what runs elsewhere (the thread of a connection, a task for
//! several requests) is given it.

use std::sync::Arc;

use crate::{
    span::Value,
    tracer::{Trace, TraceId},
};

tokio::task_local! {
    static ORIGIN: Origin;
}

/// The request that work belongs to: its span in the log, and its trace if it is traced.
#[derive(Clone, Default)]
pub struct Origin {
    log: Option<tracing::Span>,
    trace: Option<Context>,
}

/// A span of a trace, as the parent of other spans.
#[derive(Clone)]
pub struct Context {
    pub(crate) trace: Arc<Trace>,
    pub(crate) span: u64,
}

impl Context {
    /// That of the current work, if it is traced.
    #[must_use]
    pub fn current() -> Option<Self> {
        ORIGIN.try_with(|origin| origin.trace.clone()).ok().flatten()
    }

    /// The id of the trace, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        TraceId(self.trace.id)
    }
}

impl Origin {
    /// That of the current work.
    #[must_use]
    pub fn current() -> Self {
        ORIGIN.try_with(Clone::clone).unwrap_or_else(|_| Self { log: Some(tracing::Span::current()), trace: None })
    }

    /// The current span of the log, and a span of a trace.
    #[must_use]
    pub fn traced(context: Context) -> Self {
        let log = ORIGIN.try_with(|origin| origin.log.clone()).ok().flatten();
        Self { log: Some(log.unwrap_or_else(tracing::Span::current)), trace: Some(context) }
    }

    /// The same with another span of the trace as the parent; without one the same.
    #[must_use]
    pub fn below(self, context: Option<Context>) -> Self {
        Self { trace: context.or(self.trace), ..self }
    }

    /// The span of the trace.
    #[must_use]
    pub fn trace(&self) -> Option<&Context> {
        self.trace.as_ref()
    }

    /// Runs work of this request on another thread.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        ORIGIN.sync_scope(self, work)
    }

    /// Runs work of this request in another task, or below another span.
    pub async fn carry<F: Future>(self, work: F) -> F::Output {
        ORIGIN.scope(self, work).await
    }

    /// Runs `log` within the span of the log.
    pub(crate) fn in_log(&self, log: impl FnOnce()) {
        match &self.log {
            Some(span) => span.in_scope(log),
            None => log(),
        }
    }
}

/// Adds an attribute to the span of the whole request, if it is traced.
pub fn note<V: Into<Value>>(key: &'static str, value: impl FnOnce() -> V) {
    // Absent without tracing: `value` is not called.
    let _ = ORIGIN.try_with(|origin| {
        if let Some(context) = &origin.trace {
            context.trace.note(key, value().into());
        }
    });
}
