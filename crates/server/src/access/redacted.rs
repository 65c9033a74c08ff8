//! Redacts, in a response, references to resources of kinds that are denied to the caller altogether.

use ferroflow_model::{
    messages::{
        model_registry::{ModelVersion, RegisteredModel},
        service::{LoggedModel, Run, TraceInfoV3},
    },
    permission::ResourceType,
    prompts,
};
use ferroflow_search::traces::{MODEL_METADATA, RUN_METADATA};

use super::rules::version_kind_of;
use crate::app::Cx;

impl Cx {
    /// Redacts logged models in runs.
    pub(crate) fn redact_runs(&self, runs: &mut [Run]) {
        if !self.is_denied(ResourceType::LoggedModel) {
            return;
        }
        for run in runs {
            if let Some(inputs) = &mut run.inputs {
                inputs.model_inputs.clear();
            }
            if let Some(outputs) = &mut run.outputs {
                outputs.model_outputs.clear();
            }
            for metric in run.data.iter_mut().flat_map(|data| &mut data.metrics) {
                metric.model_id = None;
            }
        }
    }

    /// Redacts runs in logged models.
    pub(crate) fn redact_logged_models(&self, models: &mut [LoggedModel]) {
        if !self.is_denied(ResourceType::Run) {
            return;
        }
        for model in models {
            if let Some(info) = &mut model.info {
                info.source_run_id = None;
            }
            for metric in model.data.iter_mut().flat_map(|data| &mut data.metrics) {
                metric.run_id = None;
            }
        }
    }

    /// Redacts assessments, runs and logged models in traces.
    pub(crate) fn redact_traces(&self, traces: &mut [TraceInfoV3]) {
        let assessments = self.is_denied(ResourceType::Assessment);
        let denied = [(ResourceType::Run, RUN_METADATA), (ResourceType::LoggedModel, MODEL_METADATA)]
            .into_iter()
            .filter(|(kind, _)| self.is_denied(*kind));
        let denied: Vec<&str> = denied.map(|(_, key)| key).collect();
        if !assessments && denied.is_empty() {
            return;
        }
        for trace in traces {
            if assessments {
                trace.assessments.clear();
            }
            trace.trace_metadata.retain(|key, _| !denied.contains(&key.as_str()));
        }
    }

    /// Redacts runs and logged models in model versions.
    pub(crate) fn redact_versions(&self, versions: &mut [ModelVersion]) {
        let (runs, models) = (self.is_denied(ResourceType::Run), self.is_denied(ResourceType::LoggedModel));
        for version in versions {
            if runs {
                version.run_id = None;
                version.run_link = None;
            }
            if models {
                version.model_id = None;
                version.model_params.clear();
                version.model_metrics.clear();
            }
        }
    }

    /// Redacts versions in registered models, and runs and logged models in the remaining versions.
    pub(crate) fn redact_models(&self, models: &mut [RegisteredModel]) {
        for model in models {
            if self.is_denied(version_kind_of(prompts::is_prompt(&model.tags))) {
                model.latest_versions.clear();
            }
            self.redact_versions(&mut model.latest_versions);
        }
    }
}
