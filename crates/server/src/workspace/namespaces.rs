//! Workspaces that are the namespaces of a Kubernetes cluster: the cluster says which there are, and who may do what in
//! one. Their rows in the database are created when they are needed, and say nothing.

use std::sync::Arc;

use ferroflow_auth::{Caller, Namespace, Namespaces};
use ferroflow_model::{Error, ErrorCode, Result, messages::service::Workspace as WorkspaceRecord};
use ferroflow_store::Workspace;

use crate::app::{App, Cx};

/// The workspace that a request names, or else the default one, and its caller with what the cluster allows there.
///
/// # Errors
/// Those of [`Namespaces::enter`], if the request names a workspace.
pub(super) async fn of_request(
    app: &App,
    namespaces: &Namespaces,
    caller: &Arc<Caller>,
    name: Option<&str>,
) -> Result<(Workspace, Arc<Caller>)> {
    let wanted = name.or(namespaces.default_workspace());
    if caller.is_admin
        && let Some(wanted) = wanted
        && let Ok(found) = app.store.workspace(Some(wanted)).await
    {
        // Also one whose namespace is gone: what is in it must be reached by some user.
        return Ok((found, Arc::clone(caller)));
    }
    let entered = match wanted {
        Some(wanted) => namespaces.enter(caller, wanted).await.map(|there| Some((wanted, there))),
        None => Ok(None),
    };
    match entered {
        Ok(Some((wanted, there))) => {
            let workspace = app.store.workspaces().adopt_workspace(wanted).await?;
            let there = with_names(app, &workspace, there).await?;
            Ok((workspace, there))
        }
        // A client that has no workspace yet asks which there are.
        Err(error) if name.is_some() || !is_refusal(&error) => Err(error),
        Ok(None) | Err(_) => Ok((app.store.workspace(None).await?, namespaces.outside(caller))),
    }
}

/// The caller with what the cluster allows on experiments that roles name. They are looked up by each request, because an
/// experiment gets its name when it is created, and may get another one.
async fn with_names(app: &App, workspace: &Workspace, there: Arc<Caller>) -> Result<Arc<Caller>> {
    let names = there.named_experiments();
    if names.is_empty() {
        return Ok(there);
    }
    let ids = app.store.workspaces().within(workspace).experiment_ids(names).await?;
    Ok(Arc::new(there.with_experiments(&ids)))
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.code, ErrorCode::ResourceDoesNotExist | ErrorCode::PermissionDenied)
}

/// The error of a request that must name a workspace.
pub(crate) fn no_workspace_named() -> Error {
    Error::invalid(
        "Active workspace is required. Configure a default workspace or call mlflow.set_workspace() before interacting \
         with the store.",
    )
}

/// A namespace as the API shows workspaces.
pub(crate) fn record(namespace: Namespace) -> WorkspaceRecord {
    WorkspaceRecord {
        name: Some(namespace.name),
        description: namespace.description,
        default_artifact_root: None,
        trace_archival_config: None,
    }
}

impl Cx {
    /// The namespaces that are the workspaces, and the caller, on a server where they are.
    pub(crate) fn namespaces(&self) -> Option<(&Namespaces, &Arc<Caller>)> {
        self.app.access.as_ref()?.auth.namespaces().zip(self.caller.as_ref())
    }

    /// Refuses a change of workspaces that are not rows of the database, with the reference's message for providers of
    /// workspaces that cannot be changed.
    ///
    /// # Errors
    /// `FEATURE_DISABLED`.
    pub(crate) fn check_workspaces_may_change(&self, change: &str) -> Result<()> {
        match self.namespaces() {
            Some(_) => Err(Error::new(
                ErrorCode::FeatureDisabled,
                format!("Workspace {change} not supported by this provider"),
            )),
            None => Ok(()),
        }
    }
}
