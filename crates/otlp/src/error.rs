//! What is wrong with a request, or with one of its spans.

/// Why a request is refused. Nothing of it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is not a message, or not JSON.
    #[error("Invalid OpenTelemetry format")]
    Malformed,
    /// The request contains no resource, and therefore no span.
    #[error("Invalid OpenTelemetry format - no spans found")]
    Empty,
    /// The request has more spans than [`crate::Limits::spans`].
    #[error("The request has more than {0} spans")]
    TooManySpans(usize),
    /// The request has more values than [`crate::Limits::values`].
    #[error("The request has more than {0} attributes, events and links")]
    TooManyValues(usize),
}

/// Why a span is refused. The other spans of its request are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// An id is missing, has another length than the standard's, is not hexadecimal (JSON), or is zero.
    #[error("{0} is not a valid id")]
    Id(&'static str),
    /// A field has a value of another type (JSON).
    #[error("{0} has a value of another type")]
    Type(&'static str),
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// The name contains a NUL character, which databases cannot store.
    #[error("the name contains a NUL character")]
    Nul,
    /// An attribute is nested too deeply: see [`crate::limits::MAX_MESSAGES`].
    #[error("an attribute is nested too deeply")]
    TooDeep,
    /// The span has more values than [`crate::Limits::span_values`].
    #[error("more than {0} attributes, events and links")]
    TooManyValues(usize),
    /// A time is beyond what databases can store.
    #[error("{0} is out of range")]
    Time(&'static str),
    /// The span ends before it starts.
    #[error("the span ends before it starts")]
    EndsBeforeStart,
    /// The span is its own parent.
    #[error("the span is its own parent")]
    OwnParent,
    /// The session id is longer than [`crate::limits::MAX_SESSION`].
    #[error("the session id is longer than 250 characters")]
    Session,
    /// The trace's name is longer than [`crate::limits::MAX_TRACE_NAME`].
    #[error("the trace's name is longer than 4096 characters")]
    TraceName,
}
