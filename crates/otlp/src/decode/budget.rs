//! Counts the spans and values of a request.

use crate::{Limits, RequestError, SpanError};

/// Why decoding stops: for a span, or for the whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Span(SpanError),
    Request(RequestError),
}

impl From<SpanError> for Stop {
    fn from(error: SpanError) -> Self {
        Self::Span(error)
    }
}

impl From<RequestError> for Stop {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

/// What a request may still contain.
pub(super) struct Budget {
    limits: Limits,
    spans: usize,
    values: usize,
    span_values: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, spans: 0, values: 0, span_values: 0 }
    }

    /// Counts a span, or the attributes of a resource.
    pub(super) fn span(&mut self) -> Result<(), RequestError> {
        self.spans += 1;
        self.span_values = 0;
        if self.spans > self.limits.spans { Err(RequestError::TooManySpans(self.limits.spans)) } else { Ok(()) }
    }

    /// Starts to count the values of a resource.
    pub(super) fn resource(&mut self) {
        self.span_values = 0;
    }

    /// Counts a value.
    pub(super) fn value(&mut self) -> Result<(), Stop> {
        self.values += 1;
        self.span_values += 1;
        if self.values > self.limits.values {
            return Err(RequestError::TooManyValues(self.limits.values).into());
        }
        if self.span_values > self.limits.span_values {
            return Err(SpanError::TooManyValues(self.limits.span_values).into());
        }
        Ok(())
    }
}

/// Reads an id of `N` bytes that is not zero.
pub(super) fn id<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], SpanError> {
    let id: [u8; N] = bytes.try_into().map_err(|_| SpanError::Id(field))?;
    if id == [0; N] { Err(SpanError::Id(field)) } else { Ok(id) }
}

/// Reads the id of a parent: empty or zero if there is none.
pub(super) fn parent(bytes: &[u8]) -> Result<Option<u64>, SpanError> {
    match bytes {
        [] => Ok(None),
        bytes => {
            let id: [u8; 8] = bytes.try_into().map_err(|_| SpanError::Id("parent_span_id"))?;
            Ok(Some(u64::from_be_bytes(id)).filter(|id| *id != 0))
        }
    }
}
