//! Logged models.

use super::{
    Check::{Integer, List, Required, Text, Texts},
    Rule, Validate,
};
use crate::messages::service::{
    CreateLoggedModel, DeleteLoggedModel, DeleteLoggedModelTag, FinalizeLoggedModel, GetLoggedModel,
    ListLoggedModelArtifacts, LogLoggedModelParamsRequest, SearchLoggedModels, SetLoggedModelTags,
};

impl Validate for CreateLoggedModel {
    const RULES: &'static [Rule] = &[
        ("experiment_id", &[Text, Required]),
        ("name", &[Text]),
        ("model_type", &[Text]),
        ("source_run_id", &[Text]),
        ("params", &[List]),
        ("tags", &[List]),
    ];
}

impl Validate for FinalizeLoggedModel {
    const RULES: &'static [Rule] = &[("model_id", &[Text, Required]), ("status", &[Integer, Required])];
}

impl Validate for GetLoggedModel {}

impl Validate for DeleteLoggedModel {}

impl Validate for SearchLoggedModels {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List, Texts, Required]),
        ("filter", &[Text]),
        ("datasets", &[List]),
        ("max_results", &[Integer]),
        ("order_by", &[List]),
        ("page_token", &[Text]),
    ];
}

impl Validate for SetLoggedModelTags {
    const RULES: &'static [Rule] = &[("tags", &[List])];
}

impl Validate for DeleteLoggedModelTag {}

impl Validate for ListLoggedModelArtifacts {
    const RULES: &'static [Rule] = &[("artifact_directory_path", &[Text])];
}

impl Validate for LogLoggedModelParamsRequest {
    const RULES: &'static [Rule] = &[("model_id", &[Text, Required]), ("params", &[List])];
}
