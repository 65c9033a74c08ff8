//! Registered models and their versions, which prompts are too.

pub(crate) mod model_version_search;
pub(crate) mod model_versions;
pub(crate) mod new_model_version;
pub(crate) mod prompt_links;
pub(crate) mod prompt_split;
pub(crate) mod registered_model_children;
pub(crate) mod registered_model_search;
pub(crate) mod registered_models;
