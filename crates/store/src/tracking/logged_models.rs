//! Logged models: lifecycle, params and tags. Searching them is in `logged_model_search`.

use std::{collections::HashMap, sync::Arc};

use ferroflow_model::{
    Error, Result,
    messages::service::{
        LoggedModel, LoggedModelData, LoggedModelInfo, LoggedModelParameter, LoggedModelStatus, LoggedModelTag, Metric,
    },
    names, python, uri, validation,
    wire::Enum as _,
};

use crate::{
    Scoped,
    db::{Child, Column, Conn, DbError, Insert, Key as _, Op, Row, Statement, Tx, clock::now_ms, int, text},
    statements::statements,
    tracking::{
        experiments::{check_active, id_of},
        keys::{ExperimentKey, ModelKey},
    },
    workspace::Workspace,
};

/// The columns of a logged model, in the order [`info_from_row`] reads them.
pub(crate) const COLUMNS: &str = "m.model_id, m.experiment_id, m.name, m.artifact_location, m.creation_timestamp_ms, \
                                  m.last_updated_timestamp_ms, m.status, m.model_type, m.source_run_id, m.status_message";

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, ", m.lifecycle_stage FROM logged_models m \
         WHERE m.model_id = $1 AND {ws of m}";
    static EXPERIMENT: Workspace =
        "SELECT artifact_location, lifecycle_stage FROM experiments e WHERE e.experiment_id = $1 AND {ws of e}";
    static INSERT: ExperimentKey =
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, \
         last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id) \
         VALUES ($2, $1, $3, $4, $5, $5, $6, 'active', $7, $8)";
    static SET_STATUS: Workspace =
        "UPDATE logged_models AS m SET status = $2, last_updated_timestamp_ms = $3 WHERE m.model_id = $1 AND {ws of m}";
    static DELETE: Workspace =
        "UPDATE logged_models AS m SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = $2 \
         WHERE m.model_id = $1 AND {ws of m}";

    // As the children of runs, those of one model are read after the other.
    static METRICS: Child =
        "SELECT x.model_id, x.metric_name, x.metric_value, x.metric_timestamp_ms, x.metric_step, x.run_id, \
         x.dataset_name, x.dataset_digest \
         {postgres:FROM unnest($1::text[]) AS w(model_id) \
         CROSS JOIN LATERAL (SELECT * FROM logged_model_metrics WHERE model_id = w.model_id OFFSET 0) x}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN logged_model_metrics x ON x.model_id = w.value}";
    static PARAMS: Child =
        "SELECT p.model_id, p.param_key, p.param_value {postgres:FROM unnest($1::text[]) AS w(model_id) \
         CROSS JOIN LATERAL (SELECT * FROM logged_model_params WHERE model_id = w.model_id OFFSET 0) p}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN logged_model_params p ON p.model_id = w.value}";
    static TAGS: Child =
        "SELECT t.model_id, t.tag_key, t.tag_value {postgres:FROM unnest($1::text[]) AS w(model_id) \
         CROSS JOIN LATERAL (SELECT * FROM logged_model_tags WHERE model_id = w.model_id OFFSET 0) t}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN logged_model_tags t ON t.model_id = w.value}";

    static DELETE_TAG: ModelKey = "DELETE FROM logged_model_tags WHERE model_id = $1 AND tag_key = $2";
}

const PARAM_COLUMNS: &[Column] = &[text("model_id"), int("experiment_id"), text("param_key"), text("param_value")];
const TAG_COLUMNS: &[Column] = &[text("model_id"), int("experiment_id"), text("tag_key"), text("tag_value")];

/// The fields of a new logged model.
#[derive(Debug, Clone, Default)]
pub struct NewLoggedModel {
    /// The experiment's id.
    pub experiment_id: String,
    /// The name; generated when empty.
    pub name: Option<String>,
    /// The type of model, such as `agent`.
    pub model_type: String,
    /// The run that produced it.
    pub source_run_id: String,
    /// Params.
    pub params: Vec<LoggedModelParameter>,
    /// Tags.
    pub tags: Vec<LoggedModelTag>,
}

impl Scoped<'_> {
    /// Creates a logged model in an active experiment; its status is pending until it is finalised.
    ///
    /// # Errors
    /// The name is not valid, the experiment is missing or deleted, or a param or tag is given twice.
    pub async fn create_logged_model(&self, new: NewLoggedModel) -> Result<LoggedModel> {
        let given_name = new.name.filter(|name| !name.is_empty());
        validation::logged_model_name(given_name.as_deref())?;
        let experiment = id_of(&new.experiment_id)?;
        let (location, stage) = self
            .store
            .db
            .query(Statement::within(self.workspace, &EXPERIMENT, vec![experiment.into()]), |row| {
                Ok((row.get::<Option<String>>(0)?, row.get::<String>(1)?))
            })
            .await?
            .pop()
            .unzip();
        check_active(experiment, stage)?;
        let key = ExperimentKey::found(experiment);
        let model_id = format!("m-{}", uuid::Uuid::new_v4().simple());
        let root = location.flatten().unwrap_or_default();
        let artifact_uri = uri::append_path(&root, &format!("models/{model_id}/artifacts"))?;
        let name = given_name.unwrap_or_else(names::random_name);
        let now = now_ms();
        let values = vec![
            model_id.as_str().into(),
            name.as_str().into(),
            artifact_uri.as_str().into(),
            now.into(),
            status_number(LoggedModelStatus::LoggedModelPending).into(),
            new.model_type.as_str().into(),
            new.source_run_id.as_str().into(),
        ];
        self.store
            .db
            .unit(vec![
                Op::Execute(Statement::of(&key, &INSERT, values)),
                Op::Insert(params_insert(&model_id, key, &new.params)),
                Op::Insert(tags_insert(&model_id, key, &new.tags)),
            ])
            .await?;
        let info = LoggedModelInfo {
            model_id: Some(model_id),
            experiment_id: Some(experiment.to_string()),
            name: Some(name),
            artifact_uri: Some(artifact_uri),
            creation_timestamp_ms: Some(now),
            last_updated_timestamp_ms: Some(now),
            status: Some(LoggedModelStatus::LoggedModelPending),
            model_type: Some(new.model_type),
            source_run_id: Some(new.source_run_id),
            tags: new.tags,
            ..LoggedModelInfo::default()
        };
        Ok(LoggedModel {
            info: Some(info),
            data: Some(LoggedModelData { params: new.params, ..LoggedModelData::default() }),
        })
    }

    /// A logged model with its params, tags and metrics.
    ///
    /// # Errors
    /// No model has the id, or it is deleted and `allow_deleted` is not set.
    pub async fn get_logged_model(&self, model_id: &str, allow_deleted: bool) -> Result<LoggedModel> {
        let conn = self.store.db.reader().await?;
        let (found, children) = tokio::join!(
            conn.query_opt(Statement::within(self.workspace, &BY_ID, vec![model_id.into()]), |row| {
                Ok((info_from_row(row)?, row.get::<Option<String>>(10)?))
            }),
            load(&conn, vec![model_id.to_owned()]),
        );
        match found? {
            Some((info, stage)) if allow_deleted || stage.as_deref() != Some("deleted") => {
                attach(vec![info], vec![children?]).pop().ok_or_else(|| not_found(model_id))
            }
            _ => Err(not_found(model_id)),
        }
    }

    /// Sets the final status of a logged model.
    ///
    /// # Errors
    /// No model has the id.
    pub async fn finalize_logged_model(&self, model_id: &str, status: LoggedModelStatus) -> Result<LoggedModel> {
        let values = vec![model_id.into(), status_number(status).into(), now_ms().into()];
        self.change(model_id, Statement::within(self.workspace, &SET_STATUS, values)).await?;
        self.get_logged_model(model_id, true).await
    }

    /// Marks a logged model as deleted.
    ///
    /// # Errors
    /// No model has the id.
    pub async fn delete_logged_model(&self, model_id: &str) -> Result<()> {
        self.change(model_id, Statement::within(self.workspace, &DELETE, vec![model_id.into(), now_ms().into()])).await
    }

    async fn change(&self, model_id: &str, statement: Statement) -> Result<()> {
        let statement = &statement;
        self.store
            .db
            .transaction(|tx| async move {
                match tx.execute(statement.clone()).await? {
                    0 => Err(not_found(model_id)),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Adds params, which are immutable.
    ///
    /// # Errors
    /// No model has the id, or a param exists already.
    pub async fn log_logged_model_params(&self, model_id: &str, params: &[LoggedModelParameter]) -> Result<()> {
        self.store
            .db
            .transaction(|tx| async move {
                let model = find(self.workspace, &tx, model_id).await?;
                tx.insert(params_insert(model_id, model.experiment(), params)).await?;
                Ok(())
            })
            .await
    }

    /// Sets tags; the last one of a key wins.
    ///
    /// # Errors
    /// No model has the id.
    pub async fn set_logged_model_tags(&self, model_id: &str, tags: &[LoggedModelTag]) -> Result<()> {
        let mut last: HashMap<&str, &LoggedModelTag> = HashMap::new();
        for tag in tags {
            last.insert(tag.key(), tag);
        }
        let mut tags: Vec<LoggedModelTag> = last.into_values().cloned().collect();
        tags.sort_by(|a, b| a.key.cmp(&b.key));
        let tags = &tags;
        self.store
            .db
            .transaction(|tx| async move {
                let model = find(self.workspace, &tx, model_id).await?;
                let mut insert = tags_insert(model_id, model.experiment(), tags);
                insert.on_conflict = "ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value";
                tx.insert(insert).await?;
                Ok(())
            })
            .await
    }

    /// Deletes a tag.
    ///
    /// # Errors
    /// No model has the id, or it has no such tag.
    pub async fn delete_logged_model_tag(&self, model_id: &str, key: &str) -> Result<()> {
        self.store
            .db
            .transaction(|tx| async move {
                let model = find(self.workspace, &tx, model_id).await?;
                if tx.execute(Statement::of(&model, &DELETE_TAG, vec![key.into()])).await? == 0 {
                    return Err(Error::not_found(format!(
                        "No tag with key {} found for model with ID {}.",
                        python::repr(key),
                        python::repr(model_id)
                    )));
                }
                Ok(())
            })
            .await
    }
}

/// Reads [`COLUMNS`].
pub(crate) fn info_from_row(row: &Row<'_>) -> Result<LoggedModelInfo, DbError> {
    Ok(LoggedModelInfo {
        model_id: row.get(0)?,
        experiment_id: Some(row.get::<i64>(1)?.to_string()),
        name: row.get(2)?,
        artifact_uri: row.get(3)?,
        creation_timestamp_ms: row.get(4)?,
        last_updated_timestamp_ms: row.get(5)?,
        status: i32::try_from(row.get::<i64>(6)?).ok().and_then(LoggedModelStatus::from_number),
        model_type: row.get(7)?,
        source_run_id: row.get(8)?,
        status_message: row.get(9)?,
        ..LoggedModelInfo::default()
    })
}

/// Children of logged models, in the order of the requested ids.
pub(crate) type Children = Vec<(Vec<LoggedModelTag>, LoggedModelData)>;

/// Loads params, tags and metrics of models with one query each.
pub(crate) async fn load(conn: &Conn, model_ids: Vec<String>) -> Result<Children, DbError> {
    let mut children: Children = Vec::new();
    children.resize_with(model_ids.len(), Default::default);
    if model_ids.is_empty() {
        return Ok(children);
    }
    let index: Arc<HashMap<String, usize>> =
        Arc::new(model_ids.iter().cloned().enumerate().map(|(at, id)| (id, at)).collect());
    let statement = |sql| Statement::new(sql, vec![model_ids.as_slice().into()]);
    let at = |index: &HashMap<String, usize>, row: &Row<'_>| {
        let id = row.str(0)?;
        index.get(id).copied().ok_or_else(|| DbError::Other(format!("a row of model {id}, which was not requested")))
    };
    let (by_metric, by_param, by_tag) = (Arc::clone(&index), Arc::clone(&index), index);
    let (metrics, params, tags) = tokio::join!(
        conn.query(statement(&METRICS), move |row| Ok((at(&by_metric, row)?, metric_from_row(row)?))),
        conn.query(statement(&PARAMS), move |row| {
            Ok((at(&by_param, row)?, LoggedModelParameter { key: row.get(1)?, value: row.get(2)? }))
        }),
        conn.query(statement(&TAGS), move |row| {
            Ok((at(&by_tag, row)?, LoggedModelTag { key: row.get(1)?, value: row.get(2)? }))
        }),
    );
    for (at, metric) in metrics? {
        children[at].1.metrics.push(metric);
    }
    for (at, param) in params? {
        children[at].1.params.push(param);
    }
    for (at, tag) in tags? {
        children[at].0.push(tag);
    }
    Ok(children)
}

/// Attaches the loaded children. `infos` are in the order of the loaded ids.
pub(crate) fn attach(infos: Vec<LoggedModelInfo>, children: Vec<Children>) -> Vec<LoggedModel> {
    infos
        .into_iter()
        .zip(children.into_iter().flatten())
        .map(|(mut info, (tags, data))| {
            info.tags = tags;
            LoggedModel { info: Some(info), data: Some(data) }
        })
        .collect()
}

fn metric_from_row(row: &Row<'_>) -> Result<Metric, DbError> {
    Ok(Metric {
        key: row.get(1)?,
        value: row.get(2)?,
        timestamp: row.get(3)?,
        step: row.get(4)?,
        run_id: row.get(5)?,
        dataset_name: row.get::<Option<String>>(6)?.filter(|name| !name.is_empty()),
        dataset_digest: row.get::<Option<String>>(7)?.filter(|digest| !digest.is_empty()),
        model_id: row.get(0)?,
    })
}

async fn find(workspace: &Workspace, tx: &Tx, model_id: &str) -> Result<ModelKey> {
    ModelKey::find(workspace, tx, model_id).await?.ok_or_else(|| not_found(model_id))
}

fn not_found(model_id: &str) -> Error {
    Error::not_found(format!("Logged model with ID '{model_id}' not found."))
}

/// The status as it is stored.
fn status_number(status: LoggedModelStatus) -> i64 {
    i64::from(status.number())
}

fn params_insert(model_id: &str, experiment: ExperimentKey, params: &[LoggedModelParameter]) -> Insert {
    let rows =
        params.iter().map(|p| vec![model_id.into(), experiment.value(), p.key().into(), p.value().into()]).collect();
    Insert { table: "logged_model_params", columns: PARAM_COLUMNS, only_if: None, on_conflict: "", rows }
}

fn tags_insert(model_id: &str, experiment: ExperimentKey, tags: &[LoggedModelTag]) -> Insert {
    let rows =
        tags.iter().map(|t| vec![model_id.into(), experiment.value(), t.key().into(), t.value().into()]).collect();
    Insert { table: "logged_model_tags", columns: TAG_COLUMNS, only_if: None, on_conflict: "", rows }
}
