//! Traces: ids, tags, and the tags of an experiment that control archival of its traces.

use serde_json::Value;

use super::{Limits, lists, text};
use crate::{Error, Result, limits};

/// The experiment tag with the retention of its traces.
pub const RETENTION_TAG: &str = "mlflow.trace.archivalRetention";

/// The experiment tag that requests archiving at once.
pub const ARCHIVE_NOW_TAG: &str = "mlflow.trace.archiveNow";

/// The tag with the location of a trace's artifacts.
pub const ARTIFACT_LOCATION_TAG: &str = "mlflow.artifactLocation";

/// The tag that marks a trace whose archival failed. Its deletion requests another attempt.
const ARCHIVAL_FAILURE_TAG: &str = "mlflow.trace.archivalFailure";

/// The tags by which the server finds the spans and files of a trace. A client that could set them would redirect reads
/// to files of others.
const LOCATION_TAGS: [&str; 4] =
    [ARTIFACT_LOCATION_TAG, "mlflow.trace.spansLocation", "mlflow.trace.archiveLocation", ARCHIVAL_FAILURE_TAG];

/// Whether only the server sets a tag of traces.
#[must_use]
pub fn is_location_tag(key: &str) -> bool {
    LOCATION_TAGS.contains(&key)
}

/// Checks that a client may set a tag of a trace.
pub fn settable_trace_tag(key: &str) -> Result<()> {
    mutable_tag(key, "set", is_location_tag(key))
}

/// Checks that a client may delete a tag of a trace.
pub fn deletable_trace_tag(key: &str) -> Result<()> {
    mutable_tag(key, "deleted", is_location_tag(key) && key != ARCHIVAL_FAILURE_TAG)
}

fn mutable_tag(key: &str, operation: &str, is_immutable: bool) -> Result<()> {
    if is_immutable {
        return Err(Error::invalid(format!("Tag '{key}' is immutable and cannot be {operation} on a trace.")));
    }
    Ok(())
}

/// Checks the id of a new trace. It is a component of the path of the trace's artifacts.
pub fn trace_id(path: &str, id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid(text::missing_value(path)));
    }
    text::length(path, limits::TRACE_ID, id)?;
    let is_component = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if !is_component || id.starts_with('.') {
        let reason = "An id is a component of a path. It may only contain letters, digits, '-', '_', '.' and ':', and \
                      must not begin with '.'.";
        return Err(Error::invalid(text::invalid_value(path, &id.into(), Some(reason))));
    }
    Ok(())
}

/// Refuses a text that is longer than its column.
pub fn trace_text(path: &str, limit: usize, text: &str) -> Result<()> {
    text::length(path, limit, text)
}

impl Limits {
    /// Checks metadata or a tag of a new trace, whose key may have any characters, and returns the value to store.
    pub fn trace_pair(self, key: &str, value: &str) -> Result<String> {
        text::length("key", limits::TRACE_TAG_KEY, key)?;
        lists::shorten(key, "value", limits::TRACE_TAG_VALUE, value, self.truncates)
    }

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
    fn an_id_is_no_path() {
        for id in ["tr-0123456789abcdef0123456789abcdef", "a", "0.a_b:c", &"x".repeat(50)] {
            assert_eq!(trace_id("trace_id", id), Ok(()), "{id}");
        }
        for id in ["", ".", "..", "../x", "a/b", "a\\b", "a\0", "é", "a b", "a%2fb", &"x".repeat(51)] {
            assert!(trace_id("trace_id", id).is_err(), "{id}");
        }
    }

    #[test]
    fn tags_of_locations_are_the_servers() {
        for key in LOCATION_TAGS {
            let error = settable_trace_tag(key).unwrap_err();
            assert_eq!(error.message, format!("Tag '{key}' is immutable and cannot be set on a trace."));
            assert_eq!(deletable_trace_tag(key).is_ok(), key == ARCHIVAL_FAILURE_TAG, "{key}");
        }
        assert_eq!((settable_trace_tag("mlflow.traceName"), deletable_trace_tag("x")), (Ok(()), Ok(())));
    }

    #[test]
    fn a_trace_tag_is_cut() {
        let limits = Limits::default();
        assert_eq!(limits.trace_tag("k", &"v".repeat(8001)).map(|v| v.len()), Ok(8000));
        assert!(limits.trace_tag("a$", "v").is_err());
    }
}
