//! Runs, their params, tags, inputs and outputs.

use serde::Deserialize;

use super::{
    Check::{AtMost, EachHas, Integer, List, Required, Text, Texts},
    Rule, Validate,
};
use crate::{
    Error, limits,
    messages::service::{
        CreateRun, DeleteRun, DeleteTag, GetRun, LogBatch, LogInputs, LogModel, LogOutputs, LogParam, RestoreRun,
        SearchDatasets, SearchRuns, SetTag, UpdateRun,
    },
    request::count::Length,
    validation,
};

impl Validate for CreateRun {
    const RULES: &'static [Rule] = &[("experiment_id", &[Text]), ("start_time", &[Integer]), ("run_name", &[Text])];
}

impl Validate for UpdateRun {
    const RULES: &'static [Rule] =
        &[("run_id", &[Required, Text]), ("end_time", &[Integer]), ("status", &[Text]), ("run_name", &[Text])];
}

impl Validate for DeleteRun {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text])];
}

impl Validate for RestoreRun {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text])];
}

impl Validate for LogParam {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text]), ("key", &[Required, Text]), ("value", &[Text])];
}

impl Validate for SetTag {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text]), ("key", &[Required, Text]), ("value", &[Text])];
}

impl Validate for DeleteTag {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text]), ("key", &[Required, Text])];
}

impl Validate for GetRun {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text])];
}

impl Validate for SearchRuns {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List]),
        ("filter", &[Text]),
        ("max_results", &[Integer, AtMost(limits::SEARCH_RESULTS)]),
        ("order_by", &[List, Texts]),
    ];
}

impl Validate for LogBatch {
    const RULES: &'static [Rule] = &[
        ("run_id", &[Text, Required]),
        ("metrics", &[List, EachHas(&["key", "value", "timestamp"])]),
        ("params", &[List, EachHas(&["key"])]),
        ("tags", &[List, EachHas(&["key"])]),
    ];

    fn oversized(json: &[u8]) -> Option<Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Lengths {
            metrics: Length,
            params: Length,
            tags: Length,
        }
        let lengths: Lengths = serde_json::from_slice(json).ok()?;
        validation::batch_limits(lengths.metrics.0, lengths.params.0, lengths.tags.0).err()
    }

    fn is_complete(&self) -> bool {
        self.metrics
            .iter()
            .all(|metric| !metric.key().is_empty() && metric.value.is_some() && metric.timestamp.is_some())
            && self.params.iter().all(|param| !param.key().is_empty())
            && self.tags.iter().all(|tag| !tag.key().is_empty())
    }
}

impl Validate for LogModel {
    const RULES: &'static [Rule] = &[("run_id", &[Text, Required]), ("model_json", &[Text, Required])];
}

impl Validate for LogInputs {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text]), ("datasets", &[List]), ("models", &[List])];
}

impl Validate for LogOutputs {
    const RULES: &'static [Rule] = &[("run_id", &[Required, Text]), ("models", &[Required, List])];
}

impl Validate for SearchDatasets {}
