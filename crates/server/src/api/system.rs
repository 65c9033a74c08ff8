//! The server about itself, and webhooks.

pub(crate) mod server_info;
pub(crate) mod webhooks;
