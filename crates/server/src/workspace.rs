//! The workspace of a request: the one that its header names, or the default one.

pub(crate) mod namespaces;
pub(crate) mod remote;
mod roots;

use std::sync::Arc;

use axum::extract::MatchedPath;
use ferroflow_auth::Caller;
use ferroflow_model::{Error, ErrorCode, Result, permission::DEFAULT_WORKSPACE, validation};
use ferroflow_store::{Workspace, workspaces::no_workspace};
use http::{HeaderMap, request::Parts};

use crate::app::App;

/// The header by which clients name their workspace.
pub(crate) const HEADER: &str = "x-mlflow-workspace";

/// The workspace of a request, and its caller with the grants there.
///
/// # Errors
/// The header names a workspace that does not exist, or in which the caller has nothing; or the server has no workspaces.
pub(crate) async fn of_request(app: &App, parts: &Parts) -> Result<(Workspace, Option<Arc<Caller>>)> {
    let caller = parts.extensions.get::<Arc<Caller>>();
    if let Some(namespaces) = app.access.as_ref().and_then(|access| access.auth.namespaces()) {
        let Some(caller) = caller.filter(|_| !is_server_info(parts)) else {
            return Ok((app.store.workspace(None).await?, None));
        };
        let name = header(&parts.headers)?;
        let (workspace, caller) = namespaces::of_request(app, namespaces, caller, name.as_deref()).await?;
        return Ok((workspace, Some(caller)));
    }
    let workspace = named(app, parts, caller).await?;
    let name = app.store.has_workspaces().then(|| workspace.name());
    let caller = caller.map(|caller| caller.within(name));
    Ok((workspace, caller))
}

/// The workspace that a request names.
async fn named(app: &App, parts: &Parts, caller: Option<&Arc<Caller>>) -> Result<Workspace> {
    let name = header(&parts.headers)?;
    if name.is_some() && is_server_info(parts) {
        return app.store.workspace(None).await;
    }
    if name.is_some() && !app.store.has_workspaces() {
        return Err(Error::new(
            ErrorCode::FeatureDisabled,
            "Workspace APIs are not available: workspaces are not enabled on this server",
        ));
    }
    if app.access.is_some() && caller.is_none() {
        // No public page tells whether a workspace exists.
        return app.store.workspace(None).await;
    }
    if let Some(name) = name.as_deref().filter(|name| *name != DEFAULT_WORKSPACE) {
        validation::workspace_name(name)?;
        if let (Some(access), Some(caller)) = (&app.access, caller)
            && !access.may_enter(caller, name).await?
        {
            return Err(no_workspace(name));
        }
    }
    match app.remote_workspaces() {
        // These say which there are.
        Some(remote) if !is_of_workspaces(parts) => remote.workspace(app, &parts.headers, name.as_deref()).await,
        Some(remote) => {
            remote.check_is_last(&parts.headers).map(|()| app.store.workspaces().default_workspace().clone())
        }
        None => app.store.workspace(name.as_deref()).await,
    }
}

/// Whether it is the call by which clients ask whether there are workspaces.
fn is_server_info(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>();
    path.is_some_and(|path| path.as_str().ends_with("/mlflow/server-info"))
}

/// Whether it is a call about workspaces, or about the server, which is in none.
fn is_of_workspaces(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>();
    is_server_info(parts) || path.is_some_and(|path| path.as_str().contains("/mlflow/workspaces"))
}

/// The name in the header, if there is one. Several headers are one with a list, which is no name.
fn header(headers: &HeaderMap) -> Result<Option<String>> {
    let mut names = Vec::new();
    for value in headers.get_all(HEADER) {
        let value = std::str::from_utf8(value.as_bytes());
        let value = value.map_err(|_| Error::invalid("The header X-MLFLOW-WORKSPACE is not valid UTF-8."))?.trim();
        if !value.is_empty() {
            names.push(value);
        }
    }
    Ok((!names.is_empty()).then(|| names.join(",")))
}
