//! The queues of requests with spans: those that wait together are committed together, as in
//! [`crate::tracking::batch`].
//!
//! What waits is bounded in bytes. A long request has a queue of its own, so that short ones do not wait for it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferroflow_model::{Error, Result};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{SpanWrite, SpansLogged, write::apply};
use crate::{
    db::{Db, dialect::Dialect, downgrade_if_written, mark_written},
    traces::rollup_queue::Rollups,
    tracking::batch::{BatchStats, is_down},
};

/// Memory of all requests that wait or are being written, in KiB. A larger request takes all of it.
const QUEUE: u32 = 64 * 1024;

/// Maximum memory of a batch, in bytes; bounds the latency of its last request. A larger request is written alone, by
/// the lane of long ones.
const MAX_BATCH: usize = 4 * 1024 * 1024;

/// How long a request waits for a place in a full queue: far less than the 10 seconds after which exporters give up.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a lane yields to the scheduler so that arriving requests can join a batch. It yields only if the previous
/// batch had several requests.
const GATHER_YIELDS: usize = 12;

struct Job {
    write: Arc<SpanWrite>,
    size: usize,
    reply: oneshot::Sender<Result<SpansLogged>>,
    /// Its share of [`QUEUE`], released when it is answered.
    _memory: OwnedSemaphorePermit,
}

/// The queues.
#[derive(Clone)]
pub(crate) struct SpanLanes {
    memory: Arc<Semaphore>,
    short: mpsc::UnboundedSender<Job>,
    long: mpsc::UnboundedSender<Job>,
}

/// The receiving side of a queue, which its lanes share: a free one takes what waits.
type Queue = Arc<Mutex<mpsc::UnboundedReceiver<Job>>>;

impl SpanLanes {
    /// Starts the lanes. They write what is queued and end when every clone of the `SpanLanes` is dropped.
    pub(crate) fn start(db: &Db, rollups: Rollups, stats: Arc<BatchStats>) -> Self {
        let start = |lanes: usize| {
            let (sender, receiver) = mpsc::unbounded_channel();
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
        Self { memory: Arc::new(Semaphore::new(QUEUE as usize)), short: start(short), long: start(1) }
    }

    /// Queues a write and waits for its commit.
    ///
    /// # Errors
    /// Those of [`crate::Scoped::log_spans`].
    pub(super) async fn write(&self, write: SpanWrite) -> Result<SpansLogged> {
        let size = write.size();
        let share = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX).min(QUEUE);
        let memory = tokio::time::timeout(QUEUE_TIMEOUT, Arc::clone(&self.memory).acquire_many_owned(share)).await;
        let memory = memory.ok().and_then(std::result::Result::ok).ok_or_else(|| {
            downgrade_if_written(Error::busy("Too many spans are waiting to be written. Try again later."))
        })?;
        let (reply, answer) = oneshot::channel();
        let stopping = || Error::unavailable("The server is stopping.");
        let queue = if size > MAX_BATCH { &self.long } else { &self.short };
        queue.send(Job { write: Arc::new(write), size, reply, _memory: memory }).map_err(|_| stopping())?;
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
        commit(&db, rollups, jobs, &stats).await;
    }
}

/// The requests of the next batch; `None` if there will be none.
async fn gather(queue: &Queue, previous_len: usize) -> Option<Vec<Job>> {
    let mut queue = queue.lock().await;
    let first = queue.recv().await?;
    let mut size = first.size;
    let mut jobs = vec![first];
    let mut turns = 0;
    while size < MAX_BATCH {
        if let Ok(job) = queue.try_recv() {
            size += job.size;
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

/// Commits the jobs together. If that fails, commits each on its own, so that a request that the database refuses does
/// not fail the others.
async fn commit(db: &Db, rollups: Rollups, jobs: Vec<Job>, stats: &BatchStats) {
    let writes: Vec<Arc<SpanWrite>> = jobs.iter().map(|job| Arc::clone(&job.write)).collect();
    stats.transactions.fetch_add(1, Ordering::Relaxed);
    match apply(db, rollups, &writes).await {
        Ok(outcomes) => {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
                // The client may have disconnected; its spans are written nevertheless.
                let _ = job.reply.send(outcome);
            }
        }
        Err(error) if jobs.len() == 1 || is_down(&error) => {
            let error = Error::from(error);
            for job in jobs {
                let _ = job.reply.send(Err(error.clone()));
            }
        }
        Err(error) => {
            tracing::debug!(%error, requests = jobs.len(), "a shared transaction failed, writing one by one");
            for job in jobs {
                stats.transactions.fetch_add(1, Ordering::Relaxed);
                let outcome = match apply(db, rollups, std::slice::from_ref(&job.write)).await {
                    Ok(mut outcomes) => outcomes.pop().unwrap_or_else(|| Ok(SpansLogged::default())),
                    Err(error) => Err(error.into()),
                };
                let _ = job.reply.send(outcome);
            }
        }
    }
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
        let (short, mut queue) = mpsc::unbounded_channel();
        let (long, mut long_queue) = mpsc::unbounded_channel();
        let lanes = SpanLanes { memory: Arc::new(Semaphore::new(QUEUE as usize)), short, long };
        let large = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.write(write(40 * 1024 * 1024)).await }
        });
        // The only large request takes all memory. It is in the queue of long ones.
        let job = long_queue.recv().await.unwrap();
        assert!(queue.try_recv().is_err());
        let error = lanes.write(write(1)).await.unwrap_err();
        assert_eq!(error.code.http_status(), 429);
        assert!(queue.try_recv().is_err());
        let Job { reply, _memory: memory, .. } = job;
        drop(memory);
        reply.send(Ok(SpansLogged::default())).unwrap();
        large.await.unwrap().unwrap();
        let next = tokio::spawn(async move { lanes.write(write(1)).await });
        queue.recv().await.unwrap().reply.send(Ok(SpansLogged { rejected: 1, fault: None })).unwrap();
        assert_eq!(next.await.unwrap().unwrap().rejected, 1);
    }
}
