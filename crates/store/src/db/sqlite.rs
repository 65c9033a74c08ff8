//! The SQLite driver: one writer thread and a few reader threads, each with its own connection.

mod file_identity;
mod functions;
mod log_keeper;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use ferroflow_telemetry::Origin;
use rusqlite::{Connection, OpenFlags};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, oneshot},
};

use self::{file_identity::FileIdentity, log_keeper::LogKeeper};
use super::{Account, DbError, Insert, Op, Row, Statement, Value, Visit, dialect::Dialect, observe, share::Share};

/// The path of an in-memory database.
pub(super) const IN_MEMORY: &str = ":memory:";

/// Capacity of a connection's prepared statement cache.
const STATEMENT_CACHE: usize = 256;

/// How long a statement waits for another process's lock on the file, as in the reference.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Page cache of the writer and of each reader, in KiB; allocated on demand and kept. `SQLite`'s default of 2 MiB is
/// less than one batch of a thousand metrics touches. A reader's misses are served by the operating system's cache.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
const READER_CACHE_KIB: i64 = 8 * 1024;

/// `journal_size_limit`: the size to which the write-ahead log's file is truncated after a long transaction, in bytes.
const LOG_BYTES: i64 = 64 * 1024 * 1024;

/// A migration retries on its own and reports that it waits.
const MIGRATOR_BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// Virtual machine instructions (a fraction of a millisecond) after which a reader checks whether it should stop.
const STEPS: i32 = 5_000;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A thread that owns a connection. Jobs run in FIFO order.
pub(super) struct Session {
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
    pub(super) fn open(path: &Path, name: &str, role: Role, synchronous: Synchronous) -> Result<Self, DbError> {
        Self::open_with(path, name, role, synchronous, Interrupt::Never)
    }

    fn open_with(
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
    pub(super) async fn close(self) {
        drop(self.jobs);
        // The sender is dropped when the connection is closed; nothing is ever sent.
        let _ = self.closed.await;
    }

    /// Whether a job of [`Session::run`] runs or is queued.
    fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    /// Runs a job on the connection's thread.
    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, DbError>
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
    pub(super) fn send(&self, job: impl FnOnce(&mut Connection) + Send + 'static) {
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

fn stopped() -> DbError {
    DbError::Unavailable("a SQLite thread has stopped".into())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
    /// Changes the schema. Foreign keys are not enforced, since a table is rebuilt by dropping it, and the journal mode
    /// is not changed.
    Migrator,
    /// Reads a file as it is and never creates one.
    Inspector,
}

impl Role {
    /// Whether a missing file is created.
    fn creates_file(self) -> bool {
        matches!(self, Self::Writer | Self::Migrator)
    }
}

/// `PRAGMA synchronous` of the writing connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Every commit is on disk before it is acknowledged.
    #[default]
    Full,
    /// A power failure may lose the last commits but cannot corrupt the file.
    Normal,
}

impl Synchronous {
    const fn level(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

fn connect(path: &Path, role: Role, synchronous: Synchronous) -> Result<Connection, DbError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if role.creates_file() {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
        create_private(path);
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.pragma_update(None, "foreign_keys", role != Role::Migrator)?;
    // LIKE is case-sensitive, as in PostgreSQL and in the reference.
    connection.pragma_update(None, "case_sensitive_like", true)?;
    functions::register(&connection)?;
    let cache = if role == Role::Reader { READER_CACHE_KIB } else { WRITER_CACHE_KIB };
    connection.pragma_update(None, "cache_size", -cache)?;
    match role {
        // SQLite falls back to read-only for a file without write permission.
        Role::Writer if connection.is_readonly("main")? => {
            return Err(DbError::Unavailable(format!("{} cannot be written to", path.display())));
        }
        Role::Writer => {
            // While the reference holds the file in its own journal mode, WAL is not available: a rollback journal is
            // slower and just as safe.
            let _mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            connection.pragma_update(None, "synchronous", synchronous.level())?;
            connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        }
        Role::Migrator => {
            connection.busy_timeout(MIGRATOR_BUSY_TIMEOUT)?;
        }
        Role::Reader | Role::Inspector => connection.pragma_update(None, "query_only", true)?,
    }
    Ok(connection)
}

/// Creates a missing file with access for its owner only: it will contain names, password hashes and whatever users
/// log. SQLite's auxiliary files get the same permissions. Errors are left to SQLite to report.
fn create_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    if path == Path::new(IN_MEMORY) {
        return;
    }
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// The connections to one file.
pub(super) struct SqlitePool {
    path: PathBuf,
    identity: Arc<FileIdentity>,
    synchronous: Synchronous,
    writer: Arc<Session>,
    /// Held while a transaction is open on the writer.
    writing: Arc<Mutex<()>>,
    idle: StdMutex<Vec<Arc<Session>>>,
    permits: Arc<Semaphore>,
    readers: usize,
}

impl SqlitePool {
    /// Opens the file, creating it if necessary. Readers are opened on demand, at most `most` and no more than the
    /// processors can keep busy: each has a cache of its own.
    pub(super) fn open(path: &Path, most: usize, synchronous: Synchronous) -> Result<Self, DbError> {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let readers = most.min((2 * processors).max(4));
        let writer = Session::open(path, "sqlite-writer", Role::Writer, synchronous)?;
        Ok(Self {
            path: path.to_owned(),
            identity: Arc::new(FileIdentity::of(path)),
            synchronous,
            writer: Arc::new(writer),
            writing: Arc::default(),
            idle: StdMutex::default(),
            permits: Arc::new(Semaphore::new(readers)),
            readers,
        })
    }

    /// Acquires the writing connection, exclusively.
    pub(super) async fn writer(&self, wait: Duration) -> Result<Writer, DbError> {
        let guard = tokio::time::timeout(wait, Arc::clone(&self.writing).lock_owned())
            .await
            .map_err(|_| DbError::NotBegun("the SQLite writer is busy".into()))?;
        Ok(Writer { session: Arc::clone(&self.writer), identity: Arc::clone(&self.identity), _guard: guard })
    }

    /// Checks that the file can be read, still exists, and has room to grow.
    pub(super) async fn check(self: &Arc<Self>, wait: Duration, limit: Option<Duration>) -> Result<(), DbError> {
        let (reader, identity) = (self.reader(wait, limit, None).await?, Arc::clone(&self.identity));
        let done = reader.session.run(move |connection| {
            connection.query_row("SELECT 1 FROM sqlite_master LIMIT 1", [], |_| Ok(())).or_else(
                |error| match error {
                    rusqlite::Error::QueryReturnedNoRows => Ok(()),
                    error => Err(error),
                },
            )?;
            identity.check()?;
            identity.check_free_space()
        });
        done.await
    }

    /// Maximum number of reading connections.
    pub(super) fn readers(&self) -> usize {
        self.readers
    }

    /// Number of reading connections in use.
    pub(super) fn busy(&self) -> usize {
        self.readers.saturating_sub(self.permits.available_permits())
    }

    /// Acquires a reading connection. Each job on it takes at most `limit`, which is the same for all readers.
    pub(super) async fn reader(
        self: &Arc<Self>,
        wait: Duration,
        limit: Option<Duration>,
        share: Option<Share>,
    ) -> Result<Reader, DbError> {
        let permit = tokio::time::timeout(wait, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| DbError::NotBegun("all SQLite readers are busy".into()))?
            .map_err(|_| stopped())?;
        let idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let session = if let Some(session) = idle {
            session
        } else {
            let stops = Interrupt::WithCaller(limit);
            Arc::new(Session::open_with(&self.path, "sqlite-reader", Role::Reader, self.synchronous, stops)?)
        };
        let right = Some((permit, share));
        Ok(Reader { session, pool: Arc::clone(self), right })
    }
}

/// The writing connection, held exclusively until dropped.
pub(super) struct Writer {
    pub(super) session: Arc<Session>,
    identity: Arc<FileIdentity>,
    _guard: OwnedMutexGuard<()>,
}

impl Writer {
    /// Runs a job that commits, then checks that the open file is still the one at its path.
    pub(super) async fn write<T, F>(&self, job: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, DbError> + Send + 'static,
    {
        let identity = Arc::clone(&self.identity);
        let done = self.session.run(move |connection| {
            let done = job(connection)?;
            identity.check()?;
            Ok(done)
        });
        done.await
    }
}

/// A reading connection, returned to the pool when dropped.
pub(super) struct Reader {
    pub(super) session: Arc<Session>,
    pool: Arc<SqlitePool>,
    right: Option<(OwnedSemaphorePermit, Option<Share>)>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (session, pool, right) = (Arc::clone(&self.session), Arc::clone(&self.pool), self.right.take());
        let give_back = move || {
            pool.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(session);
            drop(right);
        };
        // A running job has been signalled to stop; the connection is returned once it has.
        if self.session.is_busy() { self.session.send(move |_| give_back()) } else { give_back() }
    }
}

/// Runs a statement and passes every row to `visit`, which charges it to the account. This thread waits for the turn of
/// a large result, on the runtime beside the account.
pub(super) fn each(
    connection: &Connection,
    statement: &Statement,
    account: Option<&(Account, Handle)>,
    visit: &mut Visit<'_>,
) -> Result<(), DbError> {
    let sql = statement.sqlite();
    let params = rusqlite::params_from_iter(&statement.params);
    let mut observed = observe::statement(statement, Dialect::Sqlite);
    let all = |prepared: &mut rusqlite::Statement<'_>| {
        let mut rows = prepared.query(params)?;
        while let Some(row) = rows.next()? {
            observed.row();
            visit(&Row::Sqlite(row))?;
            if let Some((account, runtime)) = account.filter(|(account, _)| account.must_settle()) {
                runtime.block_on(account.settle())?;
            }
        }
        observed.done();
        Ok(())
    };
    if statement.is_static() {
        all(&mut *connection.prepare_cached(&sql)?)
    } else {
        all(&mut connection.prepare(&sql)?)
    }
}

/// Runs a statement and returns the number of changed rows.
pub(super) fn execute(connection: &Connection, statement: &Statement) -> Result<u64, DbError> {
    let observed = observe::statement(statement, Dialect::Sqlite);
    let mut prepared = connection.prepare_cached(&statement.sqlite())?;
    let changed = prepared.execute(rusqlite::params_from_iter(&statement.params))? as u64;
    observed.done_with(changed);
    Ok(changed)
}

/// Inserts rows and returns the number of inserted ones.
pub(super) fn insert(connection: &Connection, insert: &Insert) -> Result<u64, DbError> {
    if insert.rows.is_empty() {
        return Ok(0);
    }
    let observed = observe::insert(insert, Dialect::Sqlite);
    let inserted = insert_unobserved(connection, insert)?;
    observed.done_with(inserted);
    Ok(inserted)
}

fn insert_unobserved(connection: &Connection, insert: &Insert) -> Result<u64, DbError> {
    let mut prepared = connection.prepare_cached(&insert.sqlite_sql())?;
    let Some(guard) = &insert.only_if else {
        return insert_rows(&mut prepared, &insert.rows);
    };
    let mut holds = connection.prepare_cached(guard.sqlite())?;
    let place = insert.columns.iter().position(|column| column.name == guard.key);
    let place = place.ok_or_else(|| DbError::Other(format!("no column {} in an insert", guard.key)))?;
    let mut count = 0;
    for rows in insert.rows.chunk_by(|a, b| a.get(place) == b.get(place)) {
        let key = rows.first().and_then(|row| row.get(place));
        let is_met = match guard.workspace.parameter() {
            None => holds.exists([key])?,
            Some(workspace) => holds.exists(rusqlite::params![key, &**workspace])?,
        };
        if is_met {
            count += insert_rows(&mut prepared, rows)?;
        }
    }
    Ok(count)
}

fn insert_rows(prepared: &mut rusqlite::Statement<'_>, rows: &[Vec<Value>]) -> Result<u64, DbError> {
    let mut count = 0;
    for row in rows {
        count += prepared.execute(rusqlite::params_from_iter(row))? as u64;
    }
    Ok(count)
}

/// Runs all steps in one transaction.
pub(super) fn unit(connection: &mut Connection, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let transaction = transaction.map_err(|error| DbError::from(error).before_begin())?;
    let answers = pipeline(&transaction, ops)?;
    let observed = observe::commit(Dialect::Sqlite);
    transaction.commit()?;
    observed.done();
    Ok(answers)
}

/// Runs all steps in the open transaction.
pub(super) fn pipeline(connection: &Connection, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    let mut answers = Vec::with_capacity(ops.len());
    for op in ops {
        answers.push(match op {
            Op::Query(statement) => {
                let mut rows = Vec::new();
                each(connection, statement, None, &mut |row| {
                    rows.push(row_values(row)?);
                    Ok(())
                })?;
                rows
            }
            Op::Execute(statement) => changed(execute(connection, statement)?),
            Op::Insert(rows) => changed(insert(connection, rows)?),
        });
    }
    Ok(answers)
}

/// Runs the steps and commits the open transaction.
pub(super) fn commit(connection: &Connection, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    let answers = pipeline(connection, ops)?;
    let observed = observe::commit(Dialect::Sqlite);
    connection.execute_batch("COMMIT")?;
    observed.done();
    Ok(answers)
}

/// Runs a script in one transaction.
pub(super) fn batch(connection: &mut Connection, sql: &str) -> Result<(), DbError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    Ok(transaction.commit()?)
}

/// Checkpoints the write-ahead log into the database file.
pub(super) fn checkpoint(connection: &mut Connection) -> Result<(), DbError> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

/// The number of changed rows as a one-row, one-column answer.
pub(super) fn changed(count: u64) -> Vec<Vec<Value>> {
    vec![vec![Value::Int(i64::try_from(count).unwrap_or(i64::MAX))]]
}

fn row_values(row: &Row<'_>) -> Result<Vec<Value>, DbError> {
    let Row::Sqlite(inner) = row else { return Err(DbError::Other("a row of another driver".into())) };
    (0..inner.as_ref().column_count()).map(|index| row.get(index)).collect()
}

/// Pages copied between two reports of progress.
const BACKUP_PAGES: i32 = 4096;

/// Copies the database into a new file, which is complete and on disk when this returns.
pub(super) fn back_up(connection: &mut Connection, to: &Path, progress: &dyn Fn(u64, u64)) -> Result<(), DbError> {
    use rusqlite::backup::{Backup, StepResult};

    let mut copy = Connection::open(to)?;
    // A transaction makes the copy a snapshot. Without one, the backup restarts whenever another connection commits,
    // and never ends under load. Without a write-ahead log the transaction would block writers, so the copy proceeds
    // between commits.
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode == "wal" {
        connection.execute_batch("BEGIN; SELECT 1 FROM sqlite_master LIMIT 1")?;
    }
    let backup = Backup::new(connection, &mut copy)?;
    loop {
        match backup.step(BACKUP_PAGES)? {
            StepResult::Done => break,
            StepResult::More => {}
            // Another connection is writing: retry when it is done.
            _ => thread::sleep(Duration::from_millis(50)),
        }
        let at = backup.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or_default();
        progress(count(at.pagecount - at.remaining), count(at.pagecount));
    }
    drop(backup);
    if mode == "wal" {
        connection.execute_batch("COMMIT")?;
    }
    // The copy of a file in WAL mode is in WAL mode too, but must be a single file.
    Ok(copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?)
}
