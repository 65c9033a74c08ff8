//! Spans. Their names and texts are those of the code; nothing that clients send is in them, except ids that they chose
//! for it: the trace, the workspace.

use std::{borrow::Cow, time::Instant};

use crate::{origin::Context, tracer::new_span_id};

/// What a span is, as in OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work inside of the server.
    Internal = 1,
    /// A request that the server answers.
    Server = 2,
    /// A call of another system: the database, an artifact store.
    Client = 3,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// An integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// A link to a span, perhaps of another trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace.
    pub trace: u128,
    /// The `tracestate` of the trace, as the client sent it.
    pub state: Option<Box<str>>,
    /// The span.
    pub id: u64,
    /// The parent; 0 for a root.
    pub parent: u64,
    /// Whether the parent is a span of the client.
    pub has_remote_parent: bool,
    /// The name: of few possible ones.
    pub name: Cow<'static, str>,
    /// The kind.
    pub kind: Kind,
    /// Start, in nanoseconds since 1970.
    pub start: u64,
    /// End, in nanoseconds since 1970.
    pub end: u64,
    /// Attributes.
    pub attributes: Vec<(&'static str, Value)>,
    /// Links.
    pub links: Vec<Link>,
    /// Whether it failed.
    pub has_failed: bool,
}

/// A span that has not ended. It ends when it is dropped. Without a trace it is nothing, and costs nothing.
#[must_use]
pub struct ActiveSpan(Option<Box<Running>>);

struct Running {
    context: Context,
    parent: u64,
    name: Cow<'static, str>,
    kind: Kind,
    start: Instant,
    attributes: Vec<(&'static str, Value)>,
    links: Vec<Link>,
    has_failed: bool,
}

impl ActiveSpan {
    /// Starts a span of the current work.
    pub fn start(name: &'static str, kind: Kind) -> Self {
        Self(Context::current().map(|parent| Box::new(Running::below(&parent, name.into(), kind, Instant::now()))))
    }

    /// Starts a span of the current work that began at `start`.
    pub fn started_at(name: &'static str, kind: Kind, start: Instant) -> Self {
        Self(Context::current().map(|parent| Box::new(Running::below(&parent, name.into(), kind, start))))
    }

    /// Starts a span below another one, which began at `start`. Nothing without one.
    pub fn below(parent: Option<&Context>, name: &'static str, kind: Kind, start: Instant) -> Self {
        Self(parent.map(|parent| Box::new(Running::below(parent, name.into(), kind, start))))
    }

    /// The root of what a server does for a request.
    pub(crate) fn root(context: Context, parent: u64, name: Cow<'static, str>) -> Self {
        let kind = Kind::Server;
        let running = Running::new(context, parent, name, kind, Instant::now());
        Self(Some(Box::new(running)))
    }

    /// Whether it is recorded: otherwise attributes need not be computed.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(running) = &mut self.0 {
            running.attributes.push((key, value.into()));
        }
    }

    /// Names it, where the name is known at its end only.
    pub fn rename(&mut self, name: &'static str) {
        if let Some(running) = &mut self.0 {
            running.name = Cow::Borrowed(name);
        }
    }

    /// Links it to another span.
    pub fn link(&mut self, other: Option<Link>) {
        if let (Some(running), Some(other)) = (&mut self.0, other) {
            running.links.push(other);
        }
    }

    /// Marks it as failed.
    pub fn fail(&mut self) {
        if let Some(running) = &mut self.0 {
            running.has_failed = true;
        }
    }

    /// It as the parent of others.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.0.as_ref().map(|running| running.context.clone())
    }

    /// It as the target of links.
    #[must_use]
    pub fn as_link(&self) -> Option<Link> {
        let context = &self.0.as_ref()?.context;
        Some(Link { trace: context.trace.id, span: context.span })
    }
}

impl Running {
    fn below(parent: &Context, name: Cow<'static, str>, kind: Kind, start: Instant) -> Self {
        let context = Context { trace: parent.trace.clone(), span: new_span_id() };
        Self::new(context, parent.span, name, kind, start)
    }

    fn new(context: Context, parent: u64, name: Cow<'static, str>, kind: Kind, start: Instant) -> Self {
        let (attributes, links) = (Vec::new(), Vec::new());
        Self { context, parent, name, kind, start, attributes, links, has_failed: false }
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        let Some(running) = self.0.take() else { return };
        let end = Instant::now();
        let Running { context: Context { trace, span }, parent, name, kind, start, mut attributes, links, has_failed } =
            *running;
        if kind == Kind::Server {
            attributes.append(&mut trace.notes());
        }
        let (start, end) = (trace.nanos(start), trace.nanos(end));
        trace.tracer.record(Span {
            trace: trace.id,
            state: trace.state.clone(),
            id: span,
            parent,
            has_remote_parent: kind == Kind::Server && parent != 0,
            name,
            kind,
            start,
            end,
            attributes,
            links,
            has_failed,
        });
    }
}
