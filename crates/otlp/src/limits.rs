//! Bounds of a request, checked while it is decoded: nothing beyond them is built.

/// Maximum nesting of messages in an attribute's value, counted from the request. It is the limit of protobuf's own
/// decoders, the reference's included: what they can read is accepted, and what is accepted can be archived and read
/// again. An array is 2 messages deep, a map 3.
pub const MAX_MESSAGES: usize = 100;

/// Depth of the value of a span's attribute, itself included: request, resource spans, scope spans, span, attribute,
/// value.
pub(crate) const SPAN_VALUE: usize = 6;

/// Depth of the value of an attribute of an event or a link.
pub(crate) const EVENT_VALUE: usize = SPAN_VALUE + 1;

/// Depth of the value of a resource's attribute.
pub(crate) const RESOURCE_VALUE: usize = 5;

/// Maximum length of an id of a link in bytes. The standard has 16 and 8; some clients send longer ones.
pub const MAX_LINK_ID: usize = 64;

/// Maximum length of a session id in characters, as in the reference.
pub const MAX_SESSION: usize = 250;

/// Maximum length of a trace's name in characters, as in the reference.
pub const MAX_TRACE_NAME: usize = 4096;

/// Maximum length of the value of a trace's metadata in characters: the size of the column.
pub const MAX_METADATA: usize = 8000;

/// Maximum length of a model's name, a provider's or a span's type in a column, in characters; longer ones are
/// truncated.
pub const MAX_MODEL: usize = 500;

/// Maximum length of a preview in characters, as in the reference.
pub const MAX_PREVIEW: usize = 1000;

/// Bounds that an operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of spans in a request. A larger request is refused.
    pub spans: usize,
    /// Maximum number of values in a request: attributes, items of arrays and maps, events and links. A larger request
    /// is refused.
    pub values: usize,
    /// Maximum number of values in a span. A larger span is refused, the others are stored.
    pub span_values: usize,
}

impl Default for Limits {
    /// Exporters send 512 spans a request with at most 128 attributes each, unless they are configured otherwise.
    fn default() -> Self {
        Self { spans: 50_000, values: 1_000_000, span_values: 65_536 }
    }
}
