//! The settings of trace archival: which traces are archived, where, and how often. They are the `trace_archival`
//! mapping in the file of `--trace-archival-config`.

use serde_json::{Map, Value};

use crate::{
    messages::service::TraceArchivalConfig,
    uri,
    validation::{self, experiment_id},
};

/// The name of the mapping.
const MAPPING: &str = "trace_archival";

/// Default interval between two passes, in seconds.
const DEFAULT_INTERVAL: u64 = 300;

/// Maximum interval between two passes, in seconds.
const MAX_INTERVAL: u64 = 24 * 3600;

/// The settings of trace archival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceArchival {
    /// Whether traces are archived.
    pub enabled: bool,
    /// The URI of the archive's root.
    pub location: String,
    /// The age at which a trace is archived, such as `30d`.
    pub retention: String,
    /// Experiments whose own retention may be longer.
    pub long_retention_allowlist: Vec<String>,
    /// Interval between two passes, in seconds.
    pub interval_seconds: u64,
    /// Maximum number of traces per pass.
    pub max_traces_per_pass: Option<u64>,
}

impl TraceArchival {
    /// Parses the content of the file.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence about the file.
    pub fn from_file(file: &Value) -> Result<Self, String> {
        let mapping = match file {
            Value::Object(file) => file.get(MAPPING),
            _ => return Err(format!("it is not a mapping with the key '{MAPPING}'")),
        };
        let Some(Value::Object(settings)) = mapping else {
            return Err(format!("the mapping '{MAPPING}' is missing"));
        };
        let Value::Bool(enabled) = required(settings, "enabled")? else {
            return Err(format!("'{MAPPING}.enabled' must be true or false"));
        };
        Ok(Self {
            enabled: *enabled,
            location: location(required(settings, "location")?)?,
            retention: retention(required(settings, "retention")?)?,
            long_retention_allowlist: allowlist(settings.get("long_retention_allowlist"))?,
            interval_seconds: positive(settings, "interval_seconds", Some(MAX_INTERVAL))?.unwrap_or(DEFAULT_INTERVAL),
            max_traces_per_pass: positive(settings, "max_traces_per_pass", None)?,
        })
    }
}

impl TraceArchival {
    /// The settings for a workspace: its own location and retention, or else the server's, whose location has a folder
    /// for each workspace.
    ///
    /// # Errors
    /// What is wrong with a value of the workspace.
    pub fn within(&self, workspace: &str, own: Option<&TraceArchivalConfig>) -> Result<Self, String> {
        let own_location = own.map(TraceArchivalConfig::location).filter(|location| !location.is_empty());
        let own_retention = own.map(TraceArchivalConfig::retention).filter(|retention| !retention.is_empty());
        let location = match own_location {
            Some(own) => location(&Value::from(own))?,
            None => {
                uri::append_path(&self.location, &format!("workspaces/{workspace}")).map_err(|error| error.message)?
            }
        };
        let retention = own_retention.map_or_else(|| Ok(self.retention.clone()), |own| retention(&Value::from(own)))?;
        Ok(Self { location, retention, ..self.clone() })
    }

    /// The retention of an experiment with this retention tag: at most the global one, unless the experiment is on the
    /// allowlist. An invalid tag is ignored.
    #[must_use]
    pub fn retention_of(&self, experiment_id: &str, tag: Option<&str>) -> String {
        let own = tag.and_then(|tag| validation::archival_duration(validation::RETENTION_TAG, tag).ok().flatten());
        let may = |own: &String| {
            duration_ms(own) <= duration_ms(&self.retention)
                || self.long_retention_allowlist.iter().any(|id| id == experiment_id)
        };
        own.filter(may).unwrap_or_else(|| self.retention.clone())
    }
}

/// The value of an experiment's tag that requests archiving at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveNow {
    /// Restricts the request to traces older than this, in milliseconds.
    pub older_than_ms: Option<i64>,
}

impl ArchiveNow {
    /// `None` if the tag is not valid.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let age = validation::archival_duration(validation::ARCHIVE_NOW_TAG, tag).ok()?;
        Some(Self { older_than_ms: age.map(|age| duration_ms(&age)) })
    }
}

/// A duration such as `30d` in milliseconds, saturating.
#[must_use]
pub fn duration_ms(duration: &str) -> i64 {
    let (count, unit) = duration.split_at(duration.len().saturating_sub(1));
    let unit = match unit {
        "d" => 24 * 3_600_000,
        "h" => 3_600_000,
        _ => 60_000,
    };
    count.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(unit)
}

fn required<'a>(settings: &'a Map<String, Value>, key: &str) -> Result<&'a Value, String> {
    settings.get(key).ok_or_else(|| format!("'{MAPPING}.{key}' is missing"))
}

/// A URI with a scheme: every replica must be able to read the archive.
fn location(value: &Value) -> Result<String, String> {
    let location = value.as_str().map(str::trim).unwrap_or_default();
    match uri::scheme(location).as_deref() {
        None => Err(format!("'{MAPPING}.location' must be a URI, such as s3://bucket/archive or file:///srv/archive")),
        Some("mlflow-artifacts") => {
            Err(format!("'{MAPPING}.location' cannot be an mlflow-artifacts: location, which only a server serves"))
        }
        Some(_) => Ok(location.to_owned()),
    }
}

fn retention(value: &Value) -> Result<String, String> {
    let text = value.as_str().map(str::trim).unwrap_or_default();
    match validation::archival_retention(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(_) => {
            Err(format!("'{MAPPING}.retention' must be a duration such as 30d, 12h or 45m, of at most 32 characters"))
        }
    }
}

fn positive(settings: &Map<String, Value>, key: &str, most: Option<u64>) -> Result<Option<u64>, String> {
    let Some(value) = settings.get(key) else { return Ok(None) };
    match (value.as_u64().filter(|number| *number > 0), most) {
        (None, _) => Err(format!("'{MAPPING}.{key}' must be a whole number above 0")),
        (Some(number), Some(most)) if number > most => Err(format!("'{MAPPING}.{key}' must be at most {most}")),
        (number, _) => Ok(number),
    }
}

/// Experiment ids; one text may have several, separated by commas.
fn allowlist(value: Option<&Value>) -> Result<Vec<String>, String> {
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(format!("'{MAPPING}.long_retention_allowlist' must be a list")),
    };
    let mut found = Vec::new();
    for item in items {
        let text = match item {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            // The reference converts these to text.
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Null => "None".to_owned(),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("'{MAPPING}.long_retention_allowlist' must have ids of experiments, not {item}"));
            }
        };
        for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            experiment_id(id).map_err(|_| {
                format!("'{MAPPING}.long_retention_allowlist' has '{id}', which is not an experiment id")
            })?;
            if found.iter().all(|other| other != id) {
                found.push(id.to_owned());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(key: &str, value: Value) -> Result<TraceArchival, String> {
        let mut file = json!({"trace_archival": {"enabled": true, "location": "s3://b/a", "retention": "30d"}});
        file["trace_archival"][key] = value;
        TraceArchival::from_file(&file)
    }

    #[test]
    fn settings_are_read_and_missing_ones_get_defaults() {
        let least = with("enabled", json!(false)).unwrap();
        assert_eq!(
            least,
            TraceArchival {
                enabled: false,
                location: "s3://b/a".into(),
                retention: "30d".into(),
                long_retention_allowlist: Vec::new(),
                interval_seconds: 300,
                max_traces_per_pass: None,
            }
        );
        assert_eq!(with("location", json!(" file:///x ")).unwrap().location, "file:///x");
        assert_eq!(with("retention", json!(" 12h ")).unwrap().retention, "12h");
        assert_eq!(with("interval_seconds", json!(86400)).unwrap().interval_seconds, 86400);
        assert_eq!(with("max_traces_per_pass", json!(7)).unwrap().max_traces_per_pass, Some(7));
        assert_eq!(with("long_retention_allowlist", Value::Null).unwrap().long_retention_allowlist, [""; 0]);
        assert_eq!(
            with("long_retention_allowlist", json!([1, "2, 3", "1"])).unwrap().long_retention_allowlist,
            ["1", "2", "3"]
        );
        assert!(with("unknown", json!(1)).is_ok());
    }

    #[test]
    fn an_experiment_may_keep_its_traces_for_less_and_some_for_longer() {
        let settings = with("long_retention_allowlist", json!(["7"])).unwrap();
        let tag = |duration: &str| json!({"type": "duration", "value": duration}).to_string();
        for (experiment, tag, kept) in [
            ("1", None, "30d"),
            ("1", Some(tag("12h")), "12h"),
            ("1", Some(tag("720h")), "720h"),
            ("1", Some(tag("721h")), "30d"),
            ("7", Some(tag("721h")), "721h"),
            ("7", Some(tag("9999999999999999999999d")), "9999999999999999999999d"),
            ("1", Some(tag("soon")), "30d"),
            ("1", Some("{}".into()), "30d"),
        ] {
            assert_eq!(settings.retention_of(experiment, tag.as_deref()), kept, "{experiment} {tag:?}");
        }
        assert_eq!(ArchiveNow::from_tag("{}"), Some(ArchiveNow { older_than_ms: None }));
        assert_eq!(ArchiveNow::from_tag(r#"{"older_than": "2m"}"#), Some(ArchiveNow { older_than_ms: Some(120_000) }));
        assert_eq!(ArchiveNow::from_tag("now"), None);
        assert_eq!(duration_ms("3d"), 3 * 24 * 3600 * 1000);
    }

    #[test]
    fn a_workspace_has_its_own_settings_or_a_folder() {
        let settings = with("interval_seconds", json!(60)).unwrap();
        let own = |location: &str, retention: &str| {
            let text = |text: &str| Some(text.to_owned());
            settings.within("team", Some(&TraceArchivalConfig { location: text(location), retention: text(retention) }))
        };
        let found = |settings: TraceArchival| (settings.location, settings.retention, settings.interval_seconds);
        let is = |location: &str, retention: &str| (location.to_owned(), retention.to_owned(), 60);
        assert_eq!(found(settings.within("team", None).unwrap()), is("s3://b/a/workspaces/team", "30d"));
        assert_eq!(found(own("", "").unwrap()), is("s3://b/a/workspaces/team", "30d"));
        assert_eq!(found(own("s3://own", "90d").unwrap()), is("s3://own", "90d"));
        assert_eq!(found(own("", "1h").unwrap()), is("s3://b/a/workspaces/team", "1h"));
        assert!(own("mlflow-artifacts:/x", "").is_err() && own("", "soon").is_err());
    }

    #[test]
    fn errors_name_the_setting() {
        for (file, words) in [
            (json!([]), "not a mapping"),
            (json!(null), "not a mapping"),
            (json!({}), "'trace_archival' is missing"),
            (json!({"trace_archival": true}), "'trace_archival' is missing"),
            (json!({"trace_archival": {"location": "s3://b", "retention": "1d"}}), "enabled' is missing"),
            (json!({"trace_archival": {"enabled": true, "retention": "1d"}}), "location' is missing"),
            (json!({"trace_archival": {"enabled": true, "location": "s3://b"}}), "retention' is missing"),
        ] {
            let error = TraceArchival::from_file(&file).unwrap_err();
            assert!(error.contains(words), "{file}: {error}");
        }
        for (key, value, words) in [
            ("enabled", json!("true"), "enabled' must be true or false"),
            ("enabled", json!(1), "enabled' must be true or false"),
            ("location", json!(null), "location' must be a URI"),
            ("location", json!("/srv/archive"), "location' must be a URI"),
            ("location", json!("mlflow-artifacts:/archive"), "cannot be an mlflow-artifacts:"),
            ("retention", json!(30), "retention' must be a duration"),
            ("retention", json!("30"), "retention' must be a duration"),
            ("retention", json!("030d"), "retention' must be a duration"),
            ("interval_seconds", json!(0), "interval_seconds' must be a whole number above 0"),
            ("interval_seconds", json!(true), "interval_seconds' must be a whole number above 0"),
            ("interval_seconds", json!(1.5), "interval_seconds' must be a whole number above 0"),
            ("interval_seconds", json!(86401), "interval_seconds' must be at most 86400"),
            ("max_traces_per_pass", json!(-1), "max_traces_per_pass' must be a whole number above 0"),
            ("max_traces_per_pass", json!(null), "max_traces_per_pass' must be a whole number above 0"),
            ("long_retention_allowlist", json!("1"), "long_retention_allowlist' must be a list"),
            ("long_retention_allowlist", json!([[1]]), "must have ids of experiments"),
            ("long_retention_allowlist", json!(["a b"]), "has 'a b', which is not an experiment id"),
            ("long_retention_allowlist", json!([1.5]), "has '1.5', which is not an experiment id"),
        ] {
            let error = with(key, value.clone()).unwrap_err();
            assert!(error.contains(words), "{key} {value}: {error}");
        }
    }
}
