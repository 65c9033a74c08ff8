//! What each kind of operation requires, by the rules of the reference (`server/auth/__init__.py`).

mod evaluation;
mod review_queues;
mod scorers;
mod traces;

use std::collections::HashMap;

use ferroflow_artifacts::{ArtifactPath, location::resolve_if_local};
use ferroflow_auth::{Key, Requirement};
use ferroflow_model::{
    Error, ErrorCode, Result,
    messages::{
        model_registry::{CreateModelVersion, CreateRegisteredModel, RenameRegisteredModel},
        service::{CreateExperiment, UpdateExperiment},
    },
    model_source,
    model_uri::ModelUri,
    permission::{Action, ResourceType},
    prompts::{self, IS_PROMPT_TAG},
    validation,
    wire::RefKind,
};
use ferroflow_store::Child;

pub(super) use self::review_queues::on_queues;
use super::{Access, Needs, Refs, Resource};
use crate::app::Cx;

/// The kinds of resource that belong to an experiment and are deleted with it.
const IN_EXPERIMENT: [ResourceType; 7] = [
    ResourceType::Run,
    ResourceType::Trace,
    ResourceType::LoggedModel,
    ResourceType::Assessment,
    ResourceType::ReviewQueue,
    ResourceType::Scorer,
    ResourceType::ScorerVersion,
];

/// The requirements of an operation; `None` if it is refused whatever is granted, as for a run that does not exist: the
/// answer does not distinguish it from a run that may not be read.
pub(super) async fn requirements(
    cx: &Cx,
    access: &Access,
    needs: Needs,
    refs: &Refs<'_>,
) -> Result<Option<Vec<Requirement>>> {
    let rules = Rules { cx, access, refs };
    match needs {
        Needs::Create(resource) => rules.create(resource).await,
        Needs::Read(resource) => rules.on(resource, Action::Read).await,
        Needs::Edit(resource) => rules.on(resource, Action::Update).await,
        Needs::Delete(resource) => rules.on(resource, Action::Delete).await,
        _ => Ok(None),
    }
}

struct Rules<'a> {
    cx: &'a Cx,
    access: &'a Access,
    refs: &'a Refs<'a>,
}

impl Rules<'_> {
    async fn create(&self, resource: Resource) -> Result<Option<Vec<Requirement>>> {
        match resource {
            Resource::Experiment => self.new_experiment().await,
            Resource::RegisteredModel => {
                let Some(message) = self.refs.message::<CreateRegisteredModel>() else { return Ok(None) };
                let key = Key::new(kind_of(prompts::is_prompt(&message.tags)), self.model_name()?);
                Ok(Some(vec![Requirement::new(key, Action::NotDenied)]))
            }
            Resource::Run => Ok(Some(self.in_experiments(ResourceType::Run)?)),
            Resource::Trace => self.new_trace().await,
            Resource::Assessment => self.new_assessment().await,
            Resource::LoggedModel => {
                let mut requirements = self.in_experiments(ResourceType::LoggedModel)?;
                Ok(self.runs(self.refs.all(RefKind::Run), Action::Read).await?.map(|runs| {
                    requirements.extend(runs);
                    requirements
                }))
            }
            Resource::ModelVersion => self.new_version().await,
            Resource::Dataset => Ok(self.new_dataset()),
            Resource::Issue => Ok(self.named_experiments(Action::Update)),
            // The managers of an experiment decide what its reviewers are asked.
            Resource::LabelSchema => self.experiments(Action::Manage).await,
            Resource::Demo => Ok(Some(Vec::new())),
            Resource::ReviewQueue => Ok(Some(self.in_experiments(ResourceType::ReviewQueue)?)),
            Resource::ReviewQueueItem => self.new_review_queue_items().await,
            Resource::Scorer => self.new_scorer(),
            Resource::DatasetSearch
            | Resource::IssueSearch
            | Resource::OnlineScoring
            | Resource::Alias
            | Resource::Artifact
            | Resource::TraceLink => Ok(None),
        }
    }

    async fn on(&self, resource: Resource, action: Action) -> Result<Option<Vec<Requirement>>> {
        match resource {
            Resource::Experiment => self.experiments(action).await,
            Resource::Run => {
                let ids = self.refs.all(RefKind::Run);
                if ids.is_empty() {
                    // An upload may be to a logged model instead.
                    let models = self.refs.all(RefKind::LoggedModel);
                    if !models.is_empty() {
                        return self.models(models, action).await;
                    }
                    return Err(Error::invalid("Request must specify run_id or run_uuid parameter"));
                }
                let Some(mut requirements) = self.runs(ids, action).await? else { return Ok(None) };
                if action == Action::Update {
                    let models = self.refs.all(RefKind::LoggedModel);
                    let Some(models) = self.models(models, action).await? else { return Ok(None) };
                    requirements.extend(models);
                }
                Ok(Some(requirements))
            }
            Resource::LoggedModel => {
                let ids = self.refs.all(RefKind::LoggedModel);
                if ids.is_empty() { Err(missing("model_id")) } else { self.models(ids, action).await }
            }
            Resource::Trace if action == Action::Delete => self.traces_of_experiments(),
            Resource::Trace => self.traces(action).await,
            Resource::TraceLink => self.trace_links(action).await,
            Resource::Assessment => self.assessment(action).await,
            Resource::Dataset => self.datasets(action).await,
            Resource::DatasetSearch => Ok(self.dataset_search(action)),
            Resource::IssueSearch => Ok(self.named_experiments(action)),
            Resource::Demo => Ok(None),
            Resource::Issue => self.issues(action).await,
            Resource::LabelSchema => self.label_schema(action).await,
            Resource::OnlineScoring => self.online_scoring(action).await,
            Resource::ReviewQueue => self.review_queue(action).await,
            Resource::ReviewQueueItem => self.review_queue_item(action).await,
            Resource::Scorer => self.scorer(action),
            Resource::RegisteredModel => self.model(action).await,
            Resource::ModelVersion => self.version(action).await,
            Resource::Alias => self.alias(action).await,
            Resource::Artifact => {
                let mut requirements = Vec::new();
                for path in self.file_paths() {
                    let Ok(path) = ArtifactPath::parse(&path) else { return Ok(None) };
                    let path = self.cx.served_path(path).await?;
                    let Some(path_requirements) = file_requirements(self.cx, self.access, &path, action).await? else {
                        return Ok(None);
                    };
                    requirements.extend(path_requirements);
                }
                Ok(Some(requirements))
            }
        }
    }

    /// The paths in the served store that a request names.
    fn file_paths(&self) -> Vec<String> {
        let Some(directory) = self.refs.first_in_url(RefKind::ArtifactPath) else {
            let mut paths = self.refs.all(RefKind::ArtifactPath);
            if paths.is_empty() {
                paths.push(String::new());
            }
            return paths;
        };
        // `path` in the message, beside that of the URL, is the local path on the client: its last component is a file
        // name below the directory.
        let below = self.refs.first_in_message(RefKind::ArtifactPath).unwrap_or_default();
        let name = below.rsplit(['/', '\\']).next().unwrap_or_default();
        let directory = directory.to_owned();
        if name.is_empty() { vec![directory] } else { vec![format!("{directory}/{name}"), directory] }
    }

    /// A new experiment must not take over a location that has artifacts of others.
    async fn new_experiment(&self) -> Result<Option<Vec<Requirement>>> {
        let mut requirements = vec![not_denied(ResourceType::Experiment)];
        let Some(message) = self.refs.message::<CreateExperiment>() else { return Ok(None) };
        let location = Some(message.artifact_location()).filter(|location| !location.is_empty());
        let location = location.and_then(|location| resolve_if_local(location).ok());
        if let Some(path) = location.and_then(|location| self.cx.app.locations.served(&location)) {
            let index = self.access.owners.index(self.cx).await?;
            if !index.is_root_or_above(&path) && self.is_archive(&path) {
                return Ok(None);
            }
            let ids = resources_in_path(self.cx, self.access, &path).await?;
            let is_below = index.owners(&path).is_some_and(|(depth, _)| depth < path.components().len());
            if is_below || !ids.is_empty() {
                let Some(path_requirements) = file_requirements(self.cx, self.access, &path, Action::Update).await?
                else {
                    return Ok(None);
                };
                requirements.extend(path_requirements);
            }
        }
        Ok(Some(requirements))
    }

    /// Whether a path of the served store overlaps the archive of traces, which is shared by all experiments.
    fn is_archive(&self, path: &ArtifactPath) -> bool {
        let archive = self.cx.app.config.trace_archival.as_ref();
        let archive = archive.and_then(|settings| self.cx.app.locations.served(&settings.location));
        archive.is_some_and(|archive| {
            let (path, archive) = (path.components(), archive.components());
            !archive.is_empty() && (path.starts_with(archive) || archive.starts_with(path))
        })
    }

    async fn experiments(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let mut ids = self.refs.all(RefKind::Experiment);
        for name in self.refs.all(RefKind::ExperimentName) {
            let id = self.cx.store().experiment_id_of(&name).await?;
            // Not a refusal: clients check whether a name exists before they create it.
            ids.push(id.ok_or_else(|| Error::not_found(format!("Could not find experiment with name {name}")))?);
        }
        if ids.is_empty() {
            return Err(missing("experiment_id"));
        }
        let new_name = self.refs.message::<UpdateExperiment>().and_then(|message| message.new_name.as_deref());
        if !self.may_rename_to(ResourceType::Experiment, new_name) {
            return Ok(None);
        }
        let mut requirements = Vec::new();
        for id in ids {
            let experiment = Key::new(ResourceType::Experiment, canonical_id(&id));
            requirements.push(Requirement::new(experiment.clone(), action));
            if action == Action::Delete {
                requirements.extend(IN_EXPERIMENT.map(|kind| Requirement::new(Key::any(kind), action).or(&experiment)));
            }
        }
        Ok(Some(requirements))
    }

    /// Whether the caller may give a resource its new name, if it gets one.
    fn may_rename_to(&self, kind: ResourceType, new_name: Option<&str>) -> bool {
        let caller = self.cx.caller.as_ref();
        new_name.is_none_or(|name| caller.is_none_or(|caller| caller.may_rename_to(kind, name)))
    }

    /// To create something in experiments: they must be writable, and its kind must not be denied.
    fn in_experiments(&self, kind: ResourceType) -> Result<Vec<Requirement>> {
        let ids = self.refs.all(RefKind::Experiment);
        if ids.is_empty() {
            return Err(missing("experiment_id"));
        }
        let update =
            |id: &String| Requirement::new(Key::new(ResourceType::Experiment, canonical_id(id)), Action::Update);
        Ok(ids.iter().map(update).chain([not_denied(kind)]).collect())
    }

    async fn runs(&self, ids: Vec<String>, action: Action) -> Result<Option<Vec<Requirement>>> {
        let count = ids.len();
        let found = self.access.run_experiments.get(self.cx.store(), ids).await?;
        if found.len() < count {
            return Ok(None);
        }
        Ok(Some(found.into_values().flat_map(|id| in_experiment(id, ResourceType::Run, action)).collect()))
    }

    async fn models(&self, ids: Vec<String>, action: Action) -> Result<Option<Vec<Requirement>>> {
        if ids.is_empty() {
            return Ok(Some(Vec::new()));
        }
        self.children(Child::LoggedModel, ResourceType::LoggedModel, ids, action).await
    }

    async fn children(
        &self,
        child: Child,
        kind: ResourceType,
        ids: Vec<String>,
        action: Action,
    ) -> Result<Option<Vec<Requirement>>> {
        let count = ids.len();
        let found = self.cx.store().experiments_of(child, ids).await?;
        if found.len() < count {
            return Ok(None);
        }
        Ok(Some(found.into_values().flat_map(|id| in_experiment(id, kind, action)).collect()))
    }

    /// The one model or prompt that the request names, and whether it is a prompt.
    async fn model_or_prompt(&self) -> Result<Option<(bool, Key)>> {
        let name = self.model_name()?;
        let found = self.cx.store().is_prompt(&name).await?;
        Ok(found.map(|is_prompt| (is_prompt, Key::new(kind_of(is_prompt), name))))
    }

    async fn model(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some((is_prompt, key)) = self.model_or_prompt().await? else {
            // A model that does not exist passes for reading and updating, whose handlers report it, but not for
            // deleting.
            let key = Key::new(ResourceType::RegisteredModel, self.model_name()?);
            return Ok((action != Action::Delete).then(|| vec![Requirement::new(key, action)]));
        };
        let new_name = self.refs.message::<RenameRegisteredModel>().and_then(|message| message.new_name.as_deref());
        if !self.may_rename_to(key.kind(), new_name) {
            return Ok(None);
        }
        let mut requirements = vec![Requirement::new(key.clone(), action)];
        if action == Action::Delete {
            requirements.push(Requirement::new(Key::any(version_kind_of(is_prompt)), action).or(&key));
        }
        if action == Action::Update && self.refs.one(RefKind::Key)? == Some(IS_PROMPT_TAG) {
            // This tag turns a model into a prompt, or the reverse: grants on both kinds apply.
            requirements.push(Requirement::new(Key::new(kind_of(!is_prompt), self.model_name()?), action));
        }
        Ok(Some(requirements))
    }

    async fn version(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some((is_prompt, key)) = self.model_or_prompt().await? else { return Ok(None) };
        let version = Key::any(version_kind_of(is_prompt));
        let of_version = match action {
            Action::Read => Requirement::new(version, Action::NotDenied),
            _ => Requirement::new(version, action).or(&key),
        };
        Ok(Some(vec![Requirement::new(key, Action::Read), of_version]))
    }

    async fn alias(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some((is_prompt, key)) = self.model_or_prompt().await? else { return Ok(None) };
        let version = Requirement::new(Key::any(version_kind_of(is_prompt)), Action::Read).or(&key);
        Ok(Some(vec![Requirement::new(key, action), version]))
    }

    /// A new version updates its model, and its readers can read its files: its creator must be allowed to read them at
    /// their source.
    async fn new_version(&self) -> Result<Option<Vec<Requirement>>> {
        let Some(message) = self.refs.message::<CreateModelVersion>() else { return Ok(None) };
        let Some((is_prompt, key)) = self.model_or_prompt().await? else { return Ok(None) };
        let mut requirements = vec![Requirement::new(key, Action::Update), not_denied(version_kind_of(is_prompt))];
        if prompts::mark(&message.tags).is_some_and(|marks_prompt| marks_prompt != is_prompt) {
            requirements.push(not_denied(version_kind_of(!is_prompt)));
        }
        let source = message.source();
        let uri = (model_source::kind(source).ok() == Some(model_source::Kind::Models))
            .then(|| ModelUri::parse(source))
            .flatten();
        let mut models = self.refs.all(RefKind::LoggedModel);
        match uri {
            Some(ModelUri::Logged(id)) => models.push(id),
            Some(
                ModelUri::Version { name, .. }
                | ModelUri::Stage { name, .. }
                | ModelUri::Latest { name }
                | ModelUri::Alias { name, .. },
            ) => {
                // The artifacts of a registered model are protected by its own permission.
                let Some(is_prompt) = self.cx.store().is_prompt(&name).await? else { return Ok(None) };
                requirements.push(Requirement::new(Key::new(kind_of(is_prompt), name), Action::Read));
                requirements.push(not_denied(version_kind_of(is_prompt)));
                return Ok(Some(requirements));
            }
            None => {}
        }
        models.sort();
        models.dedup();
        let runs = self.runs(self.refs.all(RefKind::Run), Action::Read).await?;
        let models = self.models(models, Action::Read).await?;
        let (Some(runs), Some(models)) = (runs, models) else { return Ok(None) };
        requirements.extend(runs.into_iter().chain(models));
        Ok(Some(requirements))
    }

    /// The name of the one model or prompt that the request is about.
    fn model_name(&self) -> Result<String> {
        match self.refs.one(RefKind::RegisteredModel)? {
            Some(name) => Ok(name.to_owned()),
            None if self.refs.is_message() => Err(missing("name")),
            None => Err(Error::invalid("Request must specify name parameter")),
        }
    }
}

/// The requirements of a file or directory in the served store. `None` if it is refused whatever is granted.
///
/// Checked are all runs, models and traces that the path names, and the experiment that owns the path by the longest
/// matching location. If several experiments share that location, only those that contain something named in the path
/// apply, where there are any.
pub(super) async fn file_requirements(
    cx: &Cx,
    access: &Access,
    path: &ArtifactPath,
    action: Action,
) -> Result<Option<Vec<Requirement>>> {
    let index = access.owners.index(cx).await?;
    let is_recursive = action == Action::Delete;
    let ids = resources_in_path(cx, access, path).await?;
    let mut requirements: Vec<Requirement> =
        ids.iter().flat_map(|(id, kind)| in_experiment(id.clone(), *kind, file_action(action))).collect();
    if is_recursive {
        // Deletion is recursive.
        if index.is_root_or_above(path) {
            return Ok(None);
        }
        requirements.extend(index.ids_below(path).flat_map(|id| requirements_at_location(id, &[], action)));
    }
    match index.owners(path) {
        Some((depth, mut owners)) => {
            if ids.iter().any(|(id, _)| owners.contains(id)) {
                owners.retain(|owner| ids.iter().any(|(id, _)| id == owner));
            }
            let below = &path.components()[depth..];
            requirements.extend(owners.iter().flat_map(|id| requirements_at_location(id, below, action)));
        }
        // The permission on a resource that has no grants.
        None if ids.is_empty() => {
            requirements.push(Requirement::new(Key::new(ResourceType::Experiment, ""), file_action(action)));
        }
        None => {}
    }
    Ok(Some(requirements))
}

/// The experiments of the runs, logged models and traces that a path names, with the kind of each.
async fn resources_in_path(cx: &Cx, access: &Access, path: &ArtifactPath) -> Result<Vec<(String, ResourceType)>> {
    let (mut runs, mut models, mut traces) = (Vec::new(), Vec::new(), Vec::new());
    for part in path.components() {
        match part.split_once('-') {
            Some(("m", id)) if is_run_id(id) => models.push(part.clone()),
            Some(("tr", id)) if is_run_id(id) => traces.push(part.clone()),
            None if is_run_id(part) => {
                runs.push(part.clone());
                // Traces of older clients have ids of this form too.
                traces.push(part.clone());
            }
            _ => {}
        }
    }
    let (store, mut found) = (cx.store(), Vec::new());
    let mut add = |experiments: HashMap<String, String>, kind| {
        found.extend(experiments.into_values().map(|id| (id, kind)));
    };
    if !runs.is_empty() {
        add(access.run_experiments.get(store, runs).await?, ResourceType::Run);
    }
    if !models.is_empty() {
        add(store.experiments_of(Child::LoggedModel, models).await?, ResourceType::LoggedModel);
    }
    if !traces.is_empty() {
        add(store.experiments_of(Child::Trace, traces).await?, ResourceType::Trace);
    }
    found.sort_by(|(one, kind), (other, of)| one.cmp(other).then(kind.name().cmp(of.name())));
    found.dedup();
    Ok(found)
}

/// Deletion is recursive: it requires `MANAGE`.
fn file_action(action: Action) -> Action {
    if action == Action::Delete { Action::Manage } else { action }
}

/// The requirements of a file by its path below the location of an experiment: runs, models and traces are there.
fn requirements_at_location(id: &str, below: &[String], action: Action) -> Vec<Requirement> {
    let is_recursive = action == Action::Delete;
    let action = file_action(action);
    let experiment = Key::new(ResourceType::Experiment, id);
    let kinds: &[ResourceType] = match below {
        [] if is_recursive => &[ResourceType::Run, ResourceType::Trace, ResourceType::LoggedModel],
        [first, ..] if first == "models" => &[ResourceType::LoggedModel],
        [first, ..] if first == "traces" => &[ResourceType::Trace],
        [_, second, ..] if second == "artifacts" => &[ResourceType::Run],
        [first, ..] if is_run_id(first) || is_recursive => &[ResourceType::Run],
        _ => return vec![Requirement::new(experiment, action)],
    };
    let of_kinds = kinds.iter().map(|kind| Requirement::new(Key::any(*kind), action).or(&experiment));
    std::iter::once(Requirement::new(experiment.clone(), Action::Read)).chain(of_kinds).collect()
}

/// Whether a name has the form of a run id.
fn is_run_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An action on a resource in an experiment, which must itself be readable.
fn in_experiment(id: String, kind: ResourceType, action: Action) -> [Requirement; 2] {
    let experiment = Key::new(ResourceType::Experiment, id);
    let of_kind = Requirement::new(Key::any(kind), action).or(&experiment);
    [Requirement::new(experiment, Action::Read), of_kind]
}

fn not_denied(kind: ResourceType) -> Requirement {
    Requirement::new(Key::any(kind), Action::NotDenied)
}

pub(super) fn kind_of(is_prompt: bool) -> ResourceType {
    if is_prompt { ResourceType::Prompt } else { ResourceType::RegisteredModel }
}

pub(super) fn version_kind_of(is_prompt: bool) -> ResourceType {
    if is_prompt { ResourceType::PromptVersion } else { ResourceType::RegisteredModelVersion }
}

/// The experiment id in the form that grants use. A client may send ` 007 ` for `7`, and grants and denials on 7 must
/// apply to it.
pub(crate) fn canonical_id(id: &str) -> String {
    validation::parse_experiment_id(id).map_or_else(|_| id.to_owned(), |number| number.to_string())
}

fn missing(name: &str) -> Error {
    Error::new(
        ErrorCode::InvalidParameterValue,
        format!(
            "Missing value for required parameter '{name}'. See the API docs for more information about request \
             parameters."
        ),
    )
}
