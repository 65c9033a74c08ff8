//! `ferroflow gc`: the flags of `mlflow gc`, and its output.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ferroflow_artifacts::{Buckets, Locations};
use ferroflow_jobs::{Age, Purge, PurgeOptions, PurgeReport, PurgeTotals, purge_deleted_workspaces, unreferenced};
use ferroflow_model::{Environment, Error, permission::DEFAULT_WORKSPACE};
use ferroflow_store::{Store, StoreOptions, Unscoped, db::Upkeep};

use crate::{
    backend_store::BackendStore,
    logging::{self, LogFormat},
    report::{complete, err, out},
    server::{db_options, destination, rollups},
    variables::flag,
    workspace_store,
};

/// Flags of `ferroflow gc`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct GcArgs {
    /// Only what was deleted longer ago than this, such as 30d or 1d2h3m4s; fractions are allowed
    #[arg(long, value_name = "TIME", value_parser = Age::parse)]
    older_than: Option<Age>,

    #[command(flatten)]
    backend: BackendStore,

    /// The store of the artifacts that the server serves. Without it, objects with such artifacts are kept
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "URI")]
    artifacts_destination: Option<String>,

    /// These runs instead of all deleted ones, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    run_ids: Option<Vec<String>>,

    /// These experiments with everything in them, instead of all deleted ones, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    experiment_ids: Option<Vec<String>>,

    /// These logged models instead of all deleted ones, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    logged_model_ids: Option<Vec<String>>,

    /// Delete finished jobs too
    #[arg(long)]
    jobs: bool,

    /// Delete these finished jobs, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    job_ids: Option<Vec<String>>,

    /// Accepted and ignored: artifacts are deleted from their store directly, not through a server
    #[arg(long, env = "MLFLOW_TRACKING_URI", value_name = "URI", hide_env_values = true)]
    tracking_uri: Option<String>,

    /// Only what is in this workspace. Default: `MLFLOW_WORKSPACE`, or the default workspace of a server with workspaces
    #[arg(long, value_name = "NAME", conflicts_with = "all_workspaces")]
    workspace: Option<String>,

    /// What is in all workspaces
    #[arg(long)]
    all_workspaces: bool,

    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the artifact folders below --artifacts-destination that nothing in the database refers to, and delete
    /// nothing
    #[arg(long, requires = "artifacts_destination", conflicts_with_all = ["run_ids", "experiment_ids", "logged_model_ids", "jobs", "job_ids", "workspace"])]
    unreferenced: bool,

    /// Delete the artifacts of these workspaces instead, which were deleted with everything in them, separated by commas:
    /// the folders in `workspaces/NAME` of --artifacts-destination that nothing in the database refers to
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "artifacts_destination", conflicts_with_all = ["older_than", "run_ids", "experiment_ids", "logged_model_ids", "jobs", "job_ids", "workspace", "all_workspaces", "unreferenced"])]
    deleted_workspaces: Option<Vec<String>>,
}

/// Deletes, or prints what would be deleted.
pub(crate) fn run(args: GcArgs, environment: &Environment) -> Result<()> {
    logging::init(LogFormat::Text, environment);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime does not start")?;
    runtime.block_on(collect(args, environment))
}

async fn collect(args: GcArgs, environment: &Environment) -> Result<()> {
    let buckets = Buckets::new(environment);
    let destination = args.artifacts_destination.as_deref().map(|text| destination(text, &buckets)).transpose()?;
    // Any local path in a row is allowed, with the root `/`: so the empty parent folders can be removed too.
    let local_roots = Some(vec![PathBuf::from("/")]);
    let locations = Locations { destination, local_roots, ..Locations::new(buckets) };
    let backend = args.backend.parse(environment)?;
    let selected = Selected::of(&args, environment)?;
    let options = StoreOptions {
        db: db_options(None, environment)?,
        rollups: rollups::is_enabled(environment)?,
        workspaces: selected != Selected::Only,
        workspace_store: workspace_store::of_environment(&backend, environment)?,
        ..StoreOptions::default()
    };
    let store = Store::open(&backend, options)
        .await
        .with_context(|| format!("the backend store {backend} cannot be opened"))?;
    let outcome = if args.unreferenced {
        list_unreferenced(store.unscoped(Upkeep::Gc), &locations).await
    } else if let Some(names) = &args.deleted_workspaces {
        purge_workspaces(store.unscoped(Upkeep::Gc), &locations, names, args.dry_run).await
    } else {
        purge(&store, &locations, args, selected).await
    };
    store.close().await.map_err(to_anyhow)?;
    outcome
}

/// The workspaces that are purged.
#[derive(Debug, PartialEq, Eq)]
enum Selected {
    /// There are none: the database has the default workspace only.
    Only,
    /// One of several.
    One(String),
    All,
}

impl Selected {
    /// As in the reference, a flag implies that the server has workspaces.
    fn of(args: &GcArgs, environment: &Environment) -> Result<Self> {
        if args.all_workspaces || args.deleted_workspaces.is_some() {
            return Ok(Self::All);
        }
        let named = args.workspace.as_deref().or_else(|| environment.get("MLFLOW_WORKSPACE"));
        match named.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => Ok(Self::One(name.to_owned())),
            None if args.unreferenced && has_workspaces(environment)? => Ok(Self::All),
            None if has_workspaces(environment)? => Ok(Self::One(DEFAULT_WORKSPACE.to_owned())),
            None => Ok(Self::Only),
        }
    }
}

fn has_workspaces(environment: &Environment) -> Result<bool> {
    Ok(flag(environment, "MLFLOW_ENABLE_WORKSPACES")?.unwrap_or(false))
}

async fn purge(store: &Store, locations: &Locations, args: GcArgs, selected: Selected) -> Result<()> {
    let workspace = match selected {
        Selected::One(name) => Some(store.workspace(&name).await.map_err(to_anyhow)?.name().to_owned()),
        Selected::Only | Selected::All => None,
    };
    let store = store.unscoped(Upkeep::Gc);
    let options = PurgeOptions {
        workspace,
        older_than: args.older_than,
        run_ids: args.run_ids,
        experiment_ids: args.experiment_ids,
        logged_model_ids: args.logged_model_ids,
        jobs: args.jobs,
        job_ids: args.job_ids,
        dry_run: args.dry_run,
    };
    let report = |name: &str, outcome| print(name, outcome, options.dry_run);
    let totals = Purge::new(store, locations, &options, report).run().await.map_err(to_anyhow)?;
    summarize(totals, options.dry_run)
}

/// Deletes the artifacts of deleted workspaces.
async fn purge_workspaces(store: Unscoped<'_>, locations: &Locations, names: &[String], dry_run: bool) -> Result<()> {
    let report = |name: &str, outcome| print(name, outcome, dry_run);
    let totals = purge_deleted_workspaces(store, locations, names, dry_run, report).await.map_err(to_anyhow)?;
    summarize(totals, dry_run)
}

fn print(name: &str, outcome: PurgeReport, dry_run: bool) {
    match outcome {
        PurgeReport::Purged if dry_run => out!("{name} would be deleted."),
        PurgeReport::Purged => out!("{name} has been permanently deleted."),
        PurgeReport::NotFound => out!("{name} is no longer marked as deleted."),
        PurgeReport::NotEmpty => err!("{name} is kept: something in it is not deleted, or refers to it."),
        PurgeReport::Failed(reason) => err!("{name} is kept: {reason}"),
    }
}

fn summarize(totals: PurgeTotals, dry_run: bool) -> Result<()> {
    let verb = if dry_run { "would be deleted" } else { "deleted" };
    out!("{} {verb}, {} kept.", totals.purged, totals.kept);
    if totals.kept > 0 {
        bail!("some objects were kept, see the lines above; run the command again to retry");
    }
    Ok(())
}

/// Prints the artifact folders that nothing in the database refers to.
async fn list_unreferenced(store: Unscoped<'_>, locations: &Locations) -> Result<()> {
    let repository = locations.destination().map_err(to_anyhow)?;
    let count = unreferenced(store, &repository, |folder| out!("{folder}")).await.map_err(to_anyhow)?;
    out!("{count} folders below {} belong to nothing in the database.", repository.name());
    complete()
}

fn to_anyhow(error: Error) -> anyhow::Error {
    anyhow::anyhow!(error.message)
}
