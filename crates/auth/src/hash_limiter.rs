//! Scheduling of password checks. A check takes a core for a while, so a flood of them must neither use the whole
//! machine nor block other users.
//!
//! Half of the cores check passwords. Each address has one running check and a bounded queue, so that addresses take
//! turns. Users who have recently logged in from their address bypass the address's queue. All of this is per process:
//! it shares out the process's own cores.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferroflow_model::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::limit::Sender;

/// How long a login waits for its check.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum queue length per address.
const MAX_WAITING: usize = 64;

/// Number of addresses at which idle queues are removed.
const QUEUES_BEFORE_CLEANUP: usize = 1024;

/// The running and waiting checks.
pub(crate) struct HashLimiter {
    permits: Semaphore,
    senders: Mutex<HashMap<Sender, Arc<Queue>>>,
}

struct Queue {
    permit: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A permit for a check, held while it runs.
pub(crate) struct HashPermit<'a> {
    _permit: SemaphorePermit<'a>,
    _sender_permit: Option<OwnedSemaphorePermit>,
}

/// A login in a queue, until it is dropped.
struct Waiting(Arc<Queue>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl HashLimiter {
    /// Sized for this machine: half of its cores.
    pub(crate) fn for_this_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2))
    }

    fn new(at_once: usize) -> Self {
        Self { permits: Semaphore::new(at_once), senders: Mutex::default() }
    }

    /// Waits until a password may be checked, in the queue of the address `sender`, if any.
    ///
    /// # Errors
    /// The queue is full, or the wait timed out.
    pub(crate) async fn acquire(&self, sender: Option<Sender>) -> Result<HashPermit<'_>> {
        let busy = || Error::busy("Too many logins are being checked. Try again later.");
        let wait = async {
            let sender = match sender {
                Some(sender) => Some(self.acquire_for_sender(sender).await.ok_or_else(busy)?),
                None => None,
            };
            let permits = self.permits.acquire().await.map_err(|_| busy())?;
            Ok(HashPermit { _permit: permits, _sender_permit: sender })
        };
        tokio::time::timeout(TIMEOUT, wait).await.unwrap_or_else(|_| Err(busy()))
    }

    async fn acquire_for_sender(&self, sender: Sender) -> Option<OwnedSemaphorePermit> {
        let queue = {
            let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
            if senders.len() >= QUEUES_BEFORE_CLEANUP {
                // Each waiting or running login holds a reference to its queue.
                senders.retain(|_, queue| Arc::strong_count(queue) > 1 || Arc::strong_count(&queue.permit) > 1);
            }
            let new = || Arc::new(Queue { permit: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0) });
            Arc::clone(senders.entry(sender).or_insert_with(new))
        };
        let waits = queue.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(queue);
        if waits >= MAX_WAITING {
            return None;
        }
        Arc::clone(&waiting.0.permit).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn sender(last: u8) -> Sender {
        Sender::of(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_one_address_does_not_delay_others() {
        let limiter = Arc::new(HashLimiter::new(1));
        let check = |sender| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move {
                let permit = limiter.acquire(sender).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                permit.map(drop).map(|()| tokio::time::Instant::now())
            })
        };
        let start = tokio::time::Instant::now();
        let flood: Vec<_> = (0..200).map(|_| check(Some(sender(1)))).collect();
        tokio::task::yield_now().await;
        let (other, known) = (check(Some(sender(2))), check(None));
        // First the running check completes, then one of the queued ones.
        for one in [other, known] {
            assert!(one.await.unwrap().unwrap() - start <= Duration::from_millis(500));
        }
        let mut refused = 0;
        for one in flood {
            refused += usize::from(one.await.unwrap().is_err());
        }
        assert_eq!(refused, 200 - MAX_WAITING - 1);
        // The queue is empty again.
        assert!(limiter.acquire(Some(sender(1))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_times_out() {
        let limiter = HashLimiter::new(1);
        let _running = limiter.acquire(Some(sender(1))).await.unwrap();
        let start = tokio::time::Instant::now();
        assert!(limiter.acquire(Some(sender(2))).await.is_err());
        assert_eq!(start.elapsed(), TIMEOUT);
    }
}
