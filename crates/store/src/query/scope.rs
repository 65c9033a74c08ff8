//! What a search may return to its caller.

use super::visible::Visible;

/// The rows that a search may return. It has no default: every caller of a search names the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Experiments, and with them their runs, logged models and traces.
    pub experiments: Visible,
    /// Registered models that are no prompts, and their versions.
    pub models: Visible,
    /// Prompts, and their versions.
    pub prompts: Visible,
    /// Scorers, by the id of their experiment, a slash and their name.
    pub scorers: Visible,
}

impl Scope {
    /// Everything: for a caller without restrictions, and for work of the server itself.
    #[must_use]
    pub fn everything() -> Self {
        Self { experiments: Visible::All, models: Visible::All, prompts: Visible::All, scorers: Visible::All }
    }

    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            experiments: Visible::nothing(),
            models: Visible::nothing(),
            prompts: Visible::nothing(),
            scorers: Visible::nothing(),
        }
    }
}
