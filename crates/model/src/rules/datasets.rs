//! Evaluation datasets.

use super::{
    Check::{Integer, List, Required, Text},
    Rule, Validated,
};
use crate::messages::service::{
    AddDatasetToExperiments, CreateDataset, DeleteDataset, DeleteDatasetRecords, DeleteDatasetTag, GetDataset,
    GetDatasetExperimentIds, GetDatasetRecords, RemoveDatasetFromExperiments, SearchEvaluationDatasets, SetDatasetTags,
    UpsertDatasetRecords,
};

impl Validated for CreateDataset {
    const RULES: &'static [Rule] = &[("name", &[Required, Text]), ("experiment_ids", &[List]), ("tags", &[Text])];
}

impl Validated for GetDataset {}

impl Validated for DeleteDataset {}

impl Validated for SearchEvaluationDatasets {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List]),
        ("filter_string", &[Text]),
        ("max_results", &[Integer]),
        ("order_by", &[List]),
        ("page_token", &[Text]),
    ];
}

impl Validated for SetDatasetTags {
    const RULES: &'static [Rule] = &[("tags", &[Required, Text])];
}

impl Validated for DeleteDatasetTag {}

impl Validated for UpsertDatasetRecords {
    const RULES: &'static [Rule] = &[("records", &[Required, Text])];
}

impl Validated for GetDatasetExperimentIds {}

impl Validated for GetDatasetRecords {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validated for DeleteDatasetRecords {
    const RULES: &'static [Rule] = &[("dataset_record_ids", &[List])];
}

impl Validated for AddDatasetToExperiments {
    const RULES: &'static [Rule] = &[("experiment_ids", &[List])];
}

impl Validated for RemoveDatasetFromExperiments {
    const RULES: &'static [Rule] = &[("experiment_ids", &[List])];
}
