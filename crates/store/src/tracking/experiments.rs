//! Experiments and their tags.

use ferroflow_model::{
    Error, Result,
    messages::service::{Experiment, ExperimentTag},
    uri, validation,
};

use crate::{
    Scoped,
    db::{Child, Conn, DbError, Insert, Row, Sql, Statement, Tx, Value, clock::now_ms, int, text},
    statements::statements,
    traces::run_assessments::delete_of_experiment_runs,
    tracking::keys::ExperimentKey,
    workspace::Workspace,
};

/// The columns of an experiment, in the order [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "e.experiment_id, e.name, e.artifact_location, e.lifecycle_stage, e.creation_time, \
                                  e.last_update_time, e.workspace";

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM experiments e WHERE e.experiment_id = $1 AND {ws of e}";
    static BY_NAME: Workspace = "SELECT ", COLUMNS, " FROM experiments e WHERE {ws:e} AND e.name = $1";
    static IDS_BY_NAME: Workspace =
        "SELECT e.name, e.experiment_id FROM experiments e WHERE {ws:e} AND e.name {in $1}";
    static TAGS_BY_ID: Workspace =
        "SELECT t.experiment_id, t.key, t.value FROM experiment_tags t WHERE t.experiment_id = $1 AND {ws of t}";
    static TAGS_BY_NAME: Workspace =
        "SELECT t.experiment_id, t.key, t.value FROM experiment_tags t \
         JOIN experiments e ON e.experiment_id = t.experiment_id WHERE {ws:e} AND e.name = $1";
    static TAGS: Child = "SELECT experiment_id, key, value FROM experiment_tags WHERE experiment_id {in $1}";
    static INSERT: Workspace =
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time, \
         workspace) VALUES ($1, $2, 'active', $3, $3, {ws}) RETURNING experiment_id";
    static SET_LOCATION: Workspace =
        "UPDATE experiments AS e SET artifact_location = $2 WHERE e.experiment_id = $1 AND {ws of e}";
    static SET_STAGE: Workspace =
        "UPDATE experiments AS e SET lifecycle_stage = $2, last_update_time = $4 \
         WHERE e.experiment_id = $1 AND e.lifecycle_stage = $3 AND {ws of e}";
    static DELETE_RUNS: ExperimentKey =
        "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = $2 WHERE experiment_id = $1";
    static RESTORE_RUNS: ExperimentKey =
        "UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL WHERE experiment_id = $1";
    static RENAME: Workspace =
        "UPDATE experiments AS e SET name = $2, last_update_time = $3 \
         WHERE e.experiment_id = $1 AND e.lifecycle_stage = 'active' AND {ws of e}";
    static SET_TAG: ExperimentKey =
        "INSERT INTO experiment_tags (key, value, experiment_id) VALUES ($2, $3, $1) \
         ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value";
    static DELETE_TAG: ExperimentKey = "DELETE FROM experiment_tags WHERE experiment_id = $1 AND key = $2";
}

/// The prefix of tags that hold a saved view of the UI. Their number per experiment is limited.
const CUSTOM_VIEW_PREFIX: &str = "mlflow.customView.view";

impl Scoped<'_> {
    /// Creates an experiment and returns its id. Without a location, its artifacts are stored below the root of the
    /// workspace.
    ///
    /// # Errors
    /// The name, location or a tag is not valid, the name is taken (by a deleted experiment too), or there is a location
    /// and the server has workspaces.
    pub async fn create_experiment(
        &self,
        name: &str,
        artifact_location: Option<String>,
        tags: Vec<ExperimentTag>,
    ) -> Result<String> {
        if self.store.has_workspaces() && artifact_location.as_deref().is_some_and(|location| !location.is_empty()) {
            return Err(Error::invalid("artifact_location cannot be specified when workspaces are enabled"));
        }
        validation::experiment_name(name)?;
        if let Some(location) = &artifact_location {
            self.store.limits.artifact_location_length(location)?;
        }
        for tag in &tags {
            validation::experiment_tag(tag.key(), tag.value())?;
        }
        let (location, tags) = (&artifact_location, &tags);
        self.creating(|tx, root| async move {
            let values = vec![name.into(), location.clone().into(), now_ms().into()];
            let id =
                match tx.query_opt(Statement::within(self.workspace, &INSERT, values), |row| row.get::<i64>(0)).await {
                    Err(DbError::Unique(_)) => {
                        return Err(Error::already_exists(format!("Experiment(name={name}) already exists.")));
                    }
                    id => id?.ok_or_else(|| Error::internal("The new experiment has no id."))?,
                };
            if location.is_none() {
                let location = uri::append_path(&root, &id.to_string())?;
                tx.execute(Statement::within(self.workspace, &SET_LOCATION, vec![id.into(), location.into()])).await?;
            }
            insert_tags(&tx, id, tags).await?;
            Ok(id.to_string())
        })
        .await
    }

    /// One experiment, deleted or not.
    ///
    /// # Errors
    /// The id is not an integer, or no experiment has it.
    pub async fn get_experiment(&self, experiment_id: &str) -> Result<Experiment> {
        let id = id_of(experiment_id)?;
        let conn = self.store.db.reader().await?;
        self.one(&conn, &BY_ID, &TAGS_BY_ID, id.into()).await?.ok_or_else(|| no_experiment(id))
    }

    /// One experiment by name, deleted or not.
    ///
    /// # Errors
    /// Database errors only; an unknown name is `None`.
    pub async fn get_experiment_by_name(&self, name: &str) -> Result<Option<Experiment>> {
        let conn = self.store.db.reader().await?;
        self.one(&conn, &BY_NAME, &TAGS_BY_NAME, name.into()).await
    }

    /// The experiments with these names, deleted or not: pairs of name and id.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn experiment_ids(&self, names: Vec<String>) -> Result<Vec<(String, String)>> {
        let read = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<i64>(1)?.to_string()));
        Ok(self.store.db.query(Statement::within(self.workspace, &IDS_BY_NAME, vec![names.into()]), read).await?)
    }

    async fn one(
        &self,
        conn: &Conn,
        experiment: &'static Sql<Workspace>,
        tags: &'static Sql<Workspace>,
        key: Value,
    ) -> Result<Option<Experiment>> {
        let (found, tags) = tokio::join!(
            conn.query_opt(Statement::within(self.workspace, experiment, vec![key.clone()]), from_row),
            conn.query(Statement::within(self.workspace, tags, vec![key]), tag_from_row),
        );
        let Some((_, mut experiment)) = found? else { return Ok(None) };
        experiment.tags = tags?.into_iter().map(|(_, tag)| tag).collect();
        Ok(Some(experiment))
    }

    /// Marks an experiment and all its runs as deleted, and deletes the assessments that these runs made.
    ///
    /// # Errors
    /// No active experiment has the id.
    pub async fn delete_experiment(&self, experiment_id: &str) -> Result<()> {
        let id = id_of(experiment_id)?;
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let now = now_ms();
                let values = vec![id.into(), "deleted".into(), "active".into(), now.into()];
                if tx.execute(Statement::within(self.workspace, &SET_STAGE, values)).await? == 0 {
                    return Err(no_experiment(id));
                }
                let experiment = ExperimentKey::found(id);
                delete_of_experiment_runs(&tx, experiment, invalidation).await?;
                tx.execute(Statement::of(&experiment, &DELETE_RUNS, vec![now.into()])).await?;
                Ok(())
            })
            .await
    }

    /// Restores a deleted experiment and all its runs.
    ///
    /// # Errors
    /// No deleted experiment has the id.
    pub async fn restore_experiment(&self, experiment_id: &str) -> Result<()> {
        let id = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let values = vec![id.into(), "active".into(), "deleted".into(), now_ms().into()];
                if tx.execute(Statement::within(self.workspace, &SET_STAGE, values)).await? == 0 {
                    return Err(no_experiment(id));
                }
                tx.execute(Statement::of(&ExperimentKey::found(id), &RESTORE_RUNS, Vec::new())).await?;
                Ok(())
            })
            .await
    }

    /// Renames an experiment.
    ///
    /// # Errors
    /// No experiment has the id, it is deleted, or the name is not valid or taken.
    pub async fn rename_experiment(&self, experiment_id: &str, new_name: &str) -> Result<()> {
        validation::experiment_name(new_name)?;
        let id = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let values = vec![id.into(), new_name.into(), now_ms().into()];
                match tx.execute(Statement::within(self.workspace, &RENAME, values)).await {
                    Ok(0) => Err(match ExperimentKey::find(self.workspace, &tx, id).await? {
                        None => no_experiment(id),
                        Some(_) => Error::invalid("Cannot rename a non-active experiment."),
                    }),
                    Err(DbError::Unique(_)) => {
                        Err(Error::already_exists(format!("Experiment(name={new_name}) already exists.")))
                    }
                    outcome => Ok(outcome.map(|_| ())?),
                }
            })
            .await
    }

    /// Sets a tag of an active experiment.
    ///
    /// # Errors
    /// The tag is not valid, the experiment is missing or deleted, or has too many saved views.
    pub async fn set_experiment_tag(&self, experiment_id: &str, key: &str, value: &str) -> Result<()> {
        validation::experiment_tag(key, value)?;
        let id = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let experiment = active_experiment(id, ExperimentKey::find(self.workspace, &tx, id).await?)?;
                if key.starts_with(CUSTOM_VIEW_PREFIX) {
                    let tags = Statement::within(self.workspace, &TAGS_BY_ID, vec![id.into()]);
                    let keys = tx.query(tags, |row| row.get::<String>(1)).await?;
                    validation::custom_view_fits(id, key, &keys)?;
                }
                tx.execute(Statement::of(&experiment, &SET_TAG, vec![key.into(), value.into()])).await?;
                Ok(())
            })
            .await
    }

    /// Deletes a tag of an active experiment.
    ///
    /// # Errors
    /// The experiment is missing or deleted, or has no such tag.
    pub async fn delete_experiment_tag(&self, experiment_id: &str, key: &str) -> Result<()> {
        let id = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let experiment = active_experiment(id, ExperimentKey::find(self.workspace, &tx, id).await?)?;
                if tx.execute(Statement::of(&experiment, &DELETE_TAG, vec![key.into()])).await? == 0 {
                    let text = format!("No tag with name: {key} in experiment with id {experiment_id}");
                    return Err(Error::not_found(text));
                }
                Ok(())
            })
            .await
    }
}

/// Tags of the given experiments, each with the experiment's id.
pub(crate) async fn tags_of(conn: &Conn, ids: Vec<i64>) -> Result<Vec<(i64, ExperimentTag)>, DbError> {
    conn.query(Statement::new(&TAGS, vec![ids.into()]), tag_from_row).await
}

/// Reads [`COLUMNS`].
pub(crate) fn from_row(row: &Row<'_>) -> Result<(i64, Experiment), DbError> {
    let id: i64 = row.get(0)?;
    let experiment = Experiment {
        experiment_id: Some(id.to_string()),
        name: row.get(1)?,
        artifact_location: row.get(2)?,
        lifecycle_stage: row.get(3)?,
        creation_time: row.get::<Option<i64>>(4)?.filter(|time| *time != 0),
        last_update_time: row.get::<Option<i64>>(5)?.filter(|time| *time != 0),
        workspace: row.get(6)?,
        ..Experiment::default()
    };
    Ok((id, experiment))
}

fn tag_from_row(row: &Row<'_>) -> Result<(i64, ExperimentTag), DbError> {
    Ok((row.get(0)?, ExperimentTag { key: row.get(1)?, value: row.get(2)? }))
}

async fn insert_tags(tx: &Tx, id: i64, tags: &[ExperimentTag]) -> Result<(), DbError> {
    if tags.is_empty() {
        return Ok(());
    }
    let rows = tags.iter().map(|tag| vec![tag.key().into(), tag.value().into(), id.into()]).collect();
    let columns = &const { [text("key"), text("value"), int("experiment_id")] };
    tx.insert(Insert { table: "experiment_tags", columns, only_if: None, on_conflict: "", rows }).await?;
    Ok(())
}

/// Parses an experiment's id. A number out of the column's range is the id of no experiment.
pub(crate) fn id_of(experiment_id: &str) -> Result<i64> {
    let id = validation::parse_experiment_id(experiment_id)?;
    if i32::try_from(id).is_ok() { Ok(id) } else { Err(no_experiment(id)) }
}

/// The error for an experiment that does not exist.
pub(crate) fn no_experiment(id: i64) -> Error {
    Error::not_found(format!("No Experiment with id={id} exists"))
}

/// The key of an experiment if it exists and is active.
pub(crate) fn active_experiment(id: i64, found: Option<(ExperimentKey, String)>) -> Result<ExperimentKey> {
    let (key, stage) = found.unzip();
    check_active(id, stage)?;
    key.ok_or_else(|| no_experiment(id))
}

/// The error for writing to an experiment that is missing or deleted.
pub(crate) fn check_active(id: i64, stage: Option<String>) -> Result<()> {
    match stage.as_deref() {
        Some("active") => Ok(()),
        Some(stage) => {
            Err(Error::invalid(format!("The experiment {id} must be in the 'active' state. Current state is {stage}.")))
        }
        None => Err(no_experiment(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, StoreOptions, db::BackendUri};

    #[tokio::test]
    async fn tags_are_looked_up_by_their_experiment() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::default();
        let store = Store::open(&BackendUri::Sqlite(folder.path().join("test.db")), options).await.unwrap();
        let plan = async |statement| store.db.explain(statement).await.unwrap().join("\n");
        let by_name = Statement::within(Workspace::only(), &TAGS_BY_NAME, vec!["name".into()]);
        for plan in [plan(by_name).await, plan(Statement::new(&TAGS, vec![Value::Ints(vec![1, 2])])).await] {
            assert!(plan.contains("ff_experiment_tags_experiment (experiment_id=?)"), "{plan}");
        }
    }
}
