//! Registered models, model versions and prompts.

pub(crate) mod model_sources;
pub(crate) mod model_versions;
pub(crate) mod prompts;
pub(crate) mod registered_models;
