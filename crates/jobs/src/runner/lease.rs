//! The lease of a job that one replica runs for all. It saves work, and is not a lock: a process that was paused may run
//! the job once more after its lease expired, so every job must be correct if two replicas run it.

use std::{sync::Arc, time::Duration};

use ferroflow_model::Result;
use ferroflow_store::Store;
use tokio::time::{sleep, timeout};

/// How long a lease lasts while the job runs; it is renewed meanwhile. A run of a killed replica is taken over after
/// this time.
const TERM: Duration = Duration::from_secs(60);

/// Timeout of giving a lease up: a database that does not answer must not delay a shutdown.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A lease that this process takes before each run, and keeps from one run to the next.
pub(super) struct Lease {
    pub(super) store: Arc<Store>,
    pub(super) job: &'static str,
    pub(super) replica: Arc<str>,
    /// The longest time from one run to the next.
    pub(super) until_next: Duration,
}

impl Lease {
    /// Takes or renews the lease for a run. `false` if another replica has it.
    pub(super) async fn take(&self) -> Result<bool> {
        self.store.lease_job(self.job, &self.replica, TERM).await
    }

    /// Renews the lease while the job runs. Completes only if another replica has taken it.
    pub(super) async fn keep(&self) {
        loop {
            sleep(TERM / 3).await;
            // A database that fails now may answer before the lease expires.
            if matches!(self.take().await, Ok(false)) {
                return;
            }
        }
    }

    /// Keeps the lease until this replica has had time for its next run: the job does not move between replicas.
    pub(super) async fn hold_until_next(&self) -> Result<()> {
        self.store.lease_job(self.job, &self.replica, self.until_next + TERM).await.map(drop)
    }

    /// Gives the lease up, for another replica to take.
    pub(super) async fn release(&self) {
        let released = timeout(RELEASE_TIMEOUT, self.store.release_job(self.job, &self.replica)).await;
        if let Ok(Err(error)) = released {
            // It expires.
            tracing::debug!(job = self.job, error = %error.message, "a lease was not released");
        }
    }
}
