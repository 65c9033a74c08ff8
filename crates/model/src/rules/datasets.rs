//! Evaluation datasets.

use super::{
    Check::{Integer, List, Required, Text},
    Rule, Validate,
};
use crate::messages::service::{
    AddDatasetToExperiments, CreateDataset, DeleteDataset, DeleteDatasetRecords, DeleteDatasetTag, GetDataset,
    GetDatasetExperimentIds, GetDatasetRecords, RemoveDatasetFromExperiments, SearchEvaluationDatasets, SetDatasetTags,
    UpsertDatasetRecords,
};

impl Validate for CreateDataset {
    const RULES: &'static [Rule] = &[("name", &[Required, Text]), ("experiment_ids", &[List]), ("tags", &[Text])];
}

impl Validate for GetDataset {}

impl Validate for DeleteDataset {}

impl Validate for SearchEvaluationDatasets {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List]),
        ("filter_string", &[Text]),
        ("max_results", &[Integer]),
        ("order_by", &[List]),
        ("page_token", &[Text]),
    ];
}

impl Validate for SetDatasetTags {
    const RULES: &'static [Rule] = &[("tags", &[Required, Text])];
}

impl Validate for DeleteDatasetTag {}

impl Validate for UpsertDatasetRecords {
    const RULES: &'static [Rule] = &[("records", &[Required, Text])];
}

impl Validate for GetDatasetExperimentIds {}

impl Validate for GetDatasetRecords {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validate for DeleteDatasetRecords {
    const RULES: &'static [Rule] = &[("dataset_record_ids", &[List])];
}

impl Validate for AddDatasetToExperiments {
    const RULES: &'static [Rule] = &[("experiment_ids", &[List])];
}

impl Validate for RemoveDatasetFromExperiments {
    const RULES: &'static [Rule] = &[("experiment_ids", &[List])];
}
