//! Background work, and the one runner for it. A kind of work that repeats is a [`Job`] in a file of its own; the
//! [`Runner`] has what all of them need: intervals, wake-ups, leases, back-off, drain, metrics and log lines.
//!
//! Work that a command runs once, such as [`Purge`], is here as well, and needs no runner.

mod abandoned_traces;
mod artifact_bytes;
mod backoff;
mod cron;
mod direct_root;
mod job;
mod metrics;
mod outbox_sweep;
mod own_indexes;
mod purge;
mod quotas;
mod read_replica;
mod runner;
mod trace_archival;
mod trace_rollups;
mod unreferenced;
mod upload_sweep;
mod webhook_delivery;
mod webhooks;

pub use abandoned_traces::AbandonedTraces;
pub use artifact_bytes::{ArtifactBytes, artifact_bytes};
pub use backoff::Backoff;
pub use cron::Cron;
pub use direct_root::DirectRootCheck;
pub use job::{Job, Kind, Next, Schedule, Stop};
pub use metrics::JobMetrics;
pub use outbox_sweep::OutboxSweep;
pub use own_indexes::OwnIndexes;
pub use purge::{Age, Purge, PurgeOptions, PurgeReport, PurgeTotals, purge_deleted_workspaces};
pub use quotas::{QuotaCount, QuotaSettings, QuotaWatch};
pub use read_replica::ReadReplica;
pub use runner::Runner;
pub use trace_archival::ArchivalJob;
pub use trace_rollups::{RollupJob, RollupSettings};
pub use unreferenced::unreferenced;
pub use upload_sweep::UploadSweep;
pub use webhook_delivery::WebhookDelivery;
pub use webhooks::{Answer, Failure, WebhookOptions, Webhooks};
