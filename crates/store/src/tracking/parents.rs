//! The experiment of a run, logged model or trace, which determines its permissions.

use std::collections::HashMap;

use ferroflow_model::{Result, permission::DEFAULT_WORKSPACE, prompts::IS_PROMPT_TAG};

use crate::{Store, db::Statement};

const OF_RUNS: (&str, &str) = (
    "SELECT run_uuid, experiment_id FROM runs WHERE run_uuid = ANY($1)",
    "SELECT run_uuid, experiment_id FROM runs WHERE run_uuid IN (SELECT value FROM json_each($1))",
);
const OF_MODELS: (&str, &str) = (
    "SELECT model_id, experiment_id FROM logged_models WHERE model_id = ANY($1)",
    "SELECT model_id, experiment_id FROM logged_models WHERE model_id IN (SELECT value FROM json_each($1))",
);
const OF_TRACES: (&str, &str) = (
    "SELECT request_id, experiment_id FROM trace_info WHERE request_id = ANY($1)",
    "SELECT request_id, experiment_id FROM trace_info WHERE request_id IN (SELECT value FROM json_each($1))",
);
const EXPERIMENT_OF_NAME: &str = "SELECT experiment_id FROM experiments WHERE workspace = $1 AND name = $2";
const IS_PROMPT: &str = "SELECT t.value FROM registered_models m LEFT JOIN registered_model_tags t \
                         ON t.workspace = m.workspace AND t.name = m.name AND t.key = $3 \
                         WHERE m.workspace = $1 AND m.name = $2";

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

impl Store {
    /// The experiments of runs, logged models or traces, with one query. Unknown ids are omitted.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn experiments_of(&self, child: Child, ids: Vec<String>) -> Result<HashMap<String, String>> {
        let sql = match child {
            Child::Run => OF_RUNS,
            Child::LoggedModel => OF_MODELS,
            Child::Trace => OF_TRACES,
        };
        let statement = Statement::fixed(self.db.dialect().pick(sql.0, sql.1), vec![ids.into()]);
        let found = self.db.query(statement, |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?.to_string()))).await?;
        Ok(found.into_iter().collect())
    }

    /// The id of the experiment with a name, deleted or not.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn experiment_id_of(&self, name: &str) -> Result<Option<String>> {
        let statement = Statement::fixed(EXPERIMENT_OF_NAME, vec![DEFAULT_WORKSPACE.into(), name.into()]);
        let found = self.db.query(statement, |row| Ok(row.get::<i64>(0)?.to_string())).await?;
        Ok(found.into_iter().next())
    }

    /// Whether a registered model is a prompt; `None` if there is no such model.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn is_prompt(&self, name: &str) -> Result<Option<bool>> {
        let values = vec![DEFAULT_WORKSPACE.into(), name.into(), IS_PROMPT_TAG.into()];
        let found = self.db.query(Statement::fixed(IS_PROMPT, values), |row| row.get::<Option<String>>(0)).await?;
        Ok(found.into_iter().next().map(|value| value.is_some_and(|value| value.eq_ignore_ascii_case("true"))))
    }
}
