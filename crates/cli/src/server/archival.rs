//! The configuration file of `--trace-archival-config`, validated at start.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use ferroflow_artifacts::{Buckets, location::resolve_if_local};
use ferroflow_model::{Environment, trace_archival::TraceArchival, uri};

/// Reads the settings of trace archival.
pub(super) fn settings(file: &Path, buckets: &Buckets) -> Result<TraceArchival> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("the trace archival config {name} cannot be read"))?;
    let options = serde_saphyr::options! {
        // As in the reference's YAML parser.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let found: serde_json::Value = match serde_saphyr::from_str_with_options(&text, options) {
        Ok(found) => found,
        Err(error) => {
            let text = error.to_string();
            bail!("the trace archival config {name} is not YAML: {}", text.lines().next().unwrap_or_default());
        }
    };
    let settings = TraceArchival::from_file(&found)
        .map_err(|reason| anyhow::anyhow!("the trace archival config {name} cannot be used: {reason}"))?;
    check_location(&settings.location, buckets)
        .with_context(|| format!("the trace archival config {name} cannot be used: 'trace_archival.location'"))?;
    Ok(settings)
}

/// Refuses a location from which archived spans could not be read or deleted.
fn check_location(location: &str, buckets: &Buckets) -> Result<()> {
    let to_anyhow = |error: ferroflow_model::Error| anyhow::anyhow!(error.message);
    match uri::scheme(location).as_deref() {
        Some("file") => resolve_if_local(location).map(drop).map_err(to_anyhow),
        Some(scheme) if Buckets::have(scheme) => {
            buckets.check_settings(location).and_then(|()| buckets.repository(location)).map(drop).map_err(to_anyhow)
        }
        Some(scheme) => bail!("{scheme}: is not supported by this version: use file:, s3:, gs: or wasbs:"),
        None => bail!("it is not a URI"),
    }
}

/// Whether this server runs periodic background jobs.
pub(super) fn runs_jobs(environment: &Environment) -> bool {
    ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS"]
        .into_iter()
        .filter_map(|name| environment.get(name))
        .all(|value| matches!(value.to_lowercase().as_str(), "true" | "1"))
}

/// Logs that the spans of old traces will be moved out of the database.
pub(super) fn log_settings(settings: Option<&TraceArchival>, runs_jobs: bool) {
    let Some(TraceArchival { location, retention, .. }) = settings.filter(|settings| settings.enabled) else { return };
    if runs_jobs {
        tracing::info!(archive = location, retention, "the spans of old traces are moved to the archive");
    } else {
        tracing::warn!(archive = location, "this server archives no traces: its periodic jobs are off");
    }
}
