//! Registered models.

use super::{
    Check::{AtMost, Integer, List, Required, Text, Texts},
    Rule, Validate,
};
use crate::{
    limits,
    messages::model_registry::{
        CreateRegisteredModel, DeleteRegisteredModel, DeleteRegisteredModelAlias, DeleteRegisteredModelTag,
        GetLatestVersions, GetRegisteredModel, RenameRegisteredModel, SearchRegisteredModels, SetRegisteredModelAlias,
        SetRegisteredModelTag, UpdateRegisteredModel,
    },
};

impl Validate for CreateRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("tags", &[List]), ("description", &[Text])];
}

impl Validate for RenameRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("new_name", &[Text, Required])];
}

impl Validate for UpdateRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("description", &[Text])];
}

impl Validate for DeleteRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required])];
}

impl Validate for GetRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required])];
}

impl Validate for SearchRegisteredModels {
    const RULES: &'static [Rule] = &[
        ("filter", &[Text]),
        ("max_results", &[Integer, AtMost(limits::REGISTERED_MODELS)]),
        ("order_by", &[List, Texts]),
        ("page_token", &[Text]),
    ];
}

impl Validate for GetLatestVersions {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("stages", &[List, Texts])];
}

impl Validate for SetRegisteredModelTag {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("key", &[Text, Required]), ("value", &[Text])];
}

impl Validate for DeleteRegisteredModelTag {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("key", &[Text, Required])];
}

impl Validate for SetRegisteredModelAlias {
    const RULES: &'static [Rule] =
        &[("name", &[Text, Required]), ("alias", &[Text, Required]), ("version", &[Text, Required])];
}

impl Validate for DeleteRegisteredModelAlias {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("alias", &[Text, Required])];
}
