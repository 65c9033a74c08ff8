//! Settings of the rollups of traces, and of abandoned traces.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ferroflow_jobs::{Age, Cron, RollupSettings};
use ferroflow_model::Environment;
use ferroflow_store::{
    Store,
    db::{BackendUri, Upkeep},
};

use crate::variables::{flag, number};

const SCHEDULE: &str = "MLFLOW_TRACE_ROLLUPS_SCHEDULE";
const MAX_PARTITIONS: &str = "MLFLOW_TRACE_ROLLUPS_MAX_PARTITIONS_PER_RUN";
const MAX_WORKERS: &str = "MLFLOW_TRACE_ROLLUPS_MAX_WORKERS";
const ABANDONED: &str = "FERROFLOW_ABANDONED_TRACE_AGE";

/// Whether rollups are in use.
///
/// # Errors
/// The variable is not a boolean.
pub(crate) fn is_enabled(environment: &Environment) -> Result<bool> {
    Ok(flag(environment, "MLFLOW_SQL_TRACE_ROLLUPS_ENABLED")?.unwrap_or_default())
}

/// The settings of rollups; `None` if they are not in use.
pub(super) fn settings(environment: &Environment) -> Result<Option<RollupSettings>> {
    if !is_enabled(environment)? {
        return Ok(None);
    }
    let schedule = environment.get(SCHEDULE).unwrap_or("0 2 * * *");
    Ok(Some(RollupSettings {
        schedule: Cron::parse(schedule)
            .ok_or_else(|| anyhow!("{SCHEDULE}={schedule} is not a valid five-field UTC cron expression"))?,
        max_partitions: positive(environment, MAX_PARTITIONS)?.unwrap_or(1000),
        max_workers: positive(environment, MAX_WORKERS)?.unwrap_or(4),
    }))
}

/// Logs that this server does not build the rollups.
pub(super) fn log_settings(settings: Option<&RollupSettings>, runs_jobs: bool) {
    if settings.is_some() && !runs_jobs {
        tracing::warn!("this server builds no rollups of traces: its periodic jobs are off");
    }
}

fn positive(environment: &Environment, name: &str) -> Result<Option<usize>> {
    let value = number(environment, name)?;
    ensure!(value != Some(0), "{name} must be a positive integer");
    Ok(value)
}

/// Refuses to start without rollups while there are some: writes of this server would make them wrong.
pub(super) async fn check_unused(store: &Store, backend: &BackendUri) -> Result<()> {
    let found = store.unscoped(Upkeep::Rollups).has_rollups().await.map_err(|error| anyhow!(error.message));
    if found.context("the rollups of traces cannot be read")? {
        bail!(
            "SQL trace rollups cannot be disabled while materialized rollup rows exist. Stop all servers using this \
             database, then run `ferroflow db delete-trace-rollups {backend}` before restarting."
        );
    }
    Ok(())
}

/// The age at which an unfinished trace is closed; `None` if it never is.
pub(super) fn abandoned_age(environment: &Environment) -> Result<Option<Duration>> {
    match environment.get(ABANDONED).unwrap_or_default() {
        "" | "off" | "0" => Ok(None),
        text => match Age::parse(text).map(|age| u64::try_from(age.ms)) {
            Ok(Ok(ms)) if ms > 0 => Ok(Some(Duration::from_millis(ms))),
            _ => bail!("{ABANDONED}={text} is neither a time such as 24h nor off"),
        },
    }
}
