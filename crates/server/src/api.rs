//! The handlers, by resource. Each takes the message apart, calls the store once, and answers.

pub(crate) mod accounts;
pub(crate) mod evaluation;
pub(crate) mod registry;
pub(crate) mod storage;
pub(crate) mod system;
pub(crate) mod traces;
pub(crate) mod tracking;
