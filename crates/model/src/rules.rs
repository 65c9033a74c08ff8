//! What each call asks of its parameters, as data: `rules/` has a table per message, by resource.
//!
//! The checks run in the order of the table, on the parameters as they came, before anything else happens.
//! A check of a type only runs when the request could not be read as its message, to say why.

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

/// A request with rules for its parameters.
pub trait Validated {
    /// The rules, in the order in which they are checked.
    const RULES: &'static [Rule] = &[];

    /// What the reference says of a request with so many elements, which is not read; `None` where it has no limit.
    #[must_use]
    fn oversized(_json: &[u8]) -> Option<Error> {
        None
    }

    /// Whether every element of a list has what [`Check::EachHas`] asks for.
    fn is_complete(&self) -> bool {
        true
    }
}
