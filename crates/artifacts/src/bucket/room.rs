//! Room for the parts of uploads: what all of them together take of the memory is bounded. Whoever comes when it is
//! taken is not read until there is room, and nobody keeps room that others wait for by sending next to nothing.

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

/// MiB that the parts of all uploads together may take.
const MEMORY: usize = 128;

/// Bytes of a second that a client has to send at the least, while others wait for its room.
const PACE: usize = 128 * 1024;

/// How long any part may take.
const GRACE: Duration = Duration::from_secs(10);

/// How often is looked whether somebody waits.
const LOOK: Duration = Duration::from_secs(1);

/// Room for the parts of uploads.
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
    /// Waits until there is room for some bytes. Somebody who has room already does not call this: nobody waits for
    /// one who waits.
    pub(super) async fn take(&self, size: usize) -> Result<OwnedSemaphorePermit> {
        if let Some(room) = self.try_take(size) {
            return Ok(room);
        }
        let _waiting = Waiting::new(&self.waiting);
        let room = Arc::clone(&self.memory).acquire_many_owned(mib(size)).await;
        room.map_err(|_| Error::unavailable("The server is stopping. Try again later."))
    }

    /// Room for some bytes, if there is some now.
    pub(super) fn try_take(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.memory).try_acquire_many_owned(mib(size)).ok()
    }

    /// Room that is filled with so many bytes of a client, which takes its time as long as nobody waits for it.
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

/// MiB that some bytes take.
fn mib(size: usize) -> u32 {
    // What is larger than the memory of all has it to itself.
    u32::try_from(size.div_ceil(MIB).clamp(1, MEMORY)).unwrap_or(u32::MAX)
}

/// One of those who wait, until it is dropped: also where waiting is given up.
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
