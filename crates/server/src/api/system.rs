//! The server about itself, webhooks and workspaces.

pub(crate) mod demo;
pub(crate) mod server_info;
pub(crate) mod webhooks;
pub(crate) mod workspaces;
