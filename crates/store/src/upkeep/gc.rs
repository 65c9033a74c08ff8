//! Purges soft-deleted rows, and what belongs to them outside of the database.
//!
//! A purge locks the row while the artifacts are deleted. A concurrent restore waits and then finds no row; an earlier
//! restore is seen, and nothing is deleted. An interrupted purge leaves the row, and the next one completes it.

pub(crate) mod check;
pub(crate) mod jobs;
pub(crate) mod unknown;

use ferroflow_model::Result;

pub use self::{check::PurgeLimits, unknown::Owner};
use crate::{
    TraceLocations, Unscoped,
    db::{DbError, Row, Sql, Statement, Tx, Value, upkeep::Gc},
    statements::statements,
    traces::{
        run_assessments::purge_of_run,
        trace_payloads::{LOCATIONS_OF_ANY, locations_from_row},
    },
};

/// A soft-deleted entity with the location of its artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedEntity {
    /// Its id.
    pub id: String,
    /// Location of its artifacts; a trace may have none.
    pub location: Option<String>,
    /// Its workspace.
    pub workspace: String,
}

/// The kinds of entities to purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purgeable {
    /// Deleted runs.
    Runs,
    /// Deleted logged models.
    LoggedModels,
    /// Deleted experiments.
    Experiments,
    /// All soft-deleted runs of a deleted experiment.
    RunsOf(i64),
    /// All logged models of a deleted experiment, deleted or not.
    LoggedModelsOf(i64),
    /// All traces of a deleted experiment.
    TracesOf(i64),
}

/// The outcome of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeOutcome {
    /// It was purged.
    Purged,
    /// It was restored, was deleted too recently, or does not exist.
    NotFound,
    /// An experiment that still contains runs, logged models or traces.
    NotEmpty,
}

/// Rows per page.
const PAGE: i64 = 500;

/// A deleted run, logged model, trace or experiment that may be purged.
const RUN: &str = "SELECT r.run_uuid, r.artifact_uri, (SELECT e.workspace FROM experiments e \
     WHERE e.experiment_id = r.experiment_id) FROM runs r WHERE ";
const MODEL: &str = "SELECT m.model_id, m.artifact_location, (SELECT e.workspace FROM experiments e \
     WHERE e.experiment_id = m.experiment_id) FROM logged_models m WHERE ";
const EXPERIMENT: &str =
    "SELECT CAST(experiment_id AS VARCHAR(20)), artifact_location, workspace FROM experiments WHERE ";

/// Only those in the workspace `$4`, if it is not NULL.
const IN_WORKSPACE: &str = " AND (CAST($4 AS TEXT) IS NULL OR experiment_id IN (SELECT w.experiment_id FROM experiments w WHERE w.workspace = $4)) ";

statements! {
    static RUNS: Gc = RUN, "run_uuid > $1 AND lifecycle_stage = 'deleted' AND deleted_time <= $2",
         IN_WORKSPACE, "ORDER BY run_uuid LIMIT $3";
    static LOGGED_MODELS: Gc = MODEL, "model_id > $1 AND lifecycle_stage = 'deleted' \
         AND last_updated_timestamp_ms <= $2", IN_WORKSPACE, "ORDER BY model_id LIMIT $3";
    static EXPERIMENTS: Gc = EXPERIMENT, "experiment_id > $1 AND lifecycle_stage = 'deleted' \
         AND last_update_time <= $2 AND (CAST($4 AS TEXT) IS NULL OR workspace = $4) \
         ORDER BY experiment_id LIMIT $3";
    static RUNS_OF: Gc = RUN, "experiment_id = $1 AND run_uuid > $2 AND lifecycle_stage = 'deleted' \
         AND deleted_time <= $3 ORDER BY run_uuid LIMIT $4";
    static LOGGED_MODELS_OF: Gc = MODEL, "experiment_id = $1 AND model_id > $2 ORDER BY model_id LIMIT $3";
    static TRACES_OF: Gc =
        "SELECT t.request_id, g.value, (SELECT e.workspace FROM experiments e \
         WHERE e.experiment_id = t.experiment_id) FROM trace_info t LEFT JOIN trace_tags g \
         ON g.request_id = t.request_id AND g.key = 'mlflow.artifactLocation' \
         WHERE t.experiment_id = $1 AND t.request_id > $2 ORDER BY t.request_id LIMIT $3";

    static LOCK_RUN: Gc = RUN, "run_uuid = $1 AND lifecycle_stage = 'deleted' AND deleted_time <= $2 {FOR UPDATE}";
    static LOCK_MODEL: Gc =
        "SELECT m.model_id, m.artifact_location, e.workspace FROM logged_models m \
         JOIN experiments e ON e.experiment_id = m.experiment_id WHERE m.model_id = $1 \
         AND ((m.lifecycle_stage = 'deleted' AND m.last_updated_timestamp_ms <= $2) \
         OR (e.lifecycle_stage = 'deleted' AND e.last_update_time <= $2)) {FOR UPDATE}";
    static LOCK_TRACE: Gc =
        "SELECT e.workspace FROM trace_info t JOIN experiments e ON e.experiment_id = t.experiment_id \
         WHERE t.request_id = $1 AND e.lifecycle_stage = 'deleted' AND e.last_update_time <= $2 {FOR UPDATE}";
    static LOCK_EXPERIMENT: Gc = EXPERIMENT, "experiment_id = $1 AND lifecycle_stage = 'deleted' \
         AND last_update_time <= $2 {FOR UPDATE}";
    static LEFT: Gc =
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM runs WHERE experiment_id = $1) \
         OR EXISTS (SELECT 1 FROM logged_models WHERE experiment_id = $1) \
         OR EXISTS (SELECT 1 FROM trace_info WHERE experiment_id = $1)";

    static DELETE_METRICS: Gc = "DELETE FROM metrics WHERE run_uuid = $1";
    static DELETE_LATEST_METRICS: Gc = "DELETE FROM latest_metrics WHERE run_uuid = $1";
    static DELETE_PARAMS: Gc = "DELETE FROM params WHERE run_uuid = $1";
    static DELETE_TAGS: Gc = "DELETE FROM tags WHERE run_uuid = $1";
    static DELETE_MODEL_METRICS: Gc = "DELETE FROM logged_model_metrics WHERE run_id = $1";
    static DELETE_INPUT_TAGS: Gc =
        "DELETE FROM input_tags WHERE input_uuid IN \
         (SELECT input_uuid FROM inputs WHERE destination_type = 'RUN' AND destination_id = $1)";
    static DELETE_INPUTS: Gc = "DELETE FROM inputs WHERE destination_type = 'RUN' AND destination_id = $1";
    static DELETE_MODEL_INPUTS: Gc = "DELETE FROM inputs WHERE source_type = 'RUN_INPUT' AND source_id = $1";
    static DELETE_MODEL_OUTPUTS: Gc = "DELETE FROM inputs WHERE source_type = 'RUN_OUTPUT' AND source_id = $1";
    static DELETE_RUN: Gc = "DELETE FROM runs WHERE run_uuid = $1";

    static DELETE_USES: Gc =
        "DELETE FROM inputs WHERE destination_type IN ('MODEL_INPUT', 'MODEL_OUTPUT') AND destination_id = $1";
    static DELETE_MODEL: Gc = "DELETE FROM logged_models WHERE model_id = $1";

    /// Of a queue in another experiment, if the trace was moved. Those of its own are deleted with their queue.
    static DELETE_REVIEWS: Gc = "DELETE FROM review_queue_items WHERE item_id = $1 AND item_type = 'trace'";
    static DELETE_TRACE: Gc = "DELETE FROM trace_info WHERE request_id = $1";

    static DELETE_REBUILDS: Gc = "DELETE FROM sql_trace_rollup_rebuild_queue WHERE experiment_id = $1";
    static DELETE_TRACE_ROLLUPS: Gc = "DELETE FROM sql_trace_metric_daily_rollups WHERE experiment_id = $1";
    static DELETE_COST_ROLLUPS: Gc = "DELETE FROM sql_span_cost_daily_rollups WHERE experiment_id = $1";
    static DELETE_ASSESSMENT_ROLLUPS: Gc = "DELETE FROM sql_assessment_daily_rollups WHERE experiment_id = $1";
    static DELETE_DATASET_LINKS: Gc =
        "DELETE FROM entity_associations WHERE destination_type = 'experiment' AND destination_id = \
         (SELECT CAST(e.experiment_id AS VARCHAR(20)) FROM experiments e WHERE e.experiment_id = $1)";
    static DELETE_BINDINGS: Gc =
        "DELETE FROM endpoint_bindings WHERE resource_type = 'scorer' AND resource_id IN \
         (SELECT scorer_id FROM scorers WHERE experiment_id = $1)";
    static DELETE_SCORING: Gc = "DELETE FROM online_scoring_configs WHERE experiment_id = $1";
    static DELETE_EXPERIMENT_TAGS: Gc = "DELETE FROM experiment_tags WHERE experiment_id = $1";
    static DELETE_EXPERIMENT: Gc = "DELETE FROM experiments WHERE experiment_id = $1";
}

/// The rows of a run, in the order of the foreign keys.
static RUN_ROWS: [&Sql<Gc>; 10] = [
    &DELETE_METRICS,
    &DELETE_LATEST_METRICS,
    &DELETE_PARAMS,
    &DELETE_TAGS,
    &DELETE_MODEL_METRICS,
    &DELETE_INPUT_TAGS,
    &DELETE_INPUTS,
    &DELETE_MODEL_INPUTS,
    &DELETE_MODEL_OUTPUTS,
    &DELETE_RUN,
];

static MODEL_ROWS: [&Sql<Gc>; 2] = [&DELETE_USES, &DELETE_MODEL];

static TRACE_ROWS: [&Sql<Gc>; 2] = [&DELETE_REVIEWS, &DELETE_TRACE];

/// Rollups and datasets' links to experiments have no foreign key, and a later experiment may get the same id. Scorers,
/// label schemas, review queues and issues are deleted with their experiment; a dataset may belong to others.
static EXPERIMENT_ROWS: [&Sql<Gc>; 9] = [
    &DELETE_DATASET_LINKS,
    &DELETE_BINDINGS,
    &DELETE_REBUILDS,
    &DELETE_TRACE_ROLLUPS,
    &DELETE_COST_ROLLUPS,
    &DELETE_ASSESSMENT_ROLLUPS,
    &DELETE_SCORING,
    &DELETE_EXPERIMENT_TAGS,
    &DELETE_EXPERIMENT,
];

impl Unscoped<'_> {
    /// A page of what can be purged, by id; `after` is the last id of the previous page. Only what was deleted at or
    /// before `before`, in milliseconds since 1970, and of what is not in a given experiment only that in `workspace`.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn purgeable(
        &self,
        what: Purgeable,
        workspace: Option<&str>,
        before: i64,
        after: Option<&str>,
    ) -> Result<Vec<DeletedEntity>> {
        let after = after.unwrap_or_default();
        let text = || Value::from(after);
        let (sql, values) = match what {
            Purgeable::Runs => (&RUNS, vec![text(), before.into(), PAGE.into(), workspace.into()]),
            Purgeable::LoggedModels => (&LOGGED_MODELS, vec![text(), before.into(), PAGE.into(), workspace.into()]),
            Purgeable::Experiments => {
                let after = after.parse::<i64>().unwrap_or(-1);
                (&EXPERIMENTS, vec![after.into(), before.into(), PAGE.into(), workspace.into()])
            }
            Purgeable::RunsOf(experiment) => (&RUNS_OF, vec![experiment.into(), text(), before.into(), PAGE.into()]),
            Purgeable::LoggedModelsOf(experiment) => (&LOGGED_MODELS_OF, vec![experiment.into(), text(), PAGE.into()]),
            Purgeable::TracesOf(experiment) => (&TRACES_OF, vec![experiment.into(), text(), PAGE.into()]),
        };
        Ok(self.store.db.query(Statement::new(sql, values), deleted_from_row).await?)
    }

    /// Purges a run that was deleted at or before `before`, in milliseconds since 1970.
    /// `delete_artifacts` deletes its artifacts.
    ///
    /// # Errors
    /// The artifacts could not be deleted, or the database failed; the run is unchanged.
    pub async fn purge_run<F>(
        &self,
        run_id: &str,
        before: i64,
        delete_artifacts: impl FnOnce(DeletedEntity) -> F,
    ) -> Result<PurgeOutcome>
    where
        F: Future<Output = Result<()>>,
    {
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction_once(|tx| async move {
                let found = tx
                    .query_opt(Statement::new(&LOCK_RUN, vec![run_id.into(), before.into()]), deleted_from_row)
                    .await?;
                let Some(found) = found else { return Ok(PurgeOutcome::NotFound) };
                delete_artifacts(found).await?;
                purge_of_run(&tx, run_id, invalidation).await?;
                delete_rows(&tx, &RUN_ROWS, run_id.into()).await?;
                Ok(PurgeOutcome::Purged)
            })
            .await
    }

    /// Purges a logged model that was deleted at or before `before`, or whose experiment was.
    ///
    /// # Errors
    /// The artifacts could not be deleted, or the database failed; the model is unchanged.
    pub async fn purge_logged_model<F>(
        &self,
        model_id: &str,
        before: i64,
        delete_artifacts: impl FnOnce(DeletedEntity) -> F,
    ) -> Result<PurgeOutcome>
    where
        F: Future<Output = Result<()>>,
    {
        self.store
            .db
            .transaction_once(|tx| async move {
                let found = tx
                    .query_opt(Statement::new(&LOCK_MODEL, vec![model_id.into(), before.into()]), deleted_from_row)
                    .await?;
                let Some(found) = found else { return Ok(PurgeOutcome::NotFound) };
                delete_artifacts(found).await?;
                delete_rows(&tx, &MODEL_ROWS, model_id.into()).await?;
                Ok(PurgeOutcome::Purged)
            })
            .await
    }

    /// Purges a trace whose experiment was deleted at or before `before`. `delete_artifacts` gets the
    /// locations as read under the row lock, because the trace may have been archived since it was found, and the
    /// workspace.
    ///
    /// # Errors
    /// The artifacts could not be deleted, or the database failed; the trace is unchanged.
    pub async fn purge_trace<F>(
        &self,
        trace_id: &str,
        before: i64,
        delete_artifacts: impl FnOnce(TraceLocations, String) -> F,
    ) -> Result<PurgeOutcome>
    where
        F: Future<Output = Result<()>>,
    {
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction_once(|tx| async move {
                let id = Value::from(trace_id);
                let lock = Statement::new(&LOCK_TRACE, vec![id.clone(), before.into()]);
                let Some(workspace) = tx.query_opt(lock, |row| row.get(0)).await? else {
                    return Ok(PurgeOutcome::NotFound);
                };
                let Some(found) =
                    tx.query_opt(Statement::new(&LOCATIONS_OF_ANY, vec![trace_id.into()]), locations_from_row).await?
                else {
                    return Ok(PurgeOutcome::NotFound);
                };
                delete_artifacts(found, workspace).await?;
                let days = invalidation.of_traces(&tx, &[trace_id.to_owned()]).await?;
                invalidation.add_at_once(&tx, days).await?;
                delete_rows(&tx, &TRACE_ROWS, id).await?;
                Ok(PurgeOutcome::Purged)
            })
            .await
    }

    /// Purges an empty experiment that was deleted at or before `before`. `delete_artifacts` deletes
    /// what is left in its folder.
    ///
    /// # Errors
    /// The folder could not be deleted, or the database failed; the experiment is unchanged.
    pub async fn purge_experiment<F>(
        &self,
        experiment_id: i64,
        before: i64,
        delete_artifacts: impl FnOnce(DeletedEntity) -> F,
    ) -> Result<PurgeOutcome>
    where
        F: Future<Output = Result<()>>,
    {
        self.store
            .db
            .transaction_once(|tx| async move {
                let values = vec![experiment_id.into(), before.into()];
                let found = tx.query_opt(Statement::new(&LOCK_EXPERIMENT, values), deleted_from_row).await?;
                let Some(found) = found else { return Ok(PurgeOutcome::NotFound) };
                if tx.query_opt(Statement::new(&LEFT, vec![experiment_id.into()]), |_| Ok(())).await?.is_some() {
                    return Ok(PurgeOutcome::NotEmpty);
                }
                match delete_rows(&tx, &EXPERIMENT_ROWS, experiment_id.into()).await {
                    Ok(()) => {}
                    Err(DbError::ForeignKey(_)) => return Ok(PurgeOutcome::NotEmpty),
                    Err(error) => return Err(error.into()),
                }
                delete_artifacts(found).await?;
                Ok(PurgeOutcome::Purged)
            })
            .await
    }
}

async fn delete_rows(tx: &Tx, statements: &[&'static Sql<Gc>], id: Value) -> Result<(), DbError> {
    for statement in statements {
        tx.execute(Statement::new(statement, vec![id.clone()])).await?;
    }
    Ok(())
}

fn deleted_from_row(row: &Row<'_>) -> Result<DeletedEntity, DbError> {
    Ok(DeletedEntity { id: row.get(0)?, location: row.get(1)?, workspace: row.get(2)? })
}
