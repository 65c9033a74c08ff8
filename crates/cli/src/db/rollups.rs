//! `ferroflow db delete-trace-rollups`: deletes what is summed up of traces.

use std::{
    io::{self, BufRead as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow};
use ferroflow_store::{
    RollupRows, Store, StoreOptions,
    db::{BackendUri, Upkeep},
};

use crate::report::{err, out};

/// Deletes the rollups and prints how many there were, if `is_sure` or the operator agrees.
pub(super) async fn delete(uri: &BackendUri, is_sure: bool) -> Result<ExitCode> {
    if !is_sure && !agrees()? {
        err!("Aborted!");
        return Ok(ExitCode::FAILURE);
    }
    let what = || format!("the database {uri}");
    if let BackendUri::Sqlite(path) = uri {
        // `Store::open` would create the file.
        std::fs::metadata(path).with_context(what)?;
    }
    let store = Store::open(uri, StoreOptions::default()).await.with_context(what)?;
    let deleted = store.unscoped(Upkeep::Rollups).delete_rollups().await;
    let RollupRows { traces, span_costs, assessments, queue } =
        deleted.map_err(|error| anyhow!(error.message)).with_context(what)?;
    store.close().await.map_err(|error| anyhow!(error.message)).with_context(what)?;
    out!(
        "Deleted SQL trace rollups: trace_metric={traces}, span_cost={span_costs}, assessment={assessments}, \
         rebuild_queue={queue}."
    );
    Ok(ExitCode::SUCCESS)
}

fn agrees() -> Result<bool> {
    out!("Delete all SQL trace rollups and queued rebuild state? Raw trace data is preserved. [y/N]: ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the standard input cannot be read")?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
