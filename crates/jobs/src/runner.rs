//! Runs jobs: each in a task of its own, one run after the other.

mod lease;

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use ferroflow_model::{Error, Result};
use ferroflow_store::Store;
use futures_util::FutureExt as _;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use self::lease::Lease;
use crate::{Job, JobMetrics, Next, Stop};

/// The jobs of a server.
pub struct Runner {
    store: Arc<Store>,
    metrics: JobMetrics,
    stop: Stop,
    /// Identifies this process in leases.
    replica: Arc<str>,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Runner {
    /// Creates it without jobs. Leases are in the database of `store`.
    #[must_use]
    pub fn new(store: Arc<Store>, metrics: JobMetrics, stop: Stop) -> Self {
        let replica = uuid::Uuid::new_v4().to_string().into();
        Self { store, metrics, stop, replica, tasks: Vec::new() }
    }

    /// Runs a job from now on.
    pub fn start<J: Job>(&mut self, job: J) {
        let schedule = job.schedule();
        let lease = schedule.is_exclusive.then(|| Lease {
            store: Arc::clone(&self.store),
            job: J::KIND.name,
            replica: Arc::clone(&self.replica),
            until_next: schedule.longest_pause(),
        });
        let running = Running { job, lease, metrics: self.metrics.clone(), stop: self.stop.clone(), failure: None };
        self.tasks.push((J::KIND.name, tokio::spawn(running.run())));
    }

    /// Waits for the runs in progress, which must have been told to stop. A job that is not done after the grace
    /// period is aborted: what it did not finish is done again by another replica, or after the next start.
    pub async fn drain(self, grace: Duration) {
        drain(self.tasks, grace).await;
    }
}

async fn drain(tasks: Vec<(&'static str, JoinHandle<()>)>, grace: Duration) {
    let deadline = Instant::now() + grace;
    for (job, mut task) in tasks {
        match timeout_at(deadline, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(job, %error, "a background job failed"),
            Err(_) => {
                tracing::warn!(job, "a background job did not finish in time and was aborted");
                task.abort();
            }
        }
    }
}

/// A job with its state.
struct Running<J> {
    job: J,
    lease: Option<Lease>,
    metrics: JobMetrics,
    stop: Stop,
    /// The reason of the last failure, until a run succeeds.
    failure: Option<String>,
}

impl<J: Job> Running<J> {
    async fn run(mut self) {
        let schedule = self.job.schedule();
        let mut pause = Some(schedule.first_pause());
        let mut failures = 0;
        loop {
            let due = async {
                match pause {
                    Some(pause) => sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.requested() => break,
                () = due => {}
                () = self.job.woken() => {}
            }
            let next = self.run_once().await;
            failures = if next.is_some() { 0 } else { failures + 1 };
            pause = match next {
                Some(Next::OnSchedule) => Some(schedule.pause()),
                Some(Next::After(wait)) => Some(wait),
                Some(Next::WhenWoken) => None,
                None => Some(schedule.backoff.wait(failures)),
            };
        }
        self.job.drain().await;
        if let Some(lease) = self.lease {
            lease.release().await;
        }
    }

    /// Runs the job once, if this replica may, and records how that went. `None` after an error, which is logged.
    async fn run_once(&mut self) -> Option<Next> {
        let start = Instant::now();
        let outcome = match AssertUnwindSafe(self.leased()).catch_unwind().await {
            Ok(Ok(None)) => return Some(Next::OnSchedule),
            Ok(Ok(Some(next))) => Ok(next),
            Ok(Err(error)) => Err(error.message),
            Err(panic) => Err(format!("a panic: {}", text(&*panic))),
        };
        self.metrics.record_run(J::KIND.name, start.elapsed(), outcome.is_ok());
        match outcome {
            Ok(next) => {
                if self.failure.take().is_some() {
                    tracing::info!(job = J::KIND.name, subject = self.job.subject(), "{}", J::KIND.recovery);
                }
                Some(next)
            }
            Err(reason) => {
                // Logged once per reason, however long it lasts.
                if self.failure.as_ref() != Some(&reason) {
                    let (job, subject) = (J::KIND.name, self.job.subject());
                    tracing::warn!(job, subject, "{}: {reason}", J::KIND.failure);
                }
                self.failure = Some(reason);
                None
            }
        }
    }

    /// Runs the job, under its lease if it has one. `None` if another replica has that.
    async fn leased(&mut self) -> Result<Option<Next>> {
        let Some(lease) = &self.lease else { return self.job.run(&self.stop).await.map(Some) };
        if !lease.take().await? {
            return Ok(None);
        }
        let outcome = tokio::select! {
            outcome = self.job.run(&self.stop) => outcome,
            () = lease.keep() => Err(Error::internal("the lease was lost")),
        };
        lease.hold_until_next().await?;
        outcome.map(Some)
    }
}

/// The message of a panic.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests;
