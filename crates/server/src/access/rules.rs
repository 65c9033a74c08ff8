//! What each kind of operation asks for, with the rules of the reference (`server/auth/__init__.py`).

use ferroflow_artifacts::ArtifactPath;
use ferroflow_auth::{Key, Requirement};
use ferroflow_model::{
    Error, ErrorCode, Result, model_source,
    model_uri::ModelUri,
    permission::{Action, ResourceType},
    prompts::IS_PROMPT_TAG,
    validation,
};
use ferroflow_store::Child;
use serde_json::Value;

use super::{Access, Named, Needs, Resource};
use crate::app::Cx;

/// What lies in an experiment and goes with it.
const IN_EXPERIMENT: [ResourceType; 7] = [
    ResourceType::Run,
    ResourceType::Trace,
    ResourceType::LoggedModel,
    ResourceType::Assessment,
    ResourceType::ReviewQueue,
    ResourceType::Scorer,
    ResourceType::ScorerVersion,
];

/// What an operation asks for; `None` where it is refused whatever is granted, as for a run that does not exist: the
/// answer does not tell one from a run that may not be read.
pub(super) async fn requirements(
    cx: &Cx,
    access: &Access,
    needs: Needs,
    named: &Named,
) -> Result<Option<Vec<Requirement>>> {
    let rules = Rules { cx, access, named };
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
    named: &'a Named,
}

impl Rules<'_> {
    async fn create(&self, resource: Resource) -> Result<Option<Vec<Requirement>>> {
        match resource {
            Resource::Experiment => Ok(Some(vec![not_denied(ResourceType::Experiment)])),
            Resource::RegisteredModel => {
                let key = Key::new(kind_of(is_marked(self.named.field("tags")) == Some(true)), self.required("name")?);
                Ok(Some(vec![Requirement::new(key, Action::NotDenied)]))
            }
            Resource::Run => Ok(Some(self.in_experiments(ResourceType::Run)?)),
            Resource::Trace => Ok(Some(self.in_experiments(ResourceType::Trace)?)),
            Resource::LoggedModel => {
                let mut asked = self.in_experiments(ResourceType::LoggedModel)?;
                let sources = self.named.all(&["source_run_id"]);
                Ok(self.runs(sources, Action::Read).await?.map(|runs| {
                    asked.extend(runs);
                    asked
                }))
            }
            Resource::ModelVersion => self.new_version().await,
            Resource::Alias | Resource::Artifact => Ok(None),
        }
    }

    async fn on(&self, resource: Resource, action: Action) -> Result<Option<Vec<Requirement>>> {
        match resource {
            Resource::Experiment => self.experiments(action).await,
            Resource::Run => {
                let ids = self.named.all(&["run_id", "run_uuid", "run_ids"]);
                if ids.is_empty() {
                    // An upload may be to a logged model instead.
                    let models = self.named.all(&["model_id"]);
                    if !models.is_empty() {
                        return self.models(models, action).await;
                    }
                    return Err(Error::invalid("Request must specify run_id or run_uuid parameter"));
                }
                let Some(mut asked) = self.runs(ids, action).await? else { return Ok(None) };
                if action == Action::Update {
                    let Some(models) = self.models(self.named.models(), action).await? else { return Ok(None) };
                    asked.extend(models);
                }
                Ok(Some(asked))
            }
            Resource::LoggedModel => {
                let ids = self.named.all(&["model_id"]);
                if ids.is_empty() { Err(missing("model_id")) } else { self.models(ids, action).await }
            }
            Resource::Trace => {
                let ids = self.named.all(&["trace_id", "request_id"]);
                if ids.is_empty() {
                    return Err(missing("trace_id"));
                }
                self.children(Child::Trace, ResourceType::Trace, ids, action).await
            }
            Resource::RegisteredModel => self.model(action).await,
            Resource::ModelVersion => self.version(action).await,
            Resource::Alias => self.alias(action).await,
            Resource::Artifact => {
                // The path of the URL, where the route has one: what else is called so names a file below it.
                let of_url = self.cx.path.iter().find(|(name, _)| name == "artifact_path");
                let mut paths = of_url.map_or_else(|| self.named.all(&["path"]), |(_, path)| vec![path.clone()]);
                if paths.is_empty() {
                    paths.push(String::new());
                }
                let mut asked = Vec::new();
                for path in paths {
                    let Ok(path) = ArtifactPath::parse(&path) else { return Ok(None) };
                    let owner = self.owner(&path, action).await?;
                    if owner.is_empty() || experiment_of(&path).is_some() {
                        asked.extend(artifact(&path, action));
                    }
                    asked.extend(owner);
                }
                Ok(Some(asked))
            }
        }
    }

    /// What the run, model or trace that a path of the artifact store names asks for: an experiment may keep its files
    /// where its number is not in the path, or where another's is.
    async fn owner(&self, path: &ArtifactPath, action: Action) -> Result<Vec<Requirement>> {
        let action = if action == Action::Delete { Action::Manage } else { action };
        let is_id = |part: &&String| is_run_id(part.strip_prefix("m-").or(part.strip_prefix("tr-")).unwrap_or(part));
        // What is called so below it is a file's own name.
        let Some(id) = path.components().iter().find(is_id) else { return Ok(Vec::new()) };
        let (store, id) = (&self.cx.app.store, vec![id.clone()]);
        let (kind, found) = match id[0].as_bytes() {
            [b'm', ..] => (ResourceType::LoggedModel, store.experiments_of(Child::LoggedModel, id).await?),
            [b't', ..] => (ResourceType::Trace, store.experiments_of(Child::Trace, id).await?),
            _ => (ResourceType::Run, self.access.parents.of_runs(store, id).await?),
        };
        Ok(found.into_values().flat_map(|id| in_experiment(id, kind, action)).collect())
    }

    async fn experiments(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let mut ids = self.named.all(&["experiment_id", "experiment_ids"]);
        for name in self.named.all(&["experiment_name"]) {
            let id = self.cx.app.store.experiment_id_of(&name).await?;
            // Clients look whether a name is there before they create it.
            ids.push(id.ok_or_else(|| Error::not_found(format!("Could not find experiment with name {name}")))?);
        }
        if ids.is_empty() {
            return Err(missing("experiment_id"));
        }
        let mut asked = Vec::new();
        for id in ids {
            let experiment = Key::new(ResourceType::Experiment, canonical(&id));
            asked.push(Requirement::new(experiment.clone(), action));
            if action == Action::Delete {
                asked.extend(IN_EXPERIMENT.map(|kind| Requirement::new(Key::any(kind), action).or(&experiment)));
            }
        }
        Ok(Some(asked))
    }

    /// To make something in experiments: they are written to, and what is made must not be denied.
    fn in_experiments(&self, kind: ResourceType) -> Result<Vec<Requirement>> {
        let ids = self.named.all(&["experiment_id"]);
        if ids.is_empty() {
            return Err(missing("experiment_id"));
        }
        let update = |id: &String| Requirement::new(Key::new(ResourceType::Experiment, canonical(id)), Action::Update);
        Ok(ids.iter().map(update).chain([not_denied(kind)]).collect())
    }

    async fn runs(&self, ids: Vec<String>, action: Action) -> Result<Option<Vec<Requirement>>> {
        let count = ids.len();
        let found = self.access.parents.of_runs(&self.cx.app.store, ids).await?;
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
        let found = self.cx.app.store.experiments_of(child, ids).await?;
        if found.len() < count {
            return Ok(None);
        }
        Ok(Some(found.into_values().flat_map(|id| in_experiment(id, kind, action)).collect()))
    }

    /// The one model or prompt that the request names, and whether it is a prompt.
    async fn container(&self) -> Result<Option<(bool, Key)>> {
        let name = self.required("name")?;
        let found = self.cx.app.store.is_prompt(&name).await?;
        Ok(found.map(|is_prompt| (is_prompt, Key::new(kind_of(is_prompt), name))))
    }

    async fn model(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some((is_prompt, key)) = self.container().await? else {
            // What is not there may be looked for and asked to change, but not to go.
            let key = Key::new(ResourceType::RegisteredModel, self.required("name")?);
            return Ok((action != Action::Delete).then(|| vec![Requirement::new(key, action)]));
        };
        let mut asked = vec![Requirement::new(key.clone(), action)];
        if action == Action::Delete {
            asked.push(Requirement::new(Key::any(version_of(is_prompt)), action).or(&key));
        }
        if action == Action::Update && self.named.text("key")?.as_deref() == Some(IS_PROMPT_TAG) {
            // This tag makes a prompt of a model, or the other way round: what is granted on either counts.
            asked.push(Requirement::new(Key::new(kind_of(!is_prompt), self.required("name")?), action));
        }
        Ok(Some(asked))
    }

    async fn version(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some((is_prompt, key)) = self.container().await? else { return Ok(None) };
        let version = Key::any(version_of(is_prompt));
        let of_version = match action {
            Action::Read => Requirement::new(version, Action::NotDenied),
            _ => Requirement::new(version, action).or(&key),
        };
        Ok(Some(vec![Requirement::new(key, Action::Read), of_version]))
    }

    async fn alias(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some((is_prompt, key)) = self.container().await? else { return Ok(None) };
        let version = Requirement::new(Key::any(version_of(is_prompt)), Action::Read).or(&key);
        Ok(Some(vec![Requirement::new(key, action), version]))
    }

    /// A new version writes to its model, and whoever reads it reads its files: its maker must be allowed to read them
    /// where they are.
    async fn new_version(&self) -> Result<Option<Vec<Requirement>>> {
        let Some((is_prompt, key)) = self.container().await? else { return Ok(None) };
        let mut asked = vec![Requirement::new(key, Action::Update), not_denied(version_of(is_prompt))];
        if is_marked(self.named.field("tags")).is_some_and(|marked| marked != is_prompt) {
            asked.push(not_denied(version_of(!is_prompt)));
        }
        let source = self.named.text("source")?.unwrap_or_default();
        let uri = (model_source::kind(&source).ok() == Some(model_source::Kind::Models))
            .then(|| ModelUri::parse(&source))
            .flatten();
        let mut models = self.named.all(&["model_id"]);
        match uri {
            Some(ModelUri::Logged(id)) => models.push(id),
            Some(
                ModelUri::Version { name, .. }
                | ModelUri::Stage { name, .. }
                | ModelUri::Latest { name }
                | ModelUri::Alias { name, .. },
            ) => {
                // A registered model guards its own files.
                let Some(is_prompt) = self.cx.app.store.is_prompt(&name).await? else { return Ok(None) };
                asked.push(Requirement::new(Key::new(kind_of(is_prompt), name), Action::Read));
                asked.push(not_denied(version_of(is_prompt)));
                return Ok(Some(asked));
            }
            None => {}
        }
        models.sort();
        models.dedup();
        let runs = self.runs(self.named.all(&["run_id"]), Action::Read).await?;
        let models = self.models(models, Action::Read).await?;
        let (Some(runs), Some(models)) = (runs, models) else { return Ok(None) };
        asked.extend(runs.into_iter().chain(models));
        Ok(Some(asked))
    }

    fn required(&self, name: &str) -> Result<String> {
        self.named.text(name)?.ok_or_else(|| {
            if self.named.is_message() {
                missing(name)
            } else {
                Error::invalid(format!("Request must specify {name} parameter"))
            }
        })
    }
}

/// The experiment that the first part of a path of the artifact store names, and what follows it.
fn experiment_of(path: &ArtifactPath) -> Option<(&String, &[String])> {
    let mut parts = path.components();
    if let [first, _, rest @ ..] = parts
        && first == "workspaces"
    {
        parts = rest;
    }
    parts.split_first().filter(|(id, _)| id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A path of the artifact store belongs to what it leads to: the experiment is its first part, and below it come
/// runs, models and traces.
fn artifact(path: &ArtifactPath, action: Action) -> Vec<Requirement> {
    // Deleting takes away whatever is below: it needs what the owner of it all has.
    let recursive = action == Action::Delete;
    let action = if recursive { Action::Manage } else { action };
    let Some((id, below)) = experiment_of(path) else {
        // No experiment: what is allowed on something that nothing was granted on.
        return vec![Requirement::new(Key::new(ResourceType::Experiment, ""), action)];
    };
    let experiment = Key::new(ResourceType::Experiment, canonical(id));
    let kinds: &[ResourceType] = match below {
        [] if recursive => &[ResourceType::Run, ResourceType::Trace, ResourceType::LoggedModel],
        [first, ..] if first == "models" => &[ResourceType::LoggedModel],
        [first, ..] if first == "traces" => &[ResourceType::Trace],
        [_, second, ..] if second == "artifacts" => &[ResourceType::Run],
        [first, ..] if is_run_id(first) || recursive => &[ResourceType::Run],
        _ => return vec![Requirement::new(experiment, action)],
    };
    let of_kinds = kinds.iter().map(|kind| Requirement::new(Key::any(*kind), action).or(&experiment));
    std::iter::once(Requirement::new(experiment.clone(), Action::Read)).chain(of_kinds).collect()
}

/// Whether a name has the form of a run's id.
fn is_run_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An action on what lies in an experiment, which must be readable itself.
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

pub(super) fn version_of(is_prompt: bool) -> ResourceType {
    if is_prompt { ResourceType::PromptVersion } else { ResourceType::RegisteredModelVersion }
}

/// What the last tag of a list that tells prompts from models says.
fn is_marked(tags: Option<&Value>) -> Option<bool> {
    let tags = tags?.as_array()?.iter().rev();
    let mut marks = tags.filter(|tag| tag.get("key").and_then(Value::as_str) == Some(IS_PROMPT_TAG));
    marks
        .next()
        .map(|tag| tag.get("value").and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case("true")))
}

/// The id of an experiment as grants are written on it. A client may write ` 007 ` for `7`, and what is granted or
/// denied on 7 must count for it.
pub(crate) fn canonical(id: &str) -> String {
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
