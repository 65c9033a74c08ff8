//! Evaluation data: datasets and their records, scorers, label schemas, review queues, issues.

pub(crate) mod dataset_records;
pub(crate) mod dataset_search;
pub(crate) mod datasets;
pub(crate) mod issue_columns;
pub(crate) mod issues;
pub(crate) mod keys;
pub(crate) mod label_schemas;
pub(crate) mod online_scoring;
pub(crate) mod review_queue_items;
pub(crate) mod review_queues;
pub(crate) mod scorers;
