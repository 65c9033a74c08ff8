//! The artifact store of a running server: its health, and the cleanup of abandoned uploads.

use std::time::Duration;

use anyhow::{Result, bail};
use ferroflow_artifacts::{ArtifactRepository, DirectRoot, Locations, Sweeper};
use ferroflow_model::{Environment, uri};

use crate::gc::Age;

/// Idle time after which an upload is abandoned.
const DEFAULT_SWEEP_AGE: Duration = Duration::from_secs(24 * 3600);

/// Maximum interval of the cleanup, before jitter of up to half of it.
const MAX_SWEEP_PAUSE: Duration = Duration::from_secs(3600);

/// Interval of the check of a default root that clients access directly.
const DIRECT_PAUSE: Duration = Duration::from_secs(60);

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
/// available, and the rest of the API does not need it. A default root that clients access directly is checked
/// periodically, and its failures are logged as warnings.
///
/// Must be called last: if the start fails, only its own error is logged.
pub(super) fn watch(locations: &Locations) {
    if let Some(store) = locations.destination.clone() {
        tokio::spawn(async move {
            match store.check().await {
                Ok(()) if store.bucket().is_none() => {}
                Ok(()) => tracing::info!(store = store.name(), "the artifact storage answers"),
                Err(error) => tracing::error!("the artifact storage cannot be used: {}", error.message),
            }
        });
    }
    if let Some(direct) = locations.direct.clone() {
        tokio::spawn(watch_direct(direct));
    }
}

async fn watch_direct(direct: DirectRoot) {
    let mut failed = false;
    loop {
        match direct.ask().await {
            Some(Err(reason)) => {
                failed = true;
                tracing::warn!("artifacts of new experiments cannot be read by this server: {reason}");
            }
            Some(Ok(())) if failed => {
                tracing::info!(store = direct.repository().name(), "artifacts of new experiments can be read again");
            }
            _ => {}
        }
        tokio::time::sleep(DIRECT_PAUSE).await;
    }
}

/// Starts the periodic cleanup of abandoned uploads in the server's stores. Replicas do so at different times, without
/// interfering.
pub(super) fn sweep(locations: &Locations, environment: &Environment) -> Result<()> {
    let idle = match environment.get("FERROFLOW_UPLOAD_SWEEP_AGE").unwrap_or_default() {
        "off" | "0" => return Ok(()),
        "" => DEFAULT_SWEEP_AGE,
        text => match Age::parse(text).map(|age| u64::try_from(age.ms)) {
            Ok(Ok(ms)) if ms > 0 => Duration::from_millis(ms),
            _ => bail!("FERROFLOW_UPLOAD_SWEEP_AGE={text} is neither a time such as 24h nor off"),
        },
    };
    // In a bucket that is not served, unfinished uploads belong to clients, which may continue them.
    let direct = locations.direct.as_ref().map(DirectRoot::repository).filter(|store| store.bucket().is_none());
    for store in locations.destination.iter().chain(direct) {
        tokio::spawn(sweep_store(store.clone(), idle));
    }
    Ok(())
}

async fn sweep_store(store: ArtifactRepository, idle: Duration) {
    let pause = (idle / 4).min(MAX_SWEEP_PAUSE);
    let name = store.name();
    let mut sweeper = Sweeper::new(store);
    let mut failure = None;
    loop {
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
        match sweeper.sweep(idle).await {
            Ok(uploads) => {
                failure = None;
                if uploads > 0 {
                    tracing::info!(store = name, uploads, "removed incomplete uploads");
                }
            }
            // A missing permission fails every time: logged once.
            Err(error) if failure.as_ref() == Some(&error.message) => {}
            Err(error) => {
                tracing::warn!(store = name, "incomplete uploads cannot be swept: {}", error.message);
                failure = Some(error.message);
            }
        }
    }
}
