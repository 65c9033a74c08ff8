//! The queues of requests with spans: those that wait together are committed together, as in
//! [`crate::tracking::batch`].
//!
//! What waits is bounded in bytes. A long request has a queue of its own, so that short ones do not wait for it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferroflow_model::{Error, Result};
use tokio::sync::{Mutex, oneshot};

use super::{SpanWrite, SpansLogged, write::apply};
use crate::{
    db::{Db, dialect::Dialect, downgrade_if_written, mark_written},
    fairness::{Budget, Permit, Resource, queue},
    group_commit::{self, Queued},
    traces::rollup_queue::Rollups,
    tracking::batch::BatchStats,
};

/// Memory of all requests that wait or are being written, in KiB; of one caller, half of it. A larger request takes all
/// of it.
const QUEUE: usize = 64 * 1024;

/// Maximum memory of a batch, in bytes; bounds the latency of its last request. A larger request is written alone, by
/// the lane of long ones.
const MAX_BATCH: usize = 4 * 1024 * 1024;

/// How long a request waits for a place in a full queue: far less than the 10 seconds after which exporters give up.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a lane yields to the scheduler so that arriving requests can join a batch. It yields only if the previous
/// batch had several requests.
const GATHER_YIELDS: usize = 12;

/// A request, which holds its share of [`QUEUE`] until it is answered.
type Job = group_commit::Job<SpanWrite, SpansLogged, Permit>;

/// The queues.
#[derive(Clone)]
pub(crate) struct SpanLanes {
    memory: Budget,
    short: queue::Sender<Job>,
    long: queue::Sender<Job>,
}

/// The receiving side of a queue, which its lanes share: a free one takes what waits.
type Queue = Arc<Mutex<queue::Receiver<Job>>>;

impl SpanLanes {
    /// Starts the lanes. They write what is queued and end when every clone of the `SpanLanes` is dropped.
    pub(crate) fn start(db: &Db, rollups: Rollups, stats: Arc<BatchStats>) -> Self {
        let start = |lanes: usize| {
            let (sender, receiver) = queue::channel();
            let queue: Queue = Arc::new(Mutex::new(receiver));
            for _ in 0..lanes {
                tokio::spawn(lane(db.clone(), rollups, Arc::clone(&queue), Arc::clone(&stats)));
            }
            sender
        };
        // SQLite has one writer. In PostgreSQL, one lane works while the other waits for the disk.
        let short = match db.dialect() {
            Dialect::Postgres => 2,
            Dialect::Sqlite => 1,
        };
        Self { memory: Budget::new(Resource::Spans, QUEUE), short: start(short), long: start(1) }
    }

    /// The memory of the queues, for metrics.
    pub(crate) fn memory(&self) -> &Budget {
        &self.memory
    }

    /// Queues a write and waits for its commit.
    ///
    /// # Errors
    /// Those of [`crate::Scoped::log_spans`].
    pub(super) async fn write(&self, write: SpanWrite) -> Result<SpansLogged> {
        let size = write.size();
        let memory = self.memory.acquire(size.div_ceil(1024), QUEUE_TIMEOUT).await.map_err(|refused| {
            downgrade_if_written(refused.error(
                "Too many spans of this caller are waiting to be written. Try again later.",
                "Too many spans are waiting to be written. Try again later.",
            ))
        })?;
        let (reply, answer) = oneshot::channel();
        let stopping = || Error::unavailable("The server is stopping.");
        let queue = if size > MAX_BATCH { &self.long } else { &self.short };
        queue
            .send(Job { write: Arc::new(write), reply, held: memory, queued: Queued::now() })
            .map_err(|_| stopping())?;
        match answer.await.map_err(|_| stopping())? {
            Ok(logged) => {
                mark_written();
                Ok(logged)
            }
            Err(error) => Err(downgrade_if_written(error)),
        }
    }
}

async fn lane(db: Db, rollups: Rollups, queue: Queue, stats: Arc<BatchStats>) {
    let mut previous_len = 1;
    while let Some(jobs) = gather(&queue, previous_len).await {
        previous_len = jobs.len();
        stats.requests.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        let db = &db;
        group_commit::commit(
            jobs,
            &group_commit::SPANS,
            &stats,
            |writes| async move { apply(db, rollups, &writes).await },
        )
        .await;
    }
}

/// The requests of the next batch; `None` if there will be none.
async fn gather(queue: &Queue, previous_len: usize) -> Option<Vec<Job>> {
    let mut queue = queue.lock().await;
    let first = queue.recv().await?;
    let mut size = first.write.size();
    let mut jobs = vec![first];
    let mut turns = 0;
    while size < MAX_BATCH {
        if let Some(job) = queue.try_recv() {
            size += job.write.size();
            jobs.push(job);
        } else if jobs.len() >= previous_len || turns == GATHER_YIELDS {
            break;
        } else {
            // Clients that were answered together send their next requests together.
            turns += 1;
            tokio::task::yield_now().await;
        }
    }
    Some(jobs)
}

#[cfg(test)]
mod tests {
    use ferroflow_otlp::{Batch, StoredSpan, TraceDelta};

    use super::*;
    use crate::{traces::span_log::Joins, workspace::Workspace};

    fn write(content: usize) -> SpanWrite {
        let span = StoredSpan {
            trace: ferroflow_otlp::TraceId(1),
            span: ferroflow_otlp::SpanId(1),
            parent: None,
            name: String::new(),
            span_type: None,
            status: "OK",
            start_ns: 1,
            end_ns: None,
            content: "x".repeat(content),
            cost: None,
            usage: None,
            model: None,
            provider: None,
        };
        let traces = [(span.trace, TraceDelta::empty())].into();
        let batch = Batch { spans: vec![span], traces, ..Batch::default() };
        SpanWrite { workspace: Workspace::only().clone(), experiment: 0, joins: Joins::Any, run: None, batch }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_requests_before_anything_is_done() {
        let (short, mut queue) = queue::channel();
        let (long, mut long_queue) = queue::channel();
        let lanes = SpanLanes { memory: Budget::new(Resource::Spans, QUEUE), short, long };
        let large = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.write(write(40 * 1024 * 1024)).await }
        });
        // The only large request takes all memory. It is in the queue of long ones.
        let job = long_queue.recv().await.unwrap();
        assert!(queue.try_recv().is_none());
        let error = lanes.write(write(1)).await.unwrap_err();
        assert_eq!(error.code.http_status(), 429);
        assert!(queue.try_recv().is_none());
        let Job { reply, held: memory, .. } = job;
        drop(memory);
        reply.send(Ok(SpansLogged::default())).unwrap();
        large.await.unwrap().unwrap();
        let next = tokio::spawn(async move { lanes.write(write(1)).await });
        queue.recv().await.unwrap().reply.send(Ok(SpansLogged { rejected: 1, fault: None })).unwrap();
        assert_eq!(next.await.unwrap().unwrap().rejected, 1);
    }
}
