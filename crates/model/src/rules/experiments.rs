//! Experiments.

use super::{
    Check::{Integer, List, Required, Text},
    Rule, Validated,
};
use crate::messages::service::{
    CreateExperiment, DeleteExperiment, DeleteExperimentTag, GetExperiment, GetExperimentByName, RestoreExperiment,
    SearchExperiments, SetExperimentTag, UpdateExperiment,
};

impl Validated for GetExperimentByName {
    const RULES: &'static [Rule] = &[("experiment_name", &[Required, Text])];
}

impl Validated for CreateExperiment {
    const RULES: &'static [Rule] = &[("name", &[Required, Text]), ("artifact_location", &[Text]), ("tags", &[List])];
}

impl Validated for SearchExperiments {
    const RULES: &'static [Rule] = &[
        ("view_type", &[Integer]),
        ("max_results", &[Integer]),
        ("order_by", &[List]),
        ("filter", &[Text]),
        ("page_token", &[Text]),
    ];
}

impl Validated for GetExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validated for DeleteExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validated for RestoreExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validated for UpdateExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("new_name", &[Text, Required])];
}

impl Validated for SetExperimentTag {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("key", &[Required, Text]), ("value", &[Text])];
}

impl Validated for DeleteExperimentTag {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("key", &[Required, Text])];
}
