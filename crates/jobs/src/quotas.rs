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
