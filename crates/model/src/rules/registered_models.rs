//! Registered models.

use super::{
    Check::{AtMost, Integer, List, Required, Text, Texts},
    Rule, Validated,
};
use crate::{
    limits,
    messages::model_registry::{
        CreateRegisteredModel, DeleteRegisteredModel, DeleteRegisteredModelAlias, DeleteRegisteredModelTag,
        GetLatestVersions, GetRegisteredModel, RenameRegisteredModel, SearchRegisteredModels, SetRegisteredModelAlias,
        SetRegisteredModelTag, UpdateRegisteredModel,
    },
};

impl Validated for CreateRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("tags", &[List]), ("description", &[Text])];
}

impl Validated for RenameRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("new_name", &[Text, Required])];
}

impl Validated for UpdateRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("description", &[Text])];
}

impl Validated for DeleteRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required])];
}

impl Validated for GetRegisteredModel {
    const RULES: &'static [Rule] = &[("name", &[Text, Required])];
}

impl Validated for SearchRegisteredModels {
    const RULES: &'static [Rule] = &[
        ("filter", &[Text]),
        ("max_results", &[Integer, AtMost(limits::REGISTERED_MODELS)]),
        ("order_by", &[List, Texts]),
        ("page_token", &[Text]),
    ];
}

impl Validated for GetLatestVersions {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("stages", &[List, Texts])];
}

impl Validated for SetRegisteredModelTag {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("key", &[Text, Required]), ("value", &[Text])];
}

impl Validated for DeleteRegisteredModelTag {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("key", &[Text, Required])];
}

impl Validated for SetRegisteredModelAlias {
    const RULES: &'static [Rule] =
        &[("name", &[Text, Required]), ("alias", &[Text, Required]), ("version", &[Text, Required])];
}

impl Validated for DeleteRegisteredModelAlias {
    const RULES: &'static [Rule] = &[("name", &[Text, Required]), ("alias", &[Text, Required])];
}
