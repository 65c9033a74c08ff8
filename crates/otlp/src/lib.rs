//! OpenTelemetry traces: from OTLP requests to what MLflow stores, and the payload of archived traces. Pure: no I/O, no
//! HTTP, no SQL.
//!
//! [`Batch::read`] decodes a request, protobuf or JSON, and returns its spans as rows and an increment for each trace.
//! Messages are decoded by hand (`decode/protobuf.rs`): texts borrow from the body, and the bounds of [`Limits`] hold
//! before anything is built. The attributes of other conventions are translated by the tables in `dialects/`. The result
//! is the reference's, except where it loses something; the tests of the corpus name each difference.
//!
//! [`ArchivedTrace`] reads and [`payload`] writes the file of an archived trace.

mod archived_trace;
mod attributes;
mod batch;
mod content;
mod decode;
mod dialects;
mod error;
mod json;
mod keys;
pub mod limits;
mod message;
mod people;
mod preview;
mod price;
mod response;
mod text;
mod trace;
mod translate;
mod usage;

pub use archived_trace::{ArchivedTrace, CorruptPayload, Malformed, payload, span_message};
pub use batch::{Batch, Settings, StoredSpan};
pub use decode::Encoding;
pub use error::{RequestError, SpanError};
pub use limits::Limits;
pub use message::{SpanId, TraceId};
pub use people::People;
pub use price::{Prices, Rates};
pub use response::{response, status};
pub use trace::{Pick, Root, TraceDelta};
pub use usage::{COSTS, Cost, Node, TOKENS, Usage, total_cost, total_usage};
