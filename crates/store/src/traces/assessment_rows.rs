//! Rows of the table `assessments`, as the message of the API.

use ferroflow_model::{
    messages::assessments::{
        Assessment, AssessmentError, AssessmentSource, AssessmentSourceSourceType, Expectation,
        ExpectationSerializedValue, Feedback, IssueReference,
    },
    python,
    wire::{Enum as _, Timestamp},
};
use serde_json::Value;

use crate::db::{Column, DbError, Insert, Row, Value as Bound, bool, int, real, text};

/// The columns of an assessment `a`, in the order [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "a.trace_id, a.assessment_id, a.name, a.assessment_type, a.value, a.error, \
                                  a.created_timestamp, a.last_updated_timestamp, a.source_type, a.source_id, \
                                  a.span_id, a.rationale, a.overrides, a.valid, a.assessment_metadata";

/// All columns, in the order of `NewAssessment::row`.
const ALL: &[Column] = &[
    text("assessment_id"),
    text("trace_id"),
    text("name"),
    text("assessment_type"),
    text("value"),
    text("error"),
    int("created_timestamp"),
    int("last_updated_timestamp"),
    text("source_type"),
    text("source_id"),
    text("run_id"),
    text("span_id"),
    text("rationale"),
    text("overrides"),
    bool("valid"),
    text("assessment_metadata"),
    int("experiment_id"),
    int("trace_timestamp_ms"),
    real("aggregate_value"),
    bool("is_numeric_value"),
];

/// The only format of a serialized expectation.
pub(crate) const JSON_FORMAT: &str = "JSON_FORMAT";

/// Maximum length of a stack trace in an answer, in characters.
const STACK_TRACE: usize = 10_000;

const TRUNCATED: &str = "[Stack trace is truncated]\n...\n";

/// New rows. One whose id is taken is left out.
pub(crate) fn insert(rows: Vec<Vec<Bound>>) -> Insert {
    Insert { table: "assessments", columns: ALL, only_if: None, on_conflict: "ON CONFLICT DO NOTHING", rows }
}

/// New rows, which replace those of the same ids in the same trace. One whose id belongs to another trace is left out.
pub(crate) fn merge(rows: Vec<Vec<Bound>>) -> Insert {
    let on_conflict = "ON CONFLICT (assessment_id) DO UPDATE SET name = excluded.name, \
         assessment_type = excluded.assessment_type, value = excluded.value, error = excluded.error, \
         created_timestamp = excluded.created_timestamp, last_updated_timestamp = excluded.last_updated_timestamp, \
         source_type = excluded.source_type, source_id = excluded.source_id, run_id = excluded.run_id, \
         span_id = excluded.span_id, rationale = excluded.rationale, overrides = excluded.overrides, \
         valid = excluded.valid, assessment_metadata = excluded.assessment_metadata, \
         experiment_id = excluded.experiment_id, trace_timestamp_ms = excluded.trace_timestamp_ms, \
         aggregate_value = excluded.aggregate_value, is_numeric_value = excluded.is_numeric_value \
         WHERE assessments.trace_id = excluded.trace_id";
    Insert { table: "assessments", columns: ALL, only_if: None, on_conflict, rows }
}

/// Reads [`COLUMNS`].
pub(crate) fn from_row(row: &Row<'_>) -> Result<Assessment, DbError> {
    let value = parsed(row.str(4)?);
    let mut assessment = Assessment {
        trace_id: row.get(0)?,
        assessment_id: row.get(1)?,
        assessment_name: row.get(2)?,
        create_time: Some(Timestamp::from_millis(row.get(6)?)),
        last_update_time: Some(Timestamp::from_millis(row.get(7)?)),
        source: Some(AssessmentSource {
            source_type: AssessmentSourceSourceType::from_name(row.str(8)?),
            source_id: row.get(9)?,
        }),
        span_id: row.get(10)?,
        rationale: row.get(11)?,
        overrides: row.get::<Option<String>>(12)?.filter(|id| !id.is_empty()),
        valid: Some(row.get(13)?),
        metadata: row.opt_str(14)?.map(metadata).unwrap_or_default(),
        ..Assessment::default()
    };
    match row.str(3)? {
        "feedback" => {
            let error = row.opt_str(5)?.map(error);
            assessment.feedback = Some(Feedback { value: Some(numbers_as_doubles(value)), error });
        }
        "expectation" => assessment.expectation = Some(expectation(value)),
        _ => {
            let issue_name = value.get("issue_name").and_then(Value::as_str).map(str::to_owned);
            assessment.issue = Some(IssueReference { issue_name });
        }
    }
    Ok(assessment)
}

/// A value as `google.protobuf.Value` keeps it, in which every number is a double: `1` is written `1.0`.
pub(crate) fn numbers_as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.into_iter().map(numbers_as_doubles).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, numbers_as_doubles(value))).collect(),
        other => other,
    }
}

/// Lists and objects are texts of JSON in the message, scalars are values.
fn expectation(value: Value) -> Expectation {
    match value {
        Value::Array(_) | Value::Object(_) => Expectation {
            serialized_value: Some(ExpectationSerializedValue {
                serialization_format: Some(JSON_FORMAT.to_owned()),
                value: Some(python::json_dumps(&value)),
            }),
            ..Expectation::default()
        },
        scalar => Expectation { value: Some(numbers_as_doubles(scalar)), ..Expectation::default() },
    }
}

fn error(text: &str) -> AssessmentError {
    let error = parsed(text);
    let field = |name| error.get(name).and_then(Value::as_str).map(str::to_owned);
    AssessmentError {
        error_code: Some(field("error_code").unwrap_or_default()),
        error_message: field("error_message").filter(|text| !text.is_empty()),
        stack_trace: field("stack_trace").filter(|text| !text.is_empty()).map(truncated),
    }
}

/// The end of a stack trace that is too long.
fn truncated(text: String) -> String {
    let length = text.chars().count();
    if length <= STACK_TRACE {
        return text;
    }
    let end = text.chars().skip(length - (STACK_TRACE - TRUNCATED.len()));
    TRUNCATED.chars().chain(end).collect()
}

/// Metadata, a JSON object. Its values are texts in the message; another writer may have stored others.
pub(crate) fn metadata(text: &str) -> std::collections::BTreeMap<String, String> {
    let Value::Object(entries) = parsed(text) else { return std::collections::BTreeMap::new() };
    entries
        .into_iter()
        .map(|(key, value)| {
            let value = match value {
                Value::String(text) => text,
                other => python::json_dumps(&other),
            };
            (key, value)
        })
        .collect()
}

/// Stored JSON. Another writer may have stored what is not JSON (`NaN`); it is read as null.
pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
