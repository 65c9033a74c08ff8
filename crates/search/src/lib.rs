//! The search language: text of filters and ORDER BY clauses → typed conditions and columns. Pure: no I/O, no SQL.
//!
//! One module per searched thing, each with `parse_filter` and `parse_order_by`. A filter is a conjunction of conditions;
//! an order always ends with columns that make it total, which keyset pagination requires. What a thing can be filtered
//! by is an enum that implements `field::Field`; `filter::parse` is the parser of all.
//!
//! The language is that of the reference, which tokenises it as SQL (see `syntax`). Every invalid text is
//! `INVALID_PARAMETER_VALUE` with the reference's message; where the reference crashes on a text, the message is
//! ferroflow's.

pub mod bounds;
mod comparator;
mod field;
mod filter;
mod operand;
mod syntax;

pub mod datasets;
pub mod experiments;
pub mod issues;
pub mod logged_models;
pub mod model_versions;
pub mod order_by;
pub mod page_token;
pub mod registered_models;
pub mod runs;
pub mod trace_metrics;
pub mod traces;
pub mod value;

pub use order_by::OrderBy;
pub use page_token::{KeyValue, PageToken, QueryId};
pub use value::{Number, NumberOp, PairTest, TextTest};
