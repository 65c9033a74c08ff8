//! Sums up the days of traces: first those that were changed since they were summed up, then new ones. One server of the
//! database does so, by a lease in the reference's table of leases.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ferroflow_model::{Error, Result, clock};
use ferroflow_store::{
    PartitionOutcome, ROLLUP_LEASE, RollupFamily, RollupPartition, SchedulerLease, Store, Unscoped, db::Upkeep,
};
use futures_util::{StreamExt as _, stream};
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, sleep};

use crate::{Backoff, Cron, Job, JobMetrics, Kind, Next, Schedule, Stop};

/// The duration of the lease, in seconds. It is renewed during a pass.
const LEASE_SECONDS: i64 = 90;

/// Time between two renewals of the lease.
const RENEWAL: Duration = Duration::from_secs(30);

/// Maximum time between two looks at the queue, for its metric, and at the clock, which an operator may have set.
const MAX_WAIT: Duration = Duration::from_secs(5 * 60);

/// Maximum wait after passes that failed.
const MAX_RETRY: Duration = Duration::from_secs(3600);

/// Maximum number of days of an experiment that are built before it is the next experiment's turn.
const TURN: usize = 10;

/// Minimum number of days that a pass may look at, and how many times the number that it may build.
const MIN_EXAMINED: usize = 100;
const EXAMINED_PER_BUILT: usize = 10;

/// When rollups are built, and how many. The environment variables and defaults are the reference's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupSettings {
    /// When passes begin (`MLFLOW_TRACE_ROLLUPS_SCHEDULE`).
    pub schedule: Cron,
    /// Maximum number of days of experiments and families that a pass builds
    /// (`MLFLOW_TRACE_ROLLUPS_MAX_PARTITIONS_PER_RUN`).
    pub max_partitions: usize,
    /// Maximum number of experiments that are worked on at the same time (`MLFLOW_TRACE_ROLLUPS_MAX_WORKERS`).
    pub max_workers: usize,
}

/// The job.
pub struct RollupJob {
    store: Arc<Store>,
    settings: RollupSettings,
    metrics: JobMetrics,
    /// When the next pass begins, in milliseconds since 1970.
    due: Option<i64>,
    lease: Option<SchedulerLease>,
}

impl RollupJob {
    /// Creates it for the traces of a database.
    #[must_use]
    pub fn new(store: Arc<Store>, settings: RollupSettings, metrics: JobMetrics) -> Self {
        Self { store, settings, metrics, due: None, lease: None }
    }

    fn upkeep(&self) -> Unscoped<'_> {
        self.store.unscoped(Upkeep::Rollups)
    }

    /// Takes the lease, or renews it. `false` if another server has it.
    async fn take_lease(&mut self) -> Result<bool> {
        let renewed = match &self.lease {
            Some(lease) => self.upkeep().renew_scheduler_lease(lease).await?,
            None => None,
        };
        self.lease = match renewed {
            Some(lease) => Some(lease),
            None => self.upkeep().take_scheduler_lease(ROLLUP_LEASE, LEASE_SECONDS).await?,
        };
        Ok(self.lease.is_some())
    }

    /// Makes a pass under the lease.
    async fn run_leased(&mut self, stop: &Stop) -> Result<()> {
        let mut lease = self.lease.take();
        let kept = async {
            while let Some(held) = &lease {
                sleep(RENEWAL).await;
                // A failed renewal is tried again: the lease is not lost by it.
                if let Ok(renewed) = self.upkeep().renew_scheduler_lease(held).await {
                    lease = renewed;
                }
            }
        };
        let mut pass = Pass::new(self, stop);
        let start = Instant::now();
        let outcome = tokio::select! {
            outcome = pass.run() => outcome,
            () = kept => Err(Error::internal("another server has taken over")),
        };
        let Pass { built, emptied, deferred, failed, .. } = pass;
        if built + emptied + deferred + failed > 0 {
            let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(built, emptied, deferred, failed, ms, "days of traces were summed up");
        }
        self.lease = lease;
        outcome
    }
}

impl Job for RollupJob {
    const KIND: Kind = Kind {
        name: "trace_rollups",
        failure: "days of traces cannot be summed up",
        recovery: "days of traces are summed up again",
    };

    fn schedule(&self) -> Schedule {
        let backoff = Backoff { first: Duration::from_secs(60), most: MAX_RETRY };
        Schedule { backoff, ..Schedule::every(MAX_WAIT) }
    }

    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        self.metrics.set_waiting_rollups(self.upkeep().queued_rollup_count().await?);
        let now = clock::unix_millis();
        if self.due.is_some_and(|due| due <= now) {
            if self.take_lease().await? {
                self.run_leased(stop).await?;
                self.metrics.set_waiting_rollups(self.upkeep().queued_rollup_count().await?);
            }
            self.due = None;
        }
        self.due = self.due.or_else(|| self.settings.schedule.next(now));
        let Some(due) = self.due else { return Ok(Next::OnSchedule) };
        let wait = u64::try_from(due.saturating_sub(clock::unix_millis())).unwrap_or_default();
        Ok(Next::After(Duration::from_millis(wait).min(MAX_WAIT)))
    }
}

/// One pass, with its results.
struct Pass<'a> {
    job: &'a RollupJob,
    stop: &'a Stop,
    built: usize,
    emptied: usize,
    deferred: usize,
    failed: usize,
    examined: HashSet<RollupPartition>,
    /// Experiments with a day that failed: their other days are left to the next pass.
    failed_experiments: HashSet<i64>,
}

impl<'a> Pass<'a> {
    fn new(job: &'a RollupJob, stop: &'a Stop) -> Self {
        let (examined, failed_experiments) = (HashSet::new(), HashSet::new());
        Self { job, stop, built: 0, emptied: 0, deferred: 0, failed: 0, examined, failed_experiments }
    }

    /// The number of days that may still be built.
    fn left(&self) -> usize {
        let max = self.job.settings.max_partitions;
        let examined = MIN_EXAMINED.max(max.saturating_mul(EXAMINED_PER_BUILT)).saturating_sub(self.examined.len());
        if self.stop.is_requested() { 0 } else { max.saturating_sub(self.built + self.emptied).min(examined) }
    }

    async fn run(&mut self) -> Result<()> {
        if self.build_queued().await? {
            self.build_new().await?;
        }
        Ok(())
    }

    /// Builds days of the queue. Returns whether all were looked at.
    async fn build_queued(&mut self) -> Result<bool> {
        let mut after = None;
        loop {
            let left = self.left();
            if left == 0 {
                return Ok(false);
            }
            let page = self.job.upkeep().queued_rollups(after, left).await?;
            let is_last = page.len() < left;
            after = page.last().copied().or(after);
            self.build(page).await;
            if is_last {
                return Ok(true);
            }
        }
    }

    /// Builds days that were never summed up: a few of each experiment in turn, in random order, so that a large one
    /// does not keep the others waiting.
    async fn build_new(&mut self) -> Result<()> {
        let mut families: BTreeMap<i64, Vec<RollupFamily>> = BTreeMap::new();
        for family in RollupFamily::ALL {
            for experiment in self.job.upkeep().experiments_without_rollups(family).await? {
                families.entry(experiment).or_default().push(family);
            }
        }
        let mut experiments: Vec<(i64, Vec<RollupFamily>)> = families.into_iter().collect();
        experiments.shuffle(&mut rand::rng());
        loop {
            let mut left = self.left();
            let mut found = Vec::new();
            for (experiment, families) in &experiments {
                let turn = TURN.min(left);
                if turn > 0 && !self.failed_experiments.contains(experiment) {
                    let days = self.new_days(*experiment, families, turn).await?;
                    left -= days.len();
                    found.extend(days);
                }
            }
            if found.is_empty() {
                return Ok(());
            }
            self.build(found).await;
        }
    }

    /// The next days of an experiment, oldest first.
    async fn new_days(&self, experiment: i64, families: &[RollupFamily], turn: usize) -> Result<Vec<RollupPartition>> {
        let mut days = Vec::new();
        for family in families {
            days.extend(self.job.upkeep().days_without_rollups(*family, experiment, turn).await?);
        }
        days.retain(|day| !self.examined.contains(day));
        days.sort_by_key(|partition| partition.day);
        days.truncate(turn);
        Ok(days)
    }

    /// Builds days: those of an experiment one after the other, several experiments at the same time.
    async fn build(&mut self, partitions: Vec<RollupPartition>) {
        let mut experiments: BTreeMap<i64, Vec<RollupPartition>> = BTreeMap::new();
        for partition in partitions {
            self.examined.insert(partition);
            if !self.failed_experiments.contains(&partition.experiment) {
                experiments.entry(partition.experiment).or_default().push(partition);
            }
        }
        let (job, stop) = (self.job, self.stop);
        let work = stream::iter(experiments.into_values()).map(|days| async move { job.build_days(days, stop).await });
        let mut outcomes = work.buffer_unordered(job.settings.max_workers.max(1));
        while let Some(outcomes) = outcomes.next().await {
            for (partition, outcome) in outcomes {
                let (label, count) = match outcome {
                    Some(PartitionOutcome::Built) => ("built", &mut self.built),
                    Some(PartitionOutcome::Emptied) => ("emptied", &mut self.emptied),
                    Some(PartitionOutcome::Deferred) => ("deferred", &mut self.deferred),
                    None => {
                        self.failed_experiments.insert(partition.experiment);
                        ("failed", &mut self.failed)
                    }
                };
                *count += 1;
                job.metrics.record_rollup(label);
            }
        }
    }
}

impl RollupJob {
    /// Builds days of an experiment until one fails, which gets `None` and stays in the queue.
    async fn build_days(
        &self,
        days: Vec<RollupPartition>,
        stop: &Stop,
    ) -> Vec<(RollupPartition, Option<PartitionOutcome>)> {
        let mut outcomes = Vec::new();
        for partition in days {
            if stop.is_requested() {
                break;
            }
            match self.upkeep().build_rollups(partition).await {
                Ok(outcome) => outcomes.push((partition, Some(outcome))),
                Err(error) => {
                    let RollupPartition { experiment, day, family } = partition;
                    let (day, family) = (day.text(), family.name());
                    tracing::warn!(experiment, day, family, error = error.message, "a day cannot be summed up now");
                    if let Err(error) = self.upkeep().queue_rollups(partition).await {
                        tracing::warn!(experiment, day, family, error = error.message, "the day is not in the queue");
                    }
                    outcomes.push((partition, None));
                    break;
                }
            }
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_store::{StoreOptions, db::BackendUri};
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn one_server_builds_what_is_queued_and_new_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let uri = BackendUri::Sqlite(folder.path().join("test.db"));
        let options = StoreOptions { rollups: true, ..StoreOptions::default() };
        let store = Arc::new(Store::open(&uri, options).await.unwrap());
        let mut fill =
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'one', 'active');".to_owned();
        for day in 0..25_i64 {
            let (experiment, ms) = (day % 2, day * 86_400_000);
            fill += &format!(
                "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) \
                 VALUES ('tr-{day}', {experiment}, {ms}, 'OK');"
            );
        }
        store.db().batch(fill).await.unwrap();
        let upkeep = store.unscoped(Upkeep::Rollups);
        let left = async || {
            let mut left = 0;
            for experiment in [0, 1] {
                left += upkeep.days_without_rollups(RollupFamily::TraceMetric, experiment, 100).await.unwrap().len();
            }
            left
        };
        assert_eq!(left().await, 25);
        let (_stopper, stopped) = watch::channel(false);
        let stop = Stop::new(stopped);
        let schedule = Cron::parse("* * * * *").unwrap();
        let settings = RollupSettings { schedule, max_partitions: 15, max_workers: 2 };
        let job = || RollupJob::new(Arc::clone(&store), settings.clone(), JobMetrics::default());
        let mut first = job();
        assert!(matches!(first.run(&stop).await.unwrap(), Next::After(_)));
        assert_eq!(left().await, 25, "it is not due");
        first.due = Some(0);
        first.run(&stop).await.unwrap();
        assert_eq!(left().await, 10, "a pass is bounded");
        let mut second = job();
        second.due = Some(0);
        second.run(&stop).await.unwrap();
        assert_eq!(left().await, 10, "another server has the lease");
        first.due = Some(0);
        first.run(&stop).await.unwrap();
        assert_eq!(left().await, 0);
    }
}
