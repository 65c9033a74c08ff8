//! The database of the workspaces, where it is another one than the backend store.

use anyhow::{Context as _, Result};
use ferroflow_model::Environment;
use ferroflow_store::db::BackendUri;

/// The variable that names it, for commands too.
const VARIABLE: &str = "MLFLOW_WORKSPACE_STORE_URI";

/// The database that a URI names, if it is not the backend store itself.
///
/// # Errors
/// It is not the URI of a database.
pub(crate) fn other(uri: &str, backend: &BackendUri, environment: &Environment) -> Result<Option<BackendUri>> {
    if uri.is_empty() {
        return Ok(None);
    }
    let found = BackendUri::parse(uri, environment)
        .context("--workspace-store-uri (MLFLOW_WORKSPACE_STORE_URI) does not name a database")?;
    Ok((!found.is_same_database(backend)).then_some(found))
}

/// The database that the environment names, if it is not the backend store itself.
///
/// # Errors
/// Those of [`other`].
pub(crate) fn of_environment(backend: &BackendUri, environment: &Environment) -> Result<Option<BackendUri>> {
    environment.get(VARIABLE).map_or(Ok(None), |uri| other(uri, backend, environment))
}
