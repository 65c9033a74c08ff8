//! Experiments.

use super::{
    Check::{Integer, List, Required, Text},
    Rule, Validate,
};
use crate::messages::service::{
    CreateExperiment, DeleteExperiment, DeleteExperimentTag, GetExperiment, GetExperimentByName, RestoreExperiment,
    SearchExperiments, SetExperimentTag, UpdateExperiment,
};

impl Validate for GetExperimentByName {
    const RULES: &'static [Rule] = &[("experiment_name", &[Required, Text])];
}

impl Validate for CreateExperiment {
    const RULES: &'static [Rule] = &[("name", &[Required, Text]), ("artifact_location", &[Text]), ("tags", &[List])];
}

impl Validate for SearchExperiments {
    const RULES: &'static [Rule] = &[
        ("view_type", &[Integer]),
        ("max_results", &[Integer]),
        ("order_by", &[List]),
        ("filter", &[Text]),
        ("page_token", &[Text]),
    ];
}

impl Validate for GetExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validate for DeleteExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validate for RestoreExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validate for UpdateExperiment {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("new_name", &[Text, Required])];
}

impl Validate for SetExperimentTag {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("key", &[Required, Text]), ("value", &[Text])];
}

impl Validate for DeleteExperimentTag {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("key", &[Required, Text])];
}
