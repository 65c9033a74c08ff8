//! What happens to every request before and after its handler.

pub(crate) mod authenticate;
pub(crate) mod client;
mod identify;
pub(crate) mod observe;
pub(crate) mod security;
