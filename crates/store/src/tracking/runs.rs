//! Runs: lifecycle, tags, and logging.

use ferroflow_model::{
    Error, Result, limits,
    messages::service::{Metric, Param, Run, RunData, RunInfo, RunInputs, RunStatus, RunTag},
    names,
    quotas::Counted,
    uri,
    validation::{self, LOGGED_MODELS_TAG},
    wire::Enum as _,
};

use crate::{
    Scoped,
    db::{DbError, Insert, Op, Row, Statement, Value, clock::now_ms, dialect::Dialect, text},
    statements::statements,
    traces::run_assessments::delete_of_run,
    tracking::{
        batch::{MetricPoint, ModelMetricPoint, Pair, RunWrite},
        experiments::{check_active, id_of},
        keys::{ExperimentKey, RunKey},
        run_children::{self, Extent},
    },
    workspace::Workspace,
};

/// The tag that holds a run's name.
pub(crate) const RUN_NAME_TAG: &str = "mlflow.runName";

/// The columns of a run, in the order [`info_from_row`] reads them.
pub(crate) const COLUMNS: &str = "r.run_uuid, r.name, r.experiment_id, r.user_id, r.status, r.start_time, r.end_time, \
                                  r.lifecycle_stage, r.artifact_uri";

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM runs r WHERE r.run_uuid = $1 AND {ws of r}";
    static EXPERIMENT: Workspace =
        "SELECT artifact_location, lifecycle_stage FROM experiments e WHERE e.experiment_id = $1 AND {ws of e}";
    static INSERT: ExperimentKey =
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, \
         end_time, source_version, lifecycle_stage, artifact_uri, experiment_id, deleted_time) \
         VALUES ($2, $3, 'UNKNOWN', '', '', $4, 'RUNNING', $5, NULL, '', 'active', $6, $1, NULL)";
    static UPDATE: Workspace =
        "UPDATE runs AS r SET status = COALESCE($2, status), end_time = COALESCE($3, end_time), \
         name = COALESCE($4, name) WHERE r.run_uuid = $1 AND r.lifecycle_stage = 'active' AND {ws of r} \
         RETURNING run_uuid, name, experiment_id, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri";
    static DELETE: Workspace =
        "UPDATE runs AS r SET lifecycle_stage = 'deleted', deleted_time = $2 WHERE r.run_uuid = $1 AND {ws of r} \
         RETURNING experiment_id";
    static RESTORE: Workspace =
        "UPDATE runs AS r SET lifecycle_stage = 'active', deleted_time = NULL WHERE r.run_uuid = $1 AND {ws of r}";
    static SET_TAG: RunKey =
        "INSERT INTO tags (key, value, run_uuid) VALUES ($2, $3, $1) \
         ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value";
    static GET_TAG: RunKey = "SELECT value FROM tags WHERE run_uuid = $1 AND key = $2";
    static DELETE_TAG: RunKey = "DELETE FROM tags WHERE run_uuid = $1 AND key = $2";
}

/// The fields of a new run.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// The experiment's id; empty means `0`.
    pub experiment_id: String,
    /// The user who runs it.
    pub user_id: String,
    /// Milliseconds since 1970.
    pub start_time: i64,
    /// Tags.
    pub tags: Vec<RunTag>,
    /// The name; generated when neither it nor the name tag is given.
    pub run_name: String,
}

impl Scoped<'_> {
    /// Creates a run in an active experiment.
    ///
    /// # Errors
    /// The experiment is missing or deleted, or the name and the name tag differ.
    pub async fn create_run(&self, new: NewRun) -> Result<Run> {
        let experiment_id = if new.experiment_id.is_empty() { "0" } else { &new.experiment_id };
        let experiment = id_of(experiment_id)?;
        let found = self
            .store
            .db
            .query(Statement::within(self.workspace, &EXPERIMENT, vec![experiment.into()]), |row| {
                Ok((row.get::<Option<String>>(0)?, row.get::<String>(1)?))
            })
            .await?
            .pop();
        let (location, stage) = found.unzip();
        check_active(experiment, stage)?;
        self.check_quota(&[Counted::Runs, Counted::Points], experiment)?;

        let mut tags = new.tags;
        for tag in &mut tags {
            // A tag without a value has an empty one.
            tag.value.get_or_insert_default();
        }
        let name_tag = tags.iter().find(|tag| tag.key() == RUN_NAME_TAG).map(|tag| tag.value().to_owned());
        let name = match &name_tag {
            Some(tag) if !new.run_name.is_empty() && !tag.is_empty() && new.run_name != *tag => {
                return Err(Error::invalid(format!(
                    "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
                     (run_name='{}', mlflow.runName='{tag}').",
                    new.run_name
                )));
            }
            _ if !new.run_name.is_empty() => new.run_name,
            Some(tag) if !tag.is_empty() => tag.clone(),
            _ => names::random_name(),
        };
        if name_tag.is_none_or(|tag| tag.is_empty()) {
            tags.retain(|tag| tag.key() != RUN_NAME_TAG);
            tags.push(RunTag { key: Some(RUN_NAME_TAG.to_owned()), value: Some(name.clone()) });
        }

        let run_id = uuid::Uuid::new_v4().simple().to_string();
        let root = location.flatten().unwrap_or_default();
        let artifact_uri = uri::append_path(&root, &format!("{run_id}/artifacts"))?;
        let values = vec![
            run_id.as_str().into(),
            name.as_str().into(),
            new.user_id.as_str().into(),
            new.start_time.into(),
            artifact_uri.as_str().into(),
        ];
        let rows =
            tags.iter().map(|tag| vec![tag.key().into(), tag.value.clone().into(), run_id.as_str().into()]).collect();
        let columns = &const { [text("key"), text("value"), text("run_uuid")] };
        self.store
            .db
            .unit(vec![
                Op::Execute(Statement::of(&ExperimentKey::found(experiment), &INSERT, values)),
                Op::Insert(Insert { table: "tags", columns, only_if: None, on_conflict: "", rows }),
            ])
            .await?;
        let info = RunInfo {
            run_uuid: Some(run_id.clone()),
            run_id: Some(run_id),
            run_name: Some(name),
            experiment_id: Some(experiment_id.to_owned()),
            user_id: Some(new.user_id),
            status: Some(RunStatus::Running),
            start_time: Some(new.start_time),
            artifact_uri: Some(artifact_uri),
            lifecycle_stage: Some("active".to_owned()),
            ..RunInfo::default()
        };
        Ok(Run {
            info: Some(info),
            data: Some(RunData { tags, ..RunData::default() }),
            inputs: Some(RunInputs::default()),
            ..Run::default()
        })
    }

    /// A run with its latest metrics, params, tags, inputs and outputs, deleted or not.
    ///
    /// # Errors
    /// No run has the id.
    pub async fn get_run(&self, run_id: &str) -> Result<Run> {
        let conn = self.store.db.reader().await?;
        let (info, children) = tokio::join!(
            conn.query_opt(Statement::within(self.workspace, &BY_ID, vec![run_id.into()]), info_from_row),
            run_children::load(&conn, vec![run_id.to_owned()], Extent::OneRun),
        );
        let info = info?.ok_or_else(|| not_found(run_id))?;
        let run = run_children::attach(vec![info], vec![children?]).pop();
        run.ok_or_else(|| not_found(run_id))
    }

    /// A run without what was logged to it.
    ///
    /// # Errors
    /// No run has the id.
    pub async fn get_run_info(&self, run_id: &str) -> Result<RunInfo> {
        let found = self
            .store
            .db
            .query(Statement::within(self.workspace, &BY_ID, vec![run_id.into()]), info_from_row)
            .await?
            .pop();
        found.ok_or_else(|| not_found(run_id))
    }

    /// Changes the status, end time or name of an active run; `None` (or an empty name) keeps the value.
    ///
    /// # Errors
    /// The run is missing or deleted.
    pub async fn update_run(
        &self,
        run_id: &str,
        status: Option<RunStatus>,
        end_time: Option<i64>,
        run_name: Option<String>,
    ) -> Result<RunInfo> {
        let name = run_name.filter(|name| !name.is_empty());
        let status = status.map(|status| status.name().to_owned());
        let values: Vec<Value> = vec![run_id.into(), status.into(), end_time.into(), name.clone().into()];
        let (values, name) = (&values, &name);
        self.store
            .db
            .transaction(|tx| async move {
                let Some(info) =
                    tx.query_opt(Statement::within(self.workspace, &UPDATE, values.clone()), info_from_row).await?
                else {
                    let found = RunKey::find(self.workspace, &tx, run_id).await?;
                    return Err(found.map_or_else(|| not_found(run_id), |(_, stage)| not_active(run_id, &stage)));
                };
                if let Some(name) = name {
                    let run = RunKey::of(&info);
                    tx.execute(Statement::of(&run, &SET_TAG, vec![RUN_NAME_TAG.into(), name.as_str().into()])).await?;
                }
                Ok(info)
            })
            .await
    }

    /// Marks a run as deleted, and deletes the assessments that it made.
    ///
    /// # Errors
    /// No run has the id.
    pub async fn delete_run(&self, run_id: &str) -> Result<()> {
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let delete = Statement::within(self.workspace, &DELETE, vec![run_id.into(), now_ms().into()]);
                let Some(experiment) = tx.query_opt(delete, |row| row.get::<i64>(0)).await? else {
                    return Err(not_found(run_id));
                };
                Ok(delete_of_run(&tx, &RunKey::found(run_id, experiment), invalidation).await?)
            })
            .await
    }

    /// Restores a deleted run.
    ///
    /// # Errors
    /// No run has the id.
    pub async fn restore_run(&self, run_id: &str) -> Result<()> {
        let answers = self
            .store
            .db
            .unit(vec![Op::Execute(Statement::within(self.workspace, &RESTORE, vec![run_id.into()]))])
            .await?;
        if changed_nothing(&answers) { Err(not_found(run_id)) } else { Ok(()) }
    }

    /// Logs one metric point.
    ///
    /// # Errors
    /// The metric is not valid, or the run is missing or deleted.
    pub async fn log_metric(&self, run_id: &str, metric: Metric) -> Result<()> {
        validation::metric(&metric, "")?;
        self.write_metrics(vec![metric], self.run_write(run_id)).await
    }

    /// Logs a param, which is immutable.
    ///
    /// # Errors
    /// The param is not valid or has another value, or the run is missing or deleted.
    pub async fn log_param(&self, run_id: &str, key: &str, value: &str) -> Result<()> {
        let value = self.store.limits.param(key, value, "")?;
        let params = vec![Pair { key: key.to_owned(), value }];
        self.store.batch.write(RunWrite { params, single_param: true, ..self.run_write(run_id) }).await
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// The tag is not valid, or the run is missing or deleted.
    pub async fn set_tag(&self, run_id: &str, key: &str, value: &str) -> Result<()> {
        let value = self.tag_value(key, value, "")?;
        let tags = vec![Pair { key: key.to_owned(), value }];
        self.store.batch.write(RunWrite { tags, ..self.run_write(run_id) }).await
    }

    /// Deletes a tag.
    ///
    /// # Errors
    /// The run is missing or deleted, or has no such tag.
    pub async fn delete_tag(&self, run_id: &str, key: &str) -> Result<()> {
        self.store
            .db
            .transaction(|tx| async move {
                let run = active_run(run_id, RunKey::find(self.workspace, &tx, run_id).await?)?;
                if tx.execute(Statement::of(&run, &DELETE_TAG, vec![key.into()])).await? == 0 {
                    return Err(Error::not_found(format!("No tag with name: {key} in run with id {run_id}")));
                }
                Ok(())
            })
            .await
    }

    /// Logs metrics, params and tags atomically.
    ///
    /// # Errors
    /// An item is not valid, a param has another value already, or the run is missing or deleted.
    pub async fn log_batch(
        &self,
        run_id: &str,
        metrics: Vec<Metric>,
        params: Vec<Param>,
        tags: Vec<RunTag>,
    ) -> Result<()> {
        validation::run_id(run_id)?;
        for (index, metric) in metrics.iter().enumerate() {
            validation::metric(metric, &format!("metrics[{index}]"))?;
        }
        let mut write = self.run_write(run_id);
        for (index, param) in params.into_iter().enumerate() {
            let value = self.store.limits.param(param.key(), param.value(), &format!("params[{index}]"))?;
            write.params.push(Pair { key: param.key.unwrap_or_default(), value });
        }
        for (index, tag) in tags.into_iter().enumerate() {
            let value = self.tag_value(tag.key(), tag.value(), &format!("tags[{index}]"))?;
            write.tags.push(Pair { key: tag.key.unwrap_or_default(), value });
        }
        validation::batch_limits(metrics.len(), write.params.len(), write.tags.len())?;
        let keys: Vec<&str> = write.params.iter().map(|param| param.key.as_str()).collect();
        validation::unique_param_keys(&keys)?;
        self.write_metrics(metrics, write).await
    }

    async fn write_metrics(&self, metrics: Vec<Metric>, mut write: RunWrite) -> Result<()> {
        write.metrics.reserve(metrics.len());
        for metric in metrics {
            let value = metric.value.unwrap_or_default();
            let point = MetricPoint {
                key: metric.key.unwrap_or_default(),
                is_nan: value.is_nan(),
                value: if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) },
                timestamp: metric.timestamp.unwrap_or_default(),
                step: metric.step.unwrap_or_default(),
            };
            if let Some(model_id) = metric.model_id.filter(|id| !id.is_empty()) {
                write.model_metrics.push(ModelMetricPoint {
                    model_id,
                    point: point.clone(),
                    dataset_name: metric.dataset_name.filter(|name| !name.is_empty()),
                    dataset_digest: metric.dataset_digest.filter(|digest| !digest.is_empty()),
                });
            }
            write.metrics.push(point);
        }
        self.store.batch.write(write).await
    }

    fn run_write(&self, run_id: &str) -> RunWrite {
        RunWrite::new(self.workspace.clone(), run_id.to_owned())
    }

    /// Validates the value of a tag. PostgreSQL's column has the length limit of the protocol, SQLite's has none.
    fn tag_value(&self, key: &str, value: &str, path: &str) -> Result<String> {
        match self.store.db.dialect() {
            Dialect::Postgres => self.store.limits.tag(key, value, path),
            Dialect::Sqlite => self.store.limits.untruncated_tag(key, value, path),
        }
    }

    /// Appends a model to the history that old clients keep in a tag. If the value exceeds the column, the oldest
    /// models are dropped; a value that is no JSON list, such as a truncated one, is replaced.
    ///
    /// # Errors
    /// The run is missing or deleted, or the model alone is longer than the column.
    pub async fn record_logged_model(&self, run_id: &str, model: serde_json::Value) -> Result<()> {
        let dialect = self.store.db.dialect();
        let limit = dialect.pick(limits::TAG_VALUE, usize::MAX);
        let model = &model;
        self.store
            .db
            .transaction(|tx| async move {
                // The row lock serializes models that are logged concurrently, so that both are in the history.
                let run = active_run(run_id, RunKey::lock(self.workspace, &tx, run_id).await?)?;
                let tag = Statement::of(&run, &GET_TAG, vec![LOGGED_MODELS_TAG.into()]);
                let stored = tx.query_opt(tag, |row| row.get::<Option<String>>(0)).await?.flatten();
                let mut models = history(run_id, stored.as_deref().unwrap_or_default());
                models.push(model.clone());
                let value = validation::newest(&models, limit).ok_or_else(|| {
                    Error::invalid(format!(
                        "The description of the model is too long for the tag {LOGGED_MODELS_TAG}, which holds {limit} \
                         characters."
                    ))
                })?;
                tx.execute(Statement::of(&run, &SET_TAG, vec![LOGGED_MODELS_TAG.into(), value.into()])).await?;
                Ok(())
            })
            .await
    }
}

/// Parses the history that old clients keep in a tag; empty if the value is no JSON list.
fn history(run_id: &str, stored: &str) -> Vec<serde_json::Value> {
    if stored.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(stored).unwrap_or_else(|error| {
        tracing::warn!(run_id, %error, "the tag {LOGGED_MODELS_TAG} is no JSON list and is begun again");
        Vec::new()
    })
}

/// Reads [`COLUMNS`].
pub(crate) fn info_from_row(row: &Row<'_>) -> Result<RunInfo, DbError> {
    let run_id: String = row.get(0)?;
    let status = row.opt_str(4)?.unwrap_or_default();
    Ok(RunInfo {
        run_uuid: Some(run_id.clone()),
        run_id: Some(run_id),
        run_name: row.get(1)?,
        experiment_id: row.get::<Option<i64>>(2)?.map(|id| id.to_string()),
        user_id: row.get(3)?,
        status: RunStatus::from_name(status),
        start_time: row.get(5)?,
        end_time: row.get::<Option<i64>>(6)?.filter(|time| *time != 0),
        lifecycle_stage: row.get(7)?,
        artifact_uri: row.get::<Option<String>>(8)?.filter(|uri| !uri.is_empty()),
    })
}

pub(crate) fn changed_nothing(answers: &[crate::db::Answer]) -> bool {
    answers.iter().all(|rows| rows.iter().all(|row| matches!(row.as_slice(), [crate::db::Value::Int(0)])))
}

/// The error for a run that does not exist.
pub(crate) fn not_found(run_id: &str) -> Error {
    Error::not_found(format!("Run with id={run_id} not found"))
}

/// The error for writing to a deleted run.
pub(crate) fn not_active(run_id: &str, stage: &str) -> Error {
    Error::invalid(format!("The run {run_id} must be in the 'active' state. Current state is {stage}."))
}

/// The key of a run if it exists and is active.
pub(crate) fn active_run(run_id: &str, found: Option<(RunKey, String)>) -> Result<RunKey> {
    match found {
        Some((run, stage)) if stage == "active" => Ok(run),
        Some((_, stage)) => Err(not_active(run_id, &stage)),
        None => Err(not_found(run_id)),
    }
}
