//! Users, roles, permissions, and logging in.

pub(crate) mod grants;
pub(crate) mod oidc;
pub(crate) mod roles;
pub(crate) mod signup;
pub(crate) mod users;
