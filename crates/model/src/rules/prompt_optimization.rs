//! Prompt optimisation.

use super::{
    Check::{List, Required, Text},
    Rule, Validated,
};
use crate::messages::service::{
    CancelPromptOptimizationJob, CreatePromptOptimizationJob, DeletePromptOptimizationJob, GetPromptOptimizationJob,
    SearchPromptOptimizationJobs,
};

impl Validated for CreatePromptOptimizationJob {
    const RULES: &'static [Rule] = &[
        ("experiment_id", &[Text]),
        ("source_prompt_uri", &[Text, Required]),
        ("config", &[Required]),
        ("tags", &[List]),
    ];
}

impl Validated for GetPromptOptimizationJob {}

impl Validated for SearchPromptOptimizationJobs {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text])];
}

impl Validated for CancelPromptOptimizationJob {}

impl Validated for DeletePromptOptimizationJob {}
