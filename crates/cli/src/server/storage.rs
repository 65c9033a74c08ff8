//! The storage of artifacts while a server runs: whether it can be used, and what uploads leave behind in it.

use std::time::Duration;

use anyhow::{Result, bail};
use ferroflow_artifacts::{ArtifactRepository, DirectRoot, Locations, Sweeper};
use ferroflow_model::uri;

use crate::gc::Age;

/// How long nothing comes for an upload until nobody is thought to finish it.
const DEFAULT_SWEEP_AGE: Duration = Duration::from_secs(24 * 3600);

/// Time between two looks for such uploads, at the most; half as much again in between.
const MAX_SWEEP_PAUSE: Duration = Duration::from_secs(3600);

/// Time between two looks at a default root that clients reach themselves.
const DIRECT_PAUSE: Duration = Duration::from_secs(60);

/// The store of a default root that is not served. Clients may be the only ones who get there, so the server is ready
/// without it.
pub(super) fn direct(root: &str, locations: &Locations) -> Option<DirectRoot> {
    if matches!(uri::scheme(root).as_deref(), Some("mlflow-artifacts" | "http" | "https")) {
        return None;
    }
    let repository = match locations.resolve(root) {
        Ok(found) => found.repository,
        Err(error) => {
            tracing::warn!(
                "artifacts of new experiments, at {root}, can not be read by this server: {}",
                error.message
            );
            return None;
        }
    };
    // What is served there is looked at already.
    if locations.destination.as_ref().is_some_and(|store| store.name() == repository.name()) {
        return None;
    }
    Some(DirectRoot::new(repository))
}

/// Says, in one line, when the artifact storage can not be used. The server runs all the same, but is not ready: what
/// is missing may still come, and the rest of the API does not need it. A default root that clients reach themselves is
/// asked now and then, and what it says is a warning.
///
/// Call it when nothing can end the start any more: the reason of a start that failed is told alone.
pub(super) fn watch(locations: &Locations) {
    if let Some(store) = locations.destination.clone() {
        tokio::spawn(async move {
            match store.check().await {
                Ok(()) if store.bucket().is_none() => {}
                Ok(()) => tracing::info!(store = store.name(), "the artifact storage answers"),
                Err(error) => tracing::error!("the artifact storage can not be used: {}", error.message),
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
                tracing::warn!("artifacts of new experiments can not be read by this server: {reason}");
            }
            Some(Ok(())) if failed => {
                tracing::info!(store = direct.repository().name(), "artifacts of new experiments can be read again");
            }
            _ => {}
        }
        tokio::time::sleep(DIRECT_PAUSE).await;
    }
}

/// Takes back, now and then, what uploads that nobody finishes have left in a store of the server. Replicas do it at
/// different times, and none minds another.
pub(super) fn sweep(locations: &Locations) -> Result<()> {
    let idle = match std::env::var("FERROFLOW_UPLOAD_SWEEP_AGE").unwrap_or_default().as_str() {
        "off" | "0" => return Ok(()),
        "" => DEFAULT_SWEEP_AGE,
        text => match Age::parse(text).map(|age| u64::try_from(age.ms)) {
            Ok(Ok(ms)) if ms > 0 => Duration::from_millis(ms),
            _ => bail!("FERROFLOW_UPLOAD_SWEEP_AGE={text} is neither a time such as 24h nor off"),
        },
    };
    // In a bucket that is not served, unfinished uploads are those of clients, who may go on with them.
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
                    tracing::info!(store = name, uploads, "took back uploads that nobody finished");
                }
            }
            // A right that is missing is missing each time.
            Err(error) if failure.as_ref() == Some(&error.message) => {}
            Err(error) => {
                tracing::warn!(store = name, "uploads that nobody finishes are not swept: {}", error.message);
                failure = Some(error.message);
            }
        }
    }
}
