//! Commits requests that wait together in one transaction (group commit), each with its own outcome.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use ferroflow_model::{Error, Result};
use ferroflow_telemetry::{ActiveSpan, Histogram, Kind, Origin, SECONDS, SIZES};
use tokio::sync::oneshot;

use crate::{db::DbError, tracking::batch::BatchStats};

/// A request that waits to be written.
pub(crate) struct Job<W, A, H = ()> {
    /// What it writes.
    pub(crate) write: Arc<W>,
    /// Where it is answered. Its client may have disconnected; it is written nevertheless.
    pub(crate) reply: oneshot::Sender<Result<A>>,
    /// What it holds until it is answered, such as a share of a queue's memory.
    pub(crate) held: H,
    /// When and by which request it was queued.
    pub(crate) queued: Queued,
}

/// When and by which request a job was queued.
pub(crate) struct Queued {
    at: Instant,
    origin: Origin,
}

impl Queued {
    /// Now, by the current request.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), origin: Origin::current() }
    }
}

/// The statistics of a queue of this process.
#[derive(Debug)]
pub struct QueueStats {
    /// The name.
    pub name: &'static str,
    /// How long requests waited until their transaction began, in nanoseconds.
    pub wait: Histogram,
    /// How many requests were committed together.
    pub sizes: Histogram,
}

impl QueueStats {
    const fn new(name: &'static str) -> Self {
        Self { name, wait: Histogram::new(SECONDS), sizes: Histogram::new(SIZES) }
    }
}

/// Metrics, params and tags of runs.
pub(crate) static RUNS: QueueStats = QueueStats::new("runs");

/// Spans.
pub(crate) static SPANS: QueueStats = QueueStats::new("spans");

/// Traces that clients start, in SQLite.
pub(crate) static TRACES: QueueStats = QueueStats::new("traces");

/// The statistics of all queues.
#[must_use]
pub fn queues() -> [&'static QueueStats; 3] {
    [&RUNS, &SPANS, &TRACES]
}

/// The spans of a batch: that of the commit is below the first request that is traced, and those of all others link to
/// it. Its statements belong to the first request of the batch, in the log too.
struct BatchSpans {
    waits: Vec<ActiveSpan>,
    commit: ActiveSpan,
    origin: Origin,
}

impl BatchSpans {
    fn begin<W, A, H>(jobs: &[Job<W, A, H>], queue: &QueueStats) -> Self {
        let now = Instant::now();
        queue.sizes.observe(jobs.len() as u64);
        let mut waits = Vec::new();
        for Job { queued, .. } in jobs {
            queue.wait.observe_duration(now.duration_since(queued.at));
            if let Some(trace) = queued.origin.trace() {
                waits.push(ActiveSpan::below(Some(trace), "wait for the group commit", Kind::Internal, queued.at));
            }
        }
        let first = waits.first().and_then(ActiveSpan::context);
        let mut commit = ActiveSpan::below(first.as_ref(), "group commit", Kind::Internal, now);
        commit.set("ferroflow.queue", queue.name);
        commit.set("ferroflow.requests", jobs.len());
        let origin = jobs.first().map(|job| job.queued.origin.clone()).unwrap_or_default();
        Self { origin: origin.below(commit.context()), waits, commit }
    }
}

impl Drop for BatchSpans {
    fn drop(&mut self) {
        let link = self.commit.as_link();
        for wait in &mut self.waits {
            wait.link(link);
        }
    }
}

/// Commits the jobs together. If that fails, commits each on its own, so that a request that the database refuses does
/// not fail the others. `apply` is a transaction that returns an outcome for each write, in order.
pub(crate) async fn commit<W, A, H, F, Fut>(
    jobs: Vec<Job<W, A, H>>,
    queue: &'static QueueStats,
    stats: &BatchStats,
    apply: F,
) where
    F: Fn(Vec<Arc<W>>) -> Fut,
    Fut: Future<Output = Result<Vec<Result<A>>, DbError>>,
{
    // Ends before the requests are answered.
    let spans = BatchSpans::begin(&jobs, queue);
    let together = || {
        stats.transactions.fetch_add(1, Ordering::Relaxed);
        spans.origin.clone().carry(apply(jobs.iter().map(|job| Arc::clone(&job.write)).collect()))
    };
    let outcome = together().await;
    drop(spans);
    match outcome {
        Ok(outcomes) => {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
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
                let outcome = match job.queued.origin.carry(apply(vec![job.write])).await {
                    Ok(mut outcomes) => {
                        outcomes.pop().unwrap_or_else(|| Err(Error::internal("a write has no outcome")))
                    }
                    Err(error) => Err(error.into()),
                };
                let _ = job.reply.send(outcome);
                drop(job.held);
            }
        }
    }
}

/// Whether the other requests of the batch would fail in the same way.
fn is_down(error: &DbError) -> bool {
    matches!(error, DbError::Unavailable(_) | DbError::Locked(_) | DbError::NotBegun(_))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Answers = Vec<oneshot::Receiver<Result<u32>>>;

    fn jobs(writes: &[u32]) -> (Vec<Job<u32, u32>>, Answers) {
        writes
            .iter()
            .map(|write| {
                let (reply, answer) = oneshot::channel();
                (Job { write: Arc::new(*write), reply, held: (), queued: Queued::now() }, answer)
            })
            .unzip()
    }

    /// Commits writes, and returns their answers and the transactions. `error` is what a transaction fails with.
    async fn committed(
        writes: &[u32],
        error: impl Fn(&[u32]) -> Option<DbError>,
    ) -> (Vec<std::result::Result<u32, String>>, Vec<Vec<u32>>) {
        let ((jobs, answers), seen) = (jobs(writes), Mutex::new(Vec::new()));
        let stats = BatchStats::default();
        commit(jobs, &RUNS, &stats, |writes: Vec<Arc<u32>>| {
            let writes: Vec<u32> = writes.iter().map(|write| **write).collect();
            seen.lock().unwrap().push(writes.clone());
            let failed = error(&writes);
            async move { failed.map_or_else(|| Ok(writes.into_iter().map(|write| Ok(write * 10)).collect()), Err) }
        })
        .await;
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.push(answer.await.unwrap().map_err(|error| error.message));
        }
        let seen = seen.into_inner().unwrap();
        assert_eq!(stats.transactions.load(Ordering::Relaxed), seen.len() as u64);
        (outcomes, seen)
    }

    #[tokio::test]
    async fn a_write_that_the_database_refuses_fails_alone() {
        let refuse = |writes: &[u32]| writes.contains(&2).then(|| DbError::Other("refused".into()));
        let (answers, transactions) = committed(&[1, 2, 3], refuse).await;
        assert_eq!((&answers[0], &answers[2]), (&Ok(10), &Ok(30)));
        assert!(answers[1].is_err());
        assert_eq!(transactions, [vec![1, 2, 3], vec![1], vec![2], vec![3]]);
        assert_eq!(committed(&[1, 3], refuse).await, (vec![Ok(10), Ok(30)], vec![vec![1, 3]]));
    }

    #[tokio::test]
    async fn a_database_that_is_down_is_asked_once() {
        let (answers, transactions) = committed(&[1, 2], |_| Some(DbError::Unavailable("gone".into()))).await;
        assert!(answers.iter().all(std::result::Result::is_err));
        assert_eq!(transactions.len(), 1);
    }
}
