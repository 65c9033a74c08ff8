//! Assessments that a run made. They are deleted together with the run.

use crate::{
    db::{DbError, Statement, Tx, upkeep::Gc},
    statements::statements,
    tracking::keys::{ExperimentKey, RunKey},
};

// `assessment_metadata`, a JSON text, names the run that made the assessment.
const OF_ONE: &str = "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' AND \
         {postgres:substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') = $1}\
         {sqlite:instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || $1 || '\"') > 0}";

statements! {
    static OF_RUN: RunKey = OF_ONE;
    /// For the purge of a run.
    pub(crate) static OF_ANY_RUN: Gc = OF_ONE;
    static OF_EXPERIMENT: ExperimentKey =
        "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' AND \
         {postgres:substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') IN \
         (SELECT run_uuid FROM runs WHERE experiment_id = $1)}\
         {sqlite:EXISTS (SELECT 1 FROM runs WHERE experiment_id = $1 \
         AND instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || run_uuid || '\"') > 0)}";
}

/// Deletes the assessments that a run made.
pub(crate) async fn delete_of_run(tx: &Tx, run: &RunKey) -> Result<(), DbError> {
    tx.execute(Statement::of(run, &OF_RUN, Vec::new())).await?;
    Ok(())
}

/// Deletes the assessments that the runs of an experiment made.
pub(crate) async fn delete_of_experiment_runs(tx: &Tx, experiment: ExperimentKey) -> Result<(), DbError> {
    tx.execute(Statement::of(&experiment, &OF_EXPERIMENT, Vec::new())).await?;
    Ok(())
}
