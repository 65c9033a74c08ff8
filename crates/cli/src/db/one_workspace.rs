//! `ferroflow db migrate-to-default-workspace`: moves everything into the default workspace, so that a server without
//! workspaces can use the database.

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use ferroflow_model::Environment;
use ferroflow_store::{
    Store,
    db::{BackendUri, Upkeep},
};

use super::move_resources::{agrees, open, wait};
use crate::report::{self, err, out};

/// How many conflicts are listed without `--verbose`.
const LISTED: usize = 5;

/// Flags of `ferroflow db migrate-to-default-workspace`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct OneWorkspaceArgs {
    /// The database, as for --backend-store-uri
    #[arg(value_name = "URI", hide_env_values = true, env = "MLFLOW_BACKEND_STORE_URI")]
    pub(super) uri: String,

    /// Print what would be moved, and what prevents it, and move nothing
    #[arg(long, overrides_with = "no_dry_run")]
    dry_run: bool,

    /// Move; the default
    #[arg(long)]
    no_dry_run: bool,

    /// List all conflicts
    #[arg(long, short)]
    verbose: bool,

    /// Move without asking
    #[arg(long, short)]
    yes: bool,
}

/// Moves, or prints what would be moved.
pub(super) async fn migrate(uri: &BackendUri, args: &OneWorkspaceArgs, environment: &Environment) -> Result<ExitCode> {
    let store = open(uri, environment).await?;
    let outcome = perform(&store, args).await;
    store.close().await.map_err(|error| anyhow!(error.message)).with_context(|| format!("the database {uri}"))?;
    outcome
}

async fn perform(store: &Store, args: &OneWorkspaceArgs) -> Result<ExitCode> {
    let store = store.unscoped(Upkeep::Move);
    let limit = if args.verbose { usize::MAX } else { LISTED };
    let counts = wait(store.move_to_default_workspace(true, limit)).await?;
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    if !args.dry_run && total == 0 {
        out!("No rows need to be moved.");
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        out!("Dry run completed. Rows that would be moved to the default workspace:");
    } else {
        out!("Rows to be moved to the default workspace:");
    }
    for (table, count) in &counts {
        out!("  {table}: {count}");
    }
    out!("Total rows: {total}");
    if args.dry_run {
        report::complete()?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !agrees("Proceed with migration?")? {
        err!("Aborted!");
        return Ok(ExitCode::FAILURE);
    }
    let moved = wait(store.move_to_default_workspace(false, limit)).await?;
    let total: i64 = moved.iter().map(|(_, count)| count).sum();
    out!("Moved {total} rows to the default workspace.");
    Ok(ExitCode::SUCCESS)
}
