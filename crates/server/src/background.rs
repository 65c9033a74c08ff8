//! Which background jobs a server runs.

use std::sync::Arc;

use ferroflow_artifacts::DirectRoot;
use ferroflow_jobs::{
    AbandonedTraces, ArchivalJob, DirectRootCheck, OutboxSweep, OwnIndexes, QuotaCount, QuotaWatch, ReadReplica,
    RollupJob, Runner, Stop, UploadSweep, WebhookDelivery,
};
use tokio::sync::watch;

use crate::app::App;

/// Starts the jobs. They stop when `stopped` becomes true.
pub(crate) fn start(app: &App, stopped: watch::Receiver<bool>) -> Runner {
    let App { store, locations, webhooks, telemetry, config, .. } = app;
    let metrics = telemetry.jobs();
    let store = store.for_jobs();
    let mut runner = Runner::new(Arc::clone(store), metrics.clone(), Stop::new(stopped));
    if !config.artifacts_only {
        runner.start(WebhookDelivery::new(Arc::clone(store), Arc::clone(webhooks), metrics.clone()));
        runner.start(OutboxSweep::new(Arc::clone(store)));
        runner.start(OwnIndexes::new(Arc::clone(store)));
    }
    if store.db().replica_status().is_some() {
        runner.start(ReadReplica::new(Arc::clone(store)));
    }
    if let Some(settings) = config.trace_archival.clone().filter(|_| config.runs_jobs) {
        runner.start(ArchivalJob::new(Arc::clone(store), locations.clone(), settings, metrics.clone()));
    }
    if let Some(settings) = config.trace_rollups.clone().filter(|_| config.runs_jobs) {
        runner.start(RollupJob::new(Arc::clone(store), settings, metrics.clone()));
    }
    if let Some(age) = config.abandoned_trace_age.filter(|_| config.runs_jobs) {
        runner.start(AbandonedTraces::new(Arc::clone(store), age, metrics.clone()));
    }
    if let Some(quotas) = config.quotas.clone().filter(|_| !config.artifacts_only) {
        runner.start(QuotaWatch::new(Arc::clone(store), quotas.clone(), metrics.clone()));
        if config.runs_jobs {
            runner.start(QuotaCount::new(Arc::clone(store), quotas));
        }
    }
    if let Some(root) = &locations.direct {
        runner.start(DirectRootCheck::new(root.clone()));
    }
    if let Some(idle) = config.upload_sweep_age {
        // In a bucket that is not served, unfinished uploads belong to clients, which may continue them.
        let direct = locations.direct.as_ref().map(DirectRoot::repository).filter(|store| store.bucket().is_none());
        for store in locations.destination.iter().chain(direct) {
            runner.start(UploadSweep::new(store.clone(), idle));
        }
    }
    runner
}
