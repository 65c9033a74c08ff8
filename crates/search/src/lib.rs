//! The language of searches: filter and order-by text → typed conditions and columns. Pure: no I/O, no SQL.
//!
//! One module per entity, each with `parse_filter` and `parse_order_by`. A filter is a list of conditions that must
//! all hold; an order always ends with columns that make it total, so that pages can be cut by key.
//!
//! The language is that of the reference, whose tokens are SQL (see `syntax`). Every wrong text is
//! `INVALID_PARAMETER_VALUE` with the reference's sentence; where the reference fails on a text instead of refusing it,
//! the sentence is ours.

pub mod bounds;
mod filter;
mod syntax;

pub mod experiments;
pub mod logged_models;
pub mod model_versions;
pub mod order_by;
pub mod page_token;
pub mod registered_models;
pub mod runs;
pub mod value;

pub use order_by::OrderBy;
pub use page_token::{KeyValue, PageToken};
pub use value::{Number, NumberOp, PairTest, TextTest};
