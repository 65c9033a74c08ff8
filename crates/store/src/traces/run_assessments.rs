//! Assessments that a run made. They are deleted together with the run.

use crate::{
    db::{DbError, Row, Statement, Tx, upkeep::Gc},
    statements::statements,
    traces::{rollup_queue::Invalidation, rollups::Partition},
    tracking::keys::{ExperimentKey, RunKey},
};

// `assessment_metadata`, a JSON text, names the run that made the assessment.
const OF_ONE: &str = "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' AND \
         {postgres:substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') = $1}\
         {sqlite:instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || $1 || '\"') > 0}";

/// What rollups need to know of the deleted ones.
const PLACES: &str = " RETURNING experiment_id, trace_timestamp_ms";

statements! {
    static OF_RUN: RunKey = OF_ONE, PLACES;
    /// For the purge of a run.
    static OF_ANY_RUN: Gc = OF_ONE, PLACES;
    static OF_EXPERIMENT: ExperimentKey =
        "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' AND \
         {postgres:substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') IN \
         (SELECT run_uuid FROM runs WHERE experiment_id = $1)}\
         {sqlite:EXISTS (SELECT 1 FROM runs WHERE experiment_id = $1 \
         AND instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || run_uuid || '\"') > 0)}", PLACES;
}

/// Deletes the assessments that a run made.
pub(crate) async fn delete_of_run(tx: &Tx, run: &RunKey, invalidation: &Invalidation) -> Result<(), DbError> {
    let places = tx.query(Statement::of(run, &OF_RUN, Vec::new()), place).await?;
    invalidation.add(tx, days(places, invalidation)).await
}

/// Deletes the assessments that the runs of an experiment made.
pub(crate) async fn delete_of_experiment_runs(
    tx: &Tx,
    experiment: ExperimentKey,
    invalidation: &Invalidation,
) -> Result<(), DbError> {
    let places = tx.query(Statement::of(&experiment, &OF_EXPERIMENT, Vec::new()), place).await?;
    invalidation.add(tx, days(places, invalidation)).await
}

/// Deletes the assessments that a run made, when the run is purged.
pub(crate) async fn purge_of_run(tx: &Tx, run_id: &str, invalidation: &Invalidation) -> Result<(), DbError> {
    let places = tx.query(Statement::new(&OF_ANY_RUN, vec![run_id.into()]), place).await?;
    invalidation.add_at_once(tx, days(places, invalidation)).await
}

/// The experiment of an assessment, and when its trace began.
type Place = (Option<i64>, Option<i64>);

fn place(row: &Row<'_>) -> Result<Place, DbError> {
    Ok((row.get(0)?, row.get(1)?))
}

fn days(places: Vec<Place>, invalidation: &Invalidation) -> impl Iterator<Item = Partition> {
    places.into_iter().filter_map(|(experiment, time)| invalidation.of_assessment(experiment?, time?))
}
