//! Redacts, in a response, references to resources of kinds that are denied to the caller altogether.

use std::collections::HashMap;

use ferroflow_auth::{Key, Requirement};
use ferroflow_model::{
    Result,
    messages::{
        model_registry::{ModelVersion, RegisteredModel},
        service::{LoggedModel, Run, TraceInfoV3},
    },
    permission::{Action, ResourceType},
    prompts,
};

use super::{meets, rules::version_kind_of};
use crate::app::Cx;

/// The metadata of a trace that names a resource of another kind.
const TRACE_METADATA: [(&str, ResourceType); 2] =
    [("mlflow.sourceRun", ResourceType::Run), ("mlflow.modelId", ResourceType::LoggedModel)];

impl Cx {
    /// Redacts assessments that the caller may not read in traces, and the runs and logged models in their metadata.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn redact_trace_infos(&self, traces: &mut [TraceInfoV3]) -> Result<()> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(()) };
        if caller.is_unrestricted() {
            return Ok(());
        }
        for (key, _) in TRACE_METADATA.iter().filter(|(_, kind)| self.is_denied(*kind)) {
            for trace in &mut *traces {
                trace.trace_metadata.remove(*key);
            }
        }
        // By experiment: without a grant on assessments, that on the experiment decides.
        let mut may_read: HashMap<String, bool> = HashMap::new();
        for trace in traces.iter_mut().filter(|trace| !trace.assessments.is_empty()) {
            let location = trace.trace_location.as_ref().and_then(|location| location.mlflow_experiment.as_ref());
            let id = location.and_then(|location| location.experiment_id.clone()).unwrap_or_default();
            let allowed = if let Some(allowed) = may_read.get(&id) {
                *allowed
            } else {
                let experiment = Key::new(ResourceType::Experiment, id.as_str());
                let read = Requirement::new(Key::any(ResourceType::Assessment), Action::Read).or(&experiment);
                let allowed = meets(access, caller, &[read]).await?;
                may_read.insert(id, allowed);
                allowed
            };
            if !allowed {
                trace.assessments.clear();
            }
        }
        Ok(())
    }

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
