//! Traces and their assessments.

use ferroflow_auth::{Key, Requirement};
use ferroflow_model::{
    Result,
    messages::service::StartTraceV3,
    permission::{Action, ResourceType},
    wire::RefKind,
};
use ferroflow_store::Child;

use super::{Rules, canonical_id, in_experiment, missing, not_denied};

impl Rules<'_> {
    /// A trace that exists already is completed, perhaps by one who has started it in another experiment. It is moved
    /// then, which changes it where it is.
    pub(super) async fn new_trace(&self) -> Result<Option<Vec<Requirement>>> {
        let Some(message) = self.refs.message::<StartTraceV3>() else {
            return Ok(Some(self.in_experiments(ResourceType::Trace)?));
        };
        let info = message.trace.as_ref().and_then(|trace| trace.trace_info.as_ref());
        let experiments = self.refs.all(RefKind::Experiment);
        let (Some(info), [experiment]) = (info, experiments.as_slice()) else { return Ok(None) };
        let mut requirements = self.in_experiments(ResourceType::Trace)?;
        if !info.assessments.is_empty() {
            requirements.push(not_denied(ResourceType::Assessment));
        }
        let found = self.cx.store().experiments_of(Child::Trace, vec![info.trace_id().to_owned()]).await?;
        let elsewhere = found.into_values().filter(|found| *found != canonical_id(experiment));
        requirements.extend(elsewhere.flat_map(|id| in_experiment(id, ResourceType::Trace, Action::Update)));
        Ok(Some(requirements))
    }

    pub(super) async fn traces(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let ids = self.refs.all(RefKind::Trace);
        if ids.is_empty() {
            return Err(missing("trace_id"));
        }
        self.children(Child::Trace, ResourceType::Trace, ids, action).await
    }

    /// To delete traces of an experiment, and with them their assessments.
    pub(super) fn traces_of_experiments(&self) -> Result<Option<Vec<Requirement>>> {
        let ids = self.refs.all(RefKind::Experiment);
        if ids.is_empty() {
            return Err(missing("experiment_id"));
        }
        let requirements = ids.iter().flat_map(|id| {
            let experiment = Key::new(ResourceType::Experiment, canonical_id(id));
            let [read, traces] = in_experiment(canonical_id(id), ResourceType::Trace, Action::Delete);
            [read, traces, delete_assessments(&experiment)]
        });
        Ok(Some(requirements.collect()))
    }

    /// To link traces, which must be readable, to a run.
    pub(super) async fn trace_links(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let (runs, traces) = (self.refs.all(RefKind::Run), self.refs.all(RefKind::Trace));
        if runs.is_empty() {
            return Err(missing("run_id"));
        }
        if traces.is_empty() {
            return Ok(None);
        }
        let runs = self.runs(runs, action).await?;
        let traces = self.children(Child::Trace, ResourceType::Trace, traces, Action::Read).await?;
        Ok(runs.zip(traces).map(|(runs, traces)| runs.into_iter().chain(traces).collect()))
    }

    /// A new assessment is a change of its trace, or of the experiment. A grant on assessments can only forbid it.
    pub(super) async fn new_assessment(&self) -> Result<Option<Vec<Requirement>>> {
        let requirements = self.traces(Action::Read).await?;
        let Some(mut requirements) = requirements else { return Ok(None) };
        requirements.push(not_denied(ResourceType::Assessment));
        for id in self.experiments_of_traces().await? {
            let trace = Requirement::new(Key::any(ResourceType::Trace), Action::Update);
            let experiment = Requirement::new(Key::new(ResourceType::Experiment, id), Action::Update);
            requirements.push(experiment.or_instead(trace));
        }
        Ok(Some(requirements))
    }

    /// An assessment is named by its trace, which must be readable.
    pub(super) async fn assessment(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some(mut requirements) = self.traces(Action::Read).await? else { return Ok(None) };
        for id in self.experiments_of_traces().await? {
            let experiment = Key::new(ResourceType::Experiment, id);
            requirements.push(match action {
                Action::Delete => delete_assessments(&experiment),
                _ => Requirement::new(Key::any(ResourceType::Assessment), action).or(&experiment),
            });
        }
        Ok(Some(requirements))
    }

    async fn experiments_of_traces(&self) -> Result<Vec<String>> {
        let found = self.cx.store().experiments_of(Child::Trace, self.refs.all(RefKind::Trace)).await?;
        Ok(found.into_values().collect())
    }
}

/// To delete assessments: without a grant on them, the permission to change their experiment is enough.
fn delete_assessments(experiment: &Key) -> Requirement {
    Requirement::new(Key::any(ResourceType::Assessment), Action::Delete).or_with_action(experiment, Action::Update)
}
