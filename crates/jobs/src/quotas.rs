//! Counts what quotas limit, and tells requests and the operator what is full.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ferroflow_model::{Result, quotas::Quotas};
use ferroflow_store::{Store, quotas::Place};
use tokio::time::Instant;

use crate::{Backoff, Job, JobMetrics, Kind, Next, Schedule, Stop};

/// Quotas with the intervals of their jobs.
#[derive(Debug, Clone)]
pub struct QuotaSettings {
    /// The quotas.
    pub quotas: Quotas,
    /// Time between two counts.
    pub count: Duration,
    /// Time between two looks of a replica at the counts.
    pub look: Duration,
}

impl QuotaSettings {
    /// Counts every 10 minutes, and looks every minute.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas, count: Duration::from_secs(600), look: Duration::from_secs(60) }
    }
}

/// A count may take one part in this many of the time.
const PAUSE: u32 = 20;

/// Counts. One replica does it for all.
pub struct QuotaCount {
    store: Arc<Store>,
    settings: QuotaSettings,
}

impl QuotaCount {
    /// Creates it for a database.
    #[must_use]
    pub fn new(store: Arc<Store>, settings: QuotaSettings) -> Self {
        Self { store, settings }
    }
}

impl Job for QuotaCount {
    const KIND: Kind =
        Kind { name: "quota_count", failure: "counting for quotas failed", recovery: "quotas are counted again" };

    fn schedule(&self) -> Schedule {
        let backoff = Backoff { first: Duration::from_secs(10), most: self.settings.count };
        Schedule { backoff, is_exclusive: true, ..Schedule::every(self.settings.count) }
    }

    async fn run(&mut self, _stop: &Stop) -> Result<Next> {
        let start = Instant::now();
        self.store.prepare_usage().await?;
        self.store.count_for_quotas(&self.settings.quotas).await?;
        Ok(Next::After(self.settings.count.max(start.elapsed() * PAUSE)))
    }
}

/// Reads the counts. Each replica does.
pub struct QuotaWatch {
    store: Arc<Store>,
    settings: QuotaSettings,
    metrics: JobMetrics,
    is_prepared: bool,
    /// The places that have reached a limit, and whether it is the hard one.
    reached: BTreeMap<Place, bool>,
}

impl QuotaWatch {
    /// Creates it for a database.
    #[must_use]
    pub fn new(store: Arc<Store>, settings: QuotaSettings, metrics: JobMetrics) -> Self {
        Self { store, settings, metrics, is_prepared: false, reached: BTreeMap::new() }
    }

    /// Logs each place once when it reaches a limit, and once when it is below its limits again.
    fn log(&self, reached: &BTreeMap<Place, bool>, values: &BTreeMap<Place, i64>) {
        for (place, is_hard) in reached.iter().filter(|(place, hard)| self.reached.get(place) != Some(hard)) {
            let Place { quota, workspace, experiment } = place;
            let (value, limits) = (values.get(place), &self.settings.quotas);
            if *is_hard {
                let limit = limits.hard.get(*quota);
                tracing::warn!(%quota, workspace, experiment, value, limit, "a hard quota is reached: requests are refused");
            } else {
                let limit = limits.soft.get(*quota);
                tracing::warn!(%quota, workspace, experiment, value, limit, "a soft quota is reached");
            }
        }
        let now: BTreeSet<_> = reached.keys().collect();
        for Place { quota, workspace, experiment } in self.reached.keys().filter(|place| !now.contains(place)) {
            tracing::info!(%quota, workspace, experiment, "a quota is no longer reached");
        }
    }
}

impl Job for QuotaWatch {
    const KIND: Kind =
        Kind { name: "quota_watch", failure: "quotas cannot be read", recovery: "quotas are read again" };

    fn schedule(&self) -> Schedule {
        Schedule::every(self.settings.look)
    }

    async fn run(&mut self, _stop: &Stop) -> Result<Next> {
        if !self.is_prepared {
            self.store.prepare_usage().await?;
            self.is_prepared = true;
        }
        let quotas = &self.settings.quotas;
        let values: BTreeMap<Place, i64> = self.store.enforce_quotas(quotas).await?.into_iter().collect();
        let is_hard = |(place, value): (&Place, &i64)| {
            (place.clone(), quotas.hard.get(place.quota).is_some_and(|limit| *value >= limit))
        };
        let reached: BTreeMap<Place, bool> = values.iter().map(is_hard).collect();
        self.log(&reached, &values);
        for quota in quotas.used() {
            for (limit, hard) in [("soft", false), ("hard", true)] {
                let count = reached.iter().filter(|(place, is)| place.quota == quota && **is == hard).count();
                self.metrics.set_quotas_reached(quota.name(), limit, count);
            }
        }
        self.reached = reached;
        Ok(Next::OnSchedule)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Mutex, PoisonError},
    };

    use ferroflow_model::quotas::QuotaLimits;
    use ferroflow_store::{NewRun, StoreOptions, Workspace, db::BackendUri};
    use tokio::sync::watch;

    use super::*;

    /// What is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// The messages about quotas since the last call.
        fn take(&self) -> Vec<&'static str> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            let messages = ["a soft quota is reached", "a hard quota is reached", "a quota is no longer reached"];
            let text = String::from_utf8(bytes).unwrap();
            let of_line = |line: &str| messages.into_iter().find(|message| line.contains(message));
            text.lines().filter_map(of_line).collect()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_place_is_logged_once_when_it_reaches_a_limit_and_once_when_it_is_below() {
        let folder = tempfile::tempdir().unwrap();
        let uri = BackendUri::Sqlite(folder.path().join("test.db"));
        let store = Arc::new(Store::open(&uri, StoreOptions::default()).await.unwrap());
        let limits = |text| QuotaLimits::parse(text).unwrap();
        let quotas = Quotas { soft: limits("experiment.runs=1"), hard: limits("experiment.runs=2") };
        let settings = QuotaSettings::new(quotas);
        let mut count = QuotaCount::new(Arc::clone(&store), settings.clone());
        let mut watch = QuotaWatch::new(Arc::clone(&store), settings, JobMetrics::default());
        let (_sender, signal) = watch::channel(false);
        let stop = Stop::new(signal);

        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let mut look = async || {
            count.run(&stop).await.unwrap();
            watch.run(&stop).await.unwrap();
            let first = log.take();
            watch.run(&stop).await.unwrap();
            assert!(log.take().is_empty(), "it is logged again");
            first
        };
        assert!(look().await.is_empty());
        for message in ["a soft quota is reached", "a hard quota is reached"] {
            let new = NewRun { experiment_id: "0".to_owned(), ..NewRun::default() };
            store.within(Workspace::only()).create_run(new).await.unwrap();
            assert_eq!(look().await, [message]);
        }
        store.db().batch("DELETE FROM tags; DELETE FROM runs;".to_owned()).await.unwrap();
        assert_eq!(look().await, ["a quota is no longer reached"]);
    }
}
