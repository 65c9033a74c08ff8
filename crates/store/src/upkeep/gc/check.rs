//! Checks, before anything is purged, that the ids given can be.

use ferroflow_model::{Error, ErrorCode, Result};

use crate::{
    Unscoped,
    db::{DbError, Row, Statement, upkeep::Gc},
    statements::statements,
    tracking::experiments::id_of,
};

/// Only those in the workspace `$2`, if it is not NULL.
const IN_WORKSPACE: &str = " AND (CAST($2 AS TEXT) IS NULL OR experiment_id IN (SELECT w.experiment_id FROM experiments w WHERE w.workspace = $2))";

/// What the given ids must meet.
#[derive(Debug, Clone, Copy)]
pub struct PurgeLimits<'a> {
    /// The workspace that they must be in, if not any.
    pub workspace: Option<&'a str>,
    /// They must have been deleted at or before this, in milliseconds since 1970, if `age` is given.
    pub before: i64,
    /// The age as the user wrote it.
    pub age: Option<&'a str>,
}

statements! {
    static RUNS: Gc = "SELECT run_uuid, lifecycle_stage, deleted_time FROM runs WHERE run_uuid {in $1}", IN_WORKSPACE;
    static LOGGED_MODELS: Gc =
        "SELECT model_id, lifecycle_stage, last_updated_timestamp_ms FROM logged_models WHERE model_id {in $1}",
        IN_WORKSPACE;
    static EXPERIMENTS: Gc =
        "SELECT CAST(experiment_id AS VARCHAR(20)), lifecycle_stage, last_update_time FROM experiments \
         WHERE experiment_id {in $1} AND (CAST($2 AS TEXT) IS NULL OR workspace = $2)";
}

impl Unscoped<'_> {
    /// Checks that all runs exist, are deleted, and within the limits.
    ///
    /// # Errors
    /// A run does not meet this.
    pub async fn check_purgeable_runs(&self, ids: &[String], limits: PurgeLimits<'_>) -> Result<()> {
        let values = vec![ids.into(), limits.workspace.into()];
        let found = self.store.db.query(Statement::new(&RUNS, values), state_from_row).await?;
        check(ids, &found, limits, "Run", |id| format!("Run with id={id} not found"))
    }

    /// Checks logged models as [`Unscoped::check_purgeable_runs`] does runs.
    ///
    /// # Errors
    /// A model does not meet this.
    pub async fn check_purgeable_logged_models(&self, ids: &[String], limits: PurgeLimits<'_>) -> Result<()> {
        let values = vec![ids.into(), limits.workspace.into()];
        let found = self.store.db.query(Statement::new(&LOGGED_MODELS, values), state_from_row).await?;
        check(ids, &found, limits, "Logged model", |id| format!("Logged model with ID '{id}' not found."))
    }

    /// Checks experiments as [`Unscoped::check_purgeable_runs`] does runs, and returns their ids as integers.
    ///
    /// # Errors
    /// An experiment does not meet this.
    pub async fn check_purgeable_experiments(&self, ids: &[String], limits: PurgeLimits<'_>) -> Result<Vec<i64>> {
        let keys = ids.iter().map(|id| id_of(id)).collect::<Result<Vec<_>>>()?;
        let values = vec![keys.clone().into(), limits.workspace.into()];
        let found = self.store.db.query(Statement::new(&EXPERIMENTS, values), state_from_row).await?;
        let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let not_found = |id: &str| format!("No Experiment with id={id} exists");
        check(&ids, &found, limits, "Experiment", not_found).map(|()| keys)
    }
}

/// Id, lifecycle stage, and the time of deletion.
type State = (String, Option<String>, Option<i64>);

fn state_from_row(row: &Row<'_>) -> Result<State, DbError> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn check(
    ids: &[String],
    found: &[State],
    limits: PurgeLimits<'_>,
    kind: &str,
    not_found: impl Fn(&str) -> String,
) -> Result<()> {
    for id in ids {
        let Some((_, stage, time)) = found.iter().find(|(found, ..)| found == id) else {
            return Err(Error::not_found(not_found(id)));
        };
        if stage.as_deref() != Some("deleted") {
            return Err(Error::new(
                ErrorCode::InvalidState,
                format!(
                    "{kind} {id} is not in `deleted` lifecycle stage. Only {}s in `deleted` lifecycle stage can be \
                     deleted.",
                    kind.to_lowercase()
                ),
            ));
        }
        if let Some(age) = limits.age
            && time.is_none_or(|time| time > limits.before)
        {
            return Err(Error::invalid(format!(
                "{kind} {id} is not older than the required age. Only {}s older than {age} can be deleted.",
                kind.to_lowercase()
            )));
        }
    }
    Ok(())
}
