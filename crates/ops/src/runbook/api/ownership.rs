//! The owners of an object's fields, for server-side apply.
//!
//! A change makes its sender the owner of the changed fields, and their applier loses them: the next `helm
//! upgrade` of Helm 4 that gives such a field another value would fail with a conflict with `ferroflow-ops`. So runbooks
//! return every field to the applier that had it, such as `helm` or Argo CD. An object that a runbook creates to replace
//! another one gets the owner of that one.

use serde_json::Value;

/// The field manager of runbooks.
pub(in super::super) const MANAGER: &str = "ferroflow-ops";

/// Returns the `managedFields` with which the owners from before a change own an object again. `None` if they are
/// right already.
pub(super) fn returned(before: Option<&Value>, after: &Value) -> Option<Value> {
    let entries = after["metadata"]["managedFields"].as_array()?;
    if entries.iter().all(|entry| entry["manager"] != MANAGER) {
        return None;
    }
    let had = before.and_then(|before| before["metadata"]["managedFields"].as_array()).map_or(&[][..], Vec::as_slice);
    let applied: Vec<_> = had.iter().filter(|entry| entry["operation"] == "Apply").collect();
    let is_same = |one: &Value, other: &Value| {
        ["manager", "operation", "apiVersion", "subresource"].iter().all(|field| one[field] == other[field])
    };
    let is_other = |entry: &&Value| entry["manager"] != MANAGER && !applied.iter().any(|had| is_same(had, entry));
    let mut kept: Vec<Value> = entries.iter().filter(is_other).cloned().collect();
    kept.extend(applied.into_iter().cloned());
    // Without any entry the API server would add one, `before-first-apply`, that conflicts with the next apply.
    (!kept.is_empty()).then_some(Value::Array(kept))
}

/// Returns the `managedFields` with which the owner of another object's spec owns an object that replaces it.
pub(super) fn inherited(model: &Value, made: &Value) -> Option<Value> {
    let owner = model["metadata"]["managedFields"]
        .as_array()?
        .iter()
        .filter(|entry| entry["manager"] != MANAGER && entry["fieldsV1"]["f:spec"].is_object())
        .max_by_key(|entry| (entry["operation"] == "Apply", leaves(&entry["fieldsV1"]["f:spec"])))?;
    let mut entries = made["metadata"]["managedFields"].clone();
    let own = entries.as_array_mut()?.iter_mut().find(|entry| entry["manager"] == MANAGER)?;
    own["manager"] = owner["manager"].clone();
    own["operation"] = owner["operation"].clone();
    Some(entries)
}

/// The number of fields in a `fieldsV1`.
fn leaves(fields: &Value) -> usize {
    let below: usize = fields.as_object().into_iter().flatten().map(|(_, below)| leaves(below)).sum();
    below.max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, fields: &str) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": {fields: {}}})
    }

    fn object(entries: &[Value]) -> Value {
        json!({"metadata": {"managedFields": entries}})
    }

    #[test]
    fn fields_are_returned_to_their_applier() {
        let before = object(&[entry("helm", "Apply", "f:image"), entry("kubelet", "Update", "f:status")]);
        let after = object(&[
            entry("helm", "Apply", "f:other"),
            entry("kubelet", "Update", "f:newer"),
            entry(MANAGER, "Update", "f:image"),
        ]);
        let back = returned(Some(&before), &after).unwrap();
        assert_eq!(back, json!([entry("kubelet", "Update", "f:newer"), entry("helm", "Apply", "f:image")]));
        assert_eq!(returned(Some(&before), &before), None);
        assert_eq!(returned(None, &object(&[entry(MANAGER, "Update", "f:image")])), None);
    }

    #[test]
    fn a_replacement_has_the_owner_of_the_replaced_object() {
        let mut operator = entry("manager", "Update", "f:spec");
        operator["fieldsV1"]["f:spec"] = json!({"f:a": {}, "f:b": {}});
        let model = object(&[operator, entry("helm", "Apply", "f:spec"), entry(MANAGER, "Update", "f:spec")]);
        let made = object(&[entry(MANAGER, "Update", "f:spec")]);
        assert_eq!(inherited(&model, &made), Some(json!([entry("helm", "Apply", "f:spec")])));
        assert_eq!(inherited(&made, &made), None);
    }
}
