//! A budget that requests share: a total, of which a caller takes at most half.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferroflow_model::{Error, ErrorCode};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Caller, Resource};

/// Why a request gets nothing: nothing of it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Other requests of its caller hold the caller's share.
    Caller,
    /// All requests together hold everything.
    Total,
}

impl Refused {
    /// The error for the client: with the code of a caller's limit, or that of a server without resources. Both are 429.
    #[must_use]
    pub fn error(self, of_caller: &str, in_total: &str) -> Error {
        match self {
            Self::Caller => Error::new(ErrorCode::RequestLimitExceeded, of_caller),
            Self::Total => Error::busy(in_total),
        }
    }
}

/// A budget. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    resource: Resource,
    size: u32,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    refused: [AtomicU64; 2],
}

impl Budget {
    /// A budget of `size` permits, in units of the resource: requests, or KiB.
    #[must_use]
    pub fn new(resource: Resource, size: usize) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX).max(1);
        let permits = Arc::new(Semaphore::new(size as usize));
        Self(Arc::new(Inner { resource, size, permits, waiting: AtomicUsize::new(0), refused: Default::default() }))
    }

    /// What it is of.
    #[must_use]
    pub fn resource(&self) -> Resource {
        self.0.resource
    }

    /// Takes `amount`, first of the caller's share, then of the total, both in the order of requests. A request larger
    /// than the share takes all of it, and one larger than the total takes all of that: a caller has one of them at a
    /// time.
    ///
    /// # Errors
    /// It was not free within `wait`.
    pub async fn acquire(&self, amount: usize, wait: Duration) -> Result<Permit, Refused> {
        let outcome = self.acquire_now_or_wait(amount, wait).await;
        if let Err(refused) = outcome {
            self.0.refused[refused as usize].fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    async fn acquire_now_or_wait(&self, amount: usize, wait: Duration) -> Result<Permit, Refused> {
        let Inner { resource, size, permits, waiting, .. } = &*self.0;
        let amount = u32::try_from(amount).unwrap_or(u32::MAX).clamp(1, *size);
        let most = (size / 2).max(1);
        let mut deadline = None;
        let share = match Caller::current() {
            None => None,
            Some(caller) => {
                let amount = amount.min(most);
                let share = caller.share(*resource, most as usize);
                if let Ok(permit) = share.permits.try_acquire_many(amount) {
                    permit.forget();
                } else {
                    let _waiting = Waiting::new(&share.waiting);
                    let until = *deadline.get_or_insert_with(|| Instant::now() + wait);
                    match timeout_at(until, share.permits.acquire_many(amount)).await {
                        Ok(Ok(permit)) => permit.forget(),
                        _ => return Err(Refused::Caller),
                    }
                }
                Some(Held { caller, resource: *resource, amount })
            }
        };
        let total = if let Ok(total) = Arc::clone(permits).try_acquire_many_owned(amount) {
            total
        } else {
            let _waiting = Waiting::new(waiting);
            let until = deadline.unwrap_or_else(|| Instant::now() + wait);
            match timeout_at(until, Arc::clone(permits).acquire_many_owned(amount)).await {
                Ok(Ok(total)) => total,
                _ => return Err(Refused::Total),
            }
        };
        Ok(Permit { budget: self.clone(), _total: total, share })
    }

    /// The total.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size as usize
    }

    /// What is taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        (self.0.size as usize).saturating_sub(self.0.permits.available_permits())
    }

    /// Number of requests that wait for the total.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Number of refused requests since the start: for the caller's share, and for the total.
    #[must_use]
    pub fn refused(&self) -> [u64; 2] {
        self.0.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// A part of a budget, returned when it is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    _total: OwnedSemaphorePermit,
    share: Option<Held>,
}

impl Permit {
    /// Whether it is of this budget.
    #[must_use]
    pub fn belongs_to(&self, budget: &Budget) -> bool {
        Arc::ptr_eq(&self.budget.0, &budget.0)
    }

    /// Whether another request waits for what it holds: any one for the total, or one of the same caller for the share.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.budget.waiting() > 0 || self.share.as_ref().is_some_and(Held::is_wanted)
    }
}

/// A part of a caller's share.
#[derive(Debug)]
struct Held {
    caller: Arc<Caller>,
    resource: Resource,
    amount: u32,
}

impl Held {
    fn is_wanted(&self) -> bool {
        self.caller.share(self.resource, 0).waiting.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.caller.share(self.resource, 0).permits.add_permits(self.amount as usize);
    }
}

/// A guard that counts a waiter until it is dropped, also on cancellation.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(crate) fn new(counter: &'a AtomicUsize) -> Self {
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
    use crate::fairness::as_caller;

    const WAIT: Duration = Duration::from_secs(10);

    async fn take(budget: &Budget, caller: &Arc<Caller>, amount: usize) -> Result<Permit, Refused> {
        as_caller(Arc::clone(caller), budget.acquire(amount, WAIT)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_takes_half_and_leaves_the_rest_to_others() {
        let budget = Budget::new(Resource::Writes, 8);
        let (one, other) = (Caller::named("one"), Caller::named("other"));
        let first = take(&budget, &one, 3).await.unwrap();
        let _second = take(&budget, &one, 1).await.unwrap();
        for amount in [1, 2] {
            assert_eq!(take(&budget, &one, amount).await.unwrap_err(), Refused::Caller);
        }
        let of_other = take(&budget, &other, 4).await.unwrap();
        let job = budget.acquire(1, WAIT).await;
        assert_eq!(job.unwrap_err(), Refused::Total, "work without a caller waits for the total");
        assert_eq!(budget.refused(), [2, 1], "for the caller's share, and for the total");
        drop(of_other);
        let _job = budget.acquire(4, WAIT).await.unwrap();
        assert_eq!(take(&budget, &other, 1).await.unwrap_err(), Refused::Total);
        drop(first);
        take(&budget, &one, 3).await.unwrap();
        take(&budget, &other, 3).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_larger_than_the_share_is_the_callers_only_one() {
        let budget = Budget::new(Resource::LongMessages, 8);
        let (one, other) = (Caller::named("one"), Caller::named("other"));
        let large = take(&budget, &one, 100).await.unwrap();
        assert_eq!(budget.taken(), 8);
        assert_eq!(take(&budget, &one, 1).await.unwrap_err(), Refused::Caller);
        assert_eq!(take(&budget, &other, 1).await.unwrap_err(), Refused::Total);
        drop(large);
        let _small = take(&budget, &one, 1).await.unwrap();
        assert_eq!(take(&budget, &one, 100).await.unwrap_err(), Refused::Caller);
    }

    /// However many requests of one caller wait, that of another is behind a share of them.
    #[tokio::test(start_paused = true)]
    async fn the_requests_of_one_caller_do_not_fill_the_queue() {
        let budget = Budget::new(Resource::LongMessages, 8);
        let (one, other) = (Caller::named("one"), Caller::named("other"));
        let all = budget.acquire(8, WAIT).await.unwrap();
        let mut many = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (budget, one) = (budget.clone(), Arc::clone(&one));
            many.spawn(async move { take(&budget, &one, 4).await.map(std::mem::forget) });
        }
        tokio::task::yield_now().await;
        assert_eq!(budget.waiting(), 1, "the others wait for the share");
        let next = tokio::spawn({
            let (budget, other) = (budget.clone(), Arc::clone(&other));
            async move { take(&budget, &other, 4).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(all);
        // The one that waited keeps what it got for ever.
        next.await.unwrap().unwrap();
        assert!(many.join_next().await.unwrap().unwrap().is_ok());
        assert_eq!(many.join_next().await.unwrap().unwrap().unwrap_err(), Refused::Caller);
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_it_learns_that_it_is_wanted() {
        let budget = Budget::new(Resource::ShortBodies, 8);
        let (one, other) = (Caller::named("one"), Caller::named("other"));
        let (of_one, of_other) = (take(&budget, &one, 4).await.unwrap(), take(&budget, &other, 1).await.unwrap());
        let waiting = tokio::spawn({
            let (budget, one) = (budget.clone(), Arc::clone(&one));
            async move { take(&budget, &one, 1).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(of_one.is_wanted() && !of_other.is_wanted(), "by a request of its own caller");
        drop(of_one);
        waiting.await.unwrap().unwrap();
        let (of_one, more) = (take(&budget, &one, 4).await.unwrap(), take(&budget, &other, 3).await.unwrap());
        let job = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire(1, WAIT).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(of_one.is_wanted() && of_other.is_wanted(), "by any request, once there is nothing left");
        drop((of_one, more));
        job.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_gone_takes_nothing() {
        let budget = Budget::new(Resource::Writes, 4);
        let one = Caller::named("one");
        let all = budget.acquire(4, WAIT).await.unwrap();
        let waiting = tokio::spawn({
            let (budget, one) = (budget.clone(), Arc::clone(&one));
            async move { take(&budget, &one, 2).await.map(drop) }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        drop(all);
        assert_eq!(budget.waiting(), 0);
        take(&budget, &one, 2).await.unwrap();
    }
}
