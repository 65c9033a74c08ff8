//! `ferroflow db`: upgrades a database of any older MLflow, shows its revision, and verifies its schema.

mod move_resources;
mod one_workspace;
mod own;
mod progress;
mod rollups;
mod rows;
mod show;
mod tune;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};
use ferroflow_model::Environment;
use ferroflow_store::{
    db::BackendUri,
    migrations::{self, AUTH, Chain, Options, State, TRACKING},
};

use self::{move_resources::MoveArgs, one_workspace::OneWorkspaceArgs, progress::Reporter, tune::TuneArgs};
use crate::report::{self, err, out};

/// Subcommands of `ferroflow db`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DbCommand {
    /// Upgrade the tables to those of MLflow 3.17.2, or of --to, or create them in an empty database
    Upgrade(UpgradeArgs),
    /// Show the revision of the database, and the pending ones
    Status(DatabaseArgs),
    /// Compare the schema with that of its revision, name the release, and print every difference
    Check(DatabaseArgs),
    /// Print the revision and the row count of every table as JSON, to compare two databases
    Rows(DatabaseArgs),
    /// Create the indexes that ferroflow adds to MLflow's tables, where they are missing: searches in large databases take
    /// longer without them. Writers are not blocked in PostgreSQL
    Tune(TuneArgs),
    /// Drop the tables and indexes that ferroflow adds to MLflow's, including undelivered webhook events. A server
    /// recreates them when it starts, and the indexes not before
    DropOwn {
        /// The database, as for --backend-store-uri
        #[arg(value_name = "URI", hide_env_values = true, env = "MLFLOW_BACKEND_STORE_URI")]
        uri: String,
    },
    /// Delete the rollups of traces and the queue of those to rebuild; traces, spans and assessments are kept. Stop all
    /// servers on the database before
    DeleteTraceRollups {
        /// The database, as for --backend-store-uri
        #[arg(value_name = "URI", hide_env_values = true, env = "MLFLOW_TRACKING_URI")]
        uri: String,

        /// Delete without asking
        #[arg(long)]
        yes: bool,
    },
    /// Move experiments, registered models or other resources from one workspace to another
    MoveResources(Box<MoveArgs>),
    /// Move everything into the default workspace, so that a server without workspaces can use the database
    MigrateToDefaultWorkspace(OneWorkspaceArgs),
    /// Not supported: restore a backup instead
    #[command(hide = true, disable_help_flag = true)]
    Downgrade {
        /// The arguments of the reference's command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

/// Selects the database.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArgs {
    /// The database, as for --backend-store-uri
    #[arg(value_name = "URI")]
    uri: String,

    /// The users database of basic-auth instead of the tracking database
    #[arg(long)]
    auth: bool,
}

/// Flags of `ferroflow db upgrade`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Stop at this revision, or at the tables of this release: 3.17 or 3.18. Default: 3.17, if the database is not past it
    #[arg(long, value_name = "REVISION")]
    to: Option<String>,

    /// Print the plan without changing anything
    #[arg(long)]
    plan: bool,

    /// Print the plan as JSON
    #[arg(long, requires = "plan")]
    json: bool,

    /// Do not copy a SQLite file before its first change
    #[arg(long)]
    no_backup: bool,

    /// How long to wait for locks. Default: 600 for tables, and without limit for another upgrade
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    lock_timeout: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("'{text}' is not a number of seconds"))
}

impl DatabaseArgs {
    fn chain(&self) -> &'static Chain {
        if self.auth { &AUTH } else { &TRACKING }
    }
}

/// Runs a subcommand. Exit codes: 0: done, or nothing to do; 1: refused, failed or different; 2: usage error.
pub(crate) fn run(command: DbCommand, environment: &Environment) -> ExitCode {
    let outcome = match command {
        DbCommand::Upgrade(args) => with_uri(&args.database.uri, environment, async |uri| upgrade(&uri, &args).await),
        DbCommand::Status(args) => with_uri(&args.uri, environment, async |uri| status(&uri, args.chain()).await),
        DbCommand::Check(args) => with_uri(&args.uri, environment, async |uri| check(&uri, args.chain()).await),
        DbCommand::Rows(args) => {
            with_uri(&args.uri, environment, async |uri| rows::rows(&uri, args.chain(), environment).await)
        }
        DbCommand::Tune(args) => with_uri(&args.uri, environment, async |uri| tune::tune(&uri, &args).await),
        DbCommand::DropOwn { uri } => with_uri(&uri, environment, async |uri| own::drop_own(&uri).await),
        DbCommand::DeleteTraceRollups { uri, yes } => {
            with_uri(&uri, environment, async |uri| rollups::delete(&uri, yes).await)
        }
        DbCommand::MoveResources(args) => {
            with_uri(&args.uri, environment, async |uri| move_resources::move_resources(&uri, &args, environment).await)
        }
        DbCommand::MigrateToDefaultWorkspace(args) => {
            with_uri(&args.uri, environment, async |uri| one_workspace::migrate(&uri, &args, environment).await)
        }
        DbCommand::Downgrade { rest: _ } => {
            err!(
                "Error: there is no downgrade: restore the backup that was taken before the upgrade, and start the \
                 server version that it belongs to (docs/migrating.md)"
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            err!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn with_uri(
    uri: &str,
    environment: &Environment,
    work: impl AsyncFnOnce(BackendUri) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let uri = match BackendUri::parse(uri, environment) {
        Ok(uri) => uri,
        Err(error) => {
            err!("Error: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(uri))
}

async fn upgrade(uri: &BackendUri, args: &UpgradeArgs) -> Result<ExitCode> {
    let chain = args.database.chain();
    if let Some(target) = &args.to
        && let Err(error) = chain.target(target)
    {
        err!("Error: {error}");
        return Ok(ExitCode::from(2));
    }
    if args.plan {
        let plan = migrations::plan(uri, chain, args.to.as_deref()).await?;
        if args.json {
            out!("{}", serde_json::to_string_pretty(&plan)?);
        } else {
            show::plan(&plan);
        }
        report::complete()?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options { to: args.to.clone(), backup: !args.no_backup, lock_timeout: args.lock_timeout };
    let mut reporter = Reporter::new();
    let done = migrations::upgrade(uri, chain, &options, &mut |event| reporter.event(&event)).await;
    reporter.end();
    let done = done?;
    let to = chain.named(Some(done.to));
    match (done.from, done.applied) {
        (State::Empty, _) => out!("created the {} tables of {uri} at {to}", chain.name),
        (State::At(_), 0) => out!("nothing to do: the {} database {uri} is at {to}", chain.name),
        (State::At(from), applied) => out!(
            "upgraded the {} database {uri} from {} to {to}: {applied} revision{}",
            chain.name,
            from.unwrap_or("none"),
            if applied == 1 { "" } else { "s" }
        ),
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(uri: &BackendUri, chain: &'static Chain) -> Result<ExitCode> {
    let state = migrations::state(uri, chain).await?;
    show::status(uri, chain, &state);
    report::complete()?;
    Ok(ExitCode::SUCCESS)
}

async fn check(uri: &BackendUri, chain: &'static Chain) -> Result<ExitCode> {
    let report = migrations::check(uri, chain).await?;
    let is_same = report.differences.is_empty();
    report.differences.iter().for_each(|line| out!("{line}"));
    match report.state {
        State::At(revision) if is_same => out!("no differences from {}", chain.named(revision)),
        State::At(revision) => err!("the {} database {uri} differs from {}", chain.name, chain.named(revision)),
        State::Empty => {}
    }
    report::complete()?;
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Upgrades the database of a server before it starts. An unusable one is reported by the server itself.
pub(crate) async fn migrate_at_start(uri: &BackendUri) -> Result<()> {
    let exists = match uri {
        BackendUri::Sqlite(path) => path.exists(),
        BackendUri::Postgres(_) => true,
    };
    if !exists || migrations::state(uri, &TRACKING).await? == State::Empty {
        // The server creates the tables in an empty database.
        return Ok(());
    }
    let done = migrations::upgrade(uri, &TRACKING, &Options::default(), &mut |event| progress::log(&event)).await?;
    if done.applied > 0 {
        tracing::info!(revisions = done.applied, revision = done.to, "the database was upgraded");
    }
    Ok(())
}
