//! Assessments that a run made. They are deleted together with the run.

use crate::db::{DbError, Statement, Tx, dialect::Dialect};

// `assessment_metadata`, a JSON text, names the run that made the assessment.
const OF_RUN: (&str, &str) = (
    "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' \
     AND substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') = $1",
    "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' \
     AND instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || $1 || '\"') > 0",
);

const OF_EXPERIMENT: (&str, &str) = (
    "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' \
     AND substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') IN \
     (SELECT run_uuid FROM runs WHERE experiment_id = $1)",
    "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' \
     AND EXISTS (SELECT 1 FROM runs WHERE experiment_id = $1 \
     AND instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || run_uuid || '\"') > 0)",
);

/// Deletes the assessments that a run made.
pub(crate) async fn delete_of_run(tx: &Tx, dialect: Dialect, run_id: &str) -> Result<(), DbError> {
    tx.execute(Statement::fixed(dialect.pick(OF_RUN.0, OF_RUN.1), vec![run_id.into()])).await?;
    Ok(())
}

/// Deletes the assessments that the runs of an experiment made.
pub(crate) async fn delete_of_experiment_runs(tx: &Tx, dialect: Dialect, id: i64) -> Result<(), DbError> {
    tx.execute(Statement::fixed(dialect.pick(OF_EXPERIMENT.0, OF_EXPERIMENT.1), vec![id.into()])).await?;
    Ok(())
}
