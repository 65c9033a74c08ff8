//! `--backend-store-uri` of the commands that read or write a database while no server needs to run.

use anyhow::Result;
use clap::Args;
use ferroflow_model::Environment;
use ferroflow_store::db::BackendUri;

/// The flag.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackendStore {
    /// The database, as for `ferroflow server`
    #[arg(
        long,
        env = "MLFLOW_BACKEND_STORE_URI",
        value_name = "URI",
        default_value = "sqlite:///mlflow.db",
        hide_env_values = true
    )]
    backend_store_uri: String,
}

impl BackendStore {
    /// The database.
    ///
    /// # Errors
    /// It is not a URI of SQLite or PostgreSQL.
    pub(crate) fn parse(&self, environment: &Environment) -> Result<BackendUri> {
        Ok(BackendUri::parse(&self.backend_store_uri, environment)?)
    }
}
