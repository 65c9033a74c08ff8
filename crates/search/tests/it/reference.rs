//! Every text in `../reference.json` has the reference's result. `../reference.py` generates the file and documents its
//! format.

use ferroflow_model::{Error, ErrorCode};
use ferroflow_search::{
    Number, OrderBy, PageToken, PairTest, TextTest, experiments, logged_models, model_versions, registered_models,
    runs, trace_metrics, traces,
};
use serde_json::{Value, json};

/// Texts on which the reference crashes although their meaning is clear; these are accepted.
const CLEAR_MEANING: &[&str] = &[
    "attributes.creation_time",
    "attributes.last_updated_timestamp",
    "end_time",
    "span.attributes.",
    "feedback.a > 9999",
];

#[test]
fn every_recorded_text_has_the_meaning_or_the_error_of_the_reference() {
    let cases: Vec<(String, Value, Value)> = serde_json::from_str(include_str!("../reference.json")).unwrap();
    let mut differences = Vec::new();
    for (kind, given, expected) in &cases {
        let found = answer(kind, given);
        if let Some(difference) = difference(given, expected, &found) {
            differences.push(format!("{kind} {given}\n  expected {expected}\n  found    {difference}"));
        }
    }
    assert!(cases.len() > 1000, "the recording is nearly empty");
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

fn difference(given: &Value, expected: &Value, found: &Result<Value, Error>) -> Option<String> {
    match (expected.as_object()?.iter().next()?, found) {
        ((kind, value), Ok(found)) if kind == "ok" && value == found => None,
        ((kind, value), Err(error))
            if kind == "error" && *value == *error.message && error.code == ErrorCode::InvalidParameterValue =>
        {
            None
        }
        ((kind, _), Err(error)) if kind == "crash" && error.code == ErrorCode::InvalidParameterValue => None,
        ((kind, _), Ok(_)) if kind == "crash" && CLEAR_MEANING.iter().any(|text| given.to_string().contains(text)) => {
            None
        }
        (_, Ok(found)) => Some(found.to_string()),
        (_, Err(error)) => Some(error.to_string()),
    }
}

fn answer(kind: &str, given: &Value) -> Result<Value, Error> {
    let text = given.as_str().unwrap_or_default();
    let list: Vec<&str> = given.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match kind {
        "runs.filter" => runs::parse_filter(text).map(|all| all.into_iter().map(run).collect()),
        "experiments.filter" => experiments::parse_filter(text).map(|all| all.into_iter().map(experiment).collect()),
        "logged_models.filter" => {
            logged_models::parse_filter(text).map(|all| all.into_iter().map(logged_model).collect())
        }
        "registered_models.filter" => {
            registered_models::parse_filter(text).map(|all| all.into_iter().map(registered_model).collect())
        }
        "model_versions.filter" => {
            model_versions::parse_filter(text).map(|all| all.into_iter().map(model_version).collect())
        }
        "traces.filter" => traces::parse_filter(text).map(|all| all.into_iter().map(trace).collect()),
        "traces.order_by" => traces::parse_order_by(&list).map(|order| columns(order, &list, trace_column)),
        "trace_metrics.filter" => trace_metrics::parse_filter(text).map(|filter| metrics_filter(&filter)),
        "runs.order_by" => runs::parse_order_by(&list).map(|order| columns(order, &list, run_column)),
        "experiments.order_by" => experiments::parse_order_by(&list)
            .map(|order| columns(order, &list, |column| attribute(experiment_column(column)))),
        "registered_models.order_by" => registered_models::parse_order_by(&list).map(|order| {
            columns(order, &list, |column| {
                attribute(match column {
                    registered_models::Column::Name => "name",
                    registered_models::Column::LastUpdatedTime => "last_updated_timestamp",
                })
            })
        }),
        "model_versions.order_by" => model_versions::parse_order_by(&list).map(|order| {
            columns(order, &list, |column| {
                attribute(match column {
                    model_versions::Column::Name => "name",
                    model_versions::Column::Version => "version_number",
                    model_versions::Column::CreationTime => "creation_timestamp",
                    model_versions::Column::LastUpdatedTime => "last_updated_timestamp",
                })
            })
        }),
        "logged_models.order_by" => logged_models_order(given),
        "page_token" => PageToken::decode(text).map(|token| match token {
            PageToken::Offset(offset) => json!(offset),
            PageToken::Key(_) => json!("key"),
        }),
        _ => unreachable!("{kind}"),
    }
}

fn row(entity: &str, key: &str, (sign, value): (&str, Value)) -> Value {
    json!([entity, key, sign, value])
}

fn compared(by: TextTest) -> (&'static str, Value) {
    match by {
        TextTest::Equal(text) => ("=", json!(text)),
        TextTest::NotEqual(text) => ("!=", json!(text)),
        TextTest::Like(text) => ("LIKE", json!(text)),
        TextTest::ILike(text) => ("ILIKE", json!(text)),
        TextTest::RLike(text) => ("RLIKE", json!(text)),
        TextTest::In(texts) => ("IN", json!(texts)),
        TextTest::NotIn(texts) => ("NOT IN", json!(texts)),
    }
}

fn pair(pair: PairTest) -> (&'static str, Value) {
    match pair {
        PairTest::Value(value) => compared(value),
        PairTest::IsNull => ("IS NULL", Value::Null),
        PairTest::IsNotNull => ("IS NOT NULL", Value::Null),
    }
}

fn real(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string().to_lowercase()) }
}

fn run(condition: runs::Condition) -> Value {
    use runs::{Condition, DatasetAttribute};
    match condition {
        Condition::Metric { key, op, value } => row("metric", &key, (op.sql(), real(value))),
        Condition::Param { key, test } => row("parameter", &key, pair(test)),
        Condition::Tag { key, test } => row("tag", &key, pair(test)),
        Condition::Text { column, test: text } => row("attribute", run_text(column), compared(text)),
        Condition::Time { column, op, value } => {
            let value = match value {
                Number::Int(int) => json!(int),
                Number::Real(value) => real(value),
            };
            row("attribute", run_time(column), (op.sql(), value))
        }
        Condition::Dataset { column, test: text } => {
            let key = match column {
                DatasetAttribute::Name => "name",
                DatasetAttribute::Digest => "digest",
                DatasetAttribute::Context => "context",
            };
            row("dataset", key, compared(text))
        }
    }
}

fn run_text(column: runs::TextAttribute) -> &'static str {
    match column {
        runs::TextAttribute::RunId => "run_id",
        runs::TextAttribute::RunName => "run_name",
        runs::TextAttribute::UserId => "user_id",
        runs::TextAttribute::Status => "status",
        runs::TextAttribute::ArtifactUri => "artifact_uri",
    }
}

fn run_time(column: runs::TimeAttribute) -> &'static str {
    match column {
        runs::TimeAttribute::StartTime => "start_time",
        runs::TimeAttribute::EndTime => "end_time",
    }
}

fn run_column(column: runs::Column) -> (String, String) {
    match column {
        runs::Column::Text(column) => attribute(run_text(column)),
        runs::Column::Time(column) => attribute(run_time(column)),
        runs::Column::Metric(key) => ("metric".to_owned(), key),
        runs::Column::Param(key) => ("parameter".to_owned(), key),
        runs::Column::Tag(key) => ("tag".to_owned(), key),
    }
}

fn attribute(key: &str) -> (String, String) {
    ("attribute".to_owned(), key.to_owned())
}

fn experiment_column(column: experiments::Column) -> &'static str {
    match column {
        experiments::Column::Name => "name",
        experiments::Column::Id => "experiment_id",
        experiments::Column::Time(experiments::TimeAttribute::CreationTime) => "creation_time",
        experiments::Column::Time(experiments::TimeAttribute::LastUpdateTime) => "last_update_time",
    }
}

fn experiment(condition: experiments::Condition) -> Value {
    use experiments::{Condition, IdTest};
    match condition {
        Condition::Name(name) => row("attribute", "name", compared(name)),
        Condition::Id(id) => row(
            "attribute",
            "experiment_id",
            match id {
                IdTest::Equal(id) => ("=", json!(id)),
                IdTest::NotEqual(id) => ("!=", json!(id)),
                IdTest::In(ids) => ("IN", json!(ids)),
                IdTest::NotIn(ids) => ("NOT IN", json!(ids)),
            },
        ),
        Condition::Time { column, op, value } => {
            row("attribute", experiment_column(experiments::Column::Time(column)), (op.sql(), json!(value)))
        }
        Condition::Tag { key, test } => row("tag", &key, pair(test)),
    }
}

fn logged_model(condition: logged_models::Condition) -> Value {
    use logged_models::Condition;
    match condition {
        Condition::Text { column, test: text } => row("attributes", column.column(), compared(text)),
        Condition::Time { column, op, value } => row("attributes", column.column(), (op.sql(), real(value))),
        Condition::Metric { key, op, value } => row("metrics", &key, (op.sql(), real(value))),
        Condition::Param { key, test: text } => row("params", &key, compared(text)),
        Condition::Tag { key, test: text } => row("tags", &key, compared(text)),
    }
}

fn registered_model(condition: registered_models::Condition) -> Value {
    match condition {
        registered_models::Condition::Name(name) => row("attribute", "name", compared(name)),
        registered_models::Condition::Tag { key, test: text } => row("tag", &key, compared(text)),
    }
}

fn trace(condition: traces::Condition) -> Value {
    use traces::{AssessmentTest, Condition, SpanCondition, UsageTest};
    match condition {
        Condition::Text { column, test } => {
            let key = match column {
                traces::TextAttribute::TraceId => "request_id",
                traces::TextAttribute::Status => "status",
                traces::TextAttribute::ClientRequestId => "client_request_id",
            };
            row("attribute", key, compared(test))
        }
        Condition::Optional { column, test } => {
            let (entity, key) = optional(column);
            row(&entity, &key, pair(test))
        }
        Condition::Time { column, op, value } => {
            let value = match value {
                Number::Int(int) => json!(int),
                Number::Real(value) => real(value),
            };
            row("attribute", trace_time(column), (op.sql(), value))
        }
        Condition::Usage { usage, test } => {
            let values = |values: Option<Vec<(&'static str, Number)>>| {
                let number = |number| match number {
                    Number::Int(int) => json!(int),
                    Number::Real(value) => real(value),
                };
                let fields = values.map(|all| all.into_iter().map(|(key, value)| (key.to_owned(), number(value))));
                fields.map_or(Value::Null, |fields| Value::Object(fields.collect()))
            };
            let test = match test {
                UsageTest::IsNull => ("IS NULL", Value::Null),
                UsageTest::IsNotNull => ("IS NOT NULL", Value::Null),
                UsageTest::Equal(found) => ("=", values(found)),
                UsageTest::NotEqual(found) => ("!=", values(found)),
            };
            row("request_metadata", usage.key(), test)
        }
        Condition::Tag { key, test } => row("tag", &key, pair(test)),
        Condition::Metadata { key, test } => row("request_metadata", &key, pair(test)),
        Condition::Run(id) => row("request_metadata", traces::RUN_METADATA, ("=", json!(id))),
        Condition::Prompt(id) => row("tag", traces::PROMPTS_TAG, ("=", json!(id))),
        Condition::Span(SpanCondition::Column { column, test }) => {
            let key = match column {
                traces::SpanColumn::Name => "name",
                traces::SpanColumn::Type => "type",
                traces::SpanColumn::Status => "status",
                traces::SpanColumn::Content => "content",
            };
            row("span", key, compared(test))
        }
        Condition::Span(SpanCondition::Attribute { key, test }) => {
            row("span", &format!("attributes.{key}"), compared(test))
        }
        Condition::Assessment { kind, name, test } => {
            let test = match test {
                AssessmentTest::IsNull => ("IS NULL", Value::Null),
                AssessmentTest::IsNotNull => ("IS NOT NULL", Value::Null),
                AssessmentTest::Number { op, value } => (op.sql(), real(value)),
                AssessmentTest::Text(text) => compared(text),
            };
            row(kind.name(), &name, test)
        }
        Condition::Issue(id) => row("issue", "id", ("=", json!(id))),
    }
}

fn optional(column: traces::OptionalAttribute) -> (String, String) {
    let (entity, key) = match column {
        traces::OptionalAttribute::Name => ("tag", traces::NAME_TAG),
        traces::OptionalAttribute::Session => ("request_metadata", traces::SESSION_METADATA),
    };
    (entity.to_owned(), key.to_owned())
}

fn trace_time(column: traces::TimeAttribute) -> &'static str {
    match column {
        traces::TimeAttribute::Timestamp => "timestamp_ms",
        traces::TimeAttribute::ExecutionTime => "execution_time_ms",
        traces::TimeAttribute::EndTime => "end_time_ms",
    }
}

fn trace_column(column: traces::Column) -> (String, String) {
    match column {
        traces::Column::ExperimentId => attribute("experiment_id"),
        traces::Column::TraceId => attribute("request_id"),
        traces::Column::Status => attribute("status"),
        traces::Column::Optional(column) => optional(column),
        traces::Column::Time(column) => attribute(trace_time(column)),
        traces::Column::Tag(key) => ("tag".to_owned(), key),
        traces::Column::Metadata(key) => ("request_metadata".to_owned(), key),
    }
}

fn metrics_filter(filter: &trace_metrics::Filter) -> Value {
    use trace_metrics::Subject;
    let (view, entity, key) = match &filter.subject {
        Subject::TraceStatus => ("trace", "status", None),
        Subject::TraceTag(key) => ("trace", "tag", Some(key)),
        Subject::TraceMetadata(key) => ("trace", "metadata", Some(key)),
        Subject::SpanName => ("span", "name", None),
        Subject::SpanStatus => ("span", "status", None),
        Subject::SpanType => ("span", "type", None),
        Subject::AssessmentName => ("assessment", "name", None),
        Subject::AssessmentType => ("assessment", "type", None),
    };
    json!([view, entity, key, filter.value])
}

fn model_version(condition: model_versions::Condition) -> Value {
    use model_versions::{Condition, TextAttribute};
    match condition {
        Condition::Text { column, test: text } => {
            let key = match column {
                TextAttribute::Name => "name",
                TextAttribute::RunId => "run_id",
                TextAttribute::SourcePath => "source_path",
            };
            row("attribute", key, compared(text))
        }
        Condition::Version { op, value } => row("attribute", "version_number", (op.sql(), json!(value))),
        Condition::Tag { key, test: text } => row("tag", &key, compared(text)),
    }
}

/// The requested columns, without those that make the order total.
fn columns<C>(order: Vec<OrderBy<C>>, asked: &[&str], name: impl Fn(C) -> (String, String)) -> Value {
    order
        .into_iter()
        .take(asked.len())
        .map(|clause| {
            let (entity, key) = name(clause.column);
            json!([entity, key, clause.ascending])
        })
        .collect()
}

fn logged_models_order(given: &Value) -> Result<Value, Error> {
    let clauses: Vec<_> = given
        .as_array()
        .into_iter()
        .flatten()
        .map(|clause| logged_models::OrderClause {
            field_name: clause["field_name"].as_str().unwrap_or_default(),
            ascending: clause["ascending"] == true,
            dataset_name: clause["dataset_name"].as_str(),
            dataset_digest: clause["dataset_digest"].as_str(),
        })
        .collect();
    let order = logged_models::parse_order_by(&clauses)?;
    let rows: Vec<_> = order
        .into_iter()
        .map(|clause| match clause.column {
            logged_models::Column::Attribute(attribute) => json!([attribute.column(), clause.ascending, null, null]),
            logged_models::Column::Metric { key, dataset_name, dataset_digest } => {
                json!([format!("metrics.{key}"), clause.ascending, dataset_name, dataset_digest])
            }
        })
        .collect();
    // A clause that repeats an earlier column is omitted, since it has no effect.
    let mut asked: Vec<Value> = Vec::new();
    for clause in &clauses {
        let field = match clause.field_name {
            "creation_time" | "creation_timestamp" => "creation_timestamp_ms",
            "last_updated_timestamp" => "last_updated_timestamp_ms",
            field => field,
        };
        if !asked.iter().any(|earlier| earlier[0] == field) {
            asked.push(json!([field, clause.ascending, null, null]));
        }
    }
    assert_eq!(rows[..asked.len()], asked);
    Ok(clauses
        .iter()
        .map(|clause| json!([clause.field_name, clause.ascending, clause.dataset_name, clause.dataset_digest]))
        .collect())
}
