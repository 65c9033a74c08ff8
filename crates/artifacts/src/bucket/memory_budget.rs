//! The memory budget of upload parts. An upload is not read until a permit is available (back-pressure), and a client
//! that is too slow loses its permit when others wait for one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferroflow_model::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const MIB: usize = 1024 * 1024;

/// The budget of all uploads together, in MiB.
const BUDGET_MIB: usize = 128;

/// Minimum rate of a client while others wait, in bytes per second.
const MIN_RATE: usize = 128 * 1024;

/// Minimum time allowed for any part.
const MIN_TIME: Duration = Duration::from_secs(10);

/// Interval of the check whether others wait.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The memory budget of upload parts.
#[derive(Debug, Clone)]
pub(crate) struct UploadBudget {
    memory: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for UploadBudget {
    fn default() -> Self {
        Self { memory: Arc::new(Semaphore::new(BUDGET_MIB)), waiting: Arc::default() }
    }
}

impl UploadBudget {
    /// Waits for a permit for `size` bytes. Never call this while holding a permit: it could deadlock.
    pub(super) async fn acquire(&self, size: usize) -> Result<OwnedSemaphorePermit> {
        if let Some(permit) = self.try_acquire(size) {
            return Ok(permit);
        }
        let _waiting = WaiterGuard::new(&self.waiting);
        let permit = Arc::clone(&self.memory).acquire_many_owned(mib(size)).await;
        permit.map_err(|_| Error::unavailable("The server is stopping. Try again later."))
    }

    /// A permit for `size` bytes, if one is available now.
    pub(super) fn try_acquire(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.memory).try_acquire_many_owned(mib(size)).ok()
    }

    /// Fills a permit with `size` bytes of a client, which may be slow while no other upload waits.
    pub(super) async fn fill<T>(&self, size: usize, reading: impl Future<Output = Result<T>>) -> Result<T> {
        let seconds = u64::try_from(size.div_ceil(MIN_RATE)).unwrap_or(u64::MAX);
        let mut timeout = Duration::from_secs(seconds).max(MIN_TIME);
        tokio::pin!(reading);
        loop {
            if let Ok(filled) = tokio::time::timeout(timeout, &mut reading).await {
                return filled;
            }
            if self.waiting.load(Ordering::Relaxed) > 0 {
                return Err(Error::unavailable("The upload was too slow, and others were waiting. Try again later."));
            }
            timeout = CHECK_INTERVAL;
        }
    }
}

/// The number of permits for a size.
fn mib(size: usize) -> u32 {
    // A size larger than the budget takes all of it.
    u32::try_from(size.div_ceil(MIB).clamp(1, BUDGET_MIB)).unwrap_or(u32::MAX)
}

/// A guard that counts a waiter until it is dropped, also on cancellation.
struct WaiterGuard<'a>(&'a AtomicUsize);

impl<'a> WaiterGuard<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_keeps_its_permit_until_another_upload_waits() {
        let budget = UploadBudget::default();
        let held = budget.acquire(BUDGET_MIB * MIB).await.unwrap();
        let slow = budget.fill(8 * MIB, pending::<Result<()>>());
        tokio::pin!(slow);
        assert!(tokio::time::timeout(60 * MINUTE, &mut slow).await.is_err(), "no other upload waits");
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire(MIB).await }
        });
        let error = tokio::time::timeout(MINUTE, &mut slow).await.expect("another upload waits").unwrap_err();
        assert!(error.message.contains("too slow"), "{}", error.message);
        drop(held);
        drop(waiting.await.unwrap().unwrap());
        assert_eq!(budget.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_at_the_minimum_rate_may_finish() {
        let budget = UploadBudget::default();
        let _held = budget.acquire(BUDGET_MIB * MIB).await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire(MIB).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let steady = async {
            tokio::time::sleep(MINUTE).await;
            Ok(())
        };
        budget.fill(8 * MIB, steady).await.unwrap();
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(budget.waiting.load(Ordering::Relaxed), 0, "an aborted waiter is not counted");
    }
}
