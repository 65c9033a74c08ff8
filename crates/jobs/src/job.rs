//! What a job is.

use std::{
    future::{pending, ready},
    time::Duration,
};

use ferroflow_model::Result;
use tokio::sync::watch;

use crate::Backoff;

/// A kind of background work that repeats.
pub trait Job: Send + 'static {
    /// Its kind.
    const KIND: Kind;

    /// What this one works on, for log lines, if there are several of the kind, such as the name of a store.
    fn subject(&self) -> Option<&str> {
        None
    }

    /// When it runs.
    fn schedule(&self) -> Schedule;

    /// Does the work that is due, and says when to continue. Work that takes long ends early when `stop` is requested.
    ///
    /// # Errors
    /// The work failed; it is retried after the schedule's back-off.
    fn run(&mut self, stop: &Stop) -> impl Future<Output = Result<Next>> + Send;

    /// Completes when there may be work before the next run is due. It is dropped when that is due first.
    fn woken(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }

    /// Waits for work in flight that [`Job::run`] has started. Called once, after `stop` was requested.
    fn drain(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// A kind of job, in metrics and log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The label `job` of the metrics, and the name of the lease.
    pub name: &'static str,
    /// The log line when it begins to fail, or fails for another reason; the reason follows.
    pub failure: &'static str,
    /// The log line of the first success after that.
    pub recovery: &'static str,
}

/// When a job runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Time from the end of a run to the next one.
    pub interval: Duration,
    /// The largest random deviation from the interval, as a part of it, so that replicas run at different times.
    pub jitter: f64,
    /// Maximum of the random delay of the first run.
    pub first_within: Duration,
    /// The wait after failures, instead of the interval.
    pub backoff: Backoff,
    /// Whether only one replica of the database runs the job: the one with its lease.
    pub is_exclusive: bool,
}

impl Schedule {
    /// Runs at once, then in intervals; retries after failures in the same interval.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        let backoff = Backoff { first: interval, most: interval };
        Self { interval, jitter: 0.0, first_within: Duration::ZERO, backoff, is_exclusive: false }
    }

    pub(crate) fn first_pause(&self) -> Duration {
        self.first_within.mul_f64(rand::random_range(0.0..=1.0))
    }

    pub(crate) fn pause(&self) -> Duration {
        self.interval.mul_f64(1.0 + self.jitter * rand::random_range(-1.0..=1.0))
    }

    pub(crate) fn longest_pause(&self) -> Duration {
        self.interval.mul_f64(1.0 + self.jitter)
    }
}

/// When a job runs again after a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// After the interval.
    OnSchedule,
    /// After this time.
    After(Duration),
    /// When [`Job::woken`] completes, and not before.
    WhenWoken,
}

/// The signal that the server shuts down.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The signal is `true`, or that its sender was dropped.
    #[must_use]
    pub fn new(signal: watch::Receiver<bool>) -> Self {
        Self(signal)
    }

    /// Whether to begin nothing more.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Completes when the stop is requested.
    pub async fn requested(&self) {
        // A dropped sender means that the server is gone.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }
}
