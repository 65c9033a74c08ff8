//! From the body of a request to spans, one after the other: only one span of a protobuf request is in memory at a
//! time.

mod budget;
mod json;
mod protobuf;

use crate::{
    Limits, RequestError, SpanError,
    message::{KeyValue, Span},
};

/// The encoding of a request and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// Takes a span, or why it is refused, with the attributes of its resource.
type Visit<'v> = &'v mut dyn for<'a> FnMut(&[KeyValue<'a>], Result<Span<'a>, SpanError>);

/// Visits the spans of a request with the attributes of their resource.
///
/// # Errors
/// The request is refused as a whole. The visitor may have seen spans of it.
pub(crate) fn spans(body: &[u8], encoding: Encoding, limits: &Limits, visit: Visit<'_>) -> Result<(), RequestError> {
    match encoding {
        Encoding::Protobuf => protobuf::spans(body, limits, visit),
        Encoding::Json => json::spans(body, limits, visit),
    }
}
