//! Requests are parsed like the reference does: `../fixtures/requests.json` has its result for each (see
//! `../fixtures/record_requests.py`).

use ferroflow_model::{
    Error, ErrorCode, Result,
    messages::service::{
        CreateExperiment, CreateLoggedModel, CreateRun, FinalizeLoggedModel, GetExperiment, GetExperimentByName,
        GetMetricHistory, GetMetricHistoryBulkInterval, GetRun, GetTrace, ListArtifacts, LogBatch, LogInputs,
        LogMetric, LogOutputs, SearchExperiments, SearchLoggedModels, SearchRuns, SearchTracesV3, UpdateExperiment,
        UpdateRun,
    },
    request,
    wire::Rpc,
};
use proptest::prelude::*;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
struct Case {
    rpc: String,
    method: String,
    query: Option<String>,
    content_type: Option<String>,
    /// The bytes of the body, as one character each.
    body: String,
    answer: Answer,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// Parsed as this message.
    Request(Value),
    /// Refused with 400 and this message.
    Message(String),
    /// Parsed in part, and the handler would have continued with that.
    HalfRead(IgnoredAny),
    /// The handler crashed with a 500.
    Crash(IgnoredAny),
}

impl Case {
    fn read(&self) -> Result<Value> {
        fn read<T: Rpc>(case: &Case) -> Result<Value> {
            let body: Vec<u8> =
                case.body.chars().map(|c| u8::try_from(c).expect("one character is one byte")).collect();
            let message: T = request::parse(&case.method, case.query.as_deref(), case.content_type.as_deref(), &body)?;
            Ok(serde_json::to_value(message).expect("a message is JSON"))
        }
        match self.rpc.as_str() {
            "CreateExperiment" => read::<CreateExperiment>(self),
            "CreateLoggedModel" => read::<CreateLoggedModel>(self),
            "CreateRun" => read::<CreateRun>(self),
            "FinalizeLoggedModel" => read::<FinalizeLoggedModel>(self),
            "GetExperiment" => read::<GetExperiment>(self),
            "GetExperimentByName" => read::<GetExperimentByName>(self),
            "GetMetricHistory" => read::<GetMetricHistory>(self),
            "GetMetricHistoryBulkInterval" => read::<GetMetricHistoryBulkInterval>(self),
            "GetRun" => read::<GetRun>(self),
            "GetTrace" => read::<GetTrace>(self),
            "ListArtifacts" => read::<ListArtifacts>(self),
            "LogBatch" => read::<LogBatch>(self),
            "LogInputs" => read::<LogInputs>(self),
            "LogMetric" => read::<LogMetric>(self),
            "LogOutputs" => read::<LogOutputs>(self),
            "SearchExperiments" => read::<SearchExperiments>(self),
            "SearchLoggedModels" => read::<SearchLoggedModels>(self),
            "SearchRuns" => read::<SearchRuns>(self),
            "UpdateExperiment" => read::<UpdateExperiment>(self),
            "UpdateRun" => read::<UpdateRun>(self),
            other => panic!("no test reads {other}"),
        }
    }
}

#[test]
fn requests_are_read_as_the_reference_reads_them() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/requests.json")).unwrap();
    assert!(cases.len() > 200);
    let mut wrong = Vec::new();
    for case in &cases {
        let ours = case.read();
        let good = match (&case.answer, &ours) {
            (Answer::Request(theirs), Ok(ours)) => theirs == ours,
            (Answer::Message(theirs), Err(ours)) => {
                ours.code == ErrorCode::InvalidParameterValue && ours.message == *theirs
            }
            // Where the reference continues with a part, or crashes, ferroflow responds with 400.
            (Answer::HalfRead(_) | Answer::Crash(_), Err(ours)) => ours.code == ErrorCode::InvalidParameterValue,
            // The reference drops an unknown name of an enum and continues.
            (Answer::Request(_), Err(ours)) => ours.message.contains("the enum has no such name"),
            // Null is treated as absent.
            (Answer::Crash(_), Ok(_)) => case.body.contains("null"),
            _ => false,
        };
        if !good {
            wrong.push(format!("{case:?}\n  became {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn log_metric(body: &Value) -> Result<LogMetric> {
    request::parse_body(Some("application/json"), body.to_string().as_bytes())
}

#[test]
fn an_invalid_request_is_refused_with_the_path_of_the_field() {
    let body = json!({"run_id": "r", "metrics": [{"key": "a", "value": 1, "timestamp": 1},
                                                 {"key": "b", "value": "x", "timestamp": 1}]});
    let error = request::parse_json::<LogBatch>(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.message,
        "Invalid value for parameter 'metrics[1].value': expected a number. \
         See the API docs for more information about request parameters."
    );
    let error = log_metric(&json!({"run_id": "r", "key": "k", "value": 1, "timestamp": 1, "step": 1e30})).unwrap_err();
    assert!(error.message.contains("'step': the integer is out of range"), "{}", error.message);
}

#[test]
fn a_text_in_place_of_an_object_is_refused() {
    let body = json!({"experiment_ids": ["1"], "order_by": ["a"]});
    let error = request::parse_json::<SearchLoggedModels>(body.to_string().as_bytes()).unwrap_err();
    assert!(error.message.contains("'order_by[0]': expected an object"), "{}", error.message);
}

#[test]
fn only_posts_and_puts_must_say_that_they_are_json() {
    let parse = |method| request::parse::<LogMetric>(method, None, Some("text/plain"), b"{}").unwrap_err().message;
    assert!(parse("POST").starts_with("Bad Request. Content-Type must be"));
    assert!(parse("PUT").starts_with("Bad Request. Content-Type must be"));
    assert!(parse("DELETE").starts_with("Missing value"));
    assert!(parse("PATCH").starts_with("Missing value"));
}

#[test]
fn fields_of_a_oneof_exclude_each_other() {
    let location = |fields: &str| {
        let body = format!(r#"{{"locations":[{{{fields}}}]}}"#);
        request::parse_json::<SearchTracesV3>(body.as_bytes()).map(|search| search.locations.len())
    };
    let (one, other) = (r#""mlflow_experiment":{"experiment_id":"1"}"#, r#""inference_table":{}"#);
    assert_eq!(location(one), Ok(1));
    assert_eq!(location(&format!(r#"{one},"inference_table":null"#)), Ok(1));
    let error = location(&format!("{one},{other}")).unwrap_err();
    assert!(error.message.contains("it excludes another field"), "{}", error.message);
}

#[test]
fn an_integer_stays_in_its_range() {
    let step = |step: &str| {
        let body = format!(r#"{{"run_id":"r","key":"k","value":1,"timestamp":1,"step":{step}}}"#);
        request::parse_json::<LogMetric>(body.as_bytes()).map(|metric| metric.step)
    };
    for text in ["9223372036854775807", r#""9223372036854775807""#] {
        assert_eq!(step(text), Ok(Some(i64::MAX)), "{text}");
    }
    for text in ["-9223372036854775808", r#""-9223372036854775808""#, "-9.223372036854775808e18"] {
        assert_eq!(step(text), Ok(Some(i64::MIN)), "{text}");
    }
    for text in ["9223372036854775808", r#""-9223372036854775809""#, "1e19", "-1e300"] {
        assert!(step(text).is_err(), "{text}");
    }
}

/// JSON of any shape, biased towards names and values of a request.
fn any_json() -> impl Strategy<Value = Value> {
    let name =
        prop_oneof!["run_id|runId|key|value|timestamp|step|metrics|params|tags|model_id|run_uuid", "[a-z]{0,3}",];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "-?[0-9]{1,20}|NaN|Infinity|1e[0-9]{1,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn is_client_error<T>(result: Result<T, Error>) -> bool {
    result.err().is_none_or(|error| error.code == ErrorCode::InvalidParameterValue)
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(body in any_json()) {
        let text = body.to_string();
        prop_assert!(is_client_error(request::parse_json::<LogBatch>(text.as_bytes())));
        prop_assert!(is_client_error(request::parse_json::<LogMetric>(text.as_bytes())));
        prop_assert!(is_client_error(request::parse_json::<SearchRuns>(text.as_bytes())));
    }

    #[test]
    fn any_bytes_are_read_or_refused(body: Vec<u8>) {
        prop_assert!(is_client_error(request::parse_json::<LogMetric>(&body)));
    }

    #[test]
    fn any_query_is_read_or_refused(query in "(run_ids|metric_key|max_results|start_step)?=?[%+&a-f0-9é]{0,20}") {
        prop_assert!(is_client_error(request::parse_query::<GetMetricHistoryBulkInterval>(Some(&query))));
    }

    #[test]
    fn both_ways_read_the_same(
        metrics in proptest::collection::vec((".{1,9}", any::<f64>(), any::<i64>(), any::<i64>()), 0..6),
    ) {
        let metrics: Vec<Value> = metrics
            .into_iter()
            .map(|(key, value, timestamp, step)| {
                json!({"key": key, "value": value, "timestamp": timestamp, "step": step})
            })
            .collect();
        let short = json!({"run_id": "r", "metrics": metrics}).to_string();
        // JSON encoded as a JSON string is only parsed through the tree.
        prop_assert_eq!(
            request::parse_json::<LogBatch>(short.as_bytes()),
            request::parse_json::<LogBatch>(serde_json::to_string(&short).unwrap().as_bytes())
        );
    }
}

#[test]
fn a_request_of_too_many_values_is_refused_before_it_is_read() {
    let refused = |body: String, most| request::check_size::<LogBatch>(body.as_bytes(), most).map_err(|e| e.message);
    let batch = |count| json!({ "run_id": "r", "metrics": vec![json!({}); count] }).to_string();
    assert_eq!(
        refused(batch(1500), 1000),
        Err("A batch logging request can contain at most 1000 metrics. Got 1500 metrics. \
             Please split up metrics across multiple requests and try again."
            .to_owned())
    );
    let expected = "The request has 503 values (objects, lists, texts and numbers), and at most 500 are read.";
    assert_eq!(refused(batch(500), 500), Err(expected.to_owned()));
    assert_eq!(refused(batch(500), 503), Ok(()));
    let text = json!({ "run_id": ",[{".repeat(1000) }).to_string();
    assert_eq!(refused(text, 2), Ok(()), "what is in a text counts once");
    let in_text = serde_json::to_string(&" ".repeat(2 << 20)).unwrap();
    assert!(refused(in_text, 1000).unwrap_err().contains("must be a JSON object"));
}
