//! Model versions.

use super::{
    Check::{AtMost, Boolean, Integer, List, Required, Text, Texts},
    Rule, Validate,
};
use crate::{
    limits,
    messages::model_registry::{
        CreateModelVersion, DeleteModelVersion, DeleteModelVersionTag, GetModelVersion, GetModelVersionByAlias,
        GetModelVersionDownloadUri, SearchModelVersions, SetModelVersionTag, TransitionModelVersionStage,
        UpdateModelVersion,
    },
};

impl Validate for CreateModelVersion {
    const RULES: &'static [Rule] = &[
        ("name", &[Text, Required]),
        ("source", &[Text, Required]),
        ("run_id", &[Text]),
        ("tags", &[List]),
        ("run_link", &[Text]),
        ("description", &[Text]),
        ("model_id", &[Text]),
    ];
}

impl Validate for UpdateModelVersion {
    const RULES: &'static [Rule] =
        &[("name", &[Text, Required]), ("version", &[Text, Required]), ("description", &[Text])];
}

impl Validate for TransitionModelVersionStage {
    const RULES: &'static [Rule] = &[
        ("name", &[Text, Required]),
        ("version", &[Text, Required]),
        ("stage", &[Text, Required]),
        ("archive_existing_versions", &[Boolean]),
    ];
}

impl Validate for DeleteModelVersion {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("version", &[Text, Required])];
}

impl Validate for GetModelVersion {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("version", &[Text, Required])];
}

impl Validate for SearchModelVersions {
    const RULES: &'static [Rule] = &[
        ("filter", &[Text]),
        ("max_results", &[Integer, AtMost(limits::MODEL_VERSIONS)]),
        ("order_by", &[List, Texts]),
        ("page_token", &[Text]),
    ];
}

impl Validate for GetModelVersionDownloadUri {}

impl Validate for SetModelVersionTag {
    const RULES: &'static [Rule] =
        &[("name", &[Text, Required]), ("version", &[Text, Required]), ("key", &[Text, Required]), ("value", &[Text])];
}

impl Validate for DeleteModelVersionTag {
    const RULES: &'static [Rule] =
        &[("name", &[Text, Required]), ("version", &[Text, Required]), ("key", &[Text, Required])];
}

impl Validate for GetModelVersionByAlias {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("alias", &[Text, Required])];
}
