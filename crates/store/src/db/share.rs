//! Limits the connections of each caller, so that one caller cannot starve the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::DbError;
use crate::fairness::Caller;

/// The shares of all callers that hold or await a connection.
pub(super) struct Shares {
    /// Maximum number of connections of one caller.
    size: usize,
    callers: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

impl Shares {
    /// Half of `connections` for each caller, at least one.
    pub(super) fn of(connections: usize) -> Arc<Self> {
        Arc::new(Self { size: (connections / 2).max(1), callers: Mutex::default() })
    }

    /// Acquires a permit for one connection, once the caller holds fewer than its share; `None` outside of
    /// [`as_caller`](crate::fairness::as_caller).
    ///
    /// # Errors
    /// The caller's other requests held its whole share for all of `wait`.
    pub(super) async fn take(self: &Arc<Self>, wait: Duration) -> Result<Option<Share>, DbError> {
        let Some(caller) = Caller::current().map(|caller| Arc::clone(caller.name())) else { return Ok(None) };
        let semaphore =
            Arc::clone(self.lock().entry(Arc::clone(&caller)).or_insert_with(|| Arc::new(Semaphore::new(self.size))));
        // Created before waiting, so that its destructor cleans up after a cancelled request too.
        let mut share = Share { shares: Arc::clone(self), caller, permit: None };
        let permit = tokio::time::timeout(wait, semaphore.acquire_owned()).await;
        share.permit = permit.ok().and_then(Result::ok);
        if share.permit.is_none() {
            return Err(DbError::Busy(format!("other requests of the caller kept {} connections", self.size)));
        }
        Ok(Some(share))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Arc<Semaphore>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit for one connection of a caller's share, released when dropped.
pub(super) struct Share {
    shares: Arc<Shares>,
    caller: Arc<str>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut callers = self.shares.lock();
        // Permits and waiting requests hold the semaphore too: an entry that only the map holds is unused.
        self.permit = None;
        if callers.get(&self.caller).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            callers.remove(&self.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::as_caller;

    const SOON: Duration = Duration::from_secs(1);

    async fn take(shares: &Arc<Shares>, caller: &str) -> Result<Option<Share>, DbError> {
        as_caller(Caller::named(caller), shares.take(SOON)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_gets_its_share_and_leaves_the_rest_to_others() {
        let shares = Shares::of(4);
        let first = take(&shares, "a").await.unwrap();
        let _second = take(&shares, "a").await.unwrap();
        assert!(matches!(take(&shares, "a").await, Err(DbError::Busy(_))));
        let _of_another = take(&shares, "b").await.unwrap();
        drop(first);
        assert!(take(&shares, "a").await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn work_of_the_server_has_no_share() {
        assert!(Shares::of(1).take(SOON).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_callers_that_are_gone() {
        let shares = Shares::of(2);
        let held = take(&shares, "a").await.unwrap();
        assert!(take(&shares, "a").await.is_err());
        assert_eq!(shares.lock().len(), 1);
        drop(held);
        assert_eq!(shares.lock().len(), 0);
    }
}
