//! Users of basic-auth.

use axum::response::{IntoResponse as _, Response};
use ferroflow_model::{
    Error, Result,
    permission::{self, ResourceType},
    validation,
};
use ferroflow_store::{Role, User};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    access::managed_workspaces,
    api::accounts::{grants::to_legacy, roles::role_json},
    app::Cx,
    params::Params,
    rpc,
};

/// `POST users/create`
pub(crate) async fn create(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    if !params.is_json() {
        return Ok((StatusCode::BAD_REQUEST, "Invalid content type. Must be application/json").into_response());
    }
    let (username, password) = (params.text("username")?, params.text("password")?);
    if username.is_empty() || password.is_empty() {
        return Ok((StatusCode::BAD_REQUEST, "Username and password cannot be empty.").into_response());
    }
    validation::username(&username)?;
    let hash = access.auth.hash(&password).await?;
    let user = access.auth.users().create_user(&username, &hash, false).await?;
    rpc::json(&json!({ "user": with_grants(&cx, &user, &[]) }))
}

/// `GET users/get`
pub(crate) async fn get(cx: Cx, params: Params) -> Result<Response> {
    let users = cx.user()?.0.auth.users();
    let user = users.get_user(&params.text("username")?).await?;
    let roles = users.list_user_roles(user.id).await?;
    rpc::json(&json!({ "user": with_grants(&cx, &user, &roles) }))
}

/// `GET users/current`: tells the UI who is logged in.
pub(crate) async fn current(cx: Cx, _: Params) -> Result<Response> {
    let (_, caller) = cx.user()?;
    let user = json!({ "id": caller.user_id, "username": caller.username, "is_admin": caller.is_admin });
    rpc::json(&json!({ "user": user, "is_basic_auth": true }))
}

/// `GET users/list`, with the roles that the caller may see.
pub(crate) async fn list(cx: Cx, _: Params) -> Result<Response> {
    let (access, caller) = cx.user()?;
    let users = access.auth.users().list_users().await?;
    let mine = users.iter().find(|(user, _)| user.id == caller.user_id).map_or(&[][..], |(_, roles)| roles);
    let managed = managed_workspaces(mine);
    let users: Vec<Value> = users
        .iter()
        .map(|(user, roles)| {
            let all = caller.is_admin || user.id == caller.user_id;
            let roles: Vec<Value> =
                roles.iter().filter(|role| all || managed.contains(&role.workspace)).map(role_json).collect();
            json!({ "id": user.id, "username": user.username, "is_admin": user.is_admin, "roles": roles })
        })
        .collect();
    rpc::json(&json!({ "users": users }))
}

/// `PATCH users/update-password`. A user who changes its own password must send the current one: an unattended browser
/// is not enough.
pub(crate) async fn update_password(cx: Cx, params: Params) -> Result<Response> {
    let (access, caller) = cx.user()?;
    let (username, password) = (params.text("username")?, params.text("password")?);
    if caller.username == username {
        let current = params.opt_text("current_password")?.filter(|current| !current.is_empty());
        let current =
            current.ok_or_else(|| Error::invalid("Current password is required when changing your own password."))?;
        if !access.auth.confirm_password(&username, &current).await? {
            return Err(Error::invalid("Current password does not match."));
        }
        if current == password {
            return Err(Error::invalid("New password must differ from the current password."));
        }
    }
    access.auth.users().get_user(&username).await?;
    let hash = access.auth.hash(&password).await?;
    access.auth.users().set_password(&username, &hash).await?;
    rpc::json(&json!({}))
}

/// `PATCH users/update-admin`
pub(crate) async fn update_admin(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let username = params.text("username")?;
    let is_admin = params.required("is_admin")?.as_bool();
    let is_admin = is_admin.ok_or_else(|| Error::invalid("Parameter 'is_admin' must be true or false."))?;
    access.auth.users().set_admin(&username, is_admin).await?;
    rpc::json(&json!({}))
}

/// `DELETE users/delete`
pub(crate) async fn delete(cx: Cx, params: Params) -> Result<Response> {
    let (access, caller) = cx.user()?;
    let username = params.text("username")?;
    if caller.username == username {
        return Err(Error::bad_request(
            "Users cannot delete their own account. Ask another admin to delete this user instead.",
        ));
    }
    access.auth.users().delete_user(&username).await?;
    rpc::json(&json!({}))
}

/// A user with the fields that clients older than the reference expect: its own grants on experiments and registered
/// models in the workspace of the request.
fn with_grants(cx: &Cx, user: &User, roles: &[Role]) -> Value {
    let is_here = |role: &&Role| role.workspace == cx.workspace.name();
    let own = roles.iter().filter(is_here).filter(|role| permission::is_user_role(&role.name));
    let of = |kind: ResourceType, id: &str| -> Vec<Value> {
        let allowed = own.clone().flat_map(|role| &role.permissions);
        allowed
            .filter(|allowed| allowed.resource_type == kind.name())
            .map(
                |allowed| json!({ id: allowed.resource_pattern, "user_id": user.id, "permission": to_legacy(&allowed.permission) }),
            )
            .collect()
    };
    json!({
        "id": user.id,
        "username": user.username,
        "is_admin": user.is_admin,
        "experiment_permissions": of(ResourceType::Experiment, "experiment_id"),
        "registered_model_permissions": of(ResourceType::RegisteredModel, "name"),
    })
}
