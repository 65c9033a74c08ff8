//! The records of a dataset in a request.

use super::{NAME, RECORD_VALUES, RECORDS, SOURCE_ID, USER_TAG, dataset_schema::Fields, sha256};
use crate::{
    Error, Result,
    python_json::{Json, Refusal, Text},
    validation::exceeds_maximum_length,
};

/// The name under which outputs of any type are stored as an object.
const WRAPPED: &str = "{\"mlflow_wrapped\": ";

/// The types of sources.
const SOURCE_TYPES: [&str; 5] = ["UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"];

/// The records of a request.
#[derive(Debug, Default)]
pub struct Records {
    /// The records, in their order.
    pub records: Vec<Record>,
    /// Their fields.
    pub fields: Fields,
    /// Whether a number is infinite or NaN, which PostgreSQL does not store.
    pub has_infinite: bool,
}

/// A record. Texts of JSON are as they are stored.
#[derive(Debug, Clone)]
pub struct Record {
    /// What identifies it in its dataset: the SHA-256 of its inputs in JSON with sorted names.
    pub input_hash: String,
    /// The inputs.
    pub inputs: String,
    /// The outputs; `None` if the request does not name them.
    pub outputs: Option<String>,
    /// The expectations; `None` if there are none.
    pub expectations: Option<Vec<(Text, Json)>>,
    /// The tags.
    pub tags: Vec<(Text, Json)>,
    /// Where it comes from.
    pub source: Option<Source>,
    /// The user that its tags name.
    pub user: Option<String>,
}

/// The source of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// It as it is stored.
    pub json: String,
    /// Its type.
    pub kind: &'static str,
    /// The id of what it is, such as a trace.
    pub id: Option<String>,
}

impl Record {
    /// The outputs of a new record.
    #[must_use]
    pub fn first_outputs(&self) -> String {
        self.outputs.clone().unwrap_or_else(|| wrapped(&Json::Object(Vec::new())))
    }
}

/// Parses the records of a request.
///
/// # Errors
/// The text is no list of objects, or a part of a record is not valid.
pub fn parse(text: &str) -> Result<Records> {
    let mut found = Records::default();
    let outcome = Json::each_item(text, RECORD_VALUES, |item| {
        if found.records.len() == RECORDS {
            return Err(Fault::TooMany);
        }
        found.has_infinite |= !item.is_finite();
        found.records.push(record(&item, &mut found.fields)?);
        Ok(())
    });
    let reason = match outcome {
        Ok(()) => return Ok(found),
        Err(Fault::Known(error)) => return Err(error),
        Err(Fault::Text(refusal)) => return Err(refusal.of("records")),
        Err(Fault::TooMany) => format!("it has more than {RECORDS} records"),
        Err(Fault::Of(reason)) => format!("record {} {reason}", found.records.len()),
    };
    Err(Error::invalid(format!("Invalid value for parameter 'records' supplied: {reason}.")))
}

/// Why records are refused.
enum Fault {
    /// An error with the reference's message.
    Known(Error),
    /// The text cannot be read.
    Text(Refusal),
    /// There are more than [`RECORDS`].
    TooMany,
    /// A reason, as a clause about the record.
    Of(&'static str),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Text(refusal)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Known(error)
    }
}

fn record(item: &Json, fields: &mut Fields) -> std::result::Result<Record, Fault> {
    if item.object().is_none() {
        return Err(Fault::Of("is not an object"));
    }
    let empty = Json::Object(Vec::new());
    let inputs = item.get("inputs").unwrap_or(&empty);
    let names = inputs.object().ok_or(Fault::Of("has inputs that are not an object"))?;
    let expectations = optional(item, "expectations", "has expectations that are not an object")?;
    let tags = optional(item, "tags", "has tags that are not an object")?.unwrap_or_default();
    let user = match tags.iter().find(|(name, _)| name.is(USER_TAG)) {
        None | Some((_, Json::Null)) => None,
        Some((_, name)) => {
            let name = name.text().and_then(Text::decode).ok_or(Fault::Of("has a user that is not a text"))?;
            if name.chars().count() > NAME {
                return Err(Error::invalid(exceeds_maximum_length(USER_TAG, NAME)).into());
            }
            Some(name)
        }
    };
    let source = item.get("source").filter(|source| source.is_truthy()).map(source).transpose()?;
    let outputs = item.get("outputs");
    fields.add(names, outputs, expectations.as_deref().unwrap_or_default());
    Ok(Record {
        input_hash: sha256(&inputs.dumps_sorted()),
        inputs: inputs.dumps(),
        outputs: outputs.map(|outputs| if *outputs == Json::Null { "null".to_owned() } else { wrapped(outputs) }),
        expectations,
        tags,
        source,
        user,
    })
}

/// An object that may be missing or null.
fn optional(item: &Json, name: &str, reason: &'static str) -> std::result::Result<Option<Vec<(Text, Json)>>, Fault> {
    match item.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(found) => found.object().map(|pairs| Some(pairs.to_vec())).ok_or(Fault::Of(reason)),
    }
}

fn source(source: &Json) -> std::result::Result<Source, Fault> {
    let pairs = source.object().ok_or(Fault::Of("has a source that is not an object"))?;
    if pairs.iter().any(|(name, _)| !name.is("source_type") && !name.is("source_data")) {
        return Err(Fault::Of("has a source with other names than source_type and source_data"));
    }
    let given = source.get("source_type").and_then(Json::text).and_then(Text::decode);
    let given = given.ok_or(Fault::Of("has a source without a source_type"))?.to_uppercase();
    let kind = SOURCE_TYPES.into_iter().find(|kind| *kind == given).ok_or_else(|| {
        let valid: Vec<String> = SOURCE_TYPES.iter().map(|kind| format!("'{kind}'")).collect();
        let valid = valid.join(", ");
        Error::invalid(format!("Invalid dataset record source type: {given}. Valid source types: [{valid}]"))
    })?;
    let data = match source.get("source_data") {
        None | Some(Json::Null) => Json::Object(Vec::new()),
        Some(data) if data.object().is_some() => data.clone(),
        Some(_) => return Err(Fault::Of("has source_data that is not an object")),
    };
    let id = data.get(if kind == "TRACE" { "trace_id" } else { "source_id" });
    let id = match id.filter(|id| **id != Json::Null) {
        None => None,
        Some(id) => Some(id.to_str().ok_or(Fault::Of("has a source whose id is not a text"))?),
    };
    if id.as_ref().is_some_and(|id| id.chars().count() > SOURCE_ID) {
        let name = if kind == "TRACE" { "trace_id" } else { "source_id" };
        return Err(Error::invalid(exceeds_maximum_length(name, SOURCE_ID)).into());
    }
    let json = format!("{{\"source_type\": \"{kind}\", \"source_data\": {}}}", data.dumps());
    Ok(Source { json, kind, id })
}

/// Outputs as they are stored.
fn wrapped(outputs: &Json) -> String {
    format!("{WRAPPED}{}}}", outputs.dumps())
}

/// The outputs in a stored text, as JSON; `None` if there are none.
#[must_use]
pub fn unwrapped(stored: &str) -> Option<&str> {
    let inner = stored.strip_prefix(WRAPPED)?;
    let value = &inner[..crate::python_json::end_of_value(inner)?];
    (value != "null").then_some(value)
}

/// The names and values of a stored object; none if it is null or cannot be read.
#[must_use]
pub fn stored_object(stored: Option<&str>) -> Vec<(Text, Json)> {
    match stored.and_then(|stored| Json::parse(stored, usize::MAX).ok()) {
        Some(Json::Object(pairs)) => pairs,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(record: &str) -> Record {
        parse(&format!("[{record}]")).unwrap().records.pop().unwrap()
    }

    #[test]
    fn a_record_is_identified_by_its_inputs_whatever_their_order() {
        let (one, other) =
            (one(r#"{"inputs": {"a": 1, "b": [1.0, "é"]}}"#), one(r#"{"inputs":{"b":[1.0,"\u00E9"],"a":1}}"#));
        assert_eq!(one.input_hash, other.input_hash);
        // sha256 of '{"a": 1, "b": [1.0, "\\u00e9"]}', by Python
        assert_eq!(one.inputs, r#"{"a": 1, "b": [1.0, "\u00e9"]}"#);
        assert_eq!(other.inputs, r#"{"b": [1.0, "\u00e9"], "a": 1}"#);
        assert_eq!(one.first_outputs(), r#"{"mlflow_wrapped": {}}"#);
    }

    #[test]
    fn what_the_reference_crashes_on_is_refused() {
        for (records, reason) in [
            ("{}", "it is not a list"),
            ("[1]", "record 0 is not an object"),
            ("[{}, {\"inputs\": []}]", "record 1 has inputs that are not an object"),
            ("[{\"inputs\": null}]", "inputs"),
            ("[{\"inputs\": {}, \"tags\": [1]}]", "tags"),
            ("[{\"inputs\": {}, \"expectations\": \"x\"}]", "expectations"),
            ("[{\"source\": {\"source_data\": {}}}]", "without a source_type"),
            ("[{\"source\": {\"source_type\": \"x\"}}]", "Invalid dataset record source type: X."),
            ("[{\"source\": {\"source_type\": \"CODE\", \"y\": 1}}]", "other names"),
            ("[{\"tags\": {\"mlflow.user\": 1}}]", "user"),
            ("[{]", "not valid JSON"),
            ("", "not valid JSON"),
        ] {
            let error = parse(records).unwrap_err();
            assert!(error.message.contains(reason), "{records}: {error}");
        }
        let deep = format!("[{{\"inputs\": {{\"a\": {}1{}}}}}]", "[".repeat(10_000), "]".repeat(10_000));
        assert!(parse(&deep).unwrap_err().message.contains("levels deep"));
    }

    #[test]
    fn outputs_of_any_type_are_stored_as_an_object() {
        for (outputs, stored, read) in [
            (r#""text""#, r#"{"mlflow_wrapped": "text"}"#, Some(r#""text""#)),
            ("{\"a\":1}", r#"{"mlflow_wrapped": {"a": 1}}"#, Some(r#"{"a": 1}"#)),
            ("null", "null", None),
        ] {
            let record = one(&format!("{{\"inputs\": {{}}, \"outputs\": {outputs}}}"));
            assert_eq!(record.outputs.as_deref(), Some(stored));
            assert_eq!(unwrapped(stored), read);
        }
        assert_eq!(unwrapped(r#"{"other": 1}"#), None);
    }

    #[test]
    fn the_id_of_a_source_depends_on_its_type() {
        let source = |text: &str| one(&format!("{{\"source\": {text}}}")).source;
        let trace =
            source(r#"{"source_type": "trace", "source_data": {"trace_id": "tr-1", "source_id": "x"}}"#).unwrap();
        assert_eq!((trace.kind, trace.id.as_deref()), ("TRACE", Some("tr-1")));
        let human = source(r#"{"source_type": "HUMAN"}"#).unwrap();
        assert_eq!(human.json, r#"{"source_type": "HUMAN", "source_data": {}}"#);
        assert_eq!(source("{}"), None);
    }
}
