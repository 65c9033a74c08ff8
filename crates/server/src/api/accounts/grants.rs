//! Permissions of single users, by the current paths and by those from before roles existed.

use axum::response::Response;
use ferroflow_auth::Key;
use ferroflow_model::{
    Error, Result,
    permission::{Action, Permission, ResourceType, user_role},
};
use ferroflow_store::Role;
use serde_json::{Map, Value, json};

use crate::{
    access::{canonical_id, grant_key, is_there, legacy_pattern},
    api::accounts::roles::visible_roles,
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
    let permissions: Vec<Value> = roles.iter().flat_map(grant_rows).collect();
    rpc::json(&json!({ "is_admin": is_admin, "permissions": permissions }))
}

fn grant_rows(role: &Role) -> impl Iterator<Item = Value> + '_ {
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
    let grant = GrantParams::read(&params)?;
    let permission = params.text("permission")?;
    let users = access.auth.users();
    users.get_user(&grant.username).await?;
    let already_exists = format!("{} already exists.", grant.description());
    let grants = users.grants(cx.workspace.name());
    grants.add(&grant.username, &grant.kind, &grant.pattern(), &permission, &already_exists).await?;
    rpc::json(&json!({}))
}

/// `POST users/permissions/revoke`
pub(crate) async fn revoke(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let grant = GrantParams::read(&params)?;
    ResourceType::parse(&grant.kind)?;
    let not_found = format!("{} not found.", grant.description());
    let grants = access.auth.users().grants(cx.workspace.name());
    grants.remove(&grant.username, &grant.kind, &grant.pattern(), &not_found).await?;
    rpc::json(&json!({}))
}

/// `GET users/permissions/get`: the effective permission of a user on a resource.
pub(crate) async fn get(cx: Cx, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let grant = GrantParams::read(&params)?;
    let kind = ResourceType::parse(&grant.kind)?;
    let key: Key = grant_key(kind, &grant.pattern())?;
    let user = access.auth.user_within(&grant.username, cx.workspace_name()).await?;
    let user = user.ok_or_else(|| Error::not_found(format!("User with username={} not found", grant.username)))?;
    let permission = if is_there(&cx, &key).await? { user.permission(&key) } else { Permission::NoPermissions };
    rpc::json(&json!({ "allowed": permission.allows(Action::Use), "permission": permission.name() }))
}

/// The user and the resource of a grant request.
struct GrantParams {
    username: String,
    kind: String,
    id: String,
}

impl GrantParams {
    fn read(params: &Params) -> Result<Self> {
        Ok(Self {
            username: params.text("username")?,
            kind: params.text("resource_type")?,
            id: params.text("resource_id")?,
        })
    }

    fn pattern(&self) -> String {
        if self.kind == ResourceType::Experiment.name() { canonical_id(&self.id) } else { self.id.clone() }
    }

    fn description(&self) -> String {
        let Self { username, kind, id } = self;
        format!("Permission for user={username} on resource_type={kind}, resource_id={id}")
    }
}

/// The user and the resource of a request to one of the old paths.
struct LegacyGrant {
    kind: ResourceType,
    workspace: String,
    username: String,
    pattern: String,
    /// The parameters that identify the resource, unchanged.
    ids: Map<String, Value>,
}

impl LegacyGrant {
    fn read(cx: &Cx, kind: ResourceType, params: &Params) -> Result<Self> {
        let pattern = legacy_pattern(kind, params)?;
        let mut ids = Map::new();
        for name in id_params(kind) {
            ids.insert((*name).to_owned(), params.text(name)?.into());
        }
        let workspace = cx.workspace.name().to_owned();
        Ok(Self { kind, workspace, username: params.text("username")?, pattern, ids })
    }

    fn not_found(&self) -> String {
        let (label, username) = (self.label(), &self.username);
        let fields = self.fields().join(", ");
        // The reference's message for scorers has a comma before its "and".
        let comma = if self.fields().len() > 1 && self.kind == ResourceType::Scorer { "," } else { "" };
        format!("{label} permission with {fields}{comma} and username={username} not found")
    }

    fn already_exists(&self) -> String {
        let (label, username) = (self.label(), &self.username);
        let fields = self.fields().join(", ");
        match self.kind {
            ResourceType::RegisteredModel => {
                format!("{label} permission with {fields} and username={username} already exists.")
            }
            _ => format!("{label} permission ({fields}, username={username}) already exists."),
        }
    }

    fn label(&self) -> &'static str {
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
    fn fields(&self) -> Vec<String> {
        let workspace = (self.kind == ResourceType::RegisteredModel).then(|| format!("workspace={}", self.workspace));
        let name = |name: &&str| self.ids.get(*name).and_then(Value::as_str).unwrap_or_default().to_owned();
        workspace.into_iter().chain(id_params(self.kind).iter().map(|key| format!("{key}={}", name(key)))).collect()
    }

    fn json(mut self, user_id: i64, permission: &str) -> Value {
        if self.kind == ResourceType::RegisteredModel {
            self.ids.insert("workspace".into(), self.workspace.into());
        }
        self.ids.insert("user_id".into(), user_id.into());
        self.ids.insert("permission".into(), to_legacy(permission).into());
        json!({ (format!("{}_permission", self.kind.name())): self.ids })
    }
}

/// The permission in a request to an old path. Its `NO_PERMISSIONS` denied access, which is `DENY` today.
fn from_legacy(params: &Params) -> Result<String> {
    let permission = params.text("permission")?;
    let denies = permission == Permission::NoPermissions.name();
    Ok(if denies { Permission::Deny.name().to_owned() } else { permission })
}

/// A permission as old clients know it, without `DENY`.
pub(crate) fn to_legacy(permission: &str) -> &str {
    if permission == Permission::Deny.name() { Permission::NoPermissions.name() } else { permission }
}

fn id_params(kind: ResourceType) -> &'static [&'static str] {
    match kind {
        ResourceType::RegisteredModel => &["name"],
        ResourceType::Scorer => &["experiment_id", "scorer_name"],
        ResourceType::GatewaySecret => &["secret_id"],
        ResourceType::GatewayEndpoint => &["endpoint_id"],
        ResourceType::GatewayModelDefinition => &["model_definition_id"],
        _ => &["experiment_id"],
    }
}

pub(crate) async fn legacy_create(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let users = access.auth.users();
    let legacy = LegacyGrant::read(&cx, kind, &params)?;
    let permission = from_legacy(&params)?;
    let user = users.get_user(&legacy.username).await?;
    let grants = users.grants(cx.workspace.name());
    grants.add(&legacy.username, kind.name(), &legacy.pattern, &permission, &legacy.already_exists()).await?;
    rpc::json(&legacy.json(user.id, &permission))
}

pub(crate) async fn legacy_get(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let users = access.auth.users();
    let legacy = LegacyGrant::read(&cx, kind, &params)?;
    let user = users.get_user(&legacy.username).await?;
    let roles = users.list_user_roles(user.id).await?;
    let own = user_role(user.id);
    let found = roles
        .iter()
        .filter(|role| role.name == own && role.workspace == legacy.workspace)
        .flat_map(|role| &role.permissions)
        .find(|allowed| allowed.resource_type == kind.name() && allowed.resource_pattern == legacy.pattern);
    let permission =
        found.map(|allowed| allowed.permission.clone()).ok_or_else(|| Error::not_found(legacy.not_found()))?;
    rpc::json(&legacy.json(user.id, &permission))
}

pub(crate) async fn legacy_update(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let legacy = LegacyGrant::read(&cx, kind, &params)?;
    let permission = from_legacy(&params)?;
    let grants = access.auth.users().grants(cx.workspace.name());
    grants.change(&legacy.username, kind.name(), &legacy.pattern, &permission, &legacy.not_found()).await?;
    rpc::json(&json!({}))
}

pub(crate) async fn legacy_delete(cx: Cx, kind: ResourceType, params: Params) -> Result<Response> {
    let (access, _) = cx.user()?;
    let legacy = LegacyGrant::read(&cx, kind, &params)?;
    let grants = access.auth.users().grants(cx.workspace.name());
    grants.remove(&legacy.username, kind.name(), &legacy.pattern, &legacy.not_found()).await?;
    rpc::json(&json!({}))
}
