//! The rules of evaluation data, which has the permissions of the experiments that it belongs to.

use ferroflow_auth::{Caller, Key, Requirement};
use ferroflow_model::{
    Result,
    messages::service::{AddDatasetToExperiments, RemoveDatasetFromExperiments},
    permission::{Action, ResourceType},
    wire::RefKind,
};

use super::{Rules, canonical_id, missing};

impl Rules<'_> {
    /// An action on all experiments that a request names; refused if it names none.
    pub(super) fn named_experiments(&self, action: Action) -> Option<Vec<Requirement>> {
        let ids = self.refs.all(RefKind::Experiment);
        (!ids.is_empty()).then(|| ids.iter().map(|id| on_experiment(id, action)).collect())
    }

    /// A new dataset, in experiments that may be changed.
    pub(super) fn new_dataset(&self) -> Option<Vec<Requirement>> {
        let experiments = self.named_experiments(Action::Update);
        match self.cluster_caller() {
            None => experiments,
            Some(caller) => caller.may_create_datasets().then(|| experiments.unwrap_or_default()),
        }
    }

    /// The datasets of the experiments that a request names.
    pub(super) fn dataset_search(&self, action: Action) -> Option<Vec<Requirement>> {
        // The search leaves out datasets that may not be read.
        let may = self.cluster_caller().is_none_or(|caller| caller.may_on_dataset(None, action));
        if may { self.named_experiments(action) } else { None }
    }

    /// The caller, if the cluster says who may do what with datasets.
    fn cluster_caller(&self) -> Option<&Caller> {
        self.cx.caller.as_deref().filter(|caller| caller.has_rights_on_datasets())
    }

    /// An action on datasets by what the cluster says of them, and on the experiments that they are added to or removed
    /// from.
    async fn datasets_of_cluster(&self, caller: &Caller, action: Action) -> Result<Option<Vec<Requirement>>> {
        let ids = self.refs.all(RefKind::Dataset);
        if ids.is_empty() {
            return Ok(None);
        }
        let found = self.cx.store().dataset_names(ids.clone()).await?;
        let may = |id: &String| found.get(id).is_some_and(|name| caller.may_on_dataset(Some(name), action));
        Ok(ids.iter().all(may).then(|| self.named_experiments(action).unwrap_or_default()))
    }

    /// An action on the experiments of datasets: all of them, of which there must be some.
    pub(super) async fn datasets(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        if let Some(caller) = self.cluster_caller() {
            return self.datasets_of_cluster(caller, action).await;
        }
        let ids = self.refs.all(RefKind::Dataset);
        let count = ids.len();
        let found = self.cx.store().experiments_of_datasets(ids).await?;
        if found.is_empty() || found.len() < count {
            return Ok(None);
        }
        let mut requirements: Vec<Requirement> = found.values().flatten().map(|id| on_experiment(id, action)).collect();
        if self.refs.message::<AddDatasetToExperiments>().is_some() {
            let Some(added) = self.named_experiments(action) else { return Ok(None) };
            requirements.extend(added);
        } else if self.refs.message::<RemoveDatasetFromExperiments>().is_none() {
            // Those that it is removed from are among its own, or it is not in them.
            requirements.extend(self.named_experiments(action).unwrap_or_default());
        }
        Ok(Some(requirements))
    }

    /// An action on the experiments of issues, all of which must exist.
    pub(super) async fn issues(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let mut requirements = Vec::new();
        // Those of the path and the message.
        for id in self.refs.all(RefKind::Issue) {
            let Some(issue) = self.cx.store().find_issue(&id).await? else { return Ok(None) };
            requirements.push(on_experiment(issue.experiment_id(), action));
        }
        Ok((!requirements.is_empty()).then_some(requirements))
    }

    /// An action on the label schema that a request names: every change is one of its experiment's managers.
    pub(super) async fn label_schema(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let id = self.refs.one(RefKind::LabelSchema)?.ok_or_else(|| missing("schema_id"))?;
        let schema = self.cx.store().get_label_schema(id).await?;
        let action = if action == Action::Read { action } else { Action::Manage };
        Ok(Some(vec![on_experiment(schema.experiment_id(), action)]))
    }
}

pub(super) fn on_experiment(id: &str, action: Action) -> Requirement {
    Requirement::new(Key::new(ResourceType::Experiment, canonical_id(id)), action)
}
