//! Closes traces that were never ended. One replica does so for all.

use std::{sync::Arc, time::Duration};

use ferroflow_model::{Result, clock};
use ferroflow_store::{Store, TraceState, db::Upkeep};
use tokio::time::Instant;

use crate::{Backoff, Job, JobMetrics, Kind, Next, Schedule, Stop};

/// Number of traces that are looked at in one query.
const PAGE: usize = 5000;

/// Maximum number of traces that are closed in one transaction.
const BATCH: usize = 200;

/// Maximum time between two passes.
const MAX_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Time after which all old traces are looked at again, because clients may send traces that began long ago.
const FULL_PASS: Duration = Duration::from_secs(24 * 3600);

/// The job.
pub struct AbandonedTraces {
    store: Arc<Store>,
    age: Duration,
    metrics: JobMetrics,
    /// Time and id of the last trace before which none is left that may be closed later.
    place: (i64, String),
    next_full_pass: Instant,
}

impl AbandonedTraces {
    /// Creates it. A trace is abandoned when it began this long ago, has not ended, and has no later spans.
    #[must_use]
    pub fn new(store: Arc<Store>, age: Duration, metrics: JobMetrics) -> Self {
        Self { store, age, metrics, place: START, next_full_pass: Instant::now() }
    }
}

/// Before all traces.
const START: (i64, String) = (i64::MIN, String::new());

impl Job for AbandonedTraces {
    const KIND: Kind = Kind {
        name: "abandoned_traces",
        failure: "abandoned traces cannot be closed",
        recovery: "abandoned traces are closed again",
    };

    fn schedule(&self) -> Schedule {
        let interval = (self.age / 4).clamp(Duration::from_secs(1), MAX_INTERVAL);
        let backoff = Backoff { first: interval, most: MAX_INTERVAL };
        Schedule { jitter: 0.1, first_within: interval, backoff, is_exclusive: true, ..Schedule::every(interval) }
    }

    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        if Instant::now() >= self.next_full_pass {
            self.place = START;
            self.next_full_pass = Instant::now() + FULL_PASS;
        }
        let age = i64::try_from(self.age.as_millis()).unwrap_or(i64::MAX);
        let until = clock::unix_millis().saturating_sub(age);
        let upkeep = self.store.unscoped(Upkeep::Closing);
        let mut place = self.place.clone();
        // The next pass begins before the first trace that may be abandoned later.
        let mut resume = None;
        let mut closed = 0;
        while !stop.is_requested() {
            let page = upkeep.old_traces(until, (place.0, &place.1), i64::try_from(PAGE).unwrap_or(i64::MAX)).await?;
            let is_last = page.len() < PAGE;
            let mut abandoned = Vec::new();
            for trace in page {
                match trace.state {
                    TraceState::Ended => {}
                    TraceState::Active => drop(resume.get_or_insert_with(|| place.clone())),
                    TraceState::Abandoned => abandoned.push(trace.trace_id.clone()),
                }
                place = (trace.timestamp_ms, trace.trace_id);
            }
            for batch in abandoned.chunks(BATCH) {
                let count = upkeep.close_traces(batch, until).await?;
                self.metrics.record_closed(count);
                closed += count;
            }
            if is_last {
                break;
            }
        }
        if closed > 0 {
            tracing::info!(traces = closed, "closed abandoned traces");
        }
        self.place = resume.unwrap_or(place);
        Ok(Next::OnSchedule)
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_store::{
        StoreOptions,
        db::{BackendUri, Statement, Value},
    };
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn a_pass_closes_what_is_abandoned_and_comes_back_to_what_is_active() {
        let folder = tempfile::tempdir().unwrap();
        let uri = BackendUri::Sqlite(folder.path().join("test.db"));
        let store = Arc::new(Store::open(&uri, StoreOptions::default()).await.unwrap());
        let now = clock::unix_millis();
        let fill = format!(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES \
             ('tr-old', 0, 1, 'IN_PROGRESS'), ('tr-done', 0, 2, 'OK'), ('tr-active', 0, 3, 'IN_PROGRESS'), \
             ('tr-old-2', 0, 4, 'IN_PROGRESS'), ('tr-new', 0, {now}, 'IN_PROGRESS'); \
             INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) \
             VALUES ('tr-active', 0, 'a', 'OK', {now}000000, '')"
        );
        store.db().batch(fill).await.unwrap();
        let closed = async || {
            let sql = "SELECT request_id FROM trace_info WHERE status = 'ERROR' ORDER BY timestamp_ms";
            let statement = Statement::unscoped(Upkeep::Test, sql, Vec::<Value>::new());
            store.db().query(statement, |row| row.get::<String>(0)).await.unwrap()
        };
        let (_stopper, stopped) = watch::channel(false);
        let stop = Stop::new(stopped);
        let mut job = AbandonedTraces::new(Arc::clone(&store), Duration::from_secs(3600), JobMetrics::default());
        job.run(&stop).await.unwrap();
        assert_eq!(closed().await, ["tr-old", "tr-old-2"]);
        assert_eq!(job.place, (2, "tr-done".to_owned()), "the active one is looked at again");
        store.db().batch("UPDATE spans SET start_time_unix_nano = 3000000".into()).await.unwrap();
        job.run(&stop).await.unwrap();
        assert_eq!(closed().await, ["tr-old", "tr-active", "tr-old-2"]);
        assert_eq!(job.place, (4, "tr-old-2".to_owned()));
    }
}
