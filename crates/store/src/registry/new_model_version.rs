//! Creates model versions: the version number, the storage location, and the link to the logged model.

use ferroflow_model::{
    Error, Result,
    messages::model_registry::{ModelVersion, ModelVersionStatus, ModelVersionTag},
    model_uri::ModelUri,
    prompts, python, validation,
    validation::Stage,
    webhook::Event,
};
use serde_json::{Value as Json, json};

use crate::{
    Scoped,
    db::{DbError, Insert, Key as _, Op, Statement, Tx, Value, clock::now_ms, count, int, text},
    registry::{
        model_versions::{download_uri, number, version_not_found},
        registered_models::{last_of_each_key, not_found, touch},
    },
    statements::statements,
    tracking::keys::ModelKey,
    workspace::Workspace,
};

/// The tag of a logged model that lists the versions created from it, as a JSON list.
const MODEL_VERSIONS_TAG: &str = "mlflow.modelVersions";

statements! {
    static HIGHEST: Workspace =
        "SELECT COALESCE(MAX(v.version), 0) FROM model_versions v WHERE {ws:v} AND v.name = $1";
    static INSERT: Workspace =
        "INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description, \
         current_stage, source, storage_location, run_id, run_link, status) \
         VALUES ({ws}, $1, $2, $3, $3, $4, 'None', $5, $6, $7, $8, 'READY')";
    static LOGGED_MODEL: Workspace =
        "SELECT artifact_location, source_run_id FROM logged_models m \
         WHERE m.model_id = $1 AND m.lifecycle_stage <> 'deleted' AND {ws of m}";
    static GET_TAG: ModelKey = "SELECT tag_value FROM logged_model_tags WHERE model_id = $1 AND tag_key = $2";
    static SET_TAG: ModelKey =
        "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value";
}

/// The fields of a new model version.
#[derive(Debug, Clone, Default)]
pub struct NewModelVersion {
    /// The registered model.
    pub name: String,
    /// The source URI; the caller has checked that this server may read it.
    pub source: String,
    /// The run that produced it.
    pub run_id: Option<String>,
    /// The logged model that it is created from.
    pub model_id: Option<String>,
    /// A link to the run on another server.
    pub run_link: String,
    /// The description.
    pub description: String,
    /// Tags; the last one of a key wins.
    pub tags: Vec<ModelVersionTag>,
}

impl Scoped<'_> {
    /// Creates a version of a registered model, with the next number. Versions that are created concurrently get
    /// different numbers.
    ///
    /// # Errors
    /// The name or a tag is not valid, or there is no such registered or logged model.
    pub async fn create_model_version(&self, new: NewModelVersion) -> Result<ModelVersion> {
        let name = new.name.as_str();
        validation::model_name(name)?;
        for tag in &new.tags {
            validation::model_version_tag(tag.key(), tag.value())?;
        }
        let (new, tags) = (&new, &last_of_each_key(&new.tags));
        let workspace = self.workspace;
        self.store
            .db
            .transaction(|tx| async move {
                let origin = origin(workspace, &tx, new).await?;
                let now = now_ms();
                // The row lock on the model serializes the assignment of numbers.
                let highest = Statement::within(self.workspace, &HIGHEST, vec![name.into()]);
                let answers = tx.run(vec![touch(workspace, name, now), Op::Query(highest)]).await?;
                let [touched, highest] = answers.as_slice() else { return Err(not_found(name)) };
                if count(touched) == 0 {
                    return Err(not_found(name));
                }
                let version = count(highest) + 1;
                let values = vec![
                    name.into(),
                    version.into(),
                    now.into(),
                    new.description.as_str().into(),
                    new.source.as_str().into(),
                    origin.storage_location.as_str().into(),
                    origin.run_id.clone().into(),
                    new.run_link.as_str().into(),
                ];
                let columns = &const { [text("workspace"), text("name"), int("version"), text("key"), text("value")] };
                let rows: Vec<Vec<Value>> = tags
                    .iter()
                    .map(|(key, value)| {
                        vec![workspace.name().into(), name.into(), version.into(), (*key).into(), (*value).into()]
                    })
                    .collect();
                let insert = Statement::within(self.workspace, &INSERT, values);
                let tags = Insert { table: "model_version_tags", columns, only_if: None, on_conflict: "", rows };
                tx.run(vec![Op::Execute(insert), Op::Insert(tags)]).await.map_err(|error| match error {
                    // The reference may have used the number without locking the model.
                    DbError::Unique(text) => tx.conflict(text),
                    error => error,
                })?;
                if let Some(model_id) = non_empty(new.model_id.as_deref())
                    && !prompts::is_prompt(&new.tags)
                {
                    tag_logged_model(workspace, &tx, model_id, name, version).await?;
                }
                let (run_id, description) = (non_empty(new.run_id.as_deref()), non_empty(Some(&new.description)));
                let event =
                    Event::version_created(name, &version.to_string(), &new.source, run_id, &new.tags, description);
                self.enqueue(&tx, &event);
                Ok(created(new, origin.run_id, version, now))
            })
            .await
    }
}

/// The origin of a version.
struct Origin {
    storage_location: String,
    run_id: Option<String>,
}

/// Resolves a `models:/` source to its storage location, and a logged model to its run.
async fn origin(workspace: &Workspace, tx: &Tx, new: &NewModelVersion) -> Result<Origin> {
    let mut origin = Origin { storage_location: new.source.clone(), run_id: new.run_id.clone() };
    let unreachable = |error: Error| {
        Error::invalid(format!(
            "Unable to fetch model from model URI source artifact location '{}'.Error: {}",
            new.source, error.message
        ))
    };
    let is_placeholder = prompts::is_prompt(&new.tags);
    match ModelUri::parse(&new.source).filter(|_| !is_placeholder) {
        Some(ModelUri::Logged(model_id)) => {
            let (location, run_id) =
                logged_model(workspace, tx, &model_id).await?.ok_or_else(|| unreachable(no_logged_model(&model_id)))?;
            origin.storage_location = location;
            if non_empty(origin.run_id.as_deref()).is_none() {
                origin.run_id = run_id;
            }
        }
        Some(ModelUri::Version { name, version }) => {
            let version = number(&name, &version).map_err(unreachable)?;
            origin.storage_location = download_uri(workspace, tx.conn()?, &name, version)
                .await?
                .ok_or_else(|| unreachable(version_not_found(&name, version)))?;
        }
        // The caller has resolved other forms to the version they refer to.
        _ => {}
    }
    if non_empty(origin.run_id.as_deref()).is_none()
        && let Some(model_id) = non_empty(new.model_id.as_deref())
    {
        let (_, run_id) = logged_model(workspace, tx, model_id).await?.ok_or_else(|| no_logged_model(model_id))?;
        origin.run_id = run_id;
    }
    Ok(origin)
}

/// The artifact location of a logged model, and the run that produced it.
async fn logged_model(
    workspace: &Workspace,
    tx: &Tx,
    model_id: &str,
) -> Result<Option<(String, Option<String>)>, DbError> {
    tx.query_opt(Statement::within(workspace, &LOGGED_MODEL, vec![model_id.into()]), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
    .await
}

/// Adds a version to the tag of its logged model.
async fn tag_logged_model(workspace: &Workspace, tx: &Tx, model_id: &str, name: &str, version: i64) -> Result<()> {
    let model = ModelKey::lock(workspace, tx, model_id).await?.ok_or_else(|| no_logged_model(model_id))?;
    let get = Statement::of(&model, &GET_TAG, vec![MODEL_VERSIONS_TAG.into()]);
    let listed = tx.query_opt(get, |row| row.get::<String>(0)).await?.unwrap_or_default();
    let mut versions = match serde_json::from_str(&listed) {
        Ok(Json::Array(versions)) => versions,
        _ => Vec::new(),
    };
    let entry = json!({ "name": name, "version": version });
    if !versions.contains(&entry) {
        versions.push(entry);
    }
    let list = python::json_dumps(&Json::Array(versions));
    let values = vec![model.experiment().value(), MODEL_VERSIONS_TAG.into(), list.into()];
    tx.execute(Statement::of(&model, &SET_TAG, values)).await?;
    Ok(())
}

fn created(new: &NewModelVersion, run_id: Option<String>, version: i64, now: i64) -> ModelVersion {
    let tags = last_of_each_key(&new.tags);
    ModelVersion {
        name: Some(new.name.clone()),
        version: Some(version.to_string()),
        creation_timestamp: Some(now),
        last_updated_timestamp: Some(now),
        current_stage: Some(Stage::None.name().to_owned()),
        description: Some(new.description.clone()),
        source: Some(new.source.clone()),
        run_id,
        status: Some(ModelVersionStatus::Ready),
        run_link: Some(new.run_link.clone()),
        tags: tags
            .into_iter()
            .map(|(key, value)| ModelVersionTag { key: Some(key.into()), value: Some(value.into()) })
            .collect(),
        ..ModelVersion::default()
    }
}

fn no_logged_model(model_id: &str) -> Error {
    Error::not_found(format!("Logged model with ID '{model_id}' not found."))
}

/// Old clients send an empty text for an absent value.
fn non_empty(id: Option<&str>) -> Option<&str> {
    id.filter(|id| !id.is_empty())
}
