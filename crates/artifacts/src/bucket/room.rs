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
const MEMORY: usize = 128;

/// Minimum rate of a client while others wait, in bytes per second.
const PACE: usize = 128 * 1024;

/// Minimum time allowed for any part.
const GRACE: Duration = Duration::from_secs(10);

/// Interval of the check whether others wait.
const LOOK: Duration = Duration::from_secs(1);

/// The memory budget of upload parts.
#[derive(Debug, Clone)]
pub(crate) struct UploadRoom {
    memory: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for UploadRoom {
    fn default() -> Self {
        Self { memory: Arc::new(Semaphore::new(MEMORY)), waiting: Arc::default() }
    }
}

impl UploadRoom {
    /// Waits for a permit for `size` bytes. Never call this while holding a permit: it could deadlock.
    pub(super) async fn take(&self, size: usize) -> Result<OwnedSemaphorePermit> {
        if let Some(room) = self.try_take(size) {
            return Ok(room);
        }
        let _waiting = Waiting::new(&self.waiting);
        let room = Arc::clone(&self.memory).acquire_many_owned(mib(size)).await;
        room.map_err(|_| Error::unavailable("The server is stopping. Try again later."))
    }

    /// A permit for `size` bytes, if one is available now.
    pub(super) fn try_take(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.memory).try_acquire_many_owned(mib(size)).ok()
    }

    /// Fills a permit with `size` bytes of a client, which may be slow while no other upload waits.
    pub(super) async fn fill<T>(&self, size: usize, filled: impl Future<Output = Result<T>>) -> Result<T> {
        let seconds = u64::try_from(size.div_ceil(PACE)).unwrap_or(u64::MAX);
        let mut patience = Duration::from_secs(seconds).max(GRACE);
        tokio::pin!(filled);
        loop {
            if let Ok(filled) = tokio::time::timeout(patience, &mut filled).await {
                return filled;
            }
            if self.waiting.load(Ordering::Relaxed) > 0 {
                return Err(Error::unavailable("The upload was too slow, and others were waiting. Try again later."));
            }
            patience = LOOK;
        }
    }
}

/// The number of permits for a size.
fn mib(size: usize) -> u32 {
    // A size larger than the budget takes all of it.
    u32::try_from(size.div_ceil(MIB).clamp(1, MEMORY)).unwrap_or(u32::MAX)
}

/// A guard that counts a waiter until it is dropped, also on cancellation.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Waiting<'_> {
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
    async fn a_slow_client_keeps_its_room_until_somebody_waits_for_it() {
        let room = UploadRoom::default();
        let held = room.take(MEMORY * MIB).await.unwrap();
        let slow = room.fill(8 * MIB, pending::<Result<()>>());
        tokio::pin!(slow);
        assert!(tokio::time::timeout(60 * MINUTE, &mut slow).await.is_err(), "nobody waits");
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.take(MIB).await }
        });
        let told = tokio::time::timeout(MINUTE, &mut slow).await.expect("somebody waits").unwrap_err();
        assert!(told.message.contains("too slow"), "{}", told.message);
        drop(held);
        drop(waiting.await.unwrap().unwrap());
        assert_eq!(room.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_at_the_pace_is_let_finish() {
        let room = UploadRoom::default();
        let _held = room.take(MEMORY * MIB).await.unwrap();
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.take(MIB).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let steady = async {
            tokio::time::sleep(MINUTE).await;
            Ok(())
        };
        room.fill(8 * MIB, steady).await.unwrap();
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(room.waiting.load(Ordering::Relaxed), 0, "who gave up does not wait");
    }
}
