//! `ferroflow usage`: what takes the space of a database, and what retention would free.

mod table;

use std::{io::IsTerminal as _, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ferroflow_artifacts::Buckets;
use ferroflow_jobs::{Age, ArtifactBytes, artifact_bytes};
use ferroflow_model::Environment;
use ferroflow_store::{
    migrations::{self, State, TRACKING},
    upkeep::usage::{self, UsageOptions},
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    backend_store::BackendStore,
    logging::{self, LogFormat},
    report::{complete, out},
    server::destination,
};

/// Flags of `ferroflow usage`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    backend: BackendStore,

    /// List the artifacts in this store too, the one that the server serves, with one request for each folder
    #[arg(long, value_name = "URI")]
    artifacts_destination: Option<String>,

    /// Number of the largest experiments, runs and models
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    top: u16,

    /// Age of what retention would free: runs that were deleted, and traces that began, longer ago
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = Age::parse)]
    older_than: Age,

    /// Do not count the rows of runs: points, params and tags. Of a large database that takes minutes
    #[arg(long)]
    quick: bool,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Prints the usage.
pub(crate) fn run(args: &UsageArgs, environment: &Environment) -> Result<()> {
    logging::init(LogFormat::Text, environment);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime does not start")?;
    runtime.block_on(show(args, environment))
}

async fn show(args: &UsageArgs, environment: &Environment) -> Result<()> {
    let uri = args.backend.parse(environment)?;
    let what = || format!("the database {uri}");
    match migrations::state(&uri, &TRACKING).await.with_context(what)? {
        State::At(revision) if TRACKING.serves(revision) => {}
        State::At(revision) => {
            bail!("{} is at revision {}: run `ferroflow db upgrade` first", what(), TRACKING.named(revision))
        }
        State::Empty => bail!("{} has no MLflow tables", what()),
    }
    let options = UsageOptions { top: args.top.into(), older_than_ms: args.older_than.ms, quick: args.quick };
    let bar = Bar::new();
    let usage = usage::usage(&uri, options, |done, of| bar.at("counting", done, of)).await.with_context(what)?;
    let artifacts = match &args.artifacts_destination {
        None => None,
        Some(text) => {
            let repository = destination(text, &Buckets::new(environment))?;
            let listed = artifact_bytes(&repository, |folders| bar.folders(folders)).await;
            Some((repository.name(), listed.map_err(|error| anyhow::anyhow!(error.message))?))
        }
    };
    bar.end();
    if args.json {
        let artifacts = artifacts.map(|(name, ArtifactBytes { files, bytes, experiments })| {
            serde_json::json!({"store": name, "files": files, "bytes": bytes, "experiments": experiments})
        });
        let line = serde_json::json!({"older_than_ms": args.older_than.ms, "database": usage, "artifacts": artifacts});
        out!("{line}");
    } else {
        table::print(&uri.to_string(), &usage, args, artifacts.as_ref());
    }
    complete()
}

/// The progress on a terminal.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new() -> Self {
        // The output may go to a file, and the operator still sees the progress.
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            let style = ProgressStyle::with_template("{spinner} {prefix} {wide_bar} {elapsed}, about {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        }))
    }

    fn at(&self, what: &'static str, done: u64, of: u64) {
        let Some(bar) = &self.0 else { return };
        bar.set_prefix(what);
        bar.set_length(of);
        bar.set_position(done);
    }

    fn folders(&self, folders: u64) {
        let Some(bar) = &self.0 else { return };
        let style = ProgressStyle::with_template("{spinner} listing artifacts: {pos} folders, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_position(folders);
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
