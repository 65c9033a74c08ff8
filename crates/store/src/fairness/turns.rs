//! Turns of which there are few, such as those of large results. A caller that is alone may have all of them. When others
//! wait, a free turn goes to a caller without one first.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{Caller, budget::Waiting};

/// The turns.
#[derive(Debug)]
pub(crate) struct Turns {
    size: usize,
    state: Mutex<State>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// The callers of those that are taken.
    holders: Vec<usize>,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    caller: usize,
    granted: oneshot::Sender<Turn>,
}

/// A turn, returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    holder: usize,
}

impl Turns {
    /// `size` turns.
    pub(crate) fn new(size: usize) -> Arc<Self> {
        let state = State { free: size, holders: Vec::new(), queue: VecDeque::new() };
        Arc::new(Self { size, state: Mutex::new(state), waiting: AtomicUsize::new(0) })
    }

    /// Waits for a turn; `None` if there was none within `wait`. The caller must live as long as the turn.
    pub(crate) async fn take(self: &Arc<Self>, caller: Option<&Arc<Caller>>, wait: Duration) -> Option<Turn> {
        let holder = Caller::id(caller);
        let answer = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                state.holders.push(holder);
                return Some(Turn { turns: Arc::clone(self), holder });
            }
            state.queue.retain(|waiter| !waiter.granted.is_closed());
            let (granted, answer) = oneshot::channel();
            state.queue.push_back(Waiter { caller: holder, granted });
            answer
        };
        let _waiting = Waiting::new(&self.waiting);
        timeout(wait, answer).await.ok()?.ok()
    }

    /// Whether a request waits for a turn.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether a caller has more than half of the turns while another one waits.
    pub(crate) fn is_over_share(&self, caller: Option<&Arc<Caller>>) -> bool {
        let holder = Caller::id(caller);
        let state = self.lock();
        let held = state.holders.iter().filter(|other| **other == holder).count();
        held > (self.size / 2).max(1) && state.queue.iter().any(|waiter| waiter.is_there() && waiter.caller != holder)
    }

    fn release(self: &Arc<Self>, holder: usize) {
        let next = self.lock().pass_on(holder);
        if let Some(Waiter { caller, granted }) = next {
            // If its request is gone now, dropping the turn passes it on.
            let _ = granted.send(Turn { turns: Arc::clone(self), holder: caller });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    fn is_there(&self) -> bool {
        !self.granted.is_closed()
    }
}

impl State {
    /// Takes a turn back, and gives it to the first request of a caller without one, else to the first request.
    fn pass_on(&mut self, holder: usize) -> Option<Waiter> {
        let Self { free, holders, queue } = self;
        if let Some(at) = holders.iter().position(|other| *other == holder) {
            holders.swap_remove(at);
        }
        queue.retain(Waiter::is_there);
        let at = queue.iter().position(|waiter| !holders.contains(&waiter.caller)).unwrap_or(0);
        let next = queue.remove(at);
        match &next {
            Some(waiter) => holders.push(waiter.caller),
            None => *free += 1,
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.release(self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn wait_for(turns: &Arc<Turns>, caller: &Arc<Caller>) -> tokio::task::JoinHandle<Option<Turn>> {
        let (turns, caller) = (Arc::clone(turns), Arc::clone(caller));
        tokio::spawn(async move { turns.take(Some(&caller), WAIT).await })
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_without_a_turn_is_next() {
        let turns = Turns::new(2);
        let (one, other) = (Caller::named("one"), Caller::named("other"));
        let first = turns.take(Some(&one), WAIT).await.unwrap();
        let _second = turns.take(Some(&one), WAIT).await.expect("alone it has all turns");
        assert!(!turns.is_over_share(Some(&one)));
        let third = wait_for(&turns, &one);
        tokio::task::yield_now().await;
        assert!(turns.is_wanted() && !turns.is_over_share(Some(&one)), "its own request waits");
        let of_other = wait_for(&turns, &other);
        tokio::task::yield_now().await;
        assert!(turns.is_over_share(Some(&one)));
        drop(first);
        let of_other = of_other.await.unwrap().expect("before the third one");
        assert!(!turns.is_over_share(Some(&one)));
        drop(of_other);
        assert!(third.await.unwrap().is_some());
        assert!(!turns.is_wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_turns_is_a_share() {
        let turns = Turns::new(4);
        let (one, other, third) = (Caller::named("one"), Caller::named("other"), Caller::named("third"));
        let mut held = Vec::new();
        for caller in [&one, &one, &other, &other] {
            held.push(turns.take(Some(caller), WAIT).await.unwrap());
        }
        let waiting = wait_for(&turns, &third);
        tokio::task::yield_now().await;
        assert!(!turns.is_over_share(Some(&one)) && !turns.is_over_share(Some(&other)));
        drop(held);
        assert!(waiting.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_and_a_turn_of_a_request_that_is_gone_goes_to_the_next_one() {
        let turns = Turns::new(1);
        let (one, other) = (Caller::named("one"), Caller::named("other"));
        let held = turns.take(Some(&one), WAIT).await.unwrap();
        assert!(turns.take(Some(&one), WAIT).await.is_none());
        let gone = wait_for(&turns, &other);
        let next = wait_for(&turns, &other);
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.is_err());
        drop(held);
        drop(next.await.unwrap().unwrap());
        drop(turns.take(None, WAIT).await.unwrap());
        assert_eq!(turns.lock().free, 1);
        assert!(turns.lock().holders.is_empty());
    }
}
