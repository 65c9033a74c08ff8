//! Values are validated like the reference does: `../fixtures/validation.json` has its result for each (see
//! `../fixtures/record_validation.py`).

use ferroflow_model::{
    ErrorCode, Result,
    messages::service::Metric,
    validation::{self, Limits},
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
struct Case {
    check: String,
    args: Vec<Value>,
    answer: Answer,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// Accepted, and this is stored.
    Value(Value),
    /// Refused with this message.
    Message(String),
}

/// A text, or a repeated character as `[character, count]`.
fn text(value: &Value) -> String {
    match value {
        Value::Array(pair) => text(&pair[0]).repeat(count(&pair[1])),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn count(value: &Value) -> usize {
    value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default()
}

/// The result of our validator with the same name.
fn judge(case: &Case) -> Result<Value> {
    let text = |index: usize| text(&case.args[index]);
    let none = |result: Result<()>| result.map(|()| Value::Null);
    match case.check.as_str() {
        "metric" => {
            none(validation::metric(&Metric { key: Some(text(0)), value: Some(0.5), ..Metric::default() }, &text(1)))
        }
        "metric_time" => {
            let (value, timestamp) = (case.args[0].as_f64(), case.args[1].as_i64());
            let metric = Metric { key: Some("k".into()), value, timestamp, ..Metric::default() };
            none(validation::metric(&metric, "metrics[0]"))
        }
        "param" => Limits::default().param(&text(0), &text(1), &text(2)).map(Value::from),
        "tag" => Limits::default().tag(&text(0), &text(1), &text(2)).map(Value::from),
        "trace_tag" => Limits::default().trace_tag(&text(0), &text(1)).map(Value::from),
        "experiment_tag" => none(validation::experiment_tag(&text(0), &text(1))),
        "registered_model_tag" => none(validation::registered_model_tag(&text(0), &text(1))),
        "model_version_tag" => none(validation::model_version_tag(&text(0), &text(1))),
        "model_name" => none(validation::model_name(&text(0))),
        "model_alias" => none(validation::model_alias(&text(0))),
        "model_alias_not_reserved" => none(validation::model_alias_not_reserved(&text(0))),
        "model_version" => {
            validation::model_version(&text(0)).map(|number| i64::try_from(number).map_or(Value::Null, Value::from))
        }
        "logged_model_name" => none(validation::logged_model_name(Some(&text(0)))),
        "experiment_name" => none(validation::experiment_name(&text(0))),
        "experiment_id" => none(validation::experiment_id(&text(0))),
        "parse_experiment_id" => validation::parse_experiment_id(&text(0)).map(Value::from),
        "run_id" => none(validation::run_id(&text(0))),
        "batch_limits" => {
            none(validation::batch_limits(count(&case.args[0]), count(&case.args[1]), count(&case.args[2])))
        }
        other => panic!("no test judges {other}"),
    }
}

#[test]
fn values_are_judged_as_the_reference_judges_them() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/validation.json")).unwrap();
    assert!(cases.len() > 500);
    let mut wrong = Vec::new();
    for case in &cases {
        let ours = judge(case);
        let good = match (&case.answer, &ours) {
            (Answer::Value(theirs @ Value::Array(_)), Ok(ours)) => ours.as_str() == Some(&text(theirs)),
            (Answer::Value(theirs), Ok(ours)) => theirs == ours,
            (Answer::Message(theirs), Err(ours)) => {
                ours.code == ErrorCode::InvalidParameterValue && ours.message == *theirs
            }
            _ => false,
        };
        if !good {
            wrong.push(format!("{case:?}\n  became {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
