//! Evaluation data.

pub(crate) mod datasets;
pub(crate) mod issues;
pub(crate) mod label_schemas;
