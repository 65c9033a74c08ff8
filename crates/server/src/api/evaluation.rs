//! Evaluation data.

pub(crate) mod datasets;
pub(crate) mod label_schemas;
