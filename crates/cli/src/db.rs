//! `ferroflow db`: what is done to a database while no server runs on it.

use anyhow::{Context as _, Result};
use clap::{ArgAction, Args, Subcommand};
use ferroflow_store::{
    db::{BackendUri, Db, DbOptions},
    schema::own,
};

/// Arguments of `ferroflow db`.
#[derive(Debug, Args)]
pub(crate) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,

    /// Print help
    #[arg(short, long, action = ArgAction::Help, global = true)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Drop the tables and indexes that ferroflow adds to MLflow's, with the events that wait for
    /// webhooks. A server makes them again when it starts
    DropOwn {
        /// The database, as --backend-store-uri of the server
        #[arg(value_name = "URI", hide_env_values = true, env = "MLFLOW_BACKEND_STORE_URI")]
        uri: String,
    },
}

/// Runs a command.
pub(crate) fn run(args: &DbArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &args.command {
        DbCommand::DropOwn { uri } => runtime.block_on(drop_own(uri)),
    }
}

async fn drop_own(uri: &str) -> Result<()> {
    let uri = BackendUri::parse(uri)?;
    let what = || format!("the database {uri}");
    if let BackendUri::Sqlite(path) = &uri {
        // Opening would make the file.
        std::fs::metadata(path).with_context(what)?;
    }
    let db = Db::open(&uri, DbOptions::default()).with_context(what)?;
    let dropped = own::drop_all(&db).await.with_context(what)?;
    db.close().await.with_context(what)?;
    match dropped.as_slice() {
        [] => println!("{uri} has nothing of ferroflow's own"),
        names => println!("dropped {}", names.join(", ")),
    }
    Ok(())
}
