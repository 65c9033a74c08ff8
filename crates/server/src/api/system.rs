//! The server about itself, and webhooks.

pub(crate) mod demo;
pub(crate) mod server_info;
pub(crate) mod webhooks;
