//! The workspace of a request: the one that its header names, or the default one.

use axum::extract::MatchedPath;
use ferroflow_model::{Error, ErrorCode, Result, permission::DEFAULT_WORKSPACE, validation};
use ferroflow_store::Workspace;
use http::{HeaderMap, request::Parts};

use crate::app::App;

/// The header by which clients name their workspace.
pub(crate) const HEADER: &str = "x-mlflow-workspace";

/// The workspace of a request.
///
/// # Errors
/// The header names a workspace that does not exist, or the server has no workspaces.
pub(crate) async fn of_request(app: &App, parts: &Parts) -> Result<Workspace> {
    let name = header(&parts.headers)?;
    // Clients ask it whether there are workspaces.
    let is_server_info = || {
        let path = parts.extensions.get::<MatchedPath>();
        path.is_some_and(|path| path.as_str().ends_with("/mlflow/server-info"))
    };
    if name.is_some() && is_server_info() {
        return app.store.workspace(None).await;
    }
    if name.is_some() && !app.store.has_workspaces() {
        return Err(Error::new(
            ErrorCode::FeatureDisabled,
            "Workspace APIs are not available: workspaces are not enabled on this server",
        ));
    }
    if let Some(name) = name.as_deref().filter(|name| *name != DEFAULT_WORKSPACE) {
        validation::workspace_name(name)?;
    }
    app.store.workspace(name.as_deref()).await
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
