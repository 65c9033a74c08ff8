//! Evaluation data.

pub(crate) mod datasets;
