//! Middleware: what is done with every request before and after its handler.

pub(crate) mod audit;
pub(crate) mod authenticate;
pub(crate) mod client;
pub(crate) mod hosts;
pub(crate) mod identify;
pub(crate) mod observe;
pub(crate) mod origins;
pub(crate) mod security;
