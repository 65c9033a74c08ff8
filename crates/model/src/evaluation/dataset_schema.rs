//! The schema of a dataset: the type of each field of its records, as it was first seen.

use std::collections::HashSet;

use crate::python_json::{Json, Text};

/// The fields of the records of one request, in the order of their first appearance.
#[derive(Debug, Default)]
pub struct Fields {
    inputs: Names,
    outputs: Names,
    /// The type of an output that is no object.
    output: Option<(&'static str, bool)>,
    expectations: Names,
}

#[derive(Debug, Default)]
struct Names {
    typed: Vec<(Text, &'static str)>,
    seen: HashSet<Text>,
}

impl Names {
    fn add(&mut self, pairs: &[(Text, Json)]) {
        for (name, value) in pairs {
            if !self.seen.contains(name) {
                self.seen.insert(name.clone());
                self.typed.push((name.clone(), type_of(value)));
            }
        }
    }

    /// Adds what `stored` does not have.
    fn merge_into(&self, stored: &mut Vec<(Text, Json)>) {
        let known: HashSet<Text> = stored.iter().map(|(name, _)| name.clone()).collect();
        let new = self.typed.iter().filter(|(name, _)| !known.contains(name));
        stored.extend(new.map(|(name, kind)| (name.clone(), Json::Text(Text::new(kind)))));
    }
}

impl Fields {
    /// Adds those of a record.
    pub fn add(&mut self, inputs: &[(Text, Json)], outputs: Option<&Json>, expectations: &[(Text, Json)]) {
        self.inputs.add(inputs);
        self.expectations.add(expectations);
        match outputs {
            None | Some(Json::Null) => {}
            Some(Json::Object(pairs)) => self.outputs.add(pairs),
            Some(other) => {
                // An output that is no object gives the type of all, unless the fields of another are known already.
                let is_first = self.outputs.typed.is_empty();
                self.output.get_or_insert((type_of(other), is_first));
            }
        }
    }

    /// The schema of a dataset with these records, from its stored one. `None` if it has none and needs none.
    #[must_use]
    pub fn merged(&self, stored: Option<&str>, has_records: bool) -> Option<String> {
        let stored = stored.filter(|stored| !stored.is_empty());
        if stored.is_none() && !has_records {
            return None;
        }
        let stored = stored.and_then(|stored| Json::parse(stored, usize::MAX).ok());
        let part = |name: &str| stored.as_ref().and_then(|stored| stored.get(name)).cloned();
        let fields = |name: &str| part(name).and_then(|part| part.object().map(<[_]>::to_vec)).unwrap_or_default();
        let mut inputs = fields("inputs");
        self.inputs.merge_into(&mut inputs);
        let mut expectations = fields("expectations");
        self.expectations.merge_into(&mut expectations);
        let outputs = match (part("outputs"), self.output) {
            (Some(Json::Text(kind)), _) => Json::Text(kind),
            (Some(Json::Object(mut known)), output) => match output {
                Some((kind, true)) if known.is_empty() => Json::Text(Text::new(kind)),
                _ => {
                    self.outputs.merge_into(&mut known);
                    Json::Object(known)
                }
            },
            (_, Some((kind, true))) => Json::Text(Text::new(kind)),
            _ => {
                let mut known = Vec::new();
                self.outputs.merge_into(&mut known);
                Json::Object(known)
            }
        };
        let mut schema = vec![
            (Text::new("inputs"), Json::Object(inputs)),
            (Text::new("outputs"), outputs),
            (Text::new("expectations"), Json::Object(expectations)),
            (Text::new("version"), part("version").unwrap_or_else(|| Json::Text(Text::new("1.0")))),
        ];
        // What another server keeps there stays.
        let others = stored.as_ref().and_then(Json::object).unwrap_or_default();
        let known: HashSet<Text> = schema.iter().map(|(name, _)| name.clone()).collect();
        schema.extend(others.iter().filter(|(name, _)| !known.contains(name)).cloned());
        Some(Json::Object(schema).dumps())
    }
}

/// The name of a value's type in schemas.
fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Int(_) => "integer",
        Json::Float(_) => "float",
        Json::Text(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(stored: Option<&str>, records: &[&str]) -> String {
        let mut fields = Fields::default();
        for record in records {
            let record = Json::parse(record, 100).unwrap();
            let of = |name: &str| record.get(name).and_then(Json::object).unwrap_or_default();
            fields.add(of("inputs"), record.get("outputs"), of("expectations"));
        }
        fields.merged(stored, true).unwrap()
    }

    #[test]
    fn a_field_has_the_type_of_its_first_value() {
        let first = merged(
            None,
            &[
                r#"{"inputs": {"b": 1, "a": "x"}, "outputs": {"o": 1.0}}"#,
                r#"{"inputs": {"b": "now text", "c": null, "d": [], "e": {}, "f": true}, "outputs": "ignored"}"#,
            ],
        );
        assert_eq!(
            first,
            r#"{"inputs": {"b": "integer", "a": "string", "c": "null", "d": "array", "e": "object", "f": "boolean"}, "outputs": {"o": "float"}, "expectations": {}, "version": "1.0"}"#
        );
        let second = merged(Some(&first), &[r#"{"inputs": {"g": 2}, "outputs": {"p": 1}, "expectations": {"x": 1}}"#]);
        assert!(second.contains(r#""f": "boolean", "g": "integer"}"#), "{second}");
        assert!(second.contains(r#""outputs": {"o": "float", "p": "integer"}, "expectations": {"x": "integer"}"#));
    }

    #[test]
    fn outputs_that_are_no_objects_have_one_type() {
        let first = merged(None, &[r#"{"inputs": {}, "outputs": "text"}"#, r#"{"inputs": {}, "outputs": {"a": 1}}"#]);
        assert!(first.contains(r#""outputs": "string""#), "{first}");
        assert!(merged(Some(&first), &[r#"{"outputs": {"a": 1}}"#]).contains(r#""outputs": "string""#));
        let empty = merged(None, &[r#"{"outputs": null}"#]);
        assert!(merged(Some(&empty), &[r#"{"outputs": [1]}"#]).contains(r#""outputs": "array""#));
        // The fields of a stored object go on, whatever else arrives with them.
        let object = merged(None, &[r#"{"outputs": {"a": 1}}"#]);
        let more = merged(Some(&object), &[r#"{"outputs": 1}"#, r#"{"outputs": {"b": 1}}"#]);
        assert!(more.contains(r#""outputs": {"a": "integer", "b": "integer"}"#), "{more}");
    }

    #[test]
    fn an_empty_request_makes_no_schema() {
        assert_eq!(Fields::default().merged(None, false), None);
        assert_eq!(Fields::default().merged(Some("not json"), true), Fields::default().merged(None, true));
    }
}
