//! Evaluation data: datasets and their records.

pub(crate) mod dataset_records;
pub(crate) mod dataset_search;
pub(crate) mod datasets;
pub(crate) mod keys;
pub(crate) mod label_schemas;
