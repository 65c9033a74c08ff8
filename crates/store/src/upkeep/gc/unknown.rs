//! Finds orphaned artifact folders.

use ferroflow_model::Result;

use crate::{Store, db::Statement};

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

impl Store {
    /// Those of `ids` that no entity of this kind has.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn unknown(&self, kind: Owner, ids: Vec<String>) -> Result<Vec<String>> {
        let sql = match (kind, self.db.dialect().pick(0, 1)) {
            (Owner::Run, 0) => "SELECT run_uuid FROM runs WHERE run_uuid = ANY($1)",
            (Owner::Run, _) => "SELECT run_uuid FROM runs WHERE run_uuid IN (SELECT value FROM json_each($1))",
            (Owner::LoggedModel, 0) => "SELECT model_id FROM logged_models WHERE model_id = ANY($1)",
            (Owner::LoggedModel, _) => {
                "SELECT model_id FROM logged_models WHERE model_id IN (SELECT value FROM json_each($1))"
            }
            (Owner::Trace, 0) => "SELECT request_id FROM trace_info WHERE request_id = ANY($1)",
            (Owner::Trace, _) => {
                "SELECT request_id FROM trace_info WHERE request_id IN (SELECT value FROM json_each($1))"
            }
        };
        let known: std::collections::HashSet<String> = self
            .db
            .query(Statement::fixed(sql, vec![ids.clone().into()]), |row| row.get(0))
            .await?
            .into_iter()
            .collect();
        Ok(ids.into_iter().filter(|id| !known.contains(id)).collect())
    }
}
