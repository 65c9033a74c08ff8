//! The handlers, by resource. Each takes the message apart, calls the store once, and answers.

pub(crate) mod artifacts;
pub(crate) mod experiments;
pub(crate) mod grants;
pub(crate) mod inputs;
pub(crate) mod logged_models;
pub(crate) mod metrics;
pub(crate) mod model_sources;
pub(crate) mod model_versions;
pub(crate) mod oidc;
pub(crate) mod prompts;
pub(crate) mod proxied_artifacts;
pub(crate) mod registered_models;
pub(crate) mod roles;
pub(crate) mod runs;
pub(crate) mod server_info;
pub(crate) mod signup;
pub(crate) mod trace_payloads;
pub(crate) mod transfers;
pub(crate) mod users;
pub(crate) mod webhooks;
