//! Experiments and their tags.

use super::{Limits, text, traces};
use crate::{Error, Result, limits, number};

/// The key prefix of tags that hold a saved view.
pub const CUSTOM_VIEW_PREFIX: &str = "mlflow.customView.view";

/// Checks the form of an experiment id.
pub fn experiment_id(id: &str) -> Result<()> {
    if text::is_id(id, 63) { Ok(()) } else { Err(Error::invalid(format!("Invalid experiment ID: '{id}'"))) }
}

/// Parses the id of an experiment, an integer.
pub fn parse_experiment_id(id: &str) -> Result<i64> {
    number::parse_int(id)
        .and_then(|number| i64::try_from(number).ok())
        .ok_or_else(|| Error::invalid(format!("Invalid experiment ID '{id}'. Experiment ID must be a valid integer.")))
}

/// Checks the name of an experiment: not empty and not too long.
pub fn experiment_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("Invalid experiment name: ''"));
    }
    text::length("name", limits::EXPERIMENT_NAME, name)
}

/// Checks an experiment tag, which is never truncated.
pub fn experiment_tag(key: &str, value: &str) -> Result<()> {
    text::entity_name("key", key)?;
    text::length("key", limits::EXPERIMENT_TAG_KEY, key)?;
    text::length("value", limits::EXPERIMENT_TAG_VALUE, value)?;
    traces::experiment_tag(key, value)
}

/// Refuses a location within a run.
pub fn artifact_location(location: &str) -> Result<()> {
    if location.starts_with("runs:") {
        return Err(Error::invalid(format!("Artifact location cannot be a runs:/ URI. Given: '{location}'")));
    }
    Ok(())
}

impl Limits {
    /// Checks the length of an artifact location.
    pub fn artifact_location_length(self, location: &str) -> Result<()> {
        let limit = self.artifact_location;
        if location.chars().count() <= limit {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "Invalid artifact path length. The length of the artifact path cannot be greater than {limit} characters. \
             To configure this limit, please set the MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable."
        )))
    }
}

/// Refuses a new experiment whose tags have too many saved views.
pub fn custom_view_count<T: AsRef<str>>(keys: &[T]) -> Result<()> {
    if views(keys) > limits::CUSTOM_VIEWS_PER_EXPERIMENT {
        return Err(too_many_views(""));
    }
    Ok(())
}

/// Refuses another saved view if the experiment has the maximum number; `keys` are those of its tags. Changing a view
/// is always allowed.
pub fn custom_view_fits<T: AsRef<str>>(experiment_id: i64, key: &str, keys: &[T]) -> Result<()> {
    let is_new = key.starts_with(CUSTOM_VIEW_PREFIX) && keys.iter().all(|other| other.as_ref() != key);
    if is_new && views(keys) >= limits::CUSTOM_VIEWS_PER_EXPERIMENT {
        return Err(too_many_views(&format!(" for experiment {experiment_id}")));
    }
    Ok(())
}

fn views<T: AsRef<str>>(keys: &[T]) -> usize {
    keys.iter().filter(|key| key.as_ref().starts_with(CUSTOM_VIEW_PREFIX)).count()
}

fn too_many_views(of_experiment: &str) -> Error {
    Error::invalid(format!(
        "Unable to create another custom view{of_experiment}; the maximum number of custom views per experiment is \
         {}. Delete an existing custom view before creating a new one.",
        limits::CUSTOM_VIEWS_PER_EXPERIMENT
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_id_is_a_number() {
        assert_eq!(parse_experiment_id("12"), Ok(12));
        assert_eq!(parse_experiment_id(" 1_2 "), Ok(12));
        for id in ["", "abc", "1.5", "99999999999999999999"] {
            assert_eq!(
                parse_experiment_id(id).unwrap_err().message,
                format!("Invalid experiment ID '{id}'. Experiment ID must be a valid integer.")
            );
        }
        assert_eq!(experiment_id("a-1"), Ok(()));
        assert!(experiment_id(&"a".repeat(65)).is_err());
    }

    #[test]
    fn an_experiment_has_a_name() {
        assert_eq!(experiment_name("a/b $ 雪"), Ok(()));
        assert_eq!(experiment_name("").unwrap_err().message, "Invalid experiment name: ''");
        assert_eq!(
            experiment_name(&"x".repeat(501)).unwrap_err().message,
            "'name' exceeds the maximum length of 500 characters"
        );
    }

    #[test]
    fn an_experiment_tag_is_never_cut() {
        assert_eq!(experiment_tag("k", &"x".repeat(20_000)), Ok(()));
        assert_eq!(
            experiment_tag("k", &"x".repeat(20_001)).unwrap_err().message,
            "'value' exceeds the maximum length of 20000 characters"
        );
        assert!(experiment_tag("mlflow.trace.archivalRetention", "soon").is_err());
    }

    #[test]
    fn a_location_is_short_and_not_in_a_run() {
        assert!(artifact_location("runs:/a").is_err());
        assert_eq!(artifact_location("s3://b"), Ok(()));
        let limits = Limits { artifact_location: 10, ..Limits::default() };
        assert_eq!(limits.artifact_location_length(&"é".repeat(10)), Ok(()));
        let error = limits.artifact_location_length(&"é".repeat(11)).unwrap_err();
        assert!(error.message.contains("greater than 10 characters"));
    }

    #[test]
    fn an_experiment_has_at_most_fifty_views() {
        let mut keys: Vec<String> = (0..50).map(|i| format!("{CUSTOM_VIEW_PREFIX}{i}")).collect();
        assert_eq!(custom_view_count(&keys), Ok(()));
        assert_eq!(custom_view_fits(7, &keys[0], &keys), Ok(()));
        assert_eq!(custom_view_fits(7, "other", &keys), Ok(()));
        assert!(
            custom_view_fits(7, "mlflow.customView.viewnew", &keys)
                .unwrap_err()
                .message
                .starts_with("Unable to create another custom view for experiment 7; the maximum")
        );
        keys.push(format!("{CUSTOM_VIEW_PREFIX}50"));
        assert!(custom_view_count(&keys).is_err());
    }
}
