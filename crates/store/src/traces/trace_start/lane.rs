//! The queue of traces that clients start, in SQLite, whose only writer waits for the disk at each commit: those that wait
//! together are committed together. PostgreSQL does the same for the transactions of several connections.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferroflow_model::{Error, Result, messages::service::TraceInfoV3};
use tokio::sync::oneshot;

use super::{NewTrace, start};
use crate::{
    db::{Db, DbError, downgrade_if_written, mark_written},
    fairness::{Budget, Permit, Resource, queue},
    group_commit::{self, Queued},
    traces::rollup_queue::Rollups,
    tracking::batch::BatchStats,
    workspace::Workspace,
};

/// Capacity of the queue, in requests, with those that are being written; of one caller, half of it.
const QUEUE: usize = 1024;

/// Maximum number of requests in a batch; bounds the latency of the last one.
const MAX_REQUESTS: usize = 64;

/// How long a request waits for a place in a full queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// What one request writes.
pub(super) struct StartWrite {
    pub(super) workspace: Workspace,
    pub(super) trace: NewTrace,
}

type Job = group_commit::Job<StartWrite, TraceInfoV3, Permit>;

/// The queue.
#[derive(Clone)]
pub(crate) struct StartLane {
    jobs: queue::Sender<Job>,
    places: Budget,
}

impl StartLane {
    /// Starts the lane. It writes what is queued and ends when every clone of the `StartLane` is dropped.
    pub(crate) fn start(db: &Db, rollups: Rollups, stats: Arc<BatchStats>) -> Self {
        let (jobs, queue) = queue::channel();
        tokio::spawn(lane(db.clone(), rollups, queue, stats));
        Self { jobs, places: Budget::new(Resource::TraceStarts, QUEUE) }
    }

    /// The places in the queue, for metrics.
    pub(crate) fn places(&self) -> &Budget {
        &self.places
    }

    /// Queues a write and waits for its commit.
    ///
    /// # Errors
    /// Those of [`crate::Scoped::start_trace`], or the queue is full.
    pub(super) async fn write(&self, write: StartWrite) -> Result<TraceInfoV3> {
        let (reply, answer) = oneshot::channel();
        let held = self.places.acquire(1, QUEUE_TIMEOUT).await.map_err(|refused| {
            downgrade_if_written(refused.error(
                "Too many writes of this caller wait. Try again later.",
                "The queue of writes is full. Try again later.",
            ))
        })?;
        let stopping = || Error::unavailable("The server is stopping.");
        self.jobs.send(Job { write: Arc::new(write), reply, held, queued: Queued::now() }).map_err(|_| stopping())?;
        let outcome = answer.await.map_err(|_| stopping())?;
        match outcome {
            Ok(info) => {
                mark_written();
                Ok(info)
            }
            Err(error) => Err(downgrade_if_written(error)),
        }
    }
}

async fn lane(db: Db, rollups: Rollups, mut queue: queue::Receiver<Job>, stats: Arc<BatchStats>) {
    while let Some(first) = queue.recv().await {
        let mut jobs = vec![first];
        while jobs.len() < MAX_REQUESTS {
            let Some(job) = queue.try_recv() else { break };
            jobs.push(job);
        }
        stats.requests.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        let db = &db;
        group_commit::commit(
            jobs,
            &group_commit::TRACES,
            &stats,
            |writes| async move { apply(db, rollups, &writes).await },
        )
        .await;
    }
}

/// Starts traces in one transaction. One that is refused may have written something, so that none of several is started.
///
/// # Errors
/// One of several traces is refused, or the database failed.
async fn apply(db: &Db, rollups: Rollups, writes: &[Arc<StartWrite>]) -> Result<Vec<Result<TraceInfoV3>>, DbError> {
    let invalidation = &rollups.invalidation();
    let started = db
        .transaction(|tx| async move {
            let days =
                writes.iter().flat_map(|write| invalidation.of_trace(write.trace.experiment, write.trace.timestamp_ms));
            invalidation.begin_with(&tx, days).await?;
            let mut started = Vec::with_capacity(writes.len());
            for write in writes {
                started.push(Ok(start(&tx, &write.workspace, &write.trace, invalidation).await?));
            }
            Ok(started)
        })
        .await;
    match started {
        Ok(started) => Ok(started),
        Err(error) if writes.len() > 1 => Err(DbError::Other(error.message)),
        Err(error) => Ok(vec![Err(error)]),
    }
}
