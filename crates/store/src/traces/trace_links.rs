//! Links from traces to runs.

use ferroflow_model::{Error, Result, limits, validation};

use crate::{
    Scoped,
    db::{Insert, clock::now_ms, int, text},
    tracking::{keys::RunKey, runs},
};

/// Maximum length of an id in a link.
const LINKED_ID: usize = 36;

impl Scoped<'_> {
    /// Links traces to a run. Existing links are kept. A trace may be linked before it is written.
    ///
    /// # Errors
    /// There are too many traces, or the run does not exist.
    pub async fn link_traces_to_run(&self, trace_ids: &[String], run_id: &str) -> Result<()> {
        if trace_ids.is_empty() {
            return Ok(());
        }
        if trace_ids.len() > limits::TRACES_PER_LINK {
            return Err(Error::invalid(format!(
                "Cannot link more than {} traces to a run in a single request. Provided {} traces.",
                limits::TRACES_PER_LINK,
                trace_ids.len()
            )));
        }
        let mut ids: Vec<&str> = trace_ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        for id in &ids {
            validation::trace_text("trace_ids", LINKED_ID, id)?;
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
        let row = |id: &&str| {
            let association = uuid::Uuid::new_v4().simple().to_string();
            vec![association.into(), "trace".into(), (*id).into(), "run".into(), run_id.into(), now.into()]
        };
        let rows = ids.iter().map(row).collect();
        let on_conflict = "ON CONFLICT DO NOTHING";
        let links = &Insert { table: "entity_associations", columns, only_if: None, on_conflict, rows };
        self.store
            .db
            .transaction(|tx| async move {
                if RunKey::find(self.workspace, &tx, run_id).await?.is_none() {
                    return Err(runs::not_found(run_id));
                }
                tx.insert(links.clone()).await?;
                Ok(())
            })
            .await
    }
}
