//! The limits of values that an operator can set.

use crate::limits;

/// The limits of values that an operator can set. The checks that depend on them are its methods; those of every other
/// value are functions of [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Whether long params and tags are truncated (`MLFLOW_TRUNCATE_LONG_VALUES`, the default) or refused.
    pub truncates: bool,
    /// Maximum length of artifact locations (`MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH`).
    pub artifact_location: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { truncates: true, artifact_location: limits::ARTIFACT_LOCATION }
    }
}
