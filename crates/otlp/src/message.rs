//! The messages of `opentelemetry/proto/trace/v1/trace.proto` and `common.proto`, as far as MLflow keeps them. They
//! borrow from the request's body, so that a span costs few allocations.

use std::{borrow::Cow, fmt};

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    /// MLflow's id of the trace: `tr-` and 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tr-{:032x}", self.0)
    }
}

/// The id of a span within its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub u64);

impl fmt::Display for SpanId {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AnyValue<'a> {
    Null,
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    Array(Vec<AnyValue<'a>>),
    Map(Vec<KeyValue<'a>>),
}

impl AnyValue<'_> {
    /// `bool(value)` in Python.
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Text(text) => !text.is_empty(),
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Double(number) => *number != 0.0,
            // The reference stores `str(bytes)`, which is never empty.
            Self::Bytes(_) => true,
            Self::Array(items) => !items.is_empty(),
            Self::Map(pairs) => !pairs.is_empty(),
        }
    }
}

/// An attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyValue<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: AnyValue<'a>,
}

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span<'a> {
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Vec<KeyValue<'a>>,
    pub(crate) events: Vec<Event<'a>>,
    pub(crate) links: Vec<Link<'a>>,
    pub(crate) status: Status<'a>,
}

/// An event of a span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event<'a> {
    pub(crate) time: u64,
    pub(crate) name: Cow<'a, str>,
    pub(crate) attributes: Vec<KeyValue<'a>>,
}

impl<'a> Event<'a> {
    /// The value of an attribute. The last one of a key counts.
    pub(crate) fn get(&self, key: &str) -> Option<&AnyValue<'a>> {
        self.attributes.iter().rfind(|pair| pair.key == key).map(|pair| &pair.value)
    }
}

/// A link to another span. Its ids may be longer than the standard's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Link<'a> {
    pub(crate) trace: Cow<'a, [u8]>,
    pub(crate) span: Cow<'a, [u8]>,
    pub(crate) attributes: Vec<KeyValue<'a>>,
}

/// The status of a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Status<'a> {
    pub(crate) code: Code,
    pub(crate) message: Cow<'a, str>,
}

/// The code of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Code {
    #[default]
    Unset,
    Ok,
    Error,
}

impl Code {
    /// The code of its number in protobuf; unknown ones are unset, as in the reference.
    pub(crate) fn of(number: u64) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// The name in the column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unset => "UNSET",
            Self::Ok => "OK",
            Self::Error => "ERROR",
        }
    }
}
