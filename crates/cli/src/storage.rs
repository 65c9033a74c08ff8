//! `ferroflow storage`: inspects the artifact store with the server's own settings, and prints the result as JSON.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use ferroflow_artifacts::{Buckets, Locations};
use ferroflow_model::Environment;
use ferroflow_ops::sample;
use ferroflow_store::db::BackendUri;
use serde_json::json;

use crate::{
    logging::{self, LogFormat},
    report::{self, err, out},
    server::{destination, presigns},
};

/// Subcommands of `ferroflow storage`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum StorageCommand {
    /// Write a small file, read it back, download it by a presigned URL and delete it
    Check(Destination),
    /// Read some of the artifacts that a database refers to: of its newest runs and logged models
    Sample {
        /// The database, as for --backend-store-uri
        #[arg(value_name = "URI", hide_env_values = true, env = "MLFLOW_BACKEND_STORE_URI")]
        uri: String,

        #[command(flatten)]
        destination: Destination,

        /// Number of runs, and of logged models
        #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
    },
}

/// Selects the artifact store.
#[derive(Debug, Clone, Args)]
pub(crate) struct Destination {
    /// The store of the artifacts that the server serves
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "URI", default_value = "./mlartifacts")]
    artifacts_destination: String,
}

/// Runs a subcommand. Exit codes: 0: no problems; 1: problems or an error.
pub(crate) fn run(command: StorageCommand, environment: &Environment) -> ExitCode {
    logging::init(LogFormat::Text, environment);
    match start(command, environment) {
        Ok(code) => code,
        Err(error) => {
            err!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: StorageCommand, environment: &Environment) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            StorageCommand::Check(place) => check(&place, environment).await,
            StorageCommand::Sample { uri, destination, count } => {
                let locations = locations(&destination, environment)?;
                let taken = sample::take(&BackendUri::parse(&uri, environment)?, &locations, count).await?;
                out!("{}", json!({"sample": taken}));
                report::complete()?;
                Ok(if taken.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
        }
    })
}

async fn check(place: &Destination, environment: &Environment) -> Result<ExitCode> {
    let repository = destination(&place.artifacts_destination, &Buckets::new(environment))?;
    let trial = repository.try_out(presigns(environment)?).await;
    out!("{}", json!({"storage": repository.name(), "trial": trial}));
    report::complete()?;
    let presigned = trial.presigned.is_none_or(|presigned| presigned.failed.is_none());
    Ok(if trial.failed.is_none() && presigned { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn locations(place: &Destination, environment: &Environment) -> Result<Locations> {
    let buckets = Buckets::new(environment);
    let destination = Some(destination(&place.artifacts_destination, &buckets)?);
    Ok(Locations { destination, local_roots: None, ..Locations::new(buckets) })
}
