//! The database of the workspaces, where it is another one than the backend store.

use anyhow::{Context as _, Result};
use ferroflow_model::Environment;
use ferroflow_server::RemoteWorkspaces;
use ferroflow_store::db::BackendUri;

/// The variable that names it, for commands too.
const VARIABLE: &str = "MLFLOW_WORKSPACE_STORE_URI";

/// The database that a URI names, if it is not the backend store itself. Where another server has the workspaces, the
/// backend store has rows of those that were named by requests.
///
/// # Errors
/// It is not the URI of a database or a server.
pub(crate) fn other(uri: &str, backend: &BackendUri, environment: &Environment) -> Result<Option<BackendUri>> {
    if uri.is_empty() || RemoteWorkspaces::is_server(uri) {
        return Ok(None);
    }
    let found = BackendUri::parse(uri, environment)
        .context("--workspace-store-uri (MLFLOW_WORKSPACE_STORE_URI) names neither a database nor a server")?;
    Ok((!found.is_same_database(backend)).then_some(found))
}

/// The server that a URI names, if it names one.
///
/// # Errors
/// The URL is not valid.
pub(crate) fn server(uri: &str, environment: &Environment) -> Result<Option<RemoteWorkspaces>> {
    if !RemoteWorkspaces::is_server(uri) {
        return Ok(None);
    }
    let remote = RemoteWorkspaces::open(uri, environment);
    let remote = remote.map_err(|reason| anyhow::anyhow!("--workspace-store-uri cannot be used: {reason}"))?;
    if remote.sends_credentials_in_the_clear() {
        tracing::warn!("--workspace-store-uri is not https: credentials are sent in the clear");
    }
    Ok(Some(remote))
}

/// The database that the environment names, if it is not the backend store itself.
///
/// # Errors
/// Those of [`other`].
pub(crate) fn of_environment(backend: &BackendUri, environment: &Environment) -> Result<Option<BackendUri>> {
    environment.get(VARIABLE).map_or(Ok(None), |uri| other(uri, backend, environment))
}
