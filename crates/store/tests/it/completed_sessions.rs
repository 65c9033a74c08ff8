//! Sessions that are over.

use std::fmt::Write as _;

use ferroflow_model::ErrorCode;
use ferroflow_store::{CompletedSessionSearch, Store};

use crate::support::{Here as _, on_each};

/// Inserts traces: the session, the experiment, and the time.
async fn fill(store: &Store) {
    let mut sql =
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active');\n".to_owned();
    let traces = [
        ("a", 0, &[100, 200, 300][..]),
        ("goes on", 0, &[100, 200, 500]),
        ("old", 0, &[50, 100]),
        ("c", 0, &[300]),
        ("b", 0, &[250, 300]),
        ("last", 0, &[400]),
        ("a", 7, &[10, 350]),
    ];
    for (session, experiment, times) in traces {
        for time in times {
            let id = format!("tr-{session}-{experiment}-{time}");
            writeln!(
                sql,
                "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, session_id) \
                 VALUES ('{id}', {experiment}, {time}, 'OK', '{session}'); \
                 INSERT INTO trace_tags (request_id, key, value) VALUES ('{id}', 'time', '{time}');"
            )
            .unwrap();
        }
    }
    sql += "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('tr-none', 0, 300, 'OK');";
    store.db().batch(sql).await.unwrap();
}

async fn found(store: &Store, search: &CompletedSessionSearch) -> Vec<(String, i64, i64)> {
    let found = store.here().find_completed_sessions(search).await.unwrap();
    found.into_iter().map(|session| (session.session_id, session.first_ms, session.last_ms)).collect()
}

on_each!(a_session_is_over_when_its_last_trace_is_in_the_range);
async fn a_session_is_over_when_its_last_trace_is_in_the_range(store: &Store) {
    fill(store).await;
    let search = CompletedSessionSearch {
        experiment_id: "0".into(),
        last_between: (200, 400),
        ..CompletedSessionSearch::default()
    };
    let expected = [("a", 100, 300), ("b", 250, 300), ("c", 300, 300), ("last", 400, 400)];
    let expected = expected.map(|(session, first, last)| (session.to_owned(), first, last));
    assert_eq!(found(store, &search).await, expected);
    let some = CompletedSessionSearch { max_results: Some(2), ..search.clone() };
    assert_eq!(found(store, &some).await, expected[..2]);
    let other = CompletedSessionSearch { experiment_id: "7".into(), ..search.clone() };
    assert_eq!(found(store, &other).await, [("a".to_owned(), 10, 350)]);
    let none = CompletedSessionSearch { experiment_id: "8".into(), ..search.clone() };
    assert_eq!(found(store, &none).await, []);
    let narrow = CompletedSessionSearch { last_between: (301, 399), ..search.clone() };
    assert_eq!(found(store, &narrow).await, []);

    // The filter is for the first trace of a session.
    for (filter, expected) in [
        ("tags.time = '100'", &expected[..1]),
        ("tags.time = '300'", &expected[2..3]),
        ("tags.time LIKE '%50' AND timestamp > 100", &expected[1..2]),
        ("trace.status = 'ERROR'", &[]),
        ("metadata.mlflow.trace.session = 'last'", &expected[3..]),
    ] {
        let search = CompletedSessionSearch { filter: filter.into(), ..search.clone() };
        assert_eq!(found(store, &search).await, expected, "{filter}");
    }
    for (experiment_id, filter) in [("x", ""), ("0", "nonsense")] {
        let search =
            CompletedSessionSearch { experiment_id: experiment_id.into(), filter: filter.into(), ..search.clone() };
        let error = store.here().find_completed_sessions(&search).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    }
}
