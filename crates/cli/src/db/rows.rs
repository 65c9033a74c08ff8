//! `ferroflow db rows`: a summary of a database as one line of JSON, to compare two of them.

use std::process::ExitCode;

use anyhow::Result;
use ferroflow_model::Environment;
use ferroflow_store::{
    accounts::roster,
    db::BackendUri,
    migrations::{self, AUTH, Chain, MigrationError, State, TRACKING},
    schema::tune,
    upkeep::{snapshot, workspace_summary},
};

use crate::{
    report::{self, out},
    server::rollups,
    workspace_store,
};

/// Prints the revision, the row count of each table, the time of the newest change, the workspaces, and the users:
/// instead of a password, a fingerprint that shows whether it is the same. Of rollups, whether a server with this
/// environment would use them, and when one last worked on them. Of ferroflow's own indexes, those that are missing.
pub(super) async fn rows(uri: &BackendUri, chain: &'static Chain, environment: &Environment) -> Result<ExitCode> {
    let revision = match migrations::state(uri, chain).await {
        Ok(State::Empty) => None,
        Ok(State::At(revision)) => revision.map(str::to_owned),
        Err(MigrationError::Unknown { found, .. }) => Some(found),
        Err(error) => return Err(error.into()),
    };
    let is_filled_tracking = chain.name == TRACKING.name && revision.is_some();
    let newest = if is_filled_tracking { snapshot::newest(uri).await? } else { None };
    // `None` for the revision of a newer version, or without one.
    let pending = revision.as_deref().and_then(|found| chain.pending(Some(found)));
    let is_at_head = is_filled_tracking && pending == Some(0);
    let workspaces = if is_at_head {
        let workspace_store = workspace_store::of_environment(uri, environment)?;
        Some(workspace_summary::workspaces(uri, workspace_store.as_ref()).await?)
    } else {
        None
    };
    let is_filled_users = chain.name == AUTH.name && pending == Some(0);
    let users = if is_filled_users { roster::roster(uri).await? } else { None };
    let rollups = if is_filled_tracking {
        serde_json::json!({
            "enabled": rollups::is_enabled(environment)?,
            "pass_age_ms": snapshot::rollup_pass_age(uri).await?,
        })
    } else {
        serde_json::Value::Null
    };
    let missing_indexes = if is_at_head { Some(tune::missing(uri).await?) } else { None };
    let line = serde_json::json!({
        "chain": chain.name,
        "revision": revision,
        "release": chain.head_at(revision.as_deref()).map(|head| head.release),
        "head": chain.goal(revision.as_deref()).revision,
        "pending": pending,
        "newest": newest,
        "rows": snapshot::rows(uri).await?,
        "users": users,
        "workspaces": workspaces,
        "rollups": rollups,
        "missing_indexes": missing_indexes,
    });
    out!("{line}");
    report::complete()?;
    Ok(ExitCode::SUCCESS)
}
