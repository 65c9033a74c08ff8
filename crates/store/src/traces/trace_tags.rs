//! Tags of traces. The name of a trace is a tag for clients, and a column of its row.

use ferroflow_model::{Error, Result, limits, validation};

use crate::{
    Scoped,
    db::{Op, Statement, Value, count},
    statements::statements,
    traces::trace_infos::NAME_TAG,
    workspace::Workspace,
};

statements! {
    static LOCK: Workspace =
        "SELECT 1 FROM trace_info t WHERE t.request_id = $1 AND {ws of t} {FOR NO KEY UPDATE OF t}";
    static SET: Workspace =
        "INSERT INTO trace_tags (request_id, key, value) SELECT t.request_id, $2, $3 FROM trace_info t \
         WHERE t.request_id = $1 AND {ws of t} ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value";
    static RENAME: Workspace = "UPDATE trace_info AS t SET trace_name = $2 WHERE t.request_id = $1 AND {ws of t}";
    static DELETE: Workspace =
        "DELETE FROM trace_tags AS g WHERE g.request_id = $1 AND g.key = $2 \
         AND EXISTS (SELECT 1 FROM trace_info t WHERE t.request_id = g.request_id AND {ws of t})";
    static DELETE_NAME: Workspace =
        "UPDATE trace_info AS t SET trace_name = NULL \
         WHERE t.request_id = $1 AND t.trace_name IS NOT NULL AND {ws of t}";
}

impl Scoped<'_> {
    /// Sets a tag.
    ///
    /// # Errors
    /// No trace has the id, only the server sets the tag, or its key is not valid.
    pub async fn set_trace_tag(&self, trace_id: &str, key: &str, value: &str) -> Result<()> {
        validation::settable_trace_tag(key)?;
        let value = self.store.limits.trace_tag(key, value)?;
        let change = if key == NAME_TAG {
            validation::trace_text("Trace name", limits::TRACE_NAME, &value)?;
            Statement::within(self.workspace, &RENAME, vec![trace_id.into(), value.into()])
        } else {
            Statement::within(self.workspace, &SET, vec![trace_id.into(), key.into(), value.into()])
        };
        match self.change_tag(trace_id, change).await? {
            0 => Err(Error::not_found(format!("Trace with ID '{trace_id}' not found."))),
            _ => Ok(()),
        }
    }

    /// Deletes a tag.
    ///
    /// # Errors
    /// There is no such tag, or clients may not delete it.
    pub async fn delete_trace_tag(&self, trace_id: &str, key: &str) -> Result<()> {
        validation::deletable_trace_tag(key)?;
        let change = if key == NAME_TAG {
            Statement::within(self.workspace, &DELETE_NAME, vec![trace_id.into()])
        } else {
            Statement::within(self.workspace, &DELETE, vec![trace_id.into(), key.into()])
        };
        match self.change_tag(trace_id, change).await? {
            0 => Err(Error::not_found(format!("No trace tag with key '{key}' for trace with ID '{trace_id}'"))),
            _ => Ok(()),
        }
    }

    /// Returns the number of changed rows.
    async fn change_tag(&self, trace_id: &str, change: Statement) -> Result<i64> {
        let id = Value::from(trace_id);
        let lock = Op::Query(Statement::within(self.workspace, &LOCK, vec![id]));
        let answers = self.store.db.unit(vec![lock, Op::Execute(change)]).await?;
        Ok(answers.last().map_or(0, count))
    }
}
