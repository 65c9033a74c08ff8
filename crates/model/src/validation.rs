//! Validates values before they are stored, with the reference's error messages. Pure functions, shared by all stores
//! and endpoints.

mod experiments;
mod inputs;
mod limits;
mod lists;
mod logged_models;
mod metrics;
mod registry;
mod runs;
mod search;
mod text;
mod traces;
mod users;
mod webhooks;
mod workspaces;

pub use experiments::{
    CUSTOM_VIEW_PREFIX, artifact_location, custom_view_count, custom_view_fits, experiment_id, experiment_name,
    experiment_tag, parse_experiment_id,
};
pub use inputs::dataset_inputs;
pub use limits::Limits;
pub use lists::{LOGGED_MODELS_TAG, is_list_tag, newest};
pub use logged_models::logged_model_name;
pub use metrics::metric;
pub(crate) use registry::is_digit;
pub use registry::{
    Stage, model_alias, model_alias_not_reserved, model_name, model_new_name, model_version, model_version_tag,
    registered_model_tag, registry_tag_key,
};
pub use runs::{batch_limits, run_id, unique_param_keys};
pub use search::max_results;
pub use text::{exceeds_maximum_length, invalid_value, missing_value};
pub use traces::{
    ARCHIVE_NOW_TAG, ARTIFACT_LOCATION_TAG, RETENTION_TAG, archival_duration, archival_retention, deletable_trace_tag,
    is_location_tag, settable_trace_tag, trace_id, trace_text,
};
pub use users::{password, username};
pub use webhooks::{webhook_name, webhook_page_size};
pub use workspaces::workspace_name;
