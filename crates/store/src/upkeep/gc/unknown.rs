//! Finds orphaned artifact folders: what of their names is in the database.

use ferroflow_model::Result;

use crate::{
    Unscoped,
    db::{Row, Statement, upkeep::Gc},
    statements::statements,
};

/// The kind of entity that owns an artifact folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A run.
    Run,
    /// A logged model.
    LoggedModel,
    /// A trace.
    Trace,
}

statements! {
    static RUNS: Gc = "SELECT run_uuid FROM runs WHERE run_uuid {in $1}";
    static LOGGED_MODELS: Gc = "SELECT model_id FROM logged_models WHERE model_id {in $1}";
    static TRACES: Gc = "SELECT request_id FROM trace_info WHERE request_id {in $1}";
    static WORKSPACES: Gc = "SELECT name FROM workspaces WHERE name {in $1}";
    static WITH_EXPERIMENTS: Gc = "SELECT DISTINCT workspace FROM experiments WHERE workspace {in $1}";
}

impl Unscoped<'_> {
    /// Those of `ids` that no entity of this kind has.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn unknown(&self, kind: Owner, ids: Vec<String>) -> Result<Vec<String>> {
        let sql = match kind {
            Owner::Run => &RUNS,
            Owner::LoggedModel => &LOGGED_MODELS,
            Owner::Trace => &TRACES,
        };
        let known: std::collections::HashSet<String> = self
            .store
            .db
            .query(Statement::new(sql, vec![ids.clone().into()]), |row| row.get(0))
            .await?
            .into_iter()
            .collect();
        Ok(ids.into_iter().filter(|id| !known.contains(id)).collect())
    }

    /// Those of `names` that are workspaces, or that an experiment is in.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn existing_workspaces(&self, names: Vec<String>) -> Result<Vec<String>> {
        let read = |row: &Row<'_>| row.get::<String>(0);
        let experiments = Statement::new(&WITH_EXPERIMENTS, vec![names.clone().into()]);
        let mut found = self.store.workspace_db().query(Statement::new(&WORKSPACES, vec![names.into()]), read).await?;
        found.extend(self.store.db.query(experiments, read).await?);
        Ok(found)
    }
}
