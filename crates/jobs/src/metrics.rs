//! The metrics of all jobs, by kind.

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use ferroflow_model::clock;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// The metrics of the jobs of a server.
#[derive(Debug, Clone, Default)]
pub struct JobMetrics {
    runs: Family<JobLabels, Counter>,
    errors: Family<JobLabels, Counter>,
    seconds: Family<JobLabels, Counter<f64, AtomicU64>>,
    last_success: Family<JobLabels, Gauge<i64, AtomicI64>>,
    deliveries: Family<OutcomeLabels, Counter>,
    deliveries_waiting: Gauge,
    archived: Family<OutcomeLabels, Counter>,
    closed: Counter,
    rollups: Family<OutcomeLabels, Counter>,
    rollups_waiting: Gauge,
    quotas_reached: Family<QuotaLabels, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct JobLabels {
    job: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QuotaLabels {
    quota: &'static str,
    limit: &'static str,
}

impl JobMetrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("job_runs", "Runs of background jobs that have ended", self.runs.clone());
        registry.register("job_errors", "Runs of background jobs that have failed", self.errors.clone());
        registry.register_with_unit("job_run", "Time that runs took", Unit::Seconds, self.seconds.clone());
        let help = "When a run last succeeded, in seconds since 1970";
        registry.register_with_unit("job_last_success_timestamp", help, Unit::Seconds, self.last_success.clone());
        registry.register("webhook_deliveries", "Attempts to deliver events to webhooks", self.deliveries.clone());
        let help = "Undelivered webhook events, counted up to 10,000";
        registry.register("webhook_deliveries_waiting", help, self.deliveries_waiting.clone());
        registry.register("traces_archived", "Traces that were due for archival", self.archived.clone());
        registry.register("traces_closed", "Abandoned traces that were closed", self.closed.clone());
        let help = "Days of an experiment that were due for a rollup";
        registry.register("trace_rollups", help, self.rollups.clone());
        let help = "Days that wait for a new rollup after a change, counted up to 10,000";
        registry.register("trace_rollups_waiting", help, self.rollups_waiting.clone());
        let help = "Experiments or workspaces that have reached a quota, by the highest limit that they have reached";
        registry.register("quotas_reached", help, self.quotas_reached.clone());
    }

    /// Counts a run of a job.
    pub(crate) fn record_run(&self, job: &'static str, elapsed: Duration, succeeded: bool) {
        let labels = JobLabels { job };
        self.runs.get_or_create(&labels).inc();
        self.seconds.get_or_create(&labels).inc_by(elapsed.as_secs_f64());
        // Made by the first run, so that alerts see a zero before the first error.
        let errors = self.errors.get_or_create(&labels);
        if succeeded {
            self.last_success.get_or_create(&labels).set(i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX));
        } else {
            errors.inc();
        }
    }

    /// Counts an attempt to deliver an event to a webhook, by outcome.
    pub(crate) fn record_delivery(&self, outcome: &'static str) {
        self.deliveries.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Sets the number of undelivered events.
    pub(crate) fn set_waiting_deliveries(&self, count: u64) {
        self.deliveries_waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a trace that was due for archival, by outcome.
    pub(crate) fn record_archival(&self, outcome: &'static str) {
        self.archived.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts abandoned traces that were closed.
    pub(crate) fn record_closed(&self, count: u64) {
        self.closed.inc_by(count);
    }

    /// Counts a day that was due for a rollup, by outcome.
    pub(crate) fn record_rollup(&self, outcome: &'static str) {
        self.rollups.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Sets the number of experiments or workspaces that have reached the limit of a quota.
    pub(crate) fn set_quotas_reached(&self, quota: &'static str, limit: &'static str, count: usize) {
        self.quotas_reached.get_or_create(&QuotaLabels { quota, limit }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets the number of days in the queue of rollups.
    pub(crate) fn set_waiting_rollups(&self, count: i64) {
        self.rollups_waiting.set(count);
    }
}
