//! Evaluation data.

pub(crate) mod datasets;
pub(crate) mod issues;
pub(crate) mod label_schemas;
pub(crate) mod review_queues;
pub(crate) mod scorers;
