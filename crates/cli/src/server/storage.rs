//! The artifact stores of a server: their check at start, and the settings of the sweep of abandoned uploads.

use std::time::Duration;

use anyhow::{Result, bail};
use ferroflow_artifacts::{DirectRoot, Locations};
use ferroflow_jobs::Age;
use ferroflow_model::{Environment, uri};

/// Idle time after which an upload is abandoned.
const DEFAULT_SWEEP_AGE: Duration = Duration::from_secs(24 * 3600);

/// The store of a default root that is not proxied. It may be reachable from clients only, so readiness does not depend
/// on it.
pub(super) fn direct(root: &str, locations: &Locations) -> Option<DirectRoot> {
    if matches!(uri::scheme(root).as_deref(), Some("mlflow-artifacts" | "http" | "https")) {
        return None;
    }
    let repository = match locations.resolve(root) {
        Ok(found) => found.repository,
        Err(error) => {
            tracing::warn!("artifacts of new experiments, at {root}, cannot be read by this server: {}", error.message);
            return None;
        }
    };
    // The served store is checked already.
    if locations.destination.as_ref().is_some_and(|store| store.name() == repository.name()) {
        return None;
    }
    Some(DirectRoot::new(repository))
}

/// Logs when the artifact store cannot be used. The server runs anyway, but is not ready: the store may become
/// available, and the rest of the API does not need it.
///
/// Must be called last: if the start fails, only its own error is logged.
pub(super) fn check(locations: &Locations) {
    let Some(store) = locations.destination.clone() else { return };
    tokio::spawn(async move {
        match store.check().await {
            Ok(()) if store.bucket().is_none() => {}
            Ok(()) => tracing::info!(store = store.name(), "the artifact storage answers"),
            Err(error) => tracing::error!("the artifact storage cannot be used: {}", error.message),
        }
    });
}

/// Idle time after which an upload in the server's stores is abandoned and swept; `None` if it never is.
pub(super) fn sweep_age(environment: &Environment) -> Result<Option<Duration>> {
    match environment.get("FERROFLOW_UPLOAD_SWEEP_AGE").unwrap_or_default() {
        "off" | "0" => Ok(None),
        "" => Ok(Some(DEFAULT_SWEEP_AGE)),
        text => match Age::parse(text).map(|age| u64::try_from(age.ms)) {
            Ok(Ok(ms)) if ms > 0 => Ok(Some(Duration::from_millis(ms))),
            _ => bail!("FERROFLOW_UPLOAD_SWEEP_AGE={text} is neither a time such as 24h nor off"),
        },
    }
}
