//! The runner with jobs whose runs the tests script.

use std::sync::atomic::{AtomicUsize, Ordering};

use ferroflow_store::{StoreOptions, db::BackendUri};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::sync::{Notify, mpsc, watch};

use super::*;
use crate::{Backoff, Kind, Schedule};

const SECOND: Duration = Duration::from_secs(1);

/// The outcome of a run.
#[derive(Debug, Clone, Copy)]
enum Script {
    Succeed(Next),
    Fail,
    Panic,
    /// Ends once the stop is requested.
    UntilStop,
    Hang,
}

/// Runs a script, and repeats its last outcome.
struct Scripted {
    script: Vec<Script>,
    runs: Arc<AtomicUsize>,
    /// The time of each run.
    times: mpsc::UnboundedSender<Instant>,
    wake: Arc<Notify>,
    schedule: Schedule,
    drained: Arc<AtomicUsize>,
}

impl Job for Scripted {
    const KIND: Kind = Kind { name: "scripted", failure: "it fails", recovery: "it works again" };

    fn schedule(&self) -> Schedule {
        self.schedule
    }

    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        self.times.send(Instant::now()).unwrap();
        match self.script[run.min(self.script.len() - 1)] {
            Script::Succeed(next) => Ok(next),
            Script::Fail => Err(Error::internal("scripted")),
            Script::Panic => panic!("scripted"),
            Script::UntilStop => {
                stop.requested().await;
                Ok(Next::OnSchedule)
            }
            Script::Hang => std::future::pending().await,
        }
    }

    async fn woken(&mut self) {
        self.wake.notified().await;
    }

    async fn drain(&mut self) {
        self.drained.fetch_add(1, Ordering::Relaxed);
    }
}

/// A running job, from outside.
struct Outside {
    times: mpsc::UnboundedReceiver<Instant>,
    wake: Arc<Notify>,
    drained: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    metrics: JobMetrics,
    task: JoinHandle<()>,
}

fn schedule() -> Schedule {
    Schedule { backoff: Backoff { first: SECOND, most: 8 * SECOND }, ..Schedule::every(100 * SECOND) }
}

fn scripted(script: &[Script], schedule: Schedule) -> (Scripted, mpsc::UnboundedReceiver<Instant>) {
    let (sender, times) = mpsc::unbounded_channel();
    let (runs, wake, drained) = (Arc::default(), Arc::default(), Arc::default());
    (Scripted { script: script.to_vec(), runs, times: sender, wake, schedule, drained }, times)
}

fn start(script: &[Script]) -> Outside {
    let (job, times) = scripted(script, schedule());
    let (stop, stopped) = watch::channel(false);
    let metrics = JobMetrics::default();
    let (wake, drained) = (Arc::clone(&job.wake), Arc::clone(&job.drained));
    let running = Running { job, lease: None, metrics: metrics.clone(), stop: Stop::new(stopped), failure: None };
    Outside { times, wake, drained, stop, metrics, task: tokio::spawn(running.run()) }
}

impl Outside {
    /// Seconds from the start of the test to the next run.
    async fn next(&mut self, start: Instant) -> u64 {
        (self.times.recv().await.unwrap() - start).as_secs()
    }

    fn metric(&self, line: &str) -> bool {
        let mut registry = Registry::with_prefix("ferroflow");
        self.metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text.lines().any(|found| found.starts_with(line))
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_job_backs_off_up_to_a_bound_and_returns_to_its_interval() {
    let start_of_test = Instant::now();
    let mut script = vec![Script::Fail; 5];
    script.push(Script::Succeed(Next::OnSchedule));
    let mut outside = start(&script);
    let mut last = outside.next(start_of_test).await;
    assert_eq!(last, 0, "the first run is at once");
    // Each wait has up to a second of jitter.
    for wait in [1, 2, 4, 8, 8, 100] {
        let next = outside.next(start_of_test).await;
        assert!((wait..=wait + 1).contains(&(next - last)), "{wait}: from {last} to {next}");
        last = next;
    }
    assert!(outside.metric("ferroflow_job_errors_total{job=\"scripted\"} 5"));
    assert!(outside.metric("ferroflow_job_runs_total{job=\"scripted\"} 7"));
    assert!(outside.metric("ferroflow_job_run_seconds_total{job=\"scripted\"} 0"));
    assert!(outside.metric("ferroflow_job_last_success_timestamp_seconds{job=\"scripted\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_does_not_end_the_job() {
    let start_of_test = Instant::now();
    let mut outside = start(&[Script::Panic, Script::Succeed(Next::OnSchedule)]);
    assert_eq!(outside.next(start_of_test).await, 0);
    assert_eq!(outside.next(start_of_test).await, 1);
    assert_eq!(outside.next(start_of_test).await, 101);
    assert!(outside.metric("ferroflow_job_errors_total{job=\"scripted\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_when_it_is_woken_and_when_it_asks_to() {
    let start_of_test = Instant::now();
    let after = Script::Succeed(Next::After(3 * SECOND));
    let mut outside = start(&[Script::Succeed(Next::OnSchedule), after, Script::Succeed(Next::WhenWoken)]);
    assert_eq!(outside.next(start_of_test).await, 0);
    outside.wake.notify_one();
    assert_eq!(outside.next(start_of_test).await, 0, "woken long before its interval");
    assert_eq!(outside.next(start_of_test).await, 3);
    let unwoken = tokio::time::timeout(1000 * SECOND, outside.times.recv()).await;
    assert!(unwoken.is_err(), "it does not run by time");
    outside.wake.notify_one();
    assert_eq!(outside.next(start_of_test).await, 1003);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_run_in_progress_finish_and_begins_no_other() {
    let mut outside = start(&[Script::UntilStop]);
    outside.next(Instant::now()).await;
    outside.wake.notify_one();
    outside.stop.send(true).unwrap();
    drain(vec![("scripted", outside.task)], SECOND).await;
    assert!(outside.times.recv().await.is_none(), "one run");
    assert_eq!(outside.drained.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_does_not_finish_is_aborted_after_the_grace_period() {
    let start_of_test = Instant::now();
    let mut outside = start(&[Script::Hang]);
    outside.next(start_of_test).await;
    outside.stop.send(true).unwrap();
    drain(vec![("scripted", outside.task)], 15 * SECOND).await;
    assert_eq!(start_of_test.elapsed().as_secs(), 15);
    assert!(outside.times.recv().await.is_none(), "the task has ended");
}

#[tokio::test]
async fn one_replica_runs_an_exclusive_job_and_another_continues_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let uri = BackendUri::Sqlite(folder.path().join("test.db"));
    let store = Arc::new(Store::open(&uri, StoreOptions::default()).await.unwrap());
    let schedule = Schedule { is_exclusive: true, ..Schedule::every(Duration::from_millis(5)) };
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let (stop, stopped) = watch::channel(false);
        let mut runner = Runner::new(Arc::clone(&store), JobMetrics::default(), Stop::new(stopped));
        let (job, times) = scripted(&[Script::Succeed(Next::OnSchedule)], schedule);
        runner.start(job);
        replicas.push((runner, stop, times));
    }
    let (mut last, mut first) = (replicas.pop().unwrap(), replicas.pop().unwrap());
    tokio::select! {
        _ = first.2.recv() => {}
        _ = last.2.recv() => std::mem::swap(&mut first, &mut last),
    }
    for _ in 0..20 {
        first.2.recv().await.unwrap();
    }
    assert!(last.2.try_recv().is_err(), "both replicas run the job");
    first.1.send(true).unwrap();
    first.0.drain(30 * SECOND).await;
    tokio::time::timeout(30 * SECOND, last.2.recv()).await.expect("the other replica continues").unwrap();
}
