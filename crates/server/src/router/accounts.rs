//! The endpoints of users and permissions.

use ferroflow_model::permission::ResourceType;
use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Sharing},
    api::accounts::{grants, oidc, roles, signup, users},
};

use Needs::{Admin, Authenticated, ManageAccess, Public};

pub(super) fn rows(table: Table) -> Table {
    table
        .with_params(Method::POST, 2, "/mlflow/users/create", users::create, ManageAccess(Sharing::CreateUser))
        .with_params(Method::GET, 2, "/mlflow/users/get", users::get, ManageAccess(Sharing::SelfOnly))
        .with_params(Method::GET, 2, "/mlflow/users/list", users::list, ManageAccess(Sharing::ListUsers))
        .with_params(Method::GET, 2, "/mlflow/users/current", users::current, Authenticated)
        .with_params(
            Method::PATCH,
            2,
            "/mlflow/users/update-password",
            users::update_password,
            ManageAccess(Sharing::SelfOnly),
        )
        .with_params(Method::PATCH, 2, "/mlflow/users/update-admin", users::update_admin, Admin)
        .with_params(Method::DELETE, 2, "/mlflow/users/delete", users::delete, Admin)
        .page(Method::GET, "/oidc/login", oidc::login, Public)
        .page(Method::GET, "/oidc/callback", oidc::callback, Public)
        .page(Method::GET, "/oidc/logout", oidc::logout, Public)
        .page(Method::GET, "/signup", signup::page, ManageAccess(Sharing::CreateUser))
        .page(Method::POST, "/api/2.0/mlflow/users/create-ui", signup::create, ManageAccess(Sharing::CreateUser))
        .with_params(Method::GET, 3, "/mlflow/users/current/permissions", grants::list_own, Authenticated)
        .with_params(Method::GET, 3, "/mlflow/users/permissions/list", grants::list, ManageAccess(Sharing::ViewUser))
        .with_params(Method::GET, 3, "/mlflow/users/permissions/get", grants::get, ManageAccess(Sharing::ViewGrant))
        .with_params(Method::POST, 3, "/mlflow/users/permissions/grant", grants::grant, ManageAccess(Sharing::Grant))
        .with_params(Method::POST, 3, "/mlflow/users/permissions/revoke", grants::revoke, ManageAccess(Sharing::Grant))
        .with_params(Method::GET, 3, "/mlflow/users/roles/list", roles::list_of_user, ManageAccess(Sharing::ViewUser))
        .with_params(Method::POST, 3, "/mlflow/roles/create", roles::create, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::GET, 3, "/mlflow/roles/get", roles::get, ManageAccess(Sharing::ViewRoles))
        .with_params(Method::GET, 3, "/mlflow/roles/list", roles::list, ManageAccess(Sharing::ListRoles))
        .with_params(Method::PATCH, 3, "/mlflow/roles/update", roles::update, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::DELETE, 3, "/mlflow/roles/delete", roles::delete, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::POST, 3, "/mlflow/roles/assign", roles::assign, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::DELETE, 3, "/mlflow/roles/unassign", roles::unassign, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::GET, 3, "/mlflow/roles/users/list", roles::list_users, ManageAccess(Sharing::ManageRoles))
        .with_params(
            Method::POST,
            3,
            "/mlflow/roles/permissions/add",
            roles::add_permission,
            ManageAccess(Sharing::ManageRoles),
        )
        .with_params(
            Method::DELETE,
            3,
            "/mlflow/roles/permissions/remove",
            roles::remove_permission,
            ManageAccess(Sharing::ManageRoles),
        )
        .with_params(
            Method::GET,
            3,
            "/mlflow/roles/permissions/list",
            roles::list_permissions,
            ManageAccess(Sharing::ViewRoles),
        )
        .with_params(
            Method::PATCH,
            3,
            "/mlflow/roles/permissions/update",
            roles::update_permission,
            ManageAccess(Sharing::ManageRoles),
        )
        .legacy_grants(2, "/mlflow/experiments/permissions", ResourceType::Experiment)
        .legacy_grants(2, "/mlflow/registered-models/permissions", ResourceType::RegisteredModel)
        .legacy_grants(3, "/mlflow/scorers/permissions", ResourceType::Scorer)
        .legacy_grants(3, "/mlflow/gateway/secrets/permissions", ResourceType::GatewaySecret)
        .legacy_grants(3, "/mlflow/gateway/endpoints/permissions", ResourceType::GatewayEndpoint)
        .legacy_grants(3, "/mlflow/gateway/model-definitions/permissions", ResourceType::GatewayModelDefinition)
}
