//! The memory of query results. A request may read a few rows at any time; one that reads many waits for its turn, so
//! that few such results are in memory at once, and there is a maximum for one request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferroflow_model::limits::memory;
use ferroflow_telemetry::Refusal;
use tokio::{
    sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::DbError;

tokio::task_local! {
    static ACCOUNT: Account;
}

/// Memory of a row besides its columns: the structs and vectors that it is read into.
const ROW: usize = 64;

/// The budget of all requests of a server: the number of large results that may be in memory at once.
#[derive(Debug, Clone)]
pub struct ResultBudget(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    freed: Notify,
}

impl ResultBudget {
    /// A budget of `turns` large results.
    #[must_use]
    pub fn new(turns: usize) -> Self {
        let turns = Arc::new(Semaphore::new(turns));
        Self(Arc::new(Turns { turns, waiting: AtomicUsize::new(0), freed: Notify::new() }))
    }

    /// The account of a new request.
    #[must_use]
    pub fn account(&self) -> Account {
        Account(Arc::new(Open { budget: self.clone(), bytes: AtomicUsize::new(0), turn: OnceCell::new() }))
    }

    /// Completes when a large result has been freed since the last call. One task may wait for it.
    pub async fn freed(&self) {
        self.0.freed.notified().await;
    }

    /// Whether a request waits for a turn.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Default for ResultBudget {
    fn default() -> Self {
        Self::new(memory::LARGE_RESULTS)
    }
}

/// What a request has read. Clones share it; dropping the last one returns the turn of a large result.
#[derive(Debug, Clone)]
pub struct Account(Arc<Open>);

#[derive(Debug)]
struct Open {
    budget: ResultBudget,
    bytes: AtomicUsize,
    turn: OnceCell<OwnedSemaphorePermit>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.turn.initialized() {
            self.budget.0.freed.notify_one();
        }
    }
}

impl Account {
    /// Runs `work` with this account: the rows that it reads are charged to it. Rows that other work reads, such as a
    /// job's or those of maintenance, have no account and no limit.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        ACCOUNT.scope(self, work).await
    }

    /// The account of the current task.
    pub(super) fn current() -> Option<Self> {
        ACCOUNT.try_with(Self::clone).ok()
    }

    /// Whether it holds a turn: it has read a large result.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.0.turn.initialized()
    }

    /// The budget that it is of.
    #[must_use]
    pub fn budget(&self) -> &ResultBudget {
        &self.0.budget
    }

    /// Charges a row that is kept in memory.
    ///
    /// # Errors
    /// [`DbError::TooLarge`]: the request has read more than [`memory::LARGEST_RESULT`].
    pub(super) fn charge(&self, row: usize) -> Result<(), DbError> {
        let bytes = self.0.bytes.fetch_add(row + ROW, Ordering::Relaxed);
        if bytes > memory::LARGEST_RESULT {
            return Err(DbError::TooLarge(format!("more than {} bytes in rows", memory::LARGEST_RESULT)));
        }
        Ok(())
    }

    /// The size of what is charged.
    pub(super) fn charged(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Takes back the charge for rows that are no longer in memory.
    pub(super) fn refund(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the result has become a large one and has no turn yet.
    pub(super) fn must_settle(&self) -> bool {
        self.charged() > memory::SMALL_RESULT && !self.is_large()
    }

    /// Waits for a turn if the result has become a large one.
    ///
    /// # Errors
    /// [`DbError::Crowded`]: other large results kept all turns for [`memory::RESULT_WAIT`].
    pub(super) async fn settle(&self) -> Result<(), DbError> {
        if !self.must_settle() {
            return Ok(());
        }
        let turn = || async {
            let Turns { turns, waiting, .. } = &*self.0.budget.0;
            let _waiting = Waiting::new(waiting);
            if let Ok(Ok(turn)) = timeout(memory::RESULT_WAIT, Arc::clone(turns).acquire_owned()).await {
                return Ok(turn);
            }
            Refusal::Results.record();
            Err(DbError::Crowded("other large results are in memory".into()))
        };
        self.0.turn.get_or_try_init(turn).await.map(|_| ())
    }
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
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_results_take_turns_and_small_ones_do_not_wait() {
        let budget = ResultBudget::new(1);
        let (first, second, small) = (budget.account(), budget.account(), budget.account());
        first.charge(memory::SMALL_RESULT).unwrap();
        first.settle().await.unwrap();
        assert!(first.is_large());
        second.charge(memory::SMALL_RESULT).unwrap();
        assert!(matches!(second.settle().await, Err(DbError::Crowded(_))));
        small.charge(1000).unwrap();
        small.settle().await.unwrap();
        assert!(!small.is_large());
        let held = first.clone();
        drop(first);
        assert!(second.settle().await.is_err(), "a clone holds the turn");
        drop(held);
        second.settle().await.unwrap();
    }

    #[test]
    fn one_request_has_a_maximum() {
        let account = ResultBudget::default().account();
        account.charge(memory::LARGEST_RESULT).unwrap();
        assert!(matches!(account.charge(1), Err(DbError::TooLarge(_))));
    }
}
