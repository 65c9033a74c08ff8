//! Objects as JSON: their fields, and the difference between two of them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

/// The text at a JSON pointer, or empty.
pub(in super::super) fn text<'a>(object: &'a Value, place: &str) -> &'a str {
    object.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

/// The items at a JSON pointer, or none.
pub(in super::super) fn items<'a>(object: &'a Value, place: &str) -> &'a [Value] {
    object.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The decoded text of a key in a Secret.
pub(in super::super) fn decoded(secret: &Value, key: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(secret["data"][key].as_str()?).ok()?).ok()
}

/// The merge patch between two objects (RFC 7396).
pub(super) fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(was) => patch.extend(merge_patch(was, value).map(|change| (key.clone(), change))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    patch.extend(old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_has_what_differs_and_nothing_else() {
        let before = json!({"a": 1, "b": {"c": [1], "d": 2}, "e": 3});
        assert_eq!(merge_patch(&before, &before), None);
        let after = json!({"a": 1, "b": {"c": [1, 2], "d": 2}, "f": {}});
        assert_eq!(merge_patch(&before, &after), Some(json!({"b": {"c": [1, 2]}, "e": null, "f": {}})));
    }
}
