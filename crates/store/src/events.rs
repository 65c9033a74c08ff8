//! Webhooks, and the outbox of the events to deliver.

pub mod fernet;
pub(crate) mod outbox;
pub(crate) mod webhooks;
