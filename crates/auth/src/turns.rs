//! Whose password is checked next. A check takes a core for a while, so that a flood of them must neither have the whole
//! machine nor keep everybody else waiting.
//!
//! Half of the cores check passwords. An address has one check at a time and so many that wait; it is passed over by
//! the others in between. Users who have logged in from their address lately do not wait for what else comes from it.
//! This is of one process: it divides that process's own cores.

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

/// How long a login waits for its turn.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Logins of one address that wait.
const WAITING: usize = 64;

/// Addresses that are remembered before those that wait for nothing are forgotten.
const SENDERS: usize = 1024;

/// The checks that run and wait.
pub(crate) struct Turns {
    all: Semaphore,
    senders: Mutex<HashMap<Sender, Arc<Queue>>>,
}

struct Queue {
    turn: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A check that runs: while it is kept, others wait.
pub(crate) struct Turn<'a> {
    _all: SemaphorePermit<'a>,
    _sender: Option<OwnedSemaphorePermit>,
}

/// A login that waits, until it is dropped.
struct Waiting(Arc<Queue>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    /// So many checks at once as are right for this machine.
    pub(crate) fn of_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2))
    }

    fn new(at_once: usize) -> Self {
        Self { all: Semaphore::new(at_once), senders: Mutex::default() }
    }

    /// Waits until a password may be checked. `behind` is whose other checks it waits for.
    ///
    /// # Errors
    /// Too many wait.
    pub(crate) async fn take(&self, behind: Option<Sender>) -> Result<Turn<'_>> {
        let busy = || Error::busy("Too many logins are being checked. Try again in a moment.");
        let turn = async {
            let sender = match behind {
                Some(sender) => Some(self.of_sender(sender).await.ok_or_else(busy)?),
                None => None,
            };
            let all = self.all.acquire().await.map_err(|_| busy())?;
            Ok(Turn { _all: all, _sender: sender })
        };
        tokio::time::timeout(TIMEOUT, turn).await.unwrap_or_else(|_| Err(busy()))
    }

    async fn of_sender(&self, sender: Sender) -> Option<OwnedSemaphorePermit> {
        let queue = {
            let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
            if senders.len() >= SENDERS {
                // Each login that waits or runs has a part of its queue.
                senders.retain(|_, queue| Arc::strong_count(queue) > 1 || Arc::strong_count(&queue.turn) > 1);
            }
            let new = || Arc::new(Queue { turn: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0) });
            Arc::clone(senders.entry(sender).or_insert_with(new))
        };
        let waits = queue.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(queue);
        if waits >= WAITING {
            return None;
        }
        Arc::clone(&waiting.0.turn).acquire_owned().await.ok()
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
    async fn a_flood_from_one_address_keeps_no_other_waiting() {
        let turns = Arc::new(Turns::new(1));
        let check = |behind| {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move {
                let turn = turns.take(behind).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                turn.map(drop).map(|()| tokio::time::Instant::now())
            })
        };
        let start = tokio::time::Instant::now();
        let flood: Vec<_> = (0..200).map(|_| check(Some(sender(1)))).collect();
        tokio::task::yield_now().await;
        let (other, known) = (check(Some(sender(2))), check(None));
        // The one that runs comes first, and after it one of those that wait.
        for one in [other, known] {
            assert!(one.await.unwrap().unwrap() - start <= Duration::from_millis(500));
        }
        let mut refused = 0;
        for one in flood {
            refused += usize::from(one.await.unwrap().is_err());
        }
        assert_eq!(refused, 200 - WAITING - 1);
        // Nothing is left of it.
        assert!(turns.take(Some(sender(1))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends() {
        let turns = Turns::new(1);
        let _running = turns.take(Some(sender(1))).await.unwrap();
        let start = tokio::time::Instant::now();
        assert!(turns.take(Some(sender(2))).await.is_err());
        assert_eq!(start.elapsed(), TIMEOUT);
    }
}
