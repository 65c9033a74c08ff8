//! Traces are started, completed, tagged, linked and deleted, in any order and by several writers.

use std::collections::BTreeMap;

use ferroflow_model::{
    ErrorCode,
    messages::{
        assessments::{Assessment, Feedback},
        service::{
            TraceInfoV3, TraceInfoV3State, TraceLocation, TraceLocationMlflowExperimentLocation,
            TraceLocationTraceLocationType, TraceStatus,
        },
    },
    wire::{Duration, Timestamp},
};
use ferroflow_store::{
    DoomedTraces, Store, TraceEvent,
    db::{Statement, Upkeep, Value},
};
use serde_json::json;

use crate::support::{Here as _, on_each};

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn info(id: &str, experiment: &str) -> TraceInfoV3 {
    TraceInfoV3 {
        trace_id: Some(id.into()),
        trace_location: Some(TraceLocation {
            r#type: Some(TraceLocationTraceLocationType::MlflowExperiment),
            mlflow_experiment: Some(TraceLocationMlflowExperimentLocation { experiment_id: Some(experiment.into()) }),
            ..TraceLocation::default()
        }),
        request_time: Some(Timestamp::from_millis(1_700_000_000_123)),
        execution_duration: Some(Duration::from_millis(1500)),
        state: Some(TraceInfoV3State::Ok),
        ..TraceInfoV3::default()
    }
}

pub(crate) async fn rows(store: &Store, sql: &'static str) -> Vec<Vec<Value>> {
    let columns = sql.split(" FROM ").next().unwrap().matches(',').count() + 1;
    let read = move |row: &ferroflow_store::db::Row<'_>| (0..columns).map(|at| row.get::<Value>(at)).collect();
    store.db().query(Statement::unscoped(Upkeep::Test, sql, Vec::new()), read).await.unwrap()
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    match rows(store, sql).await.as_slice() {
        [row] => match row.as_slice() {
            [Value::Int(count)] => *count,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

on_each!(a_started_trace_is_read_back);
async fn a_started_trace_is_read_back(store: &Store) {
    let mut new = info("tr-1", "0");
    new.client_request_id = Some("mine".into());
    new.request_preview = Some("é".repeat(1001));
    new.response_preview = Some("out".into());
    new.tags = texts(&[("mlflow.traceName", "agent"), ("a", "1"), ("long", &"v".repeat(9000))]);
    new.trace_metadata = texts(&[
        ("mlflow.trace.session", "s-1"),
        ("mlflow.trace.tokenUsage", r#"{"input_tokens": 3, "total_tokens": 5}"#),
        ("mlflow.trace.cost", r#"{"total_cost": 0.25}"#),
        ("mlflow.source.name", "app.py"),
    ]);
    let started = store.here().start_trace(new.clone()).await.unwrap();
    assert_eq!(started, store.here().trace_info("tr-1").await.unwrap());
    assert_eq!(started.request_preview.as_deref(), Some(&*"é".repeat(1000)));
    assert_eq!((started.request_time, started.execution_duration), (new.request_time, new.execution_duration));
    let artifacts = started.tags["mlflow.artifactLocation"].clone();
    assert!(artifacts.ends_with("/0/traces/tr-1/artifacts"), "{artifacts}");
    let expected = texts(&[
        ("mlflow.traceName", "agent"),
        ("a", "1"),
        ("long", &"v".repeat(4096)),
        ("mlflow.artifactLocation", &artifacts),
    ]);
    assert_eq!(started.tags, expected);
    let expected = texts(&[
        ("mlflow.trace.session", "s-1"),
        ("mlflow.trace.tokenUsage", r#"{"input_tokens": 3, "total_tokens": 5}"#),
        ("mlflow.trace.cost", r#"{"total_cost": 0.25}"#),
        ("mlflow.source.name", "app.py"),
        ("mlflow.trace.infoFinalized", "true"),
    ]);
    assert_eq!(started.trace_metadata, expected);
    // What is a column is not a row too.
    assert_eq!(count(store, "SELECT COUNT(*) FROM trace_tags WHERE key = 'mlflow.traceName'").await, 0);
    assert_eq!(count(store, "SELECT COUNT(*) FROM trace_request_metadata").await, 2);
    assert_eq!(count(store, "SELECT MAX(LENGTH(value)) FROM trace_tags").await, 8000);
}

on_each!(a_trace_that_exists_is_completed);
async fn a_trace_that_exists_is_completed(store: &Store) {
    let other = store.here().create_experiment("other", None, Vec::new()).await.unwrap();
    // As spans that came first leave it.
    let sql = "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, request_preview, session_id, \
               input_tokens) VALUES ('tr-1', 0, 1, 'IN_PROGRESS', 'first', 'kept', 7); \
               INSERT INTO trace_tags (request_id, key, value) VALUES \
               ('tr-1', 'mlflow.trace.spansLocation', 'TRACKING_STORE'), ('tr-1', 'a', 'old'); \
               INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) \
               VALUES ('tr-1', 0, 'a', 'OK', 1, 'x')";
    store.db().batch(sql.into()).await.unwrap();
    let mut new = info("tr-1", &other);
    new.tags = texts(&[("a", "new"), ("b", "2"), ("mlflow.traceName", "n")]);
    new.trace_metadata = texts(&[("mlflow.trace.tokenUsage", r#"{"output_tokens": 2}"#)]);
    new.assessments = vec![feedback("a-1"), feedback("")];
    let done = store.here().start_trace(new.clone()).await.unwrap();
    assert_eq!(done.request_preview.as_deref(), Some("first"));
    assert_eq!(done.state, Some(TraceInfoV3State::Ok));
    assert_eq!((&*done.tags["a"], &*done.tags["b"], &*done.tags["mlflow.traceName"]), ("new", "2", "n"));
    assert_eq!(done.tags["mlflow.trace.spansLocation"], "TRACKING_STORE");
    assert_eq!(done.trace_metadata["mlflow.trace.session"], "kept");
    assert_eq!(done.trace_metadata["mlflow.trace.tokenUsage"], r#"{"input_tokens": 7, "output_tokens": 2}"#);
    assert_eq!(done.assessments.len(), 2);
    let moved = rows(store, "SELECT experiment_id, db_payload_generation FROM trace_info").await;
    let number: i64 = other.parse().unwrap();
    assert_eq!(moved, [vec![number.into(), 1_i64.into()]]);
    assert_eq!(rows(store, "SELECT experiment_id FROM spans").await, [vec![Value::from(number)]]);
    let placed = rows(store, "SELECT DISTINCT experiment_id, trace_timestamp_ms FROM assessments").await;
    assert_eq!(placed, [vec![number.into(), 1_700_000_000_123_i64.into()]]);
    // The same request again adds only the assessment without an id.
    let again = store.here().start_trace(new).await.unwrap();
    assert_eq!(again.assessments.len(), 3);
    assert_eq!(again.tags, done.tags);
}

fn feedback(id: &str) -> Assessment {
    Assessment {
        assessment_id: Some(id.into()),
        assessment_name: Some("good".into()),
        feedback: Some(Feedback { value: Some(json!(true)), error: None }),
        ..Assessment::default()
    }
}

on_each!(tags_of_clients_do_not_say_where_files_are);
async fn tags_of_clients_do_not_say_where_files_are(store: &Store) {
    let foreign = texts(&[
        ("mlflow.artifactLocation", "file:///etc"),
        ("mlflow.trace.spansLocation", "ARCHIVE_REPO"),
        ("mlflow.trace.archiveLocation", "file:///etc"),
        ("mlflow.trace.archivalFailure", "x"),
        ("kept", "1"),
    ]);
    let mut new = info("tr-1", "0");
    new.tags.clone_from(&foreign);
    let here = store.here();
    let event =
        |tags: &BTreeMap<String, String>| TraceEvent { timestamp_ms: 5, tags: tags.clone(), ..TraceEvent::default() };
    let second = here.start_trace_v2("0", event(&foreign)).await.unwrap();
    let second_id = second.trace_id().to_owned();
    let ended = here.end_trace_v2(&second_id, TraceStatus::Ok, event(&foreign)).await.unwrap();
    for started in [here.start_trace(new.clone()).await.unwrap(), here.start_trace(new).await.unwrap(), second, ended] {
        let keys: Vec<&str> = started.tags.keys().map(String::as_str).collect();
        assert_eq!(keys, ["kept", "mlflow.artifactLocation"]);
        assert!(!started.tags["mlflow.artifactLocation"].contains("etc"));
    }
    for key in foreign.keys().filter(|key| *key != "kept") {
        let error = here.set_trace_tag("tr-1", key, "x").await.unwrap_err();
        assert_eq!(error.message, format!("Tag '{key}' is immutable and cannot be set on a trace."));
    }
    assert!(here.delete_trace_tag("tr-1", "mlflow.artifactLocation").await.is_err());
}

on_each!(a_trace_that_is_archived_is_not_completed);
async fn a_trace_that_is_archived_is_not_completed(store: &Store) {
    store.here().start_trace(info("tr-1", "0")).await.unwrap();
    let sql =
        "INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-1', 'mlflow.trace.spansLocation', 'ARCHIVE_REPO')";
    store.db().batch(sql.into()).await.unwrap();
    let mut late = info("tr-1", "0");
    late.state = Some(TraceInfoV3State::Error);
    let error = store.here().start_trace(late).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidState);
    assert_eq!(store.here().trace_info("tr-1").await.unwrap().state, Some(TraceInfoV3State::Ok));
}

on_each!(what_is_wrong_is_refused_and_nothing_is_written);
async fn what_is_wrong_is_refused_and_nothing_is_written(store: &Store) {
    let here = store.here();
    let changed = |change: fn(&mut TraceInfoV3)| {
        let mut wrong = info("tr-1", "0");
        change(&mut wrong);
        wrong
    };
    let wrong = [
        changed(|info| info.trace_id = Some("../../etc".into())),
        changed(|info| info.trace_id = None),
        changed(|info| info.trace_id = Some("x".repeat(51))),
        changed(|info| info.trace_location = None),
        changed(|info| info.trace_location.as_mut().unwrap().r#type = None),
        changed(|info| info.client_request_id = Some("x".repeat(51))),
        changed(|info| drop(info.tags.insert("mlflow.traceName".into(), "x".repeat(4097)))),
        changed(|info| drop(info.tags.insert("k".repeat(251), "x".into()))),
        changed(|info| drop(info.trace_metadata.insert("mlflow.trace.session".into(), "x".repeat(251)))),
        changed(|info| info.assessments.push(Assessment::default())),
        info("tr-1", "99"),
        info("tr-1", "x"),
    ];
    for wrong in wrong {
        let error = here.start_trace(wrong.clone()).await.unwrap_err();
        let expected = [ErrorCode::InvalidParameterValue, ErrorCode::ResourceDoesNotExist];
        assert!(expected.contains(&error.code), "{wrong:?} {error:?}");
    }
    assert_eq!(count(store, "SELECT COUNT(*) FROM trace_info").await, 0);
    let deleted = here.create_experiment("gone", None, Vec::new()).await.unwrap();
    here.delete_experiment(&deleted).await.unwrap();
    let error = here.start_trace(info("tr-1", &deleted)).await.unwrap_err();
    assert!(error.message.contains("must be in the 'active' state"), "{error:?}");
}

on_each!(traces_that_are_started_together_have_their_own_outcomes);
async fn traces_that_are_started_together_have_their_own_outcomes(store: &Store) {
    let mut first = info("tr-first", "0");
    first.assessments = vec![feedback("taken")];
    store.here().start_trace(first).await.unwrap();
    let start = async |number: usize| {
        let mut new = info(&format!("tr-{number}"), if number % 10 == 3 { "99" } else { "0" });
        new.tags = texts(&[("number", &number.to_string())]);
        if number % 10 == 7 {
            // It is refused after its row is written.
            new.assessments = vec![feedback("taken")];
        }
        store.here().start_trace(new).await
    };
    let outcomes = futures_util::future::join_all((0..60).map(start)).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match (number % 10, outcome) {
            (3, Err(error)) => assert_eq!(error.code, ErrorCode::ResourceDoesNotExist, "{error:?}"),
            (7, Err(error)) => assert!(error.code.http_status() < 500, "{error:?}"),
            (3 | 7, Ok(info)) => panic!("{info:?}"),
            (_, outcome) => {
                let info = outcome.as_ref().unwrap();
                assert_eq!((info.trace_id(), &info.tags["number"]), (&*format!("tr-{number}"), &number.to_string()));
            }
        }
    }
    assert_eq!(count(store, "SELECT COUNT(*) FROM trace_info").await, 49);
    assert_eq!(count(store, "SELECT COUNT(*) FROM assessments").await, 1);
    // The same trace, several times.
    let again = async |_| store.here().start_trace(info("tr-same", "0")).await;
    let same = futures_util::future::join_all((0..8).map(again)).await;
    assert!(same.iter().all(Result::is_ok), "{same:?}");
}

on_each!(an_assessment_of_another_trace_is_not_taken_over);
async fn an_assessment_of_another_trace_is_not_taken_over(store: &Store) {
    let here = store.here();
    let mut first = info("tr-1", "0");
    first.assessments.push(feedback("a-1"));
    here.start_trace(first).await.unwrap();
    let mut second = info("tr-2", "0");
    second.assessments.push(feedback("a-1"));
    assert_eq!(here.start_trace(second).await.unwrap_err().code, ErrorCode::ResourceAlreadyExists);
    assert!(here.trace_info("tr-2").await.is_err());
    assert_eq!(here.trace_info("tr-1").await.unwrap().assessments.len(), 1);
}

on_each!(a_trace_of_version_2_is_started_and_ended);
async fn a_trace_of_version_2_is_started_and_ended(store: &Store) {
    let here = store.here();
    let start = TraceEvent {
        timestamp_ms: 1000,
        metadata: texts(&[("m", "1"), ("mlflow.trace.session", "s")]),
        tags: texts(&[("t", "1"), ("mlflow.traceName", "n")]),
    };
    let started = here.start_trace_v2("0", start).await.unwrap();
    assert_eq!((started.state, started.execution_duration), (Some(TraceInfoV3State::InProgress), None));
    assert_eq!((started.trace_metadata.len(), started.trace_id().len()), (2, 32));
    let end = TraceEvent { timestamp_ms: 1250, metadata: texts(&[("m", "2")]), tags: texts(&[("u", "1")]) };
    let ended = here.end_trace_v2(started.trace_id(), TraceStatus::TraceStatusUnspecified, end.clone()).await.unwrap();
    assert_eq!(ended.execution_duration, Some(Duration::from_millis(250)));
    assert_eq!((ended.state, &*ended.trace_metadata["m"]), (Some(TraceInfoV3State::StateUnspecified), "2"));
    assert_eq!(ended.tags.len(), 4);
    assert!(here.end_trace_v2("nope", TraceStatus::Ok, end).await.is_err());
    let far = TraceEvent { timestamp_ms: i64::MIN, ..TraceEvent::default() };
    assert_eq!(
        here.end_trace_v2(started.trace_id(), TraceStatus::Ok, far).await.unwrap_err().code,
        ErrorCode::InvalidParameterValue
    );
    assert!(here.start_trace_v2("", TraceEvent::default()).await.is_err());
}

on_each!(tags_are_set_and_deleted);
async fn tags_are_set_and_deleted(store: &Store) {
    let here = store.here();
    here.start_trace(info("tr-1", "0")).await.unwrap();
    here.set_trace_tag("tr-1", "a", "1").await.unwrap();
    here.set_trace_tag("tr-1", "a", "2").await.unwrap();
    here.set_trace_tag("tr-1", "mlflow.traceName", "n").await.unwrap();
    let tags = here.trace_info("tr-1").await.unwrap().tags;
    assert_eq!((&*tags["a"], &*tags["mlflow.traceName"]), ("2", "n"));
    for key in ["a", "mlflow.traceName"] {
        here.delete_trace_tag("tr-1", key).await.unwrap();
        let error = here.delete_trace_tag("tr-1", key).await.unwrap_err();
        assert_eq!(error.message, format!("No trace tag with key '{key}' for trace with ID 'tr-1'"));
    }
    assert_eq!(here.set_trace_tag("nope", "a", "1").await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
    assert!(here.set_trace_tag("tr-1", "a$", "1").await.is_err());
    assert!(here.set_trace_tag("tr-1", "mlflow.traceName", &"x".repeat(4097)).await.is_err());
}

on_each!(traces_are_linked_once);
async fn traces_are_linked_once(store: &Store) {
    let here = store.here();
    let run = here.create_run(ferroflow_store::NewRun::default()).await.unwrap().info.unwrap().run_id.unwrap();
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    here.link_traces_to_run(&ids(&["tr-2", "tr-1", "tr-1"]), &run).await.unwrap();
    here.link_traces_to_run(&ids(&["tr-1"]), &run).await.unwrap();
    here.link_traces_to_run(&[], "nope").await.unwrap();
    assert_eq!(count(store, "SELECT COUNT(*) FROM entity_associations").await, 2);
    assert!(here.link_traces_to_run(&ids(&["tr-1"]), "nope").await.is_err());
    assert!(here.link_traces_to_run(&vec!["tr-1".to_owned(); 101], &run).await.is_err());
    assert!(here.link_traces_to_run(&["x".repeat(37)], &run).await.is_err());
}

async fn delete_all(store: &Store, experiment: &str, doomed: &DoomedTraces) -> (i64, Vec<(String, Option<String>)>) {
    let (mut deleted, mut archived, mut after) = (0, Vec::new(), None);
    loop {
        let seen = deleted + i64::try_from(archived.len()).unwrap();
        let found = store.here().delete_traces(experiment, doomed, after.as_ref(), seen).await.unwrap();
        deleted += found.deleted;
        archived.extend(found.archived);
        after = found.next;
        if after.is_none() {
            return (deleted, archived);
        }
    }
}

on_each!(traces_are_deleted_by_id_or_by_time);
async fn traces_are_deleted_by_id_or_by_time(store: &Store) {
    let other = store.here().create_experiment("other", None, Vec::new()).await.unwrap();
    let values = |range: std::ops::Range<i64>, experiment: &str| {
        let values = range.map(|n| format!("('t{n:04}', {experiment}, {}, 'OK')", n / 3)).collect::<Vec<_>>();
        format!("INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES {};", values.join(","))
    };
    let sql = values(0..2500, "0")
        + &values(3000..3002, &other)
        + "INSERT INTO trace_tags (request_id, key, value) VALUES \
           ('t0001', 'mlflow.trace.spansLocation', 'ARCHIVE_REPO'), ('t0001', 'mlflow.trace.archiveLocation', 'file:///x'); \
           INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) \
           VALUES ('t0000', 0, 'a', 'OK', 1, 'x'); \
           INSERT INTO review_queues (queue_id, experiment_id, name, queue_type, creation_time_ms, last_update_time_ms, name_key) \
           VALUES ('q', 0, 'q', 'CUSTOM', 1, 1, 'q'); \
           INSERT INTO review_queue_items (queue_id, item_type, item_id, status, creation_time_ms, last_update_time_ms) \
           VALUES ('q', 'trace', 't0000', 'PENDING', 1, 1)";
    store.db().batch(sql).await.unwrap();
    // A trace of another experiment is not deleted.
    let ids = DoomedTraces::of(vec!["t0000".into(), "t3000".into(), "nope".into()], None, None).unwrap();
    assert_eq!(delete_all(store, "0", &ids).await, (1, Vec::new()));
    assert_eq!(count(store, "SELECT COUNT(*) FROM spans").await, 0);
    assert_eq!(count(store, "SELECT COUNT(*) FROM review_queue_items").await, 0);
    // The oldest ones, with an archived one, whose rows are kept until its file is deleted.
    let some = DoomedTraces::of(Vec::new(), Some(10_000), Some(5)).unwrap();
    let archived = vec![("t0001".to_owned(), Some("file:///x".to_owned()))];
    assert_eq!(delete_all(store, "0", &some).await, (4, archived.clone()));
    assert!(store.here().delete_archived_trace("t0001").await.unwrap());
    assert!(!store.here().delete_archived_trace("t0001").await.unwrap());
    // More than one part, up to a time in the middle of some traces with the same time.
    let until = DoomedTraces::of(Vec::new(), Some(700), None).unwrap();
    assert_eq!(delete_all(store, "0", &until).await, (2103 - 6, Vec::new()));
    assert_eq!(count(store, "SELECT MIN(timestamp_ms) FROM trace_info WHERE experiment_id = 0").await, 701);
    assert_eq!(delete_all(store, "99", &until).await, (0, Vec::new()));
    assert!(store.here().delete_traces("x", &until, None, 0).await.is_err());
    for (ids, until, most) in
        [(vec![], None, None), (vec!["a"], Some(1), None), (vec!["a"], None, Some(1)), (vec![], Some(1), Some(0))]
    {
        let ids = ids.into_iter().map(str::to_owned).collect();
        assert_eq!(DoomedTraces::of(ids, until, most).unwrap_err().code, ErrorCode::InvalidParameterValue);
    }
}

on_each!(writers_of_a_trace_do_not_lose_what_the_others_write, flavor = "multi_thread");
async fn writers_of_a_trace_do_not_lose_what_the_others_write(store: &Store) {
    let writers = (0..12).map(|writer: usize| async move {
        let here = store.here();
        let (key, id) = (format!("k{writer}"), format!("a-{writer}"));
        match writer % 4 {
            0 | 1 => {
                let mut new = info("tr-1", "0");
                new.tags.insert(key, "1".into());
                new.tags.insert("shared".into(), writer.to_string());
                new.trace_metadata.insert("shared".into(), writer.to_string());
                new.assessments.push(feedback(&id));
                here.start_trace(new).await.map(drop)
            }
            2 => loop {
                // Until the trace is there.
                match here.set_trace_tag("tr-1", &key, "1").await {
                    Err(error) if error.code == ErrorCode::ResourceDoesNotExist => tokio::task::yield_now().await,
                    outcome => break outcome,
                }
            },
            _ => loop {
                match here.create_assessment("tr-1", feedback(&id)).await {
                    Err(error) if error.code == ErrorCode::ResourceDoesNotExist => tokio::task::yield_now().await,
                    outcome => break outcome.map(drop),
                }
            },
        }
    });
    for outcome in futures_util::future::join_all(writers).await {
        outcome.unwrap();
    }
    let done = store.here().trace_info("tr-1").await.unwrap();
    let tags: Vec<&str> = done.tags.keys().map(String::as_str).filter(|key| key.starts_with('k')).collect();
    assert_eq!(tags, ["k0", "k1", "k10", "k2", "k4", "k5", "k6", "k8", "k9"]);
    let mut ids: Vec<&str> = done.assessments.iter().map(Assessment::assessment_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a-0", "a-1", "a-11", "a-3", "a-4", "a-5", "a-7", "a-8", "a-9"]);
    assert_eq!(done.tags["shared"], done.trace_metadata["shared"]);
}

on_each!(spans_are_read_in_their_order_and_in_parts);
async fn spans_are_read_in_their_order_and_in_parts(store: &Store) {
    let sql = "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('t', 0, 1, 'OK'), ('u', 0, 1, 'OK'); \
               INSERT INTO spans (trace_id, experiment_id, span_id, parent_span_id, status, start_time_unix_nano, content) VALUES \
               ('t', 0, 'c', 'r', 'OK', 2, 'é'), ('t', 0, 'r', NULL, 'OK', 3, 'root'), ('t', 0, 'b', 'r', 'OK', 2, 'x'), \
               ('t', 0, 'gone', 'r', 'OK', 1, ''), ('u', 0, 'r', NULL, 'OK', 1, 'other')";
    store.db().batch(sql.into()).await.unwrap();
    let ids = ["t".to_owned(), "u".to_owned(), "nope".to_owned()];
    let places = store.here().span_places(&ids).await.unwrap();
    let of = |id: &str| places[id].iter().map(|place| (place.id.as_str(), place.size)).collect::<Vec<_>>();
    assert_eq!((of("t"), of("u")), (vec![("r", 4), ("b", 1), ("c", 2)], vec![("r", 5)]));
    let wanted = ["c".to_owned(), "gone".to_owned(), "r".to_owned()];
    assert_eq!(store.here().span_contents("t", &wanted).await.unwrap(), ["é", "root"]);
    let infos = store.here().trace_infos(&["u".into(), "nope".into(), "t".into()], &[]).await.unwrap();
    assert_eq!(infos.iter().map(TraceInfoV3::trace_id).collect::<Vec<_>>(), ["u", "t"]);
    assert!(store.here().trace_infos(&ids, &["7".into()]).await.unwrap().is_empty());
    assert!(store.here().trace_infos(&ids, &["x".into()]).await.is_err());
}
