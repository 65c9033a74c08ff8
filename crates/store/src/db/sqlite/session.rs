//! A thread that owns a connection, and the jobs that it runs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use ferroflow_telemetry::Origin;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    connect::{Role, Synchronous, connect},
    file_identity,
    log_keeper::LogKeeper,
};
use crate::db::DbError;

/// Virtual machine instructions (a fraction of a millisecond) after which a reader checks whether it should stop.
const STEPS: i32 = 5_000;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A thread that owns a connection. Jobs run in FIFO order.
pub(in crate::db) struct Session {
    jobs: mpsc::Sender<Job>,
    /// Jobs of [`Session::run`] that have not completed.
    pending: Arc<AtomicUsize>,
    stops: Interrupt,
    /// Completes when the connection is closed.
    closed: oneshot::Receiver<()>,
}

/// What interrupts a job.
#[derive(Clone, Copy)]
pub(super) enum Interrupt {
    /// Nothing: it writes, or is maintenance.
    Never,
    /// Its caller is gone, or it has run for longer than this.
    WithCaller(Option<Duration>),
}

/// Signals to a job, when dropped, that its caller is gone.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Session {
    pub(in crate::db) fn open(path: &Path, name: &str, role: Role, synchronous: Synchronous) -> Result<Self, DbError> {
        Self::open_with(path, name, role, synchronous, Interrupt::Never)
    }

    pub(super) fn open_with(
        path: &Path,
        name: &str,
        role: Role,
        synchronous: Synchronous,
        stops: Interrupt,
    ) -> Result<Self, DbError> {
        if role.creates_file() {
            file_identity::create_folder(path)?;
        }
        let mut connection = connect(path, role, synchronous).map_err(|error| file_identity::explain(path, error))?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let (closing, closed) = oneshot::channel::<()>();
        let log = (role == Role::Writer).then(|| path.to_owned());
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut keeper = log.map(|path| LogKeeper::of(&connection, &path, synchronous));
                while let Ok(job) = queue.recv() {
                    job(&mut connection);
                    if let Some(keeper) = &mut keeper {
                        keeper.after_job(&connection);
                    }
                }
                drop(keeper);
                drop(connection);
                drop(closing);
            })
            .map_err(|error| DbError::Unavailable(format!("no thread for SQLite: {error}")))?;
        Ok(Self { jobs, pending: Arc::default(), stops, closed })
    }

    /// Closes the connection and waits until that is done. A dropped session closes some time later.
    pub(in crate::db) async fn close(self) {
        drop(self.jobs);
        // The sender is dropped when the connection is closed; nothing is ever sent.
        let _ = self.closed.await;
    }

    /// Whether a job of [`Session::run`] runs or is queued.
    pub(super) fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    /// Runs a job on the connection's thread.
    pub(in crate::db) async fn run<T, F>(&self, job: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, DbError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.pending.fetch_add(1, Ordering::AcqRel);
        let caller = CancelOnDrop(Arc::default());
        let run = JobRun { stops: self.stops, cancelled: Arc::clone(&caller.0), pending: Arc::clone(&self.pending) };
        let origin = Origin::current();
        let job: Job = Box::new(move |connection| {
            let outcome = run.begin(connection).and_then(|()| origin.enter(|| job(connection)));
            run.end(connection);
            // The caller may be gone; the result is discarded then.
            let _ = reply.send(outcome);
        });
        self.jobs.send(job).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Sends a job without waiting for it.
    pub(in crate::db) fn send(&self, job: impl FnOnce(&mut Connection) + Send + 'static) {
        // A thread that has ended has no open transaction.
        let _ = self.jobs.send(Box::new(job));
    }
}

/// The execution of one job on the connection. Not generic: there are hundreds of job types to compile.
struct JobRun {
    stops: Interrupt,
    cancelled: Arc<AtomicBool>,
    pending: Arc<AtomicUsize>,
}

impl JobRun {
    /// A reader's job is interrupted when its caller is gone or its limit is exceeded.
    fn begin(&self, connection: &mut Connection) -> Result<(), DbError> {
        let Interrupt::WithCaller(limit) = self.stops else { return Ok(()) };
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(DbError::Timeout("the caller is gone".into()));
        }
        let cancelled = Arc::clone(&self.cancelled);
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let is_over = move || cancelled.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
        connection.progress_handler(STEPS, Some(is_over));
        Ok(())
    }

    fn end(self, connection: &mut Connection) {
        if matches!(self.stops, Interrupt::WithCaller(_)) {
            connection.progress_handler(0, None::<fn() -> bool>);
        }
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(super) fn stopped() -> DbError {
    DbError::Unavailable("a SQLite thread has stopped".into())
}
