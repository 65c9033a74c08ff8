//! Traces are moved from the database to the archive once, completely, and only if unchanged.

use ferroflow_model::{Error, archived_trace::MAX_PAYLOAD};
use ferroflow_store::{
    ArchiveOutcome, SpansLocation, Store,
    db::{Op, Statement, Upkeep, dialect::Dialect},
};

use crate::support::{Here as _, on_each};

/// A finished trace with two spans.
async fn trace(store: &Store, id: &str) {
    let sql = format!(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('{id}', 0, 1, 'OK'); \
         INSERT INTO trace_tags (request_id, key, value) VALUES ('{id}', 'mlflow.trace.spansLocation', 'TRACKING_STORE'); \
         INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) \
         VALUES ('{id}', 0, 'b', 'OK', 1, 'second'), ('{id}', 0, 'a', 'OK', 2, 'first')"
    );
    store.db().batch(sql).await.expect("a trace");
}

async fn contents(store: &Store, id: &'static str) -> Vec<String> {
    let sql = "SELECT content FROM spans WHERE trace_id = $1 ORDER BY span_id";
    store.db().query(Statement::unscoped(Upkeep::Test, sql, vec![id.into()]), |row| row.get(0)).await.expect("spans")
}

async fn change(store: &Store, sql: &str) {
    store.db().batch(sql.to_owned()).await.expect("a change");
}

on_each!(of_two_that_archive_a_trace_one_does, flavor = "multi_thread");
async fn of_two_that_archive_a_trace_one_does(store: &Store) {
    trace(store, "tr-1").await;
    let mut inner = None;
    let upkeep = store.upkeep();
    let outer = upkeep.archive_trace("tr-1", |spans| {
        let inner = &mut inner;
        async move {
            assert_eq!((spans.experiment_id, spans.contents), (0, vec!["first".into(), "second".into()]));
            let other = store.upkeep().archive_trace("tr-1", |_| async { Ok(Some("file:///inner".into())) }).await?;
            *inner = Some(other);
            Ok(Some("file:///outer".into()))
        }
    });
    let outer = outer.await.expect("no error");
    let places = store.here().trace_locations("tr-1").await.expect("a trace");
    let (won, place) = match outer {
        ArchiveOutcome::Archived => (inner == Some(ArchiveOutcome::Skipped), "file:///outer"),
        _ => (inner == Some(ArchiveOutcome::Archived), "file:///inner"),
    };
    assert!(won, "{outer:?} {inner:?}");
    assert_eq!((places.spans, places.archive.as_deref()), (Some(SpansLocation::Archive), Some(place)));
    assert_eq!(contents(store, "tr-1").await, ["", ""]);
}

on_each!(spans_that_change_meanwhile_stay, flavor = "multi_thread");
async fn spans_that_change_meanwhile_stay(store: &Store) {
    if store.db().dialect() == Dialect::Postgres {
        // The row lock blocks concurrent changes.
        return;
    }
    for (id, sql) in [
        ("tr-1", "UPDATE trace_info SET db_payload_generation = 1 WHERE request_id = 'tr-1'"),
        ("tr-2", "UPDATE trace_info SET status = 'IN_PROGRESS' WHERE request_id = 'tr-2'"),
        ("tr-3", "DELETE FROM trace_info WHERE request_id = 'tr-3'"),
    ] {
        trace(store, id).await;
        let upkeep = store.upkeep();
        let outcome = upkeep.archive_trace(id, |_| async {
            change(store, sql).await;
            Ok(Some("file:///x".into()))
        });
        assert_eq!(outcome.await, Ok(ArchiveOutcome::Skipped), "{sql}");
    }
    assert_eq!(contents(store, "tr-1").await, ["first", "second"]);
    assert_eq!(contents(store, "tr-2").await, ["first", "second"]);
    assert_eq!(store.here().trace_locations("tr-1").await.expect("a trace").spans, Some(SpansLocation::TrackingStore));
}

on_each!(what_can_not_be_archived_stays_and_is_marked_only_when_it_never_can, flavor = "multi_thread");
async fn what_can_not_be_archived_stays_and_is_marked_only_when_it_never_can(store: &Store) {
    trace(store, "tr-1").await;
    let failed =
        store.upkeep().archive_trace("tr-1", |_| async { Err(Error::unavailable("the archive is away")) }).await;
    assert_eq!(failed.expect_err("it failed").message, "the archive is away");
    let due = [ferroflow_store::Due { experiment_id: 0, until: 1 }];
    assert_eq!(store.upkeep().archivable_traces(&due, None, 9).await.expect("candidates").len(), 1);
    // The failed transaction may still hold the row lock.
    let mut outcome = ArchiveOutcome::Skipped;
    while outcome == ArchiveOutcome::Skipped {
        outcome = store.upkeep().archive_trace("tr-1", |_| async { Ok(None) }).await.expect("no error");
    }
    assert_eq!(outcome, ArchiveOutcome::Malformed);
    assert_eq!(contents(store, "tr-1").await, ["first", "second"]);
    assert_eq!(store.upkeep().archivable_traces(&due, None, 9).await.expect("candidates"), []);
    assert_eq!(
        store.upkeep().archive_trace("tr-1", |_| async { Ok(Some("file:///x".into())) }).await,
        Ok(ArchiveOutcome::Skipped)
    );
    trace(store, "tr-2").await;
    let longer = "UPDATE spans SET content = $1 WHERE span_id = 'a' AND trace_id = 'tr-2'";
    let longer = Op::Execute(Statement::unscoped(Upkeep::Test, longer, vec!["x".repeat(MAX_PAYLOAD).into()]));
    store.db().unit(vec![longer]).await.expect("a long span");
    let unasked = store.upkeep().archive_trace("tr-2", |_| async { Err(Error::internal("it was read")) }).await;
    assert_eq!(unasked, Ok(ArchiveOutcome::Malformed));
    assert_eq!(store.upkeep().archive_trace("nobody", |_| async { Ok(None) }).await, Ok(ArchiveOutcome::Skipped));
}

on_each!(the_oldest_come_first_and_every_one_once, flavor = "multi_thread");
async fn the_oldest_come_first_and_every_one_once(store: &Store) {
    for (id, time) in [("tr-3", 5), ("tr-1", 5), ("tr-2", 4), ("tr-4", 6)] {
        trace(store, id).await;
        change(store, &format!("UPDATE trace_info SET timestamp_ms = {time} WHERE request_id = '{id}'")).await;
    }
    let due =
        [ferroflow_store::Due { experiment_id: 0, until: 5 }, ferroflow_store::Due { experiment_id: 7, until: 9 }];
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.upkeep().archivable_traces(&due, after.as_ref(), 1).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page.into_iter().map(|candidate| candidate.trace_id));
    }
    assert_eq!(found, ["tr-2", "tr-1", "tr-3"]);
}
