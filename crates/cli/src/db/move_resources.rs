//! `ferroflow db move-resources`: moves resources from one workspace to another, with the flags of the reference.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use ferroflow_model::{Environment, python::repr};
use ferroflow_store::{
    Store, StoreOptions,
    db::{BackendUri, Upkeep},
    migrations::{self, State, TRACKING},
    upkeep::move_resources::{ArtifactPolicy, Chosen, MovableType, Move, Moved, listed},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    report::{self, err, out},
    workspace_store,
};

/// How many names are listed without `--verbose`: of conflicts, and of what is moved.
const LISTED: (usize, usize) = (10, 20);

/// A move that takes longer shows on a terminal that it runs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Flags of `ferroflow db move-resources`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct MoveArgs {
    /// The database, as for --backend-store-uri
    #[arg(value_name = "URI", hide_env_values = true, env = "MLFLOW_BACKEND_STORE_URI")]
    pub(super) uri: String,

    /// The workspace that the resources are in
    #[arg(long, value_name = "WORKSPACE")]
    from: String,

    /// The workspace to move them to
    #[arg(long, value_name = "WORKSPACE")]
    to: String,

    /// `evaluation_datasets`, `experiments`, `jobs`, `mcp_servers`, `registered_models`, `skills` or `webhooks`
    #[arg(long, value_name = "TYPE")]
    resource_type: String,

    /// Only resources with this name; repeatable
    #[arg(long, value_name = "NAME", conflicts_with = "tag")]
    name: Vec<String>,

    /// Only resources with this tag; with several, only those with all of them
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    tag: Vec<(String, String)>,

    /// Print what would be moved, and what prevents it, and move nothing
    #[arg(long, overrides_with = "no_dry_run")]
    dry_run: bool,

    /// Move; the default
    #[arg(long)]
    no_dry_run: bool,

    /// Keep the artifact locations of moved experiments, or change them to where the target creates new ones. Stored
    /// artifacts and locations of runs stay
    #[arg(long, value_enum, default_value_t = Policy::Preserve)]
    artifact_policy: Policy,

    /// The --default-artifact-root of the server, for --artifact-policy retarget to a workspace without a root of its own
    #[arg(long, value_name = "URI")]
    default_artifact_root: Option<String>,

    /// List all names
    #[arg(long, short)]
    verbose: bool,

    /// Move without asking
    #[arg(long, short)]
    yes: bool,

    /// Print the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

/// `--artifact-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    Preserve,
    Retarget,
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        None => Err(format!("Tag {} must be in key=value format (e.g. --tag team=team-a).", repr(text))),
        Some(("", _)) => Err(format!("Tag {} has an empty key. Use key=value format.", repr(text))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
    }
}

impl MoveArgs {
    fn wanted(&self) -> Result<Move> {
        let chosen = match (self.name.is_empty(), self.tag.is_empty()) {
            (true, true) => Chosen::All,
            (false, _) => Chosen::Named(self.name.clone()),
            (true, false) => Chosen::Tagged(self.tag.clone()),
        };
        Ok(Move {
            kind: MovableType::parse(&self.resource_type).map_err(|error| anyhow!(error.message))?,
            from: self.from.clone(),
            to: self.to.clone(),
            chosen,
            artifacts: match self.artifact_policy {
                Policy::Preserve => ArtifactPolicy::Preserve,
                Policy::Retarget => ArtifactPolicy::Retarget(self.default_artifact_root.clone()),
            },
            names_in_errors: if self.verbose { usize::MAX } else { LISTED.0 },
        })
    }
}

/// Moves, or prints what would be moved.
pub(super) async fn move_resources(uri: &BackendUri, args: &MoveArgs, environment: &Environment) -> Result<ExitCode> {
    let wanted = args.wanted()?;
    if args.json && !args.yes && !args.dry_run {
        bail!("--json does not ask: add --dry-run or --yes");
    }
    let store = open(uri, environment).await?;
    let outcome = perform(&store, &wanted, args).await;
    store.close().await.map_err(|error| anyhow!(error.message)).with_context(|| format!("the database {uri}"))?;
    outcome
}

/// Opens a database that has tables.
pub(super) async fn open(uri: &BackendUri, environment: &Environment) -> Result<Store> {
    let what = || format!("the database {uri}");
    if let BackendUri::Sqlite(path) = uri {
        // `Store::open` would create the file, and the tables in an empty database.
        std::fs::metadata(path).with_context(what)?;
    }
    if migrations::state(uri, &TRACKING).await? == State::Empty {
        bail!("{} has no tables: check the URI", what());
    }
    let workspace_store = workspace_store::of_environment(uri, environment)?;
    let options = StoreOptions { workspaces: true, workspace_store, ..StoreOptions::default() };
    Store::open(uri, options).await.with_context(what)
}

async fn perform(store: &Store, wanted: &Move, args: &MoveArgs) -> Result<ExitCode> {
    let store = store.unscoped(Upkeep::Move);
    let (kind, from, to) = (wanted.kind.name(), repr(&wanted.from), repr(&wanted.to));
    let asks = !args.dry_run && !args.yes;
    let is_moved = !args.dry_run && !asks;
    let moved = wait(store.move_resources(wanted, !is_moved)).await?;
    if args.json {
        print_json(wanted, &moved, args.dry_run)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !moved.missing.is_empty() {
        err!("Not in {from}:{}", listed(&moved.missing, usize::MAX));
    }
    if moved.names.is_empty() {
        out!("No {kind} to move.");
        report::complete()?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = listed(&moved.names, if args.verbose { usize::MAX } else { LISTED.1 });
    if args.dry_run {
        out!("Dry run completed. {} {kind} row(s) would be moved from {from} to {to}:{names}", moved.rows);
        notes(&moved);
        report::complete()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut done = moved;
    if asks {
        out!("{} {kind} row(s) to move from {from} to {to}:{names}", done.rows);
        notes(&done);
        if !agrees("Proceed with move?")? {
            err!("Aborted!");
            return Ok(ExitCode::FAILURE);
        }
        done = wait(store.move_resources(wanted, false)).await?;
    } else {
        separated(&done);
    }
    out!("Moved {} {kind} row(s) from {from} to {to}.", done.rows);
    if let Some(root) = &done.root {
        out!("Repointed {} experiment artifact root(s) under {root}.", done.rows);
    }
    if matches!(wanted.kind, MovableType::Experiments | MovableType::RegisteredModels) {
        out!("Permissions are not moved: grant them to users and roles of {to}.");
    }
    Ok(ExitCode::SUCCESS)
}

/// What else is to be said before a move.
fn notes(moved: &Moved) {
    if moved.rows > moved.names.len() as u64 {
        out!(
            "Note: {} rows match {} distinct name(s). All rows with a matching name will be moved.",
            moved.rows,
            moved.names.len()
        );
    }
    separated(moved);
    if let Some(root) = &moved.root {
        out!("Artifact roots would be repointed under {root}.");
    }
}

fn separated(moved: &Moved) {
    for (count, what) in &moved.separated {
        out!("Note: {count} {what}.");
    }
}

fn print_json(wanted: &Move, moved: &Moved, dry_run: bool) -> Result<()> {
    let separated: Vec<_> = moved.separated.iter().map(|(count, what)| json!({"count": count, "what": what})).collect();
    out!(
        "{}",
        json!({
            "resource_type": wanted.kind.name(),
            "from": wanted.from,
            "to": wanted.to,
            "dry_run": dry_run,
            "rows": moved.rows,
            "names": moved.names,
            "missing": moved.missing,
            "artifact_root": moved.root,
            "separated": separated,
        })
    );
    report::complete()
}

/// Waits for a move, and shows on a terminal that it runs.
pub(super) async fn wait<T>(work: impl Future<Output = ferroflow_model::Result<T>>) -> Result<T> {
    tokio::pin!(work);
    let outcome = match tokio::time::timeout(PATIENCE, &mut work).await {
        Ok(outcome) => outcome,
        Err(_) if !io::stderr().is_terminal() => work.await,
        Err(_) => {
            let bar = ProgressBar::new_spinner().with_message("moving, in one transaction");
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg} {elapsed}").unwrap_or(ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(200));
            let outcome = work.await;
            bar.finish_and_clear();
            outcome
        }
    };
    outcome.map_err(|error| anyhow!(error.message))
}

/// Whether the operator agrees.
pub(super) fn agrees(question: &str) -> Result<bool> {
    out!("{question} [y/N]: ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the standard input cannot be read")?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
