//! Validation rules for the parameters of each call, as data: `rules/` has a table per message, by resource.
//!
//! The checks run in the order of the table, on the parameters as received, before anything else. Type checks run only
//! if the request could not be parsed as its message, to explain why.

mod artifacts;
mod assessments;
mod check;
mod datasets;
mod experiments;
mod gateway;
mod issues;
mod label_schemas;
mod logged_models;
mod metrics;
mod model_versions;
mod prompt_optimization;
mod registered_models;
mod review_queues;
mod runs;
mod scorers;
mod traces;
mod webhooks;
mod workspaces;

use crate::Error;

pub use check::Check;
pub(crate) use check::check;

/// A parameter and its checks.
pub type Rule = (&'static str, &'static [Check]);

/// A request with validation rules.
pub trait Validate {
    /// The rules, in the order in which they are checked.
    const RULES: &'static [Rule] = &[];

    /// The reference's error for a request with this many elements, from its unparsed body; `None` if it has no limit.
    #[must_use]
    fn oversized(_json: &[u8]) -> Option<Error> {
        None
    }

    /// Whether every element of a list has the fields that [`Check::EachHas`] requires.
    fn is_complete(&self) -> bool {
        true
    }
}
