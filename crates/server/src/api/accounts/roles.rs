//! Roles, their permissions and their users.

use axum::response::Response;
use ferroflow_model::{Error, Result};
use ferroflow_store::{Assignment, Role, RolePermission};
use serde_json::{Value, json};

use crate::{
    access::{RoleVisibility, managed_workspaces},
    app::Cx,
    params::Params,
    rpc,
};

pub(crate) async fn create(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let (name, workspace) = (params.text("name")?, params.text("workspace")?);
    if name.trim().is_empty() {
        return Err(Error::invalid("Role name cannot be empty."));
    }
    if workspace.trim().is_empty() {
        return Err(Error::invalid("Workspace cannot be empty."));
    }
    let description = optional_description(&params, "Role description must be a string or null.")?;
    let role = access.auth.users().create_role(&name, &workspace, description.as_deref()).await?;
    rpc::json(&json!({ "role": role_json(&role) }))
}

pub(crate) async fn get(cx: Cx, params: Params) -> Result<Response> {
    let role = cx.user()?.0.auth.users().get_role(params.int("role_id")?).await?;
    rpc::json(&json!({ "role": role_json(&role) }))
}

pub(crate) async fn list(cx: Cx, _: Params) -> Result<Response> {
    let (access, caller) = cx.user()?;
    let workspaces = cx.query_all("workspace");
    if workspaces.iter().any(|workspace| workspace.trim().is_empty()) {
        return Err(Error::invalid("Parameter 'workspace' must be a non-empty string when provided."));
    }
    let visibility = RoleVisibility::load(access, caller).await?;
    let mut roles = access.auth.users().list_roles((!workspaces.is_empty()).then_some(workspaces)).await?;
    roles.retain(|role| visibility.shows(role));
    rpc::json(&json!({ "roles": roles.iter().map(role_json).collect::<Vec<_>>() }))
}

pub(crate) async fn update(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let id = params.int("role_id")?;
    let name = params.opt_text("name")?;
    let description = optional_description(&params, "Role description must be a string.")?;
    if name.is_none() && description.is_none() {
        return Err(Error::invalid("At least one of 'name' or 'description' must be provided to update a role."));
    }
    if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        return Err(Error::invalid("Role name cannot be empty."));
    }
    let role = access.auth.users().update_role(id, name.as_deref(), description.as_deref()).await?;
    rpc::json(&json!({ "role": role_json(&role) }))
}

pub(crate) async fn delete(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    access.auth.users().delete_role(params.int("role_id")?).await?;
    rpc::json(&json!({}))
}

pub(crate) async fn add_permission(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let role = params.int("role_id")?;
    let (kind, pattern) = (params.text("resource_type")?, params.text("resource_pattern")?);
    let permission = params.text("permission")?;
    let added = access.auth.users().add_role_permission(role, &kind, &pattern, &permission).await?;
    rpc::json(&json!({ "role_permission": permission_json(&added) }))
}

pub(crate) async fn remove_permission(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    access.auth.users().remove_role_permission(params.int("role_permission_id")?).await?;
    rpc::json(&json!({}))
}

pub(crate) async fn list_permissions(cx: Cx, params: Params) -> Result<Response> {
    let role = cx.user()?.0.auth.users().get_role(params.int("role_id")?).await?;
    let permissions: Vec<Value> = role.permissions.iter().map(permission_json).collect();
    rpc::json(&json!({ "role_permissions": permissions }))
}

pub(crate) async fn update_permission(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let id = params.int("role_permission_id")?;
    let changed = access.auth.users().update_role_permission(id, &params.text("permission")?).await?;
    rpc::json(&json!({ "role_permission": permission_json(&changed) }))
}

pub(crate) async fn assign(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let (username, role) = (params.text("username")?, params.int("role_id")?);
    let users = access.auth.users();
    let user = users.get_user(&username).await?;
    let assignment = users.assign_role(user.id, role).await?;
    rpc::json(&json!({ "assignment": assignment_json(&assignment) }))
}

pub(crate) async fn unassign(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let (username, role) = (params.text("username")?, params.int("role_id")?);
    let users = access.auth.users();
    let user = users.get_user(&username).await?;
    users.unassign_role(user.id, role).await?;
    rpc::json(&json!({}))
}

/// The roles of a user: all for an admin and for the user itself, else those in workspaces that the caller manages.
pub(crate) async fn list_of_user(cx: Cx, params: Params) -> Result<Response> {
    let (_, roles) = visible_roles(&cx, &params.text("username")?).await?;
    rpc::json(&json!({ "roles": roles.iter().map(role_json).collect::<Vec<_>>() }))
}

/// Whether a user is an admin, and those of its roles that the caller may see.
pub(crate) async fn visible_roles(cx: &Cx, username: &str) -> Result<(bool, Vec<Role>)> {
    let (access, caller) = cx.user()?;
    let users = access.auth.users();
    let user = users.get_user(username).await?;
    let mut roles = users.list_user_roles(user.id).await?;
    if !caller.is_admin && caller.username != username {
        let managed = managed_workspaces(&users.list_user_roles(caller.user_id).await?);
        roles.retain(|role| managed.contains(&role.workspace));
    }
    Ok((user.is_admin, roles))
}

pub(crate) async fn list_users(cx: Cx, params: Params) -> Result<Response> {
    let assignments = cx.user()?.0.auth.users().list_role_users(params.int("role_id")?).await?;
    rpc::json(&json!({ "assignments": assignments.iter().map(assignment_json).collect::<Vec<_>>() }))
}

fn optional_description(params: &Params, refusal: &str) -> Result<Option<String>> {
    match params.get("description") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::invalid(refusal)),
    }
}

pub(crate) fn role_json(role: &Role) -> Value {
    json!({
        "id": role.id,
        "name": role.name,
        "workspace": role.workspace,
        "description": role.description,
        "permissions": role.permissions.iter().map(permission_json).collect::<Vec<_>>(),
    })
}

fn permission_json(allowed: &RolePermission) -> Value {
    json!({
        "id": allowed.id,
        "role_id": allowed.role_id,
        "resource_type": allowed.resource_type,
        "resource_pattern": allowed.resource_pattern,
        "permission": allowed.permission,
    })
}

fn assignment_json(assignment: &Assignment) -> Value {
    json!({ "id": assignment.id, "user_id": assignment.user_id, "role_id": assignment.role_id })
}
