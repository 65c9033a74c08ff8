//! Evaluation data: datasets and their records, label schemas, issues.

pub(crate) mod dataset_records;
pub(crate) mod dataset_search;
pub(crate) mod datasets;
pub(crate) mod issues;
pub(crate) mod keys;
pub(crate) mod label_schemas;
