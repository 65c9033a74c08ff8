//! Logged models.

use super::{
    Check::{Integer, List, Required, Text, Texts},
    Rule, Validated,
};
use crate::messages::service::{
    CreateLoggedModel, DeleteLoggedModel, DeleteLoggedModelTag, FinalizeLoggedModel, GetLoggedModel,
    ListLoggedModelArtifacts, LogLoggedModelParamsRequest, SearchLoggedModels, SetLoggedModelTags,
};

impl Validated for CreateLoggedModel {
    const RULES: &'static [Rule] = &[
        ("experiment_id", &[Text, Required]),
        ("name", &[Text]),
        ("model_type", &[Text]),
        ("source_run_id", &[Text]),
        ("params", &[List]),
        ("tags", &[List]),
    ];
}

impl Validated for FinalizeLoggedModel {
    const RULES: &'static [Rule] = &[("model_id", &[Text, Required]), ("status", &[Integer, Required])];
}

impl Validated for GetLoggedModel {}

impl Validated for DeleteLoggedModel {}

impl Validated for SearchLoggedModels {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List, Texts, Required]),
        ("filter", &[Text]),
        ("datasets", &[List]),
        ("max_results", &[Integer]),
        ("order_by", &[List]),
        ("page_token", &[Text]),
    ];
}

impl Validated for SetLoggedModelTags {
    const RULES: &'static [Rule] = &[("tags", &[List])];
}

impl Validated for DeleteLoggedModelTag {}

impl Validated for ListLoggedModelArtifacts {
    const RULES: &'static [Rule] = &[("artifact_directory_path", &[Text])];
}

impl Validated for LogLoggedModelParamsRequest {
    const RULES: &'static [Rule] = &[("model_id", &[Text, Required]), ("params", &[List])];
}
