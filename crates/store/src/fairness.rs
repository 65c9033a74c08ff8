//! Limits by caller. What requests share has a total; a caller takes at most a part of it, so that the requests of one
//! do not stop those of the others.
//!
//! A request waits for its caller's share first, then for the total: however many requests of a caller wait, the queue
//! for the total has no more of them than the share holds.

pub(crate) mod budget;
pub(crate) mod callers;
pub(crate) mod queue;
pub(crate) mod turns;

pub use budget::{Budget, Permit, Refused};
pub use callers::{Caller, CallerKey, Callers, Entered, Resource, as_caller};
