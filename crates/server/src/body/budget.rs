//! A memory budget shared by requests: waiters are served in order, and time out.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use axum::body::Bytes;
use ferroflow_model::{Error, ErrorCode, Result, limits::memory};
use ferroflow_store::fairness::{Budget, Permit, Resource};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

const KIB: usize = 1024;

/// Interval of the check whether other requests wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// A memory budget. A caller takes at most half of it, or has one request that is larger.
#[derive(Debug, Clone)]
pub(super) struct MemoryBudget {
    /// One permit per KiB.
    memory: Budget,
    freed: Arc<Notify>,
}

/// A share of the budget, released on drop.
#[derive(Debug)]
pub(crate) struct MemoryPermit {
    memory: Permit,
    freed: Arc<Notify>,
    /// Start of the current measuring interval; `received` is the number of bytes received in it.
    since: Instant,
    received: usize,
}

impl MemoryBudget {
    /// A budget of `bytes`, rounded down to KiB.
    pub(super) fn new(resource: Resource, bytes: usize) -> Self {
        Self { memory: Budget::new(resource, bytes / KIB), freed: Arc::default() }
    }

    /// Completes when a share has been freed since the last call. One task may wait for it.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Takes a share of `bytes`, in the order of requests. A share larger than the budget takes all of it.
    ///
    /// # Errors
    /// No memory became available in time; nothing has been done.
    pub(super) async fn acquire(&self, bytes: usize) -> Result<MemoryPermit> {
        let memory = self.memory.acquire(bytes.div_ceil(KIB), memory::REQUEST_WAIT).await.map_err(|refused| {
            refused.error(
                "Other requests of this caller take its share of the memory for requests. Try again later.",
                "The server has no memory for this request now. Try again later.",
            )
        })?;
        Ok(MemoryPermit { memory, freed: Arc::clone(&self.freed), since: Instant::now(), received: 0 })
    }

    /// The budget, for metrics.
    pub(super) fn memory(&self) -> &Budget {
        &self.memory
    }
}

impl MemoryPermit {
    /// Whether it is a share of this budget.
    pub(super) fn belongs_to(&self, budget: &MemoryBudget) -> bool {
        self.memory.belongs_to(&budget.memory)
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
                if self.received < memory::PACE && self.memory.is_wanted() {
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
        self.freed.notify_one();
    }
}

fn exhausted(message: &str) -> Error {
    Error::new(ErrorCode::ResourceExhausted, message)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use ferroflow_store::fairness::{Caller, as_caller};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_memory_ends_with_429() {
        let budget = MemoryBudget::new(Resource::ShortBodies, 64 * KIB);
        let permit = budget.acquire(60 * KIB).await.unwrap();
        let error = timeout(MINUTE, budget.acquire(8 * KIB)).await.expect("it does not wait for ever").unwrap_err();
        assert_eq!(error.code.http_status(), 429);
        assert_eq!(budget.memory.waiting(), 0);
        drop(permit);
        budget.acquire(64 * KIB).await.unwrap();
        budget.acquire(65 * KIB).await.expect("a request larger than the budget takes all of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_keeps_its_memory_until_another_request_waits() {
        let budget = MemoryBudget::new(Resource::ShortBodies, 64 * KIB);
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
            let budget = MemoryBudget::new(Resource::ShortBodies, 64 * KIB);
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

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_cut_off_for_another_request_of_its_caller_too() {
        let budget = MemoryBudget::new(Resource::ShortBodies, 64 * KIB);
        let caller = Caller::named("one");
        let mut permit = as_caller(Arc::clone(&caller), budget.acquire(32 * KIB)).await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { as_caller(caller, budget.acquire(8 * KIB)).await.map(drop) }
        });
        let error = timeout(MINUTE, permit.next_chunk(pending())).await.expect("another request waits").unwrap_err();
        assert!(error.message.contains("too slowly"), "{}", error.message);
        drop(permit);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_over_its_share_gets_429_and_others_get_memory() {
        let budget = MemoryBudget::new(Resource::ShortBodies, 64 * KIB);
        let (one, other) = (Caller::named("one"), Caller::named("other"));
        let _held = as_caller(Arc::clone(&one), budget.acquire(32 * KIB)).await.unwrap();
        let error = as_caller(one, budget.acquire(KIB)).await.unwrap_err();
        assert_eq!((error.code, error.code.http_status()), (ErrorCode::RequestLimitExceeded, 429));
        as_caller(other, budget.acquire(32 * KIB)).await.unwrap();
    }
}
