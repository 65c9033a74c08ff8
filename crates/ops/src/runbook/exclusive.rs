//! Begins and ends every runbook that changes objects: checks the rights, acquires the lease, releases it.

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    api::{Api, print_step},
    release::{Release, annotation},
    rights::Rights,
};

/// Runs a runbook that excludes others on the same release. In a dry run no lease is acquired.
///
/// # Errors
/// Those of the runbook; the user lacks rights; another runbook is running; a signal ended it.
pub(super) async fn exclusively<T>(
    api: &Api,
    name: &str,
    runbook: &str,
    rights: fn(&Release) -> Rights,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let release = Release::find(api, name).await?;
    rights(&release).check(api).await?;
    if api.dry_run {
        if let Some(holder) = api.holder(name).await? {
            print_step(&format!("another runbook is running, and this one would be refused: `{holder}`"));
        }
        return work().await;
    }
    api.acquire(name, runbook).await?;
    let outcome = tokio::select! {
        outcome = work() => outcome,
        signal = interrupted() => signal.and_then(|()| Err(anyhow!("interrupted: run it again to continue"))),
    };
    api.release().await;
    outcome
}

/// Refuses while a recovery is unfinished: the server may use either of two databases.
pub(super) fn no_recovery(release: &Release) -> Result<()> {
    match annotation(&release.deployment, "recovering") {
        Some(clusters) => bail!(
            "a recovery from {clusters} was begun and not completed: complete it first (`ferroflow ops recover`), or abandon \
             it (`ferroflow ops recover --abandon`)"
        ),
        None => Ok(()),
    }
}

/// Waits for Ctrl-C or a request to terminate.
async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("signals cannot be received"),
        _ = terminate.recv() => Ok(()),
    }
}
