//! Assessments that a run made. They are deleted together with the run.

use crate::{
    db::{Child, DbError, Statement, Tx},
    statements::statements,
};

// `assessment_metadata`, a JSON text, names the run that made the assessment.
statements! {
    static OF_RUN: Child =
        "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' AND \
         {postgres:substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') = $1}\
         {sqlite:instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || $1 || '\"') > 0}";
    static OF_EXPERIMENT: Child =
        "DELETE FROM assessments WHERE assessment_metadata LIKE '%mlflow.assessment.sourceRunId%' AND \
         {postgres:substring(assessment_metadata from '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') IN \
         (SELECT run_uuid FROM runs WHERE experiment_id = $1)}\
         {sqlite:EXISTS (SELECT 1 FROM runs WHERE experiment_id = $1 \
         AND instr(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || run_uuid || '\"') > 0)}";
}

/// Deletes the assessments that a run made.
pub(crate) async fn delete_of_run(tx: &Tx, run_id: &str) -> Result<(), DbError> {
    tx.execute(Statement::new(&OF_RUN, vec![run_id.into()])).await?;
    Ok(())
}

/// Deletes the assessments that the runs of an experiment made.
pub(crate) async fn delete_of_experiment_runs(tx: &Tx, id: i64) -> Result<(), DbError> {
    tx.execute(Statement::new(&OF_EXPERIMENT, vec![id.into()])).await?;
    Ok(())
}
