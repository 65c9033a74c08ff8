//! A memory budget shared by requests: waiters are served in order, and time out.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use ferroflow_model::{Error, ErrorCode, Result, limits::memory};
use ferroflow_telemetry::Refusal;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

const KIB: usize = 1024;

/// Interval of the check whether other requests wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// A memory budget.
#[derive(Debug, Clone)]
pub(super) struct MemoryBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One permit per KiB.
    memory: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
    freed: Notify,
}

/// A share of the budget, released on drop.
#[derive(Debug)]
pub(crate) struct MemoryPermit {
    budget: MemoryBudget,
    /// Start of the current measuring interval; `received` is the number of bytes received in it.
    since: Instant,
    received: usize,
    _memory: OwnedSemaphorePermit,
}

impl MemoryBudget {
    /// A budget of `bytes`, rounded down to KiB.
    pub(super) fn new(bytes: usize) -> Self {
        let size = bytes / KIB;
        let memory = Arc::new(Semaphore::new(size));
        Self(Arc::new(Inner { memory, size, waiting: AtomicUsize::new(0), freed: Notify::new() }))
    }

    /// The bytes in use, and the size in bytes.
    pub(super) fn usage(&self) -> (usize, usize) {
        let free = self.0.memory.available_permits().min(self.0.size);
        ((self.0.size - free) * KIB, self.0.size * KIB)
    }

    /// Completes when a share has been freed since the last call. One task may wait for it.
    pub(super) async fn freed(&self) {
        self.0.freed.notified().await;
    }

    /// Takes a share of `bytes`, in the order of requests. A share larger than the budget takes all of it.
    ///
    /// # Errors
    /// No memory became available in time; nothing has been done.
    pub(super) async fn acquire(&self, bytes: usize) -> Result<MemoryPermit> {
        let share = u32::try_from(bytes.div_ceil(KIB).clamp(1, self.0.size)).unwrap_or(u32::MAX);
        let now = Arc::clone(&self.0.memory).try_acquire_many_owned(share);
        let memory = if let Ok(memory) = now { memory } else { self.wait(share).await? };
        Ok(MemoryPermit { budget: self.clone(), since: Instant::now(), received: 0, _memory: memory })
    }

    async fn wait(&self, share: u32) -> Result<OwnedSemaphorePermit> {
        let _waiting = Waiting::new(&self.0.waiting);
        let taken = timeout(memory::REQUEST_WAIT, Arc::clone(&self.0.memory).acquire_many_owned(share)).await;
        taken.ok().and_then(std::result::Result::ok).ok_or_else(|| {
            Refusal::Bodies.record();
            exhausted("The server has no memory for this request now. Try again later.")
        })
    }
}

impl MemoryPermit {
    /// Whether it is a share of this budget.
    pub(super) fn belongs_to(&self, budget: &MemoryBudget) -> bool {
        Arc::ptr_eq(&self.budget.0, &budget.0)
    }

    /// Waits for the next chunk of the body that the share is for. A slow client is tolerated while no other request
    /// waits.
    ///
    /// # Errors
    /// The body ended early; or the client is too slow while others wait, and nothing has been done.
    pub(super) async fn next_chunk(
        &mut self,
        next: impl Future<Output = Result<Option<Bytes>>>,
    ) -> Result<Option<Bytes>> {
        let mut next = pin!(next);
        loop {
            let outcome = timeout(CHECK_INTERVAL, &mut next).await;
            if let Ok(Ok(Some(bytes))) = &outcome {
                self.received += bytes.len();
            }
            if self.since.elapsed() >= memory::GRACE {
                if self.received < memory::PACE && self.budget.0.waiting.load(Ordering::Relaxed) > 0 {
                    return Err(exhausted(
                        "The request arrived too slowly while other requests waited for memory. Try again later.",
                    ));
                }
                (self.since, self.received) = (Instant::now(), 0);
            }
            if let Ok(outcome) = outcome {
                return outcome;
            }
        }
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.budget.0.freed.notify_one();
    }
}

fn exhausted(message: &str) -> Error {
    Error::new(ErrorCode::ResourceExhausted, message)
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
    async fn a_wait_for_memory_ends_with_429() {
        let budget = MemoryBudget::new(64 * KIB);
        let permit = budget.acquire(60 * KIB).await.unwrap();
        let error = timeout(MINUTE, budget.acquire(8 * KIB)).await.expect("it does not wait for ever").unwrap_err();
        assert_eq!(error.code.http_status(), 429);
        assert_eq!(budget.0.waiting.load(Ordering::Relaxed), 0);
        drop(permit);
        budget.acquire(64 * KIB).await.unwrap();
        budget.acquire(65 * KIB).await.expect("a request larger than the budget takes all of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_keeps_its_memory_until_another_request_waits() {
        let budget = MemoryBudget::new(64 * KIB);
        let mut permit = budget.acquire(60 * KIB).await.unwrap();
        assert!(timeout(MINUTE, permit.next_chunk(pending())).await.is_err(), "no other request waits");
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire(8 * KIB).await.map(drop) }
        });
        let error = timeout(MINUTE, permit.next_chunk(pending())).await.expect("another request waits").unwrap_err();
        assert!(error.message.contains("too slowly"), "{}", error.message);
        drop(permit);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_client_below_the_minimum_pace_is_slow() {
        for (bytes, is_slow) in [(1, true), (memory::PACE / 9, false)] {
            let budget = MemoryBudget::new(64 * KIB);
            let mut permit = budget.acquire(60 * KIB).await.unwrap();
            let waiting = tokio::spawn({
                let budget = budget.clone();
                async move { budget.acquire(8 * KIB).await.map(drop) }
            });
            tokio::task::yield_now().await;
            let start = Instant::now();
            let chunk = || async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(Some(Bytes::from(vec![0; bytes])))
            };
            while permit.next_chunk(chunk()).await.is_ok() && !waiting.is_finished() {}
            let limit = if is_slow { memory::GRACE * 2 } else { memory::REQUEST_WAIT * 2 };
            assert!(start.elapsed() < limit, "{bytes}");
            drop(permit);
            assert_eq!(waiting.await.unwrap().is_ok(), is_slow, "{bytes}");
        }
    }
}
