//! Tags whose value is a JSON list that SDKs read, extend and write back. Truncating such a list like other texts would
//! make it invalid JSON, and every later reader would fail.

use serde_json::Value;

use super::text;
use crate::{Error, Result, python};

/// The models that SDKs before 3 logged to a run.
pub const LOGGED_MODELS_TAG: &str = "mlflow.log-model.history";

/// Tags with JSON lists: the models of a run, the tables of a run (`log_table`), and the prompts used by a run or a
/// trace.
const LIST_TAGS: [&str; 3] = [LOGGED_MODELS_TAG, "mlflow.loggedArtifacts", "mlflow.linkedPrompts"];

/// Whether a tag has a JSON list.
#[must_use]
pub fn is_list_tag(key: &str) -> bool {
    LIST_TAGS.contains(&key)
}

/// The newest elements of a list that fit into `limit` characters of JSON, in their order. `None` if even the last one
/// does not fit.
#[must_use]
pub fn newest(list: &[Value], limit: usize) -> Option<String> {
    let (mut start, mut length) = (list.len(), "[]".len());
    for (index, value) in list.iter().enumerate().rev() {
        let separator = if start == list.len() { 0 } else { ", ".len() };
        length += python::json_dumps(value).chars().count() + separator;
        if length > limit {
            break;
        }
        start = index;
    }
    (start < list.len() || list.is_empty()).then(|| python::json_dumps(&list[start..].to_vec().into()))
}

/// The value to store for a tag: [`text::shorten`], but a list loses its oldest elements instead of its end.
pub(super) fn shorten(key: &str, path: &str, limit: usize, value: &str, truncate: bool) -> Result<String> {
    if !truncate || !is_list_tag(key) || text::length(path, limit, value).is_ok() {
        return text::shorten(path, limit, value, truncate);
    }
    let Ok(Value::Array(list)) = serde_json::from_str(value) else {
        return text::shorten(path, limit, value, truncate);
    };
    newest(&list, limit).ok_or_else(|| Error::invalid(text::exceeds_maximum_length(path, limit)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_loses_its_oldest_elements_and_stays_a_list() {
        let list: Vec<Value> = (0..1000).map(|n| json!({"path": format!("t/{n}.json"), "type": "table"})).collect();
        let whole = python::json_dumps(&list.clone().into());
        let stored = shorten("mlflow.loggedArtifacts", "value", 8000, &whole, true).unwrap();
        assert!(stored.len() <= 8000 && stored.len() > 7900, "{}", stored.len());
        let kept: Vec<Value> = serde_json::from_str(&stored).unwrap();
        assert_eq!(kept, list[1000 - kept.len()..]);
        // Values that are not lists, and other tags, are truncated.
        assert_eq!(shorten("mlflow.note.content", "value", 10, &whole, true).as_deref(), Ok(&whole[..10]));
        assert_eq!(shorten("mlflow.loggedArtifacts", "value", 3, "prose", true).as_deref(), Ok("pro"));
        assert!(shorten("mlflow.loggedArtifacts", "value", 8000, &whole, false).is_err());
    }

    #[test]
    fn the_limit_is_met_to_the_character() {
        let list = [json!("a"), json!("b"), json!("雪")];
        for (limit, expected) in [
            (0, None),
            (9, None),
            (10, Some(r#"["\u96ea"]"#)),
            (14, Some(r#"["\u96ea"]"#)),
            (15, Some(r#"["b", "\u96ea"]"#)),
            (20, Some(r#"["a", "b", "\u96ea"]"#)),
        ] {
            assert_eq!(newest(&list, limit).as_deref(), expected, "{limit}");
        }
        assert_eq!(newest(&[], 2).as_deref(), Some("[]"));
    }
}
