//! Links from traces to runs and to versions of prompts.

use ferroflow_model::{Error, Result, limits, number, validation};

use crate::{
    Scoped,
    db::{Insert, Tx, text},
    traces::keys::LockedTrace,
    tracking::{keys::RunKey, runs},
};

/// Maximum length of an id in a link.
const LINKED_ID: usize = 36;

impl Scoped<'_> {
    /// Links traces to a run. A trace may be linked before it is written.
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
        for id in trace_ids {
            validation::trace_text("trace_ids", LINKED_ID, id)?;
        }
        self.store
            .db
            .transaction(|tx| async move {
                if RunKey::find(self.workspace, &tx, run_id).await?.is_none() {
                    return Err(runs::not_found(run_id));
                }
                insert(&tx, trace_ids.iter().map(String::as_str), "run", &[run_id.to_owned()]).await
            })
            .await
    }

    /// Links versions of prompts, by name and version, to a trace.
    ///
    /// # Errors
    /// No trace has the id, or a version is not a number.
    pub async fn link_prompts_to_trace(&self, trace_id: &str, versions: &[(&str, &str)]) -> Result<()> {
        let prompts = &versions.iter().map(prompt_id).collect::<Result<Vec<_>>>()?;
        if prompts.is_empty() {
            return Ok(());
        }
        self.store
            .db
            .transaction(|tx| async move {
                if LockedTrace::find(self.workspace, &tx, trace_id).await?.is_none() {
                    return Err(Error::not_found(format!("Trace with ID '{trace_id}' not found.")));
                }
                insert(&tx, [trace_id], "prompt_version", prompts).await
            })
            .await
    }
}

/// `name/version`
fn prompt_id((name, version): &(&str, &str)) -> Result<String> {
    let number = number::parse_int(version);
    let number = number.ok_or_else(|| {
        let value = validation::invalid_value("prompt_versions.version", &(*version).into(), Some("it must be an integer."));
        Error::invalid(value)
    })?;
    Ok(format!("{name}/{number}"))
}

/// Inserts the links that are missing, in the order of their keys.
async fn insert(
    tx: &Tx,
    traces: impl IntoIterator<Item = &str>,
    kind: &'static str,
    destinations: &[String],
) -> Result<()> {
    let mut links: Vec<(&str, &str)> = Vec::new();
    for trace in traces {
        links.extend(destinations.iter().map(|destination| (trace, destination.as_str())));
    }
    links.sort_unstable();
    links.dedup();
    let columns = &const {
        [
            text("association_id"),
            text("source_type"),
            text("source_id"),
            text("destination_type"),
            text("destination_id"),
            crate::db::int("created_time"),
        ]
    };
    let now = crate::db::clock::now_ms();
    let row = |(trace, destination): (&str, &str)| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        vec![id.into(), "trace".into(), trace.into(), kind.into(), destination.into(), now.into()]
    };
    let rows = links.into_iter().map(row).collect();
    let on_conflict = "ON CONFLICT DO NOTHING";
    tx.insert(Insert { table: "entity_associations", columns, only_if: None, on_conflict, rows }).await?;
    Ok(())
}
