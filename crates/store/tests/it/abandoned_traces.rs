//! Traces that were never ended are closed, and opened again by what comes later.

use ferroflow_model::{messages::service::TraceInfoV3State, wire::Timestamp};
use ferroflow_store::{OldTrace, Store, TraceState};
use serde_json::json;

use crate::{
    support::{
        Here as _, on_each,
        spans::{START, log, parent, span, trace_id},
    },
    traces::info,
};

const MARK: &str = "ferroflow.trace.abandoned";

fn start() -> i64 {
    i64::try_from(START).unwrap()
}

/// The state, whether it is marked, and the duration.
async fn trace(store: &Store, id: &str) -> (TraceInfoV3State, bool, Option<i64>) {
    let info = store.here().trace_info(id).await.unwrap();
    let duration = info.execution_duration.map(ferroflow_model::wire::Duration::to_millis);
    (info.state.unwrap(), info.trace_metadata.contains_key(MARK), duration)
}

async fn close(store: &Store, ids: &[&str]) -> u64 {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    store.upkeep().close_traces(&ids, start() + 1000).await.unwrap()
}

on_each!(an_abandoned_trace_is_closed_until_its_root_comes, flavor = "multi_thread");
async fn an_abandoned_trace_is_closed_until_its_root_comes(store: &Store) {
    let child = |id: u64| span(1, id, &json!({"parentSpanId": parent(1)}));
    let id = &trace_id(1);
    log(store, &[child(5)]).await.unwrap();
    assert_eq!(close(store, &[id, "tr-nothing"]).await, 1);
    assert_eq!(trace(store, id).await, (TraceInfoV3State::Error, true, Some(100)));
    assert_eq!(close(store, &[id]).await, 0, "it is closed");
    log(store, &[child(6)]).await.unwrap();
    assert_eq!(trace(store, id).await, (TraceInfoV3State::Error, true, Some(101)), "a later span does not end it");
    log(store, &[span(1, 1, &json!({}))]).await.unwrap();
    assert_eq!(trace(store, id).await, (TraceInfoV3State::Ok, false, Some(105)));
    assert_eq!(close(store, &[id]).await, 0, "it has ended");
}

on_each!(a_client_ends_a_closed_trace, flavor = "multi_thread");
async fn a_client_ends_a_closed_trace(store: &Store) {
    let mut unfinished = info("tr-1", "0");
    unfinished.state = Some(TraceInfoV3State::InProgress);
    unfinished.execution_duration = None;
    unfinished.request_time = Some(Timestamp::from_millis(start()));
    store.here().start_trace(unfinished.clone()).await.unwrap();
    assert_eq!(close(store, &["tr-1"]).await, 1);
    assert_eq!(trace(store, "tr-1").await, (TraceInfoV3State::Error, true, None));
    let mut ended = info("tr-1", "0");
    ended.request_time = unfinished.request_time;
    store.here().start_trace(ended).await.unwrap();
    assert_eq!(trace(store, "tr-1").await, (TraceInfoV3State::Ok, false, Some(1500)));

    // A client says that a trace is started, and its spans come by OpenTelemetry.
    let id = &trace_id(2);
    unfinished.trace_id = Some(id.clone());
    store.here().start_trace(unfinished).await.unwrap();
    assert_eq!(close(store, &[id]).await, 1);
    log(store, &[span(2, 1, &json!({"status": {"code": 1}}))]).await.unwrap();
    assert_eq!(trace(store, id).await, (TraceInfoV3State::Ok, false, Some(101)));
}

on_each!(a_trace_with_recent_spans_is_not_abandoned, flavor = "multi_thread");
async fn a_trace_with_recent_spans_is_not_abandoned(store: &Store) {
    let late = json!({"parentSpanId": parent(1), "endTimeUnixNano": ((START + 2000) * 1_000_000).to_string()});
    log(store, &[span(1, 5, &late)]).await.unwrap();
    log(store, &[span(2, 6, &json!({"parentSpanId": parent(1)}))]).await.unwrap();
    log(store, &[span(3, 7, &json!({}))]).await.unwrap();
    let old = |trace, ms, state| OldTrace { trace_id: trace_id(trace), timestamp_ms: start() + ms, state };
    let all = [old(1, 5, TraceState::Active), old(2, 6, TraceState::Abandoned), old(3, 7, TraceState::Ended)];
    let upkeep = store.upkeep();
    assert_eq!(upkeep.old_traces(start() + 1000, (i64::MIN, ""), 9).await.unwrap(), all);
    assert_eq!(upkeep.old_traces(start() + 6, (i64::MIN, ""), 9).await.unwrap().len(), 2);
    let place = (all[0].timestamp_ms, all[0].trace_id.as_str());
    assert_eq!(upkeep.old_traces(start() + 1000, place, 1).await.unwrap(), all[1..2]);
    assert_eq!(close(store, &[&trace_id(1), &trace_id(2), &trace_id(3)]).await, 1);
    assert_eq!(trace(store, &trace_id(1)).await.0, TraceInfoV3State::InProgress);
    assert_eq!(trace(store, &trace_id(2)).await.0, TraceInfoV3State::Error);
}
