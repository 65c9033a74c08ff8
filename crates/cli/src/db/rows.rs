//! `ferroflow db rows`: what a database has, as one line of JSON, to compare two of them.

use std::process::ExitCode;

use anyhow::Result;
use ferroflow_store::{
    db::BackendUri,
    migrations::{self, Chain, MigrationError, State, TRACKING},
    snapshot,
};

/// Prints the revision, the rows of each table and the time of the newest change.
pub(super) async fn rows(uri: &BackendUri, chain: &'static Chain) -> Result<ExitCode> {
    let revision = match migrations::state(uri, chain).await {
        Ok(State::Empty) => None,
        Ok(State::At(revision)) => revision.map(str::to_owned),
        Err(MigrationError::Unknown { found, .. }) => Some(found),
        Err(error) => return Err(error.into()),
    };
    let is_filled_tracking = chain.name == TRACKING.name && revision.is_some();
    let newest = if is_filled_tracking { snapshot::newest(uri).await? } else { None };
    let line = serde_json::json!({
        "chain": chain.name,
        "revision": revision,
        "head": chain.head(),
        "newest": newest,
        "rows": snapshot::rows(uri).await?,
    });
    println!("{line}");
    Ok(ExitCode::SUCCESS)
}
