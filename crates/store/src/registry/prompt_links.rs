//! Links between traces and the prompts they used.

use ferroflow_model::{Error, Result};

use crate::{
    Scoped,
    db::{Insert, Statement, Value, clock::now_ms, int, text},
    statements::statements,
    workspace::Workspace,
};

statements! {
    static TRACE: Workspace = "SELECT 1 FROM trace_info t WHERE t.request_id = $1 AND {ws of t}";
}

impl Scoped<'_> {
    /// Links prompt versions, by name and number, to the trace that used them. Existing links are kept.
    ///
    /// # Errors
    /// There is no such trace.
    pub async fn link_prompts_to_trace(&self, trace_id: &str, versions: &[(String, i128)]) -> Result<()> {
        if versions.is_empty() {
            return Ok(());
        }
        let mut ids: Vec<String> = versions.iter().map(|(name, version)| format!("{name}/{version}")).collect();
        ids.sort_unstable();
        let ids = &ids;
        self.store
            .db
            .transaction(|tx| async move {
                let trace = Statement::within(self.workspace, &TRACE, vec![trace_id.into()]);
                if tx.query_opt(trace, |_| Ok(())).await?.is_none() {
                    return Err(Error::not_found(format!("Trace with ID '{trace_id}' not found.")));
                }
                let columns = &const {
                    [
                        text("association_id"),
                        text("source_type"),
                        text("source_id"),
                        text("destination_type"),
                        text("destination_id"),
                        int("created_time"),
                    ]
                };
                let now = now_ms();
                let row = |id: &String| -> Vec<Value> {
                    let association = uuid::Uuid::new_v4().simple().to_string();
                    vec![
                        association.into(),
                        "trace".into(),
                        trace_id.into(),
                        "prompt_version".into(),
                        id.into(),
                        now.into(),
                    ]
                };
                let rows = ids.iter().map(row).collect();
                let on_conflict = "ON CONFLICT DO NOTHING";
                tx.insert(Insert { table: "entity_associations", columns, only_if: None, on_conflict, rows }).await?;
                Ok(())
            })
            .await
    }
}
