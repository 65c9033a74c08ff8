//! Authorization for managing users, roles and permissions, by the rules of the reference.

use std::{collections::BTreeSet, sync::Arc};

use ferroflow_auth::{Caller, Key};
use ferroflow_model::{
    Error, ErrorCode, Result,
    permission::{self, ANY, Permission, ResourceType},
};
use ferroflow_store::Role;
use serde_json::Value;

use super::Access;
use crate::{
    app::Cx,
    params::{self, Params},
};

/// An operation on users, roles or permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Create a user: allowed to managers of a workspace.
    CreateUser,
    /// List the users: with workspaces, allowed to members of that of the request.
    ListUsers,
    /// Read the user that the request names, or change its password: allowed to the user itself.
    SelfOnly,
    /// See the roles and grants of a user: also allowed to managers of a workspace that the user has a role in.
    ViewUser,
    /// Change roles: allowed to managers of their workspace.
    ManageRoles,
    /// See a role: allowed to members of its workspace. The role that holds another user's own grants is only shown to
    /// managers of the workspace.
    ViewRoles,
    /// List the roles of workspaces: allowed to members of each. The response is filtered to [`RoleVisibility`].
    ListRoles,
    /// Grant or revoke a permission: allowed to managers of the resource.
    Grant,
    /// See a user's permission on a resource: allowed to the user itself and to managers of the workspace.
    ViewGrant,
    /// Grant, revoke or see permissions by the paths from before roles existed, one per kind of resource.
    Manage(ResourceType),
}

/// Whether a caller may perform the operation.
pub(super) async fn check(
    cx: &Cx,
    access: &Access,
    caller: &Arc<Caller>,
    sharing: Sharing,
    params: &Params,
) -> Result<bool> {
    if matches!(sharing, Sharing::Grant | Sharing::ViewGrant) {
        // This error applies to admins too.
        refuse_workspace(&params.text("resource_type")?)?;
    }
    if caller.is_admin {
        return Ok(true);
    }
    let users = access.auth.users();
    match sharing {
        Sharing::CreateUser => Ok(!managed_workspaces(&users.list_user_roles(caller.user_id).await?).is_empty()),
        Sharing::ListUsers => super::is_allowed(access, caller, Caller::may_create).await,
        Sharing::SelfOnly => Ok(params.text("username")? == caller.username),
        Sharing::ViewUser => {
            let username = params.text("username")?;
            if username == caller.username {
                return Ok(true);
            }
            let Some(user) = users.find_user(&username).await? else { return Ok(false) };
            let managed = managed_workspaces(&users.list_user_roles(caller.user_id).await?);
            let theirs = users.list_user_roles(user.id).await?;
            Ok(theirs.iter().any(|role| managed.contains(&role.workspace)))
        }
        Sharing::ManageRoles => {
            // First, so that a role of another workspace costs what a missing one costs.
            let managed = managed_workspaces(&users.list_user_roles(caller.user_id).await?);
            let Some(found) = referenced_roles(access, params).await? else { return Ok(false) };
            Ok(found.roles.iter().all(|role| managed.contains(&role.workspace)) && found.workspaces.is_subset(&managed))
        }
        Sharing::ViewRoles => {
            let visibility = RoleVisibility::load(access, caller).await?;
            let Some(found) = referenced_roles(access, params).await? else { return Ok(false) };
            Ok(found.roles.iter().all(|role| visibility.shows(role))
                && found.workspaces.iter().all(|name| visibility.shows_workspace(name)))
        }
        Sharing::ListRoles => {
            let requested: BTreeSet<String> = cx
                .query_all("workspace")
                .iter()
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect();
            if requested.is_empty() {
                return Ok(false);
            }
            let visibility = RoleVisibility::load(access, caller).await?;
            Ok(requested.iter().all(|workspace| visibility.shows_workspace(workspace)))
        }
        Sharing::Grant => {
            let (kind, id) = (params.text("resource_type")?, params.text("resource_id")?);
            let kind = ResourceType::parse(&kind)?;
            if id == ANY {
                // There is no single resource to manage: managers of the workspace may, as with roles.
                let managed = managed_workspaces(&users.list_user_roles(caller.user_id).await?);
                return Ok(managed.contains(cx.workspace.name()));
            }
            manages(cx, access, caller, &grant_key(kind, &id)?).await
        }
        Sharing::ViewGrant => {
            let username = params.text("username")?;
            if username == caller.username {
                return Ok(true);
            }
            if users.find_user(&username).await?.is_none() {
                return Ok(false);
            }
            let managed = managed_workspaces(&users.list_user_roles(caller.user_id).await?);
            if !managed.contains(cx.workspace.name()) {
                return Ok(false);
            }
            let (kind, id) = (params.text("resource_type")?, params.text("resource_id")?);
            is_there(cx, &grant_key(ResourceType::parse(&kind)?, &id)?).await
        }
        Sharing::Manage(kind) => manages(cx, access, caller, &legacy_key(kind, params)?).await,
    }
}

/// Whether a caller manages a resource, by its current grants.
async fn manages(cx: &Cx, access: &Access, caller: &Caller, key: &Key) -> Result<bool> {
    let caller = access.auth.reload(caller).await?;
    Ok(caller.is_some_and(|caller| caller.permission(key) == Permission::Manage) && is_there(cx, key).await?)
}

/// Whether the workspace of a request has the resources of a grant: nothing is said or granted about those of another
/// one. Without workspaces a grant may be given before there is what it is about.
pub(crate) async fn is_there(cx: &Cx, key: &Key) -> Result<bool> {
    if cx.workspace_name().is_none() || key.id() == ANY {
        return Ok(true);
    }
    let experiment = match key.kind() {
        ResourceType::RegisteredModel | ResourceType::Prompt => {
            return Ok(cx.store().is_prompt(key.id()).await?.is_some());
        }
        ResourceType::Experiment => key.id(),
        ResourceType::Scorer => key.id().split('/').next().unwrap_or_default(),
        _ => return Ok(false),
    };
    match cx.store().get_experiment(experiment).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.code, ErrorCode::ResourceDoesNotExist | ErrorCode::InvalidParameterValue) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The workspaces that a user with these roles manages.
pub(crate) fn managed_workspaces(roles: &[Role]) -> BTreeSet<String> {
    let manages = |role: &&Role| {
        role.permissions.iter().any(|allowed| {
            allowed.resource_type == ResourceType::Workspace.name()
                && allowed.resource_pattern == ANY
                && allowed.permission == Permission::Manage.name()
        })
    };
    roles.iter().filter(manages).map(|role| role.workspace.clone()).collect()
}

/// The roles that a user may see.
///
/// A role `__user_N__` holds the grants of one user, by resource name: its readers learn the names of private models
/// and prompts. Almost every user has one, so it does not make a user a member of a workspace, and those of others are
/// only shown to managers of the workspace.
pub(crate) struct RoleVisibility {
    is_admin: bool,
    own_role: String,
    member: BTreeSet<String>,
    managed: BTreeSet<String>,
}

impl RoleVisibility {
    pub(crate) async fn load(access: &Access, caller: &Caller) -> Result<Self> {
        let roles = access.auth.users().list_user_roles(caller.user_id).await?;
        let shared = roles.iter().filter(|role| !permission::is_user_role(&role.name));
        Ok(Self {
            is_admin: caller.is_admin,
            own_role: permission::user_role(caller.user_id),
            member: shared.map(|role| role.workspace.clone()).collect(),
            managed: managed_workspaces(&roles),
        })
    }

    /// Whether a role may be seen.
    pub(crate) fn shows(&self, role: &Role) -> bool {
        if permission::is_user_role(&role.name) {
            return self.is_admin || self.managed.contains(&role.workspace) || role.name == self.own_role;
        }
        self.shows_workspace(&role.workspace)
    }

    /// Whether the roles of a workspace may be listed.
    fn shows_workspace(&self, workspace: &str) -> bool {
        self.is_admin || self.managed.contains(workspace) || self.member.contains(workspace)
    }
}

/// The roles, without their permissions, and the workspaces that a request names.
struct RoleRefs {
    roles: Vec<Role>,
    workspaces: BTreeSet<String>,
}

/// All roles and workspaces that a request names: the caller must be authorized for each, whichever the handler uses.
/// `None` if a role does not exist.
async fn referenced_roles(access: &Access, params: &Params) -> Result<Option<RoleRefs>> {
    let users = access.auth.users();
    let (mut roles, mut workspaces) = (Vec::new(), BTreeSet::new());
    if let Some(id) = params.map().get("role_id") {
        let Some(role) = users.find_role(params::int("role_id", id)?).await? else { return Ok(None) };
        roles.push(role);
    }
    if let Some(id) = params.map().get("role_permission_id") {
        let id = params::int("role_permission_id", id)?;
        let Some(role) = users.find_role_of_permission(id).await? else { return Ok(None) };
        roles.push(role);
    }
    match params.map().get("workspace") {
        Some(Value::String(workspace)) if !workspace.trim().is_empty() => {
            workspaces.insert(workspace.clone());
        }
        Some(_) if roles.is_empty() => {
            return Err(Error::invalid("Parameter 'workspace' must be a non-empty string."));
        }
        None if roles.is_empty() => {
            return Err(Error::invalid("Request must include one of: role_id, role_permission_id, workspace."));
        }
        _ => {}
    }
    Ok(Some(RoleRefs { roles, workspaces }))
}

/// The key of a grant to a user.
///
/// # Errors
/// The kind only has grants on all its resources, or the id is not a scorer's.
pub(crate) fn grant_key(kind: ResourceType, id: &str) -> Result<Key> {
    if kind == ResourceType::Scorer && !id.contains('/') && id != ANY {
        return Err(Error::invalid("Invalid scorer resource_id. Expected '<experiment_id>/<scorer_name>'."));
    }
    if id != ANY && !kind.has_ids() {
        return Err(Error::invalid(format!(
            "resource_type '{}' is not supported by the per-user permission convenience APIs.",
            kind.name()
        )));
    }
    // The canonical id: a resource may be written in several ways.
    let id = if kind == ResourceType::Experiment { super::canonical_id(id) } else { id.to_owned() };
    Ok(Key::new(kind, id))
}

/// The resource pattern of a request to one of the old paths.
pub(crate) fn legacy_pattern(kind: ResourceType, params: &Params) -> Result<String> {
    Ok(match kind {
        ResourceType::RegisteredModel => params.text("name")?,
        ResourceType::Scorer => {
            permission::scorer_pattern(&params.text("experiment_id")?, &params.text("scorer_name")?)
        }
        ResourceType::GatewaySecret => params.text("secret_id")?,
        ResourceType::GatewayEndpoint => params.text("endpoint_id")?,
        ResourceType::GatewayModelDefinition => params.text("model_definition_id")?,
        _ => super::canonical_id(&params.text("experiment_id")?),
    })
}

fn legacy_key(kind: ResourceType, params: &Params) -> Result<Key> {
    Ok(Key::new(kind, legacy_pattern(kind, params)?))
}

fn refuse_workspace(kind: &str) -> Result<()> {
    if kind == ResourceType::Workspace.name() {
        return Err(Error::invalid(
            "resource_type 'workspace' is not supported by the per-user permission convenience APIs. Use \
             set_workspace_permission / delete_workspace_permission for workspace-wide grants.",
        ));
    }
    Ok(())
}
