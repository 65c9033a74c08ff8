//! What a search for traces, a query of their metrics and a correlation of filters require.

use ferroflow_auth::{Key, Requirement};
use ferroflow_model::{
    Result,
    permission::{Action, ResourceType},
};
use ferroflow_search::traces::Tiers;

use super::{canonical_id, meets, permission_denied};
use crate::app::Cx;

impl Cx {
    /// Refuses a caller who may not read each of the experiments, the traces in them, and what the filter or the order
    /// refers to: whether a filter matches tells what is redacted in the rows. Unlike other lists, that of no
    /// experiment is refused, too.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(crate) async fn check_trace_search(&self, experiment_ids: &[String], tiers: Tiers) -> Result<()> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(()) };
        if caller.is_unrestricted() {
            return Ok(());
        }
        let Tiers { assessments, runs, models } = tiers;
        let kinds = [
            (ResourceType::Trace, true),
            (ResourceType::Assessment, assessments),
            (ResourceType::Run, runs),
            (ResourceType::LoggedModel, models),
        ];
        let mut ids: Vec<String> = experiment_ids.iter().map(|id| canonical_id(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut requirements = Vec::new();
        for id in &ids {
            let experiment = Key::new(ResourceType::Experiment, id);
            requirements.push(Requirement::new(experiment.clone(), Action::Read));
            for (kind, _) in kinds.iter().filter(|(_, is_needed)| *is_needed) {
                requirements.push(Requirement::new(Key::any(*kind), Action::Read).or(&experiment));
            }
        }
        if requirements.is_empty() || !meets(access, caller, &requirements).await? {
            return Err(permission_denied());
        }
        Ok(())
    }
}
