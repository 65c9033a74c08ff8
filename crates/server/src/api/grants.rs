//! Permissions of single users, by the current paths and by those from before roles existed.

use axum::response::Response;
use ferroflow_auth::Key;
use ferroflow_model::{
    Error, Result,
    permission::{Action, DEFAULT_WORKSPACE, Permission, ResourceType, user_role},
};
use ferroflow_store::Role;
use serde_json::{Map, Value, json};

use super::roles::visible_roles;
use crate::{
    access::{Named, canonical, grant_key, old_pattern},
    app::Cx,
    params::Params,
    rpc,
};

/// `GET users/current/permissions`
pub(crate) async fn list_own(cx: Cx, _: Params) -> Result<Response> {
    let username = cx.user()?.1.username.clone();
    list_of(&cx, &username).await
}

/// `GET users/permissions/list`
pub(crate) async fn list(cx: Cx, params: Params) -> Result<Response> {
    list_of(&cx, &params.text("username")?).await
}

async fn list_of(cx: &Cx, username: &str) -> Result<Response> {
    let (is_admin, roles) = visible_roles(cx, username).await?;
    let permissions: Vec<Value> = roles.iter().flat_map(rows_of).collect();
    rpc::json(&json!({ "is_admin": is_admin, "permissions": permissions }))
}

fn rows_of(role: &Role) -> impl Iterator<Item = Value> + '_ {
    role.permissions.iter().map(|allowed| {
        json!({
            "role_id": role.id,
            "role_name": role.name,
            "workspace": role.workspace,
            "resource_type": allowed.resource_type,
            "resource_pattern": allowed.resource_pattern,
            "permission": allowed.permission,
        })
    })
}

/// `POST users/permissions/grant`
pub(crate) async fn grant(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let asked = Asked::read(&params)?;
    let permission = params.text("permission")?;
    access.auth.users().get_user(&asked.username).await?;
    let taken = format!("{} already exists.", asked.described());
    let users = access.auth.users();
    users.add_grant(&asked.username, &asked.kind, &asked.pattern(), &permission, &taken).await?;
    access.auth.changed();
    rpc::json(&json!({}))
}

/// `POST users/permissions/revoke`
pub(crate) async fn revoke(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let asked = Asked::read(&params)?;
    ResourceType::parse(&asked.kind)?;
    let missing = format!("{} not found.", asked.described());
    access.auth.users().remove_grant(&asked.username, &asked.kind, &asked.pattern(), &missing).await?;
    access.auth.changed();
    rpc::json(&json!({}))
}

/// `GET users/permissions/get`: the effective permission of a user on a resource.
pub(crate) async fn get(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let asked = Asked::read(&params)?;
    let kind = ResourceType::parse(&asked.kind)?;
    let key: Key = grant_key(kind, &asked.pattern())?;
    let user = access.auth.look_again(&asked.username).await?;
    let user = user.ok_or_else(|| Error::not_found(format!("User with username={} not found", asked.username)))?;
    let permission = user.permission(&key);
    rpc::json(&json!({ "allowed": permission.allows(Action::Use), "permission": permission.name() }))
}

/// The user and the resource of a grant request.
struct Asked {
    username: String,
    kind: String,
    id: String,
}

impl Asked {
    fn read(params: &Params) -> Result<Self> {
        Ok(Self {
            username: params.text("username")?,
            kind: params.text("resource_type")?,
            id: params.text("resource_id")?,
        })
    }

    fn pattern(&self) -> String {
        if self.kind == ResourceType::Experiment.name() { canonical(&self.id) } else { self.id.clone() }
    }

    fn described(&self) -> String {
        let Self { username, kind, id } = self;
        format!("Permission for user={username} on resource_type={kind}, resource_id={id}")
    }
}

/// The user and the resource of a request to one of the old paths.
struct Old {
    kind: ResourceType,
    username: String,
    pattern: String,
    /// The parameters that identify the resource, unchanged.
    names: Map<String, Value>,
}

impl Old {
    fn read(kind: ResourceType, params: &Params) -> Result<Self> {
        let pattern = old_pattern(kind, &Named::of_parameters(params.map().clone()))?;
        let mut names = Map::new();
        for name in names_of(kind) {
            names.insert((*name).to_owned(), params.text(name)?.into());
        }
        Ok(Self { kind, username: params.text("username")?, pattern, names })
    }

    fn missing(&self) -> String {
        let (what, username) = (self.what(), &self.username);
        let named = self.named().join(", ");
        // The reference's message for scorers has a comma before its "and".
        let comma = if self.named().len() > 1 && self.kind == ResourceType::Scorer { "," } else { "" };
        format!("{what} permission with {named}{comma} and username={username} not found")
    }

    fn taken(&self) -> String {
        let (what, username) = (self.what(), &self.username);
        let named = self.named().join(", ");
        match self.kind {
            ResourceType::RegisteredModel => {
                format!("{what} permission with {named} and username={username} already exists.")
            }
            _ => format!("{what} permission ({named}, username={username}) already exists."),
        }
    }

    fn what(&self) -> &'static str {
        match self.kind {
            ResourceType::RegisteredModel => "Registered model",
            ResourceType::Scorer => "Scorer",
            ResourceType::GatewaySecret => "Gateway secret",
            ResourceType::GatewayEndpoint => "Gateway endpoint",
            ResourceType::GatewayModelDefinition => "Gateway model definition",
            _ => "Experiment",
        }
    }

    /// The resource as it is named in error messages.
    fn named(&self) -> Vec<String> {
        let workspace = (self.kind == ResourceType::RegisteredModel).then(|| format!("workspace={DEFAULT_WORKSPACE}"));
        let name = |name: &&str| self.names.get(*name).and_then(Value::as_str).unwrap_or_default().to_owned();
        workspace.into_iter().chain(names_of(self.kind).iter().map(|key| format!("{key}={}", name(key)))).collect()
    }

    fn json(mut self, user_id: i64, permission: &str) -> Value {
        if self.kind == ResourceType::RegisteredModel {
            self.names.insert("workspace".into(), DEFAULT_WORKSPACE.into());
        }
        self.names.insert("user_id".into(), user_id.into());
        self.names.insert("permission".into(), as_old(permission).into());
        json!({ (format!("{}_permission", self.kind.name())): self.names })
    }
}

/// The permission in a request to an old path. Its `NO_PERMISSIONS` denied access, which is `DENY` today.
fn of_old(params: &Params) -> Result<String> {
    let permission = params.text("permission")?;
    let denies = permission == Permission::NoPermissions.name();
    Ok(if denies { Permission::Deny.name().to_owned() } else { permission })
}

/// A permission as old clients know it, without `DENY`.
pub(crate) fn as_old(permission: &str) -> &str {
    if permission == Permission::Deny.name() { Permission::NoPermissions.name() } else { permission }
}

fn names_of(kind: ResourceType) -> &'static [&'static str] {
    match kind {
        ResourceType::RegisteredModel => &["name"],
        ResourceType::Scorer => &["experiment_id", "scorer_name"],
        ResourceType::GatewaySecret => &["secret_id"],
        ResourceType::GatewayEndpoint => &["endpoint_id"],
        ResourceType::GatewayModelDefinition => &["model_definition_id"],
        _ => &["experiment_id"],
    }
}

pub(crate) async fn old_create(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let users = access.auth.users();
    let old = Old::read(kind, &params)?;
    let permission = of_old(&params)?;
    let user = users.get_user(&old.username).await?;
    users.add_grant(&old.username, kind.name(), &old.pattern, &permission, &old.taken()).await?;
    access.auth.changed();
    rpc::json(&old.json(user.id, &permission))
}

pub(crate) async fn old_get(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let users = access.auth.users();
    let old = Old::read(kind, &params)?;
    let user = users.get_user(&old.username).await?;
    let roles = users.list_user_roles(user.id).await?;
    let own = user_role(user.id);
    let found = roles
        .iter()
        .filter(|role| role.name == own && role.workspace == DEFAULT_WORKSPACE)
        .flat_map(|role| &role.permissions)
        .find(|allowed| allowed.resource_type == kind.name() && allowed.resource_pattern == old.pattern);
    let permission = found.map(|allowed| allowed.permission.clone()).ok_or_else(|| Error::not_found(old.missing()))?;
    rpc::json(&old.json(user.id, &permission))
}

pub(crate) async fn old_update(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let old = Old::read(kind, &params)?;
    let permission = of_old(&params)?;
    let users = access.auth.users();
    users.change_grant(&old.username, kind.name(), &old.pattern, &permission, &old.missing()).await?;
    access.auth.changed();
    rpc::json(&json!({}))
}

pub(crate) async fn old_delete(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let old = Old::read(kind, &params)?;
    access.auth.users().remove_grant(&old.username, kind.name(), &old.pattern, &old.missing()).await?;
    access.auth.changed();
    rpc::json(&json!({}))
}
