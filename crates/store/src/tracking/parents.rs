//! The experiment of a run, logged model or trace, which determines its permissions.

use std::collections::HashMap;

use ferroflow_model::{Result, prompts::IS_PROMPT_TAG};

use crate::{Scoped, db::Statement, statements::statements, workspace::Workspace};

statements! {
    static OF_RUNS: Workspace =
        "SELECT run_uuid, experiment_id FROM runs r WHERE r.run_uuid {in $1} AND {ws of r}";
    static OF_MODELS: Workspace =
        "SELECT model_id, experiment_id FROM logged_models m WHERE m.model_id {in $1} AND {ws of m}";
    static OF_TRACES: Workspace =
        "SELECT request_id, experiment_id FROM trace_info t WHERE t.request_id {in $1} AND {ws of t}";
    static EXPERIMENT_OF_NAME: Workspace = "SELECT experiment_id FROM experiments e WHERE {ws:e} AND e.name = $1";
    static IS_PROMPT: Workspace =
        "SELECT t.value FROM registered_models m LEFT JOIN registered_model_tags t \
         ON t.workspace = m.workspace AND t.name = m.name AND t.key = $2 WHERE {ws:m} AND m.name = $1";
}

/// The kinds of entities in an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Child {
    /// Runs, by id.
    Run,
    /// Logged models, by id.
    LoggedModel,
    /// Traces, by id.
    Trace,
}

impl Scoped<'_> {
    /// The experiments of runs, logged models or traces, with one query. Unknown ids are omitted.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn experiments_of(&self, child: Child, ids: Vec<String>) -> Result<HashMap<String, String>> {
        let sql = match child {
            Child::Run => &OF_RUNS,
            Child::LoggedModel => &OF_MODELS,
            Child::Trace => &OF_TRACES,
        };
        let statement = Statement::within(self.workspace, sql, vec![ids.into()]);
        let found =
            self.store.db.query(statement, |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?.to_string()))).await?;
        Ok(found.into_iter().collect())
    }

    /// The id of the experiment with a name, deleted or not.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn experiment_id_of(&self, name: &str) -> Result<Option<String>> {
        let statement = Statement::within(self.workspace, &EXPERIMENT_OF_NAME, vec![name.into()]);
        let found = self.store.db.query(statement, |row| Ok(row.get::<i64>(0)?.to_string())).await?;
        Ok(found.into_iter().next())
    }

    /// Whether a registered model is a prompt; `None` if there is no such model.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn is_prompt(&self, name: &str) -> Result<Option<bool>> {
        let values = vec![name.into(), IS_PROMPT_TAG.into()];
        let found = self
            .store
            .db
            .query(Statement::within(self.workspace, &IS_PROMPT, values), |row| row.get::<Option<String>>(0))
            .await?;
        Ok(found.into_iter().next().map(|value| value.is_some_and(|value| value.eq_ignore_ascii_case("true"))))
    }
}
