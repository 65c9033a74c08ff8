//! Assessments: what overrides what, what is merged, and what a repeated request does.

use std::collections::BTreeMap;

use ferroflow_model::{
    Error, ErrorCode,
    messages::assessments::{
        Assessment, AssessmentError, AssessmentSource, AssessmentSourceSourceType, Expectation,
        ExpectationSerializedValue, Feedback, IssueReference,
    },
};
use ferroflow_store::{AssessmentChange, Store, db::Value};
use serde_json::{Value as Json, json};

use crate::{
    support::{Here as _, on_each},
    traces::{info, rows},
};

fn feedback(value: Json) -> Assessment {
    Assessment {
        assessment_name: Some("good".into()),
        feedback: Some(Feedback { value: Some(value), error: None }),
        ..Assessment::default()
    }
}

fn expectation(value: Json) -> Assessment {
    Assessment {
        assessment_name: Some("answer".into()),
        expectation: Some(Expectation { value: Some(value), ..Expectation::default() }),
        ..Assessment::default()
    }
}

async fn create(store: &Store, given: Assessment) -> Result<Assessment, Error> {
    store.here().create_assessment("tr-1", given).await
}

async fn valid(store: &Store, id: &str) -> bool {
    store.here().get_assessment("tr-1", id).await.unwrap().valid()
}

on_each!(every_kind_is_read_back);
async fn every_kind_is_read_back(store: &Store) {
    store.here().start_trace(info("tr-1", "0")).await.unwrap();
    let source = AssessmentSource {
        source_type: Some(AssessmentSourceSourceType::Human),
        source_id: Some("me@example.com".into()),
    };
    let given = Assessment {
        source: Some(source.clone()),
        span_id: Some("s".into()),
        rationale: Some("because".into()),
        metadata: BTreeMap::from([("k".into(), "v".into()), ("mlflow.assessment.sourceRunId".into(), "r".into())]),
        feedback: Some(Feedback {
            value: Some(json!({"score": 1, "tags": ["a", 2]})),
            error: Some(AssessmentError {
                error_code: Some("E".into()),
                error_message: None,
                stack_trace: Some("x".repeat(10_001)),
            }),
        }),
        ..feedback(Json::Null)
    };
    let made = create(store, given).await.unwrap();
    assert!(made.assessment_id().starts_with("a-") && made.assessment_id().len() == 34, "{made:?}");
    assert_eq!((made.source, made.valid, made.trace_id.as_deref()), (Some(source), Some(true), Some("tr-1")));
    assert_eq!((made.span_id.as_deref(), made.rationale.as_deref()), (Some("s"), Some("because")));
    assert_eq!((made.metadata.len(), made.create_time), (2, made.last_update_time));
    let said = made.feedback.unwrap();
    assert_eq!(said.value, Some(json!({"score": 1.0, "tags": ["a", 2.0]})));
    let trace = said.error.unwrap().stack_trace.unwrap();
    assert!(trace.starts_with("[Stack trace is truncated]\n...\nx") && trace.len() == 10_000, "{}", trace.len());

    let scalar = create(store, expectation(json!(3))).await.unwrap().expectation.unwrap();
    assert_eq!((scalar.value, scalar.serialized_value), (Some(json!(3.0)), None));
    let list = create(store, expectation(json!([1, null]))).await.unwrap().expectation.unwrap();
    assert_eq!(list.serialized_value.unwrap().value.as_deref(), Some("[1.0, null]"));
    let serialized = ExpectationSerializedValue {
        serialization_format: Some("JSON_FORMAT".into()),
        value: Some("{\"b\":1}".into()),
    };
    let given = Assessment {
        expectation: Some(Expectation { value: None, serialized_value: Some(serialized) }),
        ..expectation(Json::Null)
    };
    let stored = create(store, given).await.unwrap().expectation.unwrap();
    assert_eq!(stored.serialized_value.unwrap().value.as_deref(), Some("{\"b\": 1}"));

    let issue = Assessment {
        assessment_name: Some("iss-1".into()),
        issue: Some(IssueReference { issue_name: Some("slow".into()) }),
        ..Assessment::default()
    };
    assert_eq!(create(store, issue).await.unwrap().issue.unwrap().issue_name.as_deref(), Some("slow"));
    for (value, aggregate, is_number) in [
        (json!(true), Value::Real(1.0), false),
        (json!(" No "), Value::Real(0.0), false),
        (json!(2), Value::Real(2.0), true),
        (json!("fine"), Value::Null, false),
    ] {
        store.db().batch("DELETE FROM assessments".into()).await.unwrap();
        create(store, feedback(value.clone())).await.unwrap();
        let found =
            rows(store, "SELECT aggregate_value, CASE WHEN is_numeric_value THEN 1 ELSE 0 END FROM assessments").await;
        assert_eq!(found, [vec![aggregate, Value::Int(is_number.into())]], "{value}");
    }
}

on_each!(an_overridden_assessment_comes_back);
async fn an_overridden_assessment_comes_back(store: &Store) {
    store.here().start_trace(info("tr-1", "0")).await.unwrap();
    store.here().start_trace(info("tr-2", "0")).await.unwrap();
    let first = create(store, feedback(json!(1))).await.unwrap().assessment_id.unwrap();
    let over = |id: &str| Assessment { overrides: Some(id.into()), ..feedback(json!(2)) };
    let second = create(store, over(&first)).await.unwrap();
    assert_eq!(second.overrides.as_deref(), Some(&*first));
    assert!(!valid(store, &first).await);
    store.here().delete_assessment("tr-1", second.assessment_id()).await.unwrap();
    store.here().delete_assessment("tr-1", second.assessment_id()).await.unwrap();
    store.here().delete_assessment("nope", &first).await.unwrap();
    assert!(valid(store, &first).await);
    // That of another trace is neither overridden nor deleted.
    for given in [over("a-nope"), Assessment { assessment_id: Some("a-self".into()), ..over("a-self") }] {
        let error = create(store, given).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceDoesNotExist, "{error:?}");
    }
    let error = store.here().create_assessment("tr-2", over(&first)).await.unwrap_err();
    assert_eq!(error.message, format!("Assessment with ID '{first}' not found for trace 'tr-2'"));
    store.here().delete_assessment("tr-2", &first).await.unwrap();
    assert_eq!(store.here().trace_info("tr-1").await.unwrap().assessments.len(), 1);
    assert!(store.here().trace_info("tr-2").await.unwrap().assessments.is_empty());
}

on_each!(a_repeated_request_creates_nothing);
async fn a_repeated_request_creates_nothing(store: &Store) {
    store.here().start_trace(info("tr-1", "0")).await.unwrap();
    store.here().start_trace(info("tr-2", "0")).await.unwrap();
    let given = Assessment {
        assessment_id: Some("mine".into()),
        metadata: BTreeMap::from([("k".into(), "v".into())]),
        rationale: Some("r".into()),
        ..feedback(json!("yes"))
    };
    let first = create(store, given.clone()).await.unwrap();
    assert_eq!(create(store, given.clone()).await.unwrap(), first);
    let other = Assessment { rationale: Some("other".into()), ..given.clone() };
    assert_eq!(create(store, other).await.unwrap_err().code, ErrorCode::ResourceAlreadyExists);
    let elsewhere = store.here().create_assessment("tr-2", given).await.unwrap_err();
    assert_eq!(elsewhere.code, ErrorCode::ResourceAlreadyExists);
    assert_eq!(store.here().trace_info("tr-1").await.unwrap().assessments, [first]);
    assert!(store.here().trace_info("tr-2").await.unwrap().assessments.is_empty());
}

on_each!(a_change_keeps_the_rest);
async fn a_change_keeps_the_rest(store: &Store) {
    store.here().start_trace(info("tr-1", "0")).await.unwrap();
    let given = Assessment {
        metadata: BTreeMap::from([("a".into(), "1".into()), ("b".into(), "1".into())]),
        rationale: Some("r".into()),
        ..feedback(json!(1))
    };
    let made = create(store, given).await.unwrap();
    let change = AssessmentChange {
        metadata: Some(BTreeMap::from([("b".into(), "2".into()), ("c".into(), "3".into())])),
        feedback: Some(Feedback { value: Some(json!("no")), error: None }),
        name: Some("renamed".into()),
        valid: Some(false),
        ..AssessmentChange::default()
    };
    let here = store.here();
    let changed = here.update_assessment("tr-1", made.assessment_id(), change).await.unwrap();
    let metadata = BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into()), ("c".into(), "3".into())]);
    assert_eq!(changed.metadata, metadata);
    assert_eq!((changed.rationale.as_deref(), changed.assessment_name()), (Some("r"), "renamed"));
    assert_eq!((changed.valid, changed.create_time), (Some(false), made.create_time));
    assert_eq!(changed.feedback.as_ref().unwrap().value, Some(json!("no")));
    assert!(changed.last_update_time >= made.last_update_time);
    let kept = here.update_assessment("tr-1", made.assessment_id(), AssessmentChange::default()).await.unwrap();
    assert_eq!((kept.feedback, kept.metadata, kept.valid), (changed.feedback, changed.metadata, Some(false)));
    assert_eq!(rows(store, "SELECT aggregate_value FROM assessments").await, [vec![Value::Real(0.0)]]);

    let issue = Assessment {
        issue: Some(IssueReference { issue_name: Some("slow".into()) }),
        feedback: None,
        ..feedback(Json::Null)
    };
    let issue = create(store, issue).await.unwrap();
    let change = AssessmentChange { rationale: Some("why".into()), ..AssessmentChange::default() };
    let changed = here.update_assessment("tr-1", issue.assessment_id(), change).await.unwrap();
    assert_eq!((changed.issue, changed.rationale.as_deref()), (issue.issue, Some("why")));
}

on_each!(a_wrong_change_or_assessment_is_refused);
async fn a_wrong_change_or_assessment_is_refused(store: &Store) {
    let here = store.here();
    assert_eq!(create(store, feedback(json!(1))).await.unwrap_err().message, "Trace with ID 'tr-1' not found.");
    let error = here.get_assessment("tr-1", "a").await.unwrap_err();
    assert_eq!(error.message, "Trace with request_id 'tr-1' not found");
    here.start_trace(info("tr-1", "0")).await.unwrap();
    let error = here.get_assessment("tr-1", "a").await.unwrap_err();
    assert_eq!(error.message, "Assessment with ID 'a' not found for trace 'tr-1'");
    let none = AssessmentChange::default;
    let error = here.update_assessment("tr-1", "a", none()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
    let long = |id: &str, name: &str| Assessment {
        assessment_id: Some(id.into()),
        assessment_name: Some(name.into()),
        ..feedback(json!(1))
    };
    for wrong in [
        Assessment::default(),
        expectation(Json::Null),
        long(&"x".repeat(51), "n"),
        long("a", &"n".repeat(251)),
        Assessment { span_id: Some("s".repeat(51)), ..feedback(json!(1)) },
        Assessment {
            metadata: BTreeMap::from([("mlflow.assessment.sourceRunId".into(), "r".repeat(33))]),
            ..feedback(json!(1))
        },
    ] {
        let error = create(store, wrong.clone()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{wrong:?}");
    }
    let made = create(store, feedback(json!(1))).await.unwrap();
    let (value, error) =
        (Some(Feedback::default()), Some(Expectation { value: Some(json!(1)), ..Expectation::default() }));
    for (feedback, expectation, message) in [
        (value, error.clone(), "Cannot specify both `expectation` and `feedback` parameters."),
        (None, error, "Cannot update expectation value on a Feedback assessment."),
    ] {
        let change = AssessmentChange { feedback, expectation, ..none() };
        let error = here.update_assessment("tr-1", made.assessment_id(), change).await.unwrap_err();
        assert_eq!(error.message, message);
    }
    let change = AssessmentChange { name: Some("n".repeat(251)), ..none() };
    assert!(here.update_assessment("tr-1", made.assessment_id(), change).await.is_err());
}
