//! Tags of traces, and the tags of an experiment that control archival of its traces.

use serde_json::Value;

use super::{Limits, lists, text};
use crate::{Error, Result, limits};

/// The experiment tag with the retention of its traces.
pub const RETENTION_TAG: &str = "mlflow.trace.archivalRetention";

/// The experiment tag that requests archiving at once.
pub const ARCHIVE_NOW_TAG: &str = "mlflow.trace.archiveNow";

impl Limits {
    /// Checks a trace tag and returns the value to store, truncated if it is too long and [`Limits::truncates`].
    pub fn trace_tag(self, key: &str, value: &str) -> Result<String> {
        text::entity_name("key", key)?;
        text::length("key", limits::TRACE_TAG_KEY, key)?;
        lists::shorten(key, "value", limits::TRACE_TAG_VALUE, value, self.truncates)
    }
}

/// Checks the value of the two experiment tags that contain a duration.
pub(super) fn experiment_tag(key: &str, value: &str) -> Result<()> {
    archival_duration(key, value).map(drop)
}

/// The duration in the value of an experiment tag; `None` for other tags, and for a request to archive at once without
/// one.
pub fn archival_duration(key: &str, value: &str) -> Result<Option<String>> {
    let (field, is_retention) = match key {
        RETENTION_TAG => ("value", true),
        ARCHIVE_NOW_TAG => ("older_than", false),
        _ => return Ok(None),
    };
    let Ok(Value::Object(config)) = serde_json::from_str(value) else {
        return Err(Error::invalid("Trace archival config must be encoded as a JSON object."));
    };
    if is_retention && config.get("type").and_then(Value::as_str) != Some("duration") {
        return Err(Error::invalid("Trace archival config must use type 'duration'."));
    }
    match config.get(field) {
        None | Some(Value::Null) if !is_retention => Ok(None),
        Some(Value::String(duration)) => archival_retention(duration.trim()).map(|()| Some(duration.trim().to_owned())),
        _ => Err(bad_retention()),
    }
}

/// Checks a retention: `[1-9][0-9]*[mhd]`.
pub fn archival_retention(duration: &str) -> Result<()> {
    if duration.chars().count() > limits::TRACE_ARCHIVAL_RETENTION {
        return Err(Error::invalid("Trace archival duration must be at most 32 characters."));
    }
    let digits = duration.strip_suffix(['m', 'h', 'd']).unwrap_or_default();
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad_retention());
    }
    Ok(())
}

fn bad_retention() -> Error {
    Error::invalid("Trace archival retention must be in the form `<int><unit>`, where unit is one of 'm', 'h', or 'd'.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_duration() {
        assert_eq!(experiment_tag(RETENTION_TAG, r#"{"type":"duration","value":" 30d "}"#), Ok(()));
        assert_eq!(experiment_tag(ARCHIVE_NOW_TAG, "{}"), Ok(()));
        assert_eq!(experiment_tag("other", "not json"), Ok(()));
        for (value, message) in [
            ("x", "must be encoded as a JSON object"),
            ("[]", "must be encoded as a JSON object"),
            (r#"{"value":"30d"}"#, "must use type 'duration'"),
            (r#"{"type":"duration"}"#, "must be in the form"),
            (r#"{"type":"duration","value":30}"#, "must be in the form"),
            (r#"{"type":"duration","value":"030d"}"#, "must be in the form"),
            (r#"{"type":"duration","value":"30w"}"#, "must be in the form"),
            (r#"{"type":"duration","value":"111111111111111111111111111111111d"}"#, "at most 32 characters"),
        ] {
            let error = experiment_tag(RETENTION_TAG, value).unwrap_err();
            assert!(error.message.contains(message), "{value}: {}", error.message);
        }
    }

    #[test]
    fn a_trace_tag_is_cut() {
        let limits = Limits::default();
        assert_eq!(limits.trace_tag("k", &"v".repeat(8001)).map(|v| v.len()), Ok(8000));
        assert!(limits.trace_tag("a$", "v").is_err());
    }
}
