//! Experiments, runs, metrics, datasets and logged models.

pub(crate) mod experiments;
pub(crate) mod inputs;
pub(crate) mod logged_models;
pub(crate) mod metrics;
pub(crate) mod promptlab;
pub(crate) mod runs;
