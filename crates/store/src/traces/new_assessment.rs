//! An assessment as a client describes it, and the values of its row.

use ferroflow_model::{
    Error, ErrorCode, Result, limits,
    messages::assessments::{
        Assessment, AssessmentError, AssessmentSourceSourceType, Expectation, Feedback, IssueReference,
    },
    python, validation,
    wire::{Enum as _, Timestamp},
};
use serde_json::{Value as Json, json};

use crate::{
    db::{Value, clock::now_ms},
    traces::assessment_rows::{JSON_FORMAT, numbers_as_doubles},
};

/// The metadata with the run that made the assessment.
const SOURCE_RUN: &str = "mlflow.assessment.sourceRunId";

/// Maximum length of a run id in its column.
const RUN_ID: usize = 32;

/// What an assessment says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    /// `feedback`, `expectation` or `issue`.
    pub(crate) kind: &'static str,
    /// JSON.
    pub(crate) value: String,
    /// JSON.
    pub(crate) error: Option<String>,
    /// The value as a number, for metrics.
    pub(crate) aggregate: Option<f64>,
    /// Whether the value is a number.
    pub(crate) is_number: bool,
}

/// An assessment as a client describes it, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewAssessment {
    pub(crate) id: String,
    pub(crate) overrides: Option<String>,
    name: String,
    content: Content,
    created_ms: i64,
    updated_ms: i64,
    source_type: &'static str,
    source_id: Option<String>,
    run_id: Option<String>,
    span_id: Option<String>,
    rationale: Option<String>,
    metadata: Option<String>,
}

impl NewAssessment {
    /// Checks an assessment. Ids and times that are missing are made here.
    ///
    /// # Errors
    /// It has no value, or a text is longer than its column.
    pub(crate) fn of(given: Assessment) -> Result<Self> {
        let content = if let Some(expectation) = &given.expectation {
            Content::of_expectation(expectation)?
        } else if let Some(feedback) = &given.feedback {
            Content::of_feedback(feedback)
        } else if let Some(issue) = &given.issue {
            Content::of_issue(issue)
        } else {
            return Err(Error::invalid("Unknown assessment type: None"));
        };
        let is_feedback = content.kind == "feedback";
        let now = now_ms();
        let time = |given: Option<Timestamp>| match given.map_or(0, Timestamp::to_millis) {
            0 => now,
            time => time,
        };
        let source = given.source.unwrap_or_default();
        let new = Self {
            id: given_text(given.assessment_id).unwrap_or_else(|| format!("a-{}", uuid::Uuid::new_v4().simple())),
            // The reference keeps these two of some kinds only.
            overrides: given_text(given.overrides).filter(|_| is_feedback),
            rationale: given_text(given.rationale).filter(|_| content.kind != "expectation"),
            name: given.assessment_name.unwrap_or_default(),
            content,
            created_ms: time(given.create_time),
            updated_ms: time(given.last_update_time),
            source_type: source.source_type.unwrap_or(AssessmentSourceSourceType::SourceTypeUnspecified).name(),
            source_id: given_text(source.source_id),
            run_id: given.metadata.get(SOURCE_RUN).cloned(),
            span_id: given_text(given.span_id),
            metadata: (!given.metadata.is_empty()).then(|| python::json_dumps(&json!(given.metadata))),
        };
        let texts = [
            ("assessment.assessment_id", limits::TRACE_ID, Some(&new.id)),
            ("assessment.assessment_name", limits::ASSESSMENT_NAME, Some(&new.name)),
            ("assessment.source.source_id", limits::ASSESSMENT_NAME, new.source_id.as_ref()),
            ("assessment.span_id", limits::TRACE_ID, new.span_id.as_ref()),
            (SOURCE_RUN, RUN_ID, new.run_id.as_ref()),
        ];
        for (path, limit, text) in texts {
            text.map_or(Ok(()), |text| validation::trace_text(path, limit, text))?;
        }
        Ok(new)
    }

    /// The values of its row, in the order of `assessment_rows::ALL`.
    pub(crate) fn row(&self, trace_id: &str, experiment: i64, trace_timestamp_ms: i64) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            trace_id.into(),
            self.name.as_str().into(),
            self.content.kind.into(),
            self.content.value.as_str().into(),
            self.content.error.as_deref().into(),
            self.created_ms.into(),
            self.updated_ms.into(),
            self.source_type.into(),
            self.source_id.as_deref().into(),
            self.run_id.as_deref().into(),
            self.span_id.as_deref().into(),
            self.rationale.as_deref().into(),
            self.overrides.as_deref().into(),
            true.into(),
            self.metadata.as_deref().into(),
            experiment.into(),
            trace_timestamp_ms.into(),
            self.content.aggregate.into(),
            self.content.is_number.into(),
        ]
    }

    /// Whether a stored assessment is the one that this request created before. Times are not compared: a missing one is
    /// another one in each request.
    pub(crate) fn is_same(&self, stored: &Assessment) -> bool {
        let Ok(stored) = Self::of(stored.clone()) else { return false };
        Self { created_ms: self.created_ms, updated_ms: self.updated_ms, ..stored } == *self
    }

    /// The error for an id that another assessment has.
    pub(crate) fn conflict(trace_id: &str) -> Error {
        Error::new(
            ErrorCode::ResourceAlreadyExists,
            format!("Failed to create assessment for trace '{trace_id}' due to a constraint violation."),
        )
    }
}

impl Content {
    /// # Errors
    /// It has no value, or a serialized one that is not JSON.
    pub(crate) fn of_expectation(given: &Expectation) -> Result<Self> {
        let value = match &given.serialized_value {
            Some(serialized) => {
                let format = serialized.serialization_format.as_deref().unwrap_or_default();
                if format != JSON_FORMAT {
                    return Err(Error::invalid(format!(
                        "Unknown serialization format: {format}. Only JSON_FORMAT is supported."
                    )));
                }
                let text = serialized.value.as_deref().unwrap_or_default();
                serde_json::from_str(text)
                    .map_err(|_| Error::invalid("The serialized value of the expectation is not valid JSON."))?
            }
            None => numbers_as_doubles(given.value.clone().unwrap_or_default()),
        };
        if value.is_null() {
            return Err(Error::invalid("The `value` field must be specified."));
        }
        Ok(Self::new("expectation", &value, None))
    }

    pub(crate) fn of_feedback(given: &Feedback) -> Self {
        let error = given.error.as_ref().map(|error| python::json_dumps(&error_fields(error)));
        Self::new("feedback", &numbers_as_doubles(given.value.clone().unwrap_or_default()), error)
    }

    fn of_issue(given: &IssueReference) -> Self {
        let name = given.issue_name.as_deref().unwrap_or_default();
        Self::new("issue", &json!({ "issue_name": name }), None)
    }

    fn new(kind: &'static str, value: &Json, error: Option<String>) -> Self {
        let (aggregate, is_number) = aggregate(value);
        Self { kind, value: python::json_dumps(value), error, aggregate, is_number }
    }
}

/// A value as a number, and whether it is one: `true` and `yes` are 1, `false` and `no` are 0.
fn aggregate(value: &Json) -> (Option<f64>, bool) {
    match value {
        Json::Bool(yes) => (Some(f64::from(u8::from(*yes))), false),
        Json::Number(number) => {
            let number = number.as_f64().filter(|number| number.is_finite());
            (number, number.is_some())
        }
        Json::String(text) => match text.trim().to_lowercase().as_str() {
            "yes" => (Some(1.0), false),
            "no" => (Some(0.0), false),
            _ => (None, false),
        },
        _ => (None, false),
    }
}

fn error_fields(error: &AssessmentError) -> Json {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    json!({
        "error_code": error.error_code.as_deref().unwrap_or_default(),
        "error_message": text(&error.error_message),
        "stack_trace": text(&error.stack_trace),
    })
}

/// A text that is not empty.
fn given_text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
