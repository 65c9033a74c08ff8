//! Workspaces.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use ferroflow_model::{
    Error, Result,
    messages::service::{
        CreateWorkspace, CreateWorkspaceResponse, DeleteWorkspace, GetWorkspace, GetWorkspaceResponse, ListWorkspaces,
        ListWorkspacesResponse, TraceArchivalConfig, UpdateWorkspace, UpdateWorkspaceResponse,
    },
    permission::DEFAULT_WORKSPACE,
    python, uri, validation,
};
use ferroflow_store::{DeletionMode, WorkspaceValues};
use http::StatusCode;

use crate::{api::tracking::experiments::check_location, app::Cx, rpc, workspace::namespaces::record};

pub(crate) async fn list(cx: Cx, _: ListWorkspaces) -> Result<ListWorkspacesResponse> {
    if let Some((namespaces, caller)) = cx.namespaces() {
        let workspaces = namespaces.visible(caller).await?.into_iter().map(record).collect();
        return Ok(ListWorkspacesResponse { workspaces });
    }
    let all = match cx.app.remote_workspaces() {
        Some(remote) => remote.list().await?,
        None => cx.app.store.workspaces().list_workspaces().await?,
    };
    Ok(ListWorkspacesResponse { workspaces: cx.listed(all).await? })
}

pub(crate) async fn create(cx: Cx, req: CreateWorkspace) -> Result<Response> {
    let name = req.name();
    if name == DEFAULT_WORKSPACE {
        return Err(Error::invalid("The 'default' workspace is reserved and cannot be created"));
    }
    validation::workspace_name(name)?;
    let values =
        values(&cx, req.description.as_ref(), req.default_artifact_root.as_ref(), req.trace_archival_config.as_ref())?;
    cx.check_workspaces_may_change("creation is")?;
    cx.before_workspace_is_created(name).await?;
    let workspace = Some(match cx.app.remote_workspaces() {
        Some(remote) => remote.create(&cx.app, name, &values).await?,
        None => cx.app.store.workspaces().create_workspace(name, &values).await?,
    });
    cx.after_workspace_was_created(name).await;
    let mut response = rpc::json(&CreateWorkspaceResponse { workspace })?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

pub(crate) async fn get(cx: Cx, _: GetWorkspace) -> Result<GetWorkspaceResponse> {
    let name = named(&cx)?;
    if let Some((namespaces, caller)) = cx.namespaces() {
        return Ok(GetWorkspaceResponse { workspace: Some(record(namespaces.get(caller, name).await?)) });
    }
    let workspace = match cx.app.remote_workspaces() {
        Some(remote) => remote.get(name).await?,
        None => cx.app.store.workspaces().get_workspace_record(name).await?,
    };
    Ok(GetWorkspaceResponse { workspace: Some(workspace) })
}

pub(crate) async fn update(cx: Cx, req: UpdateWorkspace) -> Result<UpdateWorkspaceResponse> {
    let name = named(&cx)?;
    let archival = req.trace_archival_config.as_ref();
    let has_archival = archival.is_some_and(|config| config.location.is_some() || config.retention.is_some());
    if req.description.is_none() && req.default_artifact_root.is_none() && !has_archival {
        return Err(Error::invalid("Workspace update must have at least one key"));
    }
    let values = values(&cx, req.description.as_ref(), req.default_artifact_root.as_ref(), archival)?;
    cx.check_workspaces_may_change("updates are")?;
    let workspace = match cx.app.remote_workspaces() {
        Some(remote) => remote.update(name, &values).await?,
        None => cx.app.store.workspaces().update_workspace(name, &values).await?,
    };
    Ok(UpdateWorkspaceResponse { workspace: Some(workspace) })
}

pub(crate) async fn delete(cx: Cx, _: DeleteWorkspace) -> Result<Response> {
    let name = cx.path("workspace_name");
    if name == DEFAULT_WORKSPACE {
        return Err(Error::invalid("The 'default' workspace is reserved and cannot be deleted"));
    }
    validation::workspace_name(name)?;
    let mode = match cx.query("mode").as_deref() {
        None | Some("RESTRICT") => DeletionMode::Restrict,
        Some("CASCADE") => DeletionMode::Cascade,
        Some("SET_DEFAULT") => DeletionMode::SetDefault,
        Some(other) => {
            return Err(Error::invalid(format!(
                "Invalid deletion mode '{other}'. Must be one of: SET_DEFAULT, CASCADE, RESTRICT"
            )));
        }
    };
    cx.check_workspaces_may_change("deletion is")?;
    let deletion = async {
        match cx.app.remote_workspaces() {
            Some(remote) => remote.delete(&cx.app, name, mode).await,
            None => cx.app.store.workspaces().delete_workspace(name, mode).await,
        }
    };
    cx.with_roles_of_workspace(name, deletion).await?;
    cx.invalidate_owners().await;
    Ok((StatusCode::NO_CONTENT, Body::empty()).into_response())
}

/// The name in the path.
fn named(cx: &Cx) -> Result<&str> {
    let name = cx.path("workspace_name");
    if name != DEFAULT_WORKSPACE {
        validation::workspace_name(name)?;
    }
    Ok(name)
}

/// Validates the values of a workspace. A text of white space is an empty one, which clears a value.
fn values(
    cx: &Cx,
    description: Option<&String>,
    root: Option<&String>,
    archival: Option<&TraceArchivalConfig>,
) -> Result<WorkspaceValues> {
    let root = root.map(|root| artifact_root(cx, root)).transpose()?;
    let location = archival.and_then(|config| config.location.as_ref());
    let location = location.map(|location| archival_location(cx, location)).transpose()?;
    let retention = archival.and_then(|config| config.retention.as_ref());
    let retention = retention.map(|retention| archival_retention(retention)).transpose()?;
    Ok(WorkspaceValues {
        description: description.cloned(),
        default_artifact_root: root,
        trace_archival_location: location,
        trace_archival_retention: retention,
    })
}

/// A URI or an absolute path: clients would resolve a relative one against their own working directory.
pub(crate) fn artifact_root(cx: &Cx, root: &str) -> Result<String> {
    let root = python::strip(root);
    if root.is_empty() {
        return Ok(String::new());
    }
    check_location(cx, root, "default_artifact_root")?;
    // `C:` is a drive.
    let is_uri = uri::scheme(root).is_some_and(|scheme| scheme.len() > 1);
    if !is_uri && !root.starts_with('/') {
        return Err(Error::invalid(format!(
            "Invalid value for 'default_artifact_root'. Expected a URI (for example 's3://bucket/prefix' or \
             'mlflow-artifacts:/prefix') or an absolute path, got '{root}'."
        )));
    }
    Ok(root.to_owned())
}

fn archival_location(cx: &Cx, location: &str) -> Result<String> {
    const FIELD: &str = "trace_archival_config.location";
    let location = python::strip(location);
    if location.is_empty() {
        return Ok(String::new());
    }
    check_location(cx, location, FIELD)?;
    match uri::scheme(location).as_deref() {
        None => Err(Error::invalid(format!("Invalid value for '{FIELD}'. Expected a URI string."))),
        Some("mlflow-artifacts") => Err(Error::invalid(format!(
            "Invalid value for '{FIELD}'. Trace archival location cannot use the proxy-only `mlflow-artifacts:` scheme."
        ))),
        Some(_) => {
            // A location in which this server could neither write nor delete is none.
            cx.app.locations.resolve(location)?;
            Ok(location.to_owned())
        }
    }
}

fn archival_retention(retention: &str) -> Result<String> {
    const FIELD: &str = "trace_archival_config.retention";
    let retention = python::strip(retention);
    if retention.is_empty() {
        return Ok(String::new());
    }
    if retention.chars().count() > 32 {
        return Err(Error::invalid(format!("Invalid value for '{FIELD}'. Maximum length is 32 characters.")));
    }
    if validation::archival_retention(retention).is_err() {
        return Err(Error::invalid(format!(
            "Invalid value for '{FIELD}'. Expected a duration in the form `<int><unit>`, where unit is one of 'm', 'h', or \
             'd' (for example '30d' or '12h')."
        )));
    }
    Ok(retention.to_owned())
}
