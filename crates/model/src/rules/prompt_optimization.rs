//! Prompt optimisation.

use super::{
    Check::{List, Required, Text},
    Rule, Validate,
};
use crate::messages::service::{
    CancelPromptOptimizationJob, CreatePromptOptimizationJob, DeletePromptOptimizationJob, GetPromptOptimizationJob,
    SearchPromptOptimizationJobs,
};

impl Validate for CreatePromptOptimizationJob {
    const RULES: &'static [Rule] = &[
        ("experiment_id", &[Text]),
        ("source_prompt_uri", &[Text, Required]),
        ("config", &[Required]),
        ("tags", &[List]),
    ];
}

impl Validate for GetPromptOptimizationJob {}

impl Validate for SearchPromptOptimizationJobs {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validate for CancelPromptOptimizationJob {}

impl Validate for DeletePromptOptimizationJob {}
