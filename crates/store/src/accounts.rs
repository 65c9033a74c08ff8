//! Users, roles and permissions, and the state of logins.

pub(crate) mod grants;
pub mod login_epoch;
pub(crate) mod login_failures;
pub(crate) mod role_permissions;
pub(crate) mod roles;
pub mod roster;
pub(crate) mod token_users;
pub(crate) mod user_db;
pub(crate) mod users;
pub(crate) mod workspaces;
