//! Checks for flags that are contradictory, unsupported, or without effect.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use ferroflow_model::Environment;
use ferroflow_server::RemoteWorkspaces;
use ferroflow_store::db::BackendUri;

use super::ServerArgs;
use crate::workspace_store;

/// Refuses flags that cannot be honoured, and warns about ignored ones.
pub(crate) fn check(args: &ServerArgs) -> Result<()> {
    refuse_what_is_missing(args)?;
    if let Some(prefix) = args.static_prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        if !prefix.starts_with('/') {
            bail!("--static-prefix must begin with a '/'.");
        }
        if prefix.ends_with('/') {
            bail!("--static-prefix should not end with a '/'.");
        }
        if prefix.contains(['{', '}']) {
            bail!("--static-prefix must not contain '{{' or '}}'.");
        }
    }
    if args.artifacts_only && args.backend_store_uri.is_some() {
        bail!("--artifacts-only serves artifacts and nothing else: it cannot be used with --backend-store-uri");
    }
    if args.artifacts_only && args.read_replica_backend_store_uri.as_ref().is_some_and(|uri| !uri.is_empty()) {
        bail!(
            "--artifacts-only serves artifacts and nothing else: it cannot be used with --read-replica-backend-store-uri"
        );
    }
    if args.artifacts_only && args.has_workspaces() && args.workspace_store_uri.is_none() {
        bail!(
            "--artifacts-only with --enable-workspaces needs --workspace-store-uri: the database of the tracking server, \
             which has the workspaces"
        );
    }
    if args.artifacts_only
        && args.has_workspaces()
        && args.workspace_store_uri.as_deref().is_some_and(RemoteWorkspaces::is_server)
    {
        bail!(
            "--artifacts-only with --enable-workspaces needs the database of the tracking server as --workspace-store-uri, \
             not the server: it has the locations of experiments"
        );
    }
    if args.artifacts_only && args.trace_archival_config.is_some() {
        bail!("--artifacts-only serves artifacts and nothing else: it cannot be used with --trace-archival-config");
    }
    if args.artifacts_only && args.otlp_grpc_port.is_some() {
        bail!("--artifacts-only serves artifacts and nothing else: it cannot be used with --otlp-grpc-port");
    }
    if args.disable_security_middleware && (args.allowed_hosts.is_some() || args.cors_allowed_origins.is_some()) {
        bail!("--disable-security-middleware cannot be used with --allowed-hosts or --cors-allowed-origins");
    }
    if args.workspace_store_uri.is_some() && !args.has_workspaces() {
        tracing::warn!("--workspace-store-uri ignored: workspaces are not enabled (--enable-workspaces)");
    }
    if args.dev {
        tracing::warn!("--dev ignored: there is no Python process to reload");
    }
    if args.allowed_hosts.as_deref() == Some("*") {
        tracing::warn!("accepting all hosts: the server is open to DNS rebinding attacks");
    }
    if args.cors_allowed_origins.as_deref() == Some("*") {
        tracing::warn!("accepting all origins: any website can change data of this server");
    }
    if args.disable_security_middleware {
        tracing::warn!("host and origin checks are off: only for tests");
    }
    if args.backend_store_uri.is_none() && Path::new("mlruns").is_dir() && !Path::new("mlflow.db").exists() {
        tracing::warn!(
            "./mlruns may hold runs of a file store, which this server does not read: \
             `mlflow migrate-filestore` of MLflow 3.17 moves them into a database"
        );
    }
    Ok(())
}

/// The database of the workspaces, if it is another one than the backend store.
///
/// # Errors
/// It is not a database, or there is the variable that names the workspace of a client.
pub(crate) fn workspace_store(
    args: &ServerArgs,
    backend: &BackendUri,
    environment: &Environment,
) -> Result<Option<BackendUri>> {
    if let Some(workspace) = environment.get("MLFLOW_WORKSPACE") {
        bail!("MLFLOW_WORKSPACE={workspace} is client-only. Unset it before starting the server.");
    }
    match &args.workspace_store_uri {
        Some(uri) if args.has_workspaces() => workspace_store::other(uri, backend, environment),
        _ => Ok(None),
    }
}

/// The server with the workspaces, if it is another one.
///
/// # Errors
/// The URL is not valid.
pub(crate) fn remote_workspaces(args: &ServerArgs, environment: &Environment) -> Result<Option<RemoteWorkspaces>> {
    match &args.workspace_store_uri {
        Some(uri) if args.has_workspaces() => workspace_store::server(uri, environment),
        _ => Ok(None),
    }
}

/// The read replica of the backend store, if there is one.
///
/// # Errors
/// Either is not a PostgreSQL database.
pub(crate) fn read_replica(
    args: &ServerArgs,
    backend: &BackendUri,
    environment: &Environment,
) -> Result<Option<BackendUri>> {
    const FLAG: &str = "--read-replica-backend-store-uri";
    let uri = args.read_replica_backend_store_uri.as_deref().filter(|uri| !uri.is_empty());
    let Some(uri) = uri else { return Ok(None) };
    let replica = BackendUri::parse(uri, environment).with_context(|| format!("{FLAG} is not valid"))?;
    if replica.is_same_database(backend) {
        tracing::warn!("{FLAG} ignored: it is the backend store itself");
        return Ok(None);
    }
    match (backend, &replica) {
        (BackendUri::Postgres(_), BackendUri::Postgres(_)) => Ok(Some(replica)),
        (BackendUri::Sqlite(_), _) => bail!("{FLAG} needs PostgreSQL: SQLite, the backend store, has no replicas"),
        (_, BackendUri::Sqlite(_)) => bail!("{FLAG} is SQLite: it must be a streaming replica of the backend store"),
    }
}

/// A flag that affects security or the location of data must not be ignored silently.
fn refuse_what_is_missing(args: &ServerArgs) -> Result<()> {
    if args.registry_store_uri.as_ref().is_some_and(|uri| *uri != args.backend_store_uri()) {
        bail!("--registry-store-uri other than the backend store is not supported by this version");
    }
    Ok(())
}
