//! Experiments, runs, metrics, datasets and logged models, and the batching writer for what is logged to runs.

pub mod batch;
pub(crate) mod experiment_locations;
pub(crate) mod experiment_search;
pub(crate) mod experiments;
pub(crate) mod inputs;
pub(crate) mod keys;
pub(crate) mod logged_model_filter;
pub(crate) mod logged_model_metric_order;
pub(crate) mod logged_model_search;
pub(crate) mod logged_models;
pub(crate) mod metric_samples;
pub(crate) mod metric_steps;
pub(crate) mod metrics;
pub(crate) mod parents;
pub(crate) mod progressions;
pub(crate) mod run_access;
pub(crate) mod run_children;
pub(crate) mod run_few;
pub(crate) mod run_filter;
pub(crate) mod run_ordered_by;
pub(crate) mod run_page;
pub(crate) mod run_search;
pub(crate) mod run_value_order;
pub(crate) mod run_window;
pub(crate) mod runs;
