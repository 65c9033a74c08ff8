//! The batching writer: commits small writes that are queued at the same time together (group commit).
//!
//! Every request that logs metrics, params or tags becomes a [`RunWrite`] in a bounded queue. A lane (a task with its
//! own queue) takes the queued writes, commits them together, and answers each request with its own outcome, always
//! after the commit. A single client is never delayed. Callers take turns: the writes of one that has thousands in the
//! queue do not delay the next write of another.

pub(crate) mod apply;
pub(crate) mod rows;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ferroflow_model::{Error, Result};
use tokio::sync::oneshot;

use crate::{
    db::{Db, dialect::Dialect, downgrade_if_written, mark_written},
    fairness::{Budget, Permit, Resource, queue},
    group_commit::{self, Queued},
    tracking::metric_steps::MetricSteps,
    workspace::Workspace,
};

/// Capacity of the queue per lane, in requests, with those that are being written; of one caller, half of it. If it is
/// full, the next request waits for [`QUEUE_TIMEOUT`], then gets 429 (503 if it has already written something).
const QUEUE: usize = 4096;

/// Maximum number of requests in a batch; bounds the latency of the last one.
const MAX_REQUESTS: usize = 256;

/// Maximum number of rows in a batch, for the same reason.
const MAX_ROWS: usize = 20_000;

/// How long a request waits for a place in a full queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a lane yields to the scheduler so that arriving requests can join a batch. It yields only if the previous
/// batch had several requests.
const GATHER_YIELDS: usize = 12;

/// What one request writes to one run. Values are already validated.
#[derive(Debug, Clone)]
pub struct RunWrite {
    /// The workspace that the run must be in.
    pub workspace: Workspace,
    /// The run.
    pub run_id: String,
    /// Metric points.
    pub metrics: Vec<MetricPoint>,
    /// Those of the points that belong to a logged model as well.
    pub model_metrics: Vec<ModelMetricPoint>,
    /// Params, keys unique.
    pub params: Vec<Pair>,
    /// Tags; the last one of a key wins.
    pub tags: Vec<Pair>,
    /// Sent by `log-parameter`, whose error message differs from that of `log-batch`.
    pub single_param: bool,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// A metric point as it is stored: NaN is the value 0 with `is_nan`, infinities are the largest finite doubles.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPoint {
    /// The metric's name.
    pub key: String,
    /// A finite value.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
    /// Whether the value was NaN.
    pub is_nan: bool,
}

/// A metric point of a logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelMetricPoint {
    /// The logged model.
    pub model_id: String,
    /// The point.
    pub point: MetricPoint,
    /// The dataset it was measured on.
    pub dataset_name: Option<String>,
    /// The dataset's digest.
    pub dataset_digest: Option<String>,
}

impl RunWrite {
    /// A write of nothing.
    pub(crate) fn new(workspace: Workspace, run_id: String) -> Self {
        Self {
            workspace,
            run_id,
            metrics: Vec::new(),
            model_metrics: Vec::new(),
            params: Vec::new(),
            tags: Vec::new(),
            single_param: false,
        }
    }

    fn rows(&self) -> usize {
        1 + self.metrics.len() + self.model_metrics.len() + self.params.len() + self.tags.len()
    }

    /// Whether the stored rows decide about this write: params are immutable, and points of a logged model need the
    /// run's experiment.
    fn needs_read(&self) -> bool {
        !self.params.is_empty() || !self.model_metrics.is_empty()
    }
}

type Job = group_commit::Job<RunWrite, (), Permit>;

/// The queues of all lanes.
#[derive(Clone)]
pub struct Batcher {
    lanes: Vec<queue::Sender<Job>>,
    /// Places in the queues of all lanes.
    places: Budget,
    stats: Arc<BatchStats>,
}

/// Counters of the batching writer, for `/metrics`.
#[derive(Debug, Default)]
pub struct BatchStats {
    /// Requests taken from the queues.
    pub requests: AtomicU64,
    /// Commits of a batch, or of one request of a failed batch. Each is one or two transactions.
    pub transactions: AtomicU64,
}

impl Batcher {
    /// Starts the lanes. They write what is queued and end when every clone of the `Batcher` is dropped.
    #[must_use]
    pub(crate) fn start(db: &Db, steps: &Arc<MetricSteps>) -> Self {
        // SQLite has one writer. In PostgreSQL, one lane works while the other waits for the disk.
        let count = match db.dialect() {
            Dialect::Postgres => 2,
            Dialect::Sqlite => 1,
        };
        let stats = Arc::new(BatchStats::default());
        let lanes = (0..count)
            .map(|_| {
                let (sender, queue) = queue::channel();
                tokio::spawn(lane(db.clone(), queue, Arc::clone(&stats), Arc::clone(steps)));
                sender
            })
            .collect();
        Self { lanes, places: Budget::new(Resource::Writes, QUEUE * count), stats }
    }

    /// Queues a write and waits for its commit.
    ///
    /// # Errors
    /// The run does not exist or is deleted, a param would change, the queue is full, or the database failed.
    pub async fn write(&self, write: RunWrite) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        // All writes to a run share a lane, so lanes never contend for the rows of a run.
        let mut hasher = DefaultHasher::new();
        write.run_id.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % self.lanes.len() as u64).unwrap_or(0);
        let held = self.places.acquire(1, QUEUE_TIMEOUT).await.map_err(|refused| {
            downgrade_if_written(refused.error(
                "Too many writes of this caller wait. Try again later.",
                "The queue of writes is full. Try again later.",
            ))
        })?;
        let stopping = || Error::unavailable("The server is stopping.");
        let job = Job { write: Arc::new(write), reply, held, queued: Queued::now() };
        self.lanes[lane].send(job).map_err(|_| stopping())?;
        let outcome = answer.await.map_err(|_| stopping())?;
        match outcome {
            Ok(()) => mark_written(),
            Err(error) => return Err(downgrade_if_written(error)),
        }
        Ok(())
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &BatchStats {
        &self.stats
    }

    /// The counters, for the writer of spans, which counts in them too.
    pub(crate) fn shared_stats(&self) -> Arc<BatchStats> {
        Arc::clone(&self.stats)
    }

    /// Requests queued in all lanes, with those that are being written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.taken()
    }

    /// The places in the queues, for metrics.
    #[must_use]
    pub fn places(&self) -> &Budget {
        &self.places
    }
}

async fn lane(db: Db, mut queue: queue::Receiver<Job>, stats: Arc<BatchStats>, steps: Arc<MetricSteps>) {
    let mut previous_len = 1;
    while let Some(first) = queue.recv().await {
        let mut rows = first.write.rows();
        let mut jobs = vec![first];
        let mut turns = 0;
        loop {
            while jobs.len() < MAX_REQUESTS && rows < MAX_ROWS {
                let Some(job) = queue.try_recv() else { break };
                rows += job.write.rows();
                jobs.push(job);
            }
            // Clients that were answered together send their next requests together: wait for as many as last time, for
            // at most `GATHER_YIELDS` yields.
            if jobs.len() >= previous_len || turns == GATHER_YIELDS {
                break;
            }
            turns += 1;
            tokio::task::yield_now().await;
        }
        previous_len = jobs.len();
        stats.requests.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        let (db, steps) = (&db, &steps);
        group_commit::commit(jobs, &group_commit::RUNS, &stats, |writes| async move {
            let outcome = apply::apply(db, &writes).await;
            steps.written(writes.iter().map(|write| &**write));
            outcome
        })
        .await;
    }
}
