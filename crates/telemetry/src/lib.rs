//! What a server records about itself, for the crates that do its work: the spans of a traced request, the statistics of
//! statements and queues. Pure: the server renders the statistics and exports the spans.
//!
//! Statistics are statics of the process, as the statements are that they belong to. Spans are recorded only in a task
//! with a sampled [`Origin`]: without tracing, [`ActiveSpan::start`] reads one thread-local variable and does nothing else.

mod histogram;
mod origin;
pub mod otlp;
mod sampler;
mod slow;
mod span;
mod statements;
mod trace_context;
mod tracer;

pub use histogram::{Histogram, SECONDS, SIZES};
pub use origin::{Context, Origin, note};
pub use sampler::{Sampler, SamplerError};
pub use slow::{log_slower_than, suppressed_slow_statements};
pub use span::{ActiveSpan, Kind, Link, Span, Value};
pub use statements::{Statistics, used_statements};
pub use trace_context::TraceParent;
pub use tracer::{SpanQueue, Tracer, TracerStats};
