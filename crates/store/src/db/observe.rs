//! Observes the statements of both drivers: each execution is counted, logged if it was slow, a span if its request is
//! traced, and an event of the log `ferroflow_store::statements`, by which tests compare what requests cost. This is the
//! one place for all of them, so that none of them sees more than the text as in the code.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ferroflow_telemetry::{ActiveSpan, Histogram, Kind, SECONDS, Statistics};

use super::{DbError, Insert, Statement, dialect::Dialect, replica};

/// How long requests waited for a database connection, in nanoseconds, since the start of the process.
pub static CONNECTION_WAIT: Histogram = Histogram::new(SECONDS);

/// Requests that wait for a connection.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Requests that got no connection in time: because of their caller's share, and in total.
static REFUSED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// A wait that gets no span.
const SHORT: Duration = Duration::from_micros(100);

/// Maximum length of a text in a span, in bytes.
const TEXT: usize = 4096;

static COMMIT: Statistics = Statistics::new("transaction::COMMIT");

/// Requests of this process that wait for a database connection.
#[must_use]
pub fn waiting_for_connections() -> usize {
    WAITING.load(Ordering::Relaxed)
}

/// Requests of this process that got no database connection in time, since its start: because the caller's other requests
/// kept the caller's share, and because all requests together kept all connections.
#[must_use]
pub fn refused_connections() -> [u64; 2] {
    REFUSED.each_ref().map(|count| count.load(Ordering::Relaxed))
}

/// Acquires a connection: measures the wait, and counts a refusal.
pub(super) async fn acquire<T>(work: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    let start = Instant::now();
    let waiting = Waiting::begin();
    let outcome = work.await;
    drop(waiting);
    let waited = start.elapsed();
    CONNECTION_WAIT.observe_duration(waited);
    match &outcome {
        Ok(_) if waited < SHORT => return outcome,
        Err(DbError::Busy(_)) => _ = REFUSED[0].fetch_add(1, Ordering::Relaxed),
        Err(DbError::NotBegun(_)) => _ = REFUSED[1].fetch_add(1, Ordering::Relaxed),
        _ => {}
    }
    let mut span = ActiveSpan::started_at("wait for a connection", Kind::Internal, start);
    if outcome.is_err() {
        span.fail();
    }
    outcome
}

/// A guard that counts a waiter until it is dropped, also on cancellation.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is executed.
enum What<'a> {
    Statement(&'a Statement),
    Insert(&'a Insert),
    Commit,
}

/// A statement that is being executed. Dropped without [`Observed::done`], it has failed or was cancelled.
#[must_use]
pub(super) struct Observed<'a> {
    what: What<'a>,
    dialect: Dialect,
    start: Instant,
    span: ActiveSpan,
    rows: u64,
    is_done: bool,
}

/// Begins to observe a statement. In a pipeline, its time includes that of the statements before it.
pub(super) fn statement(statement: &Statement, dialect: Dialect) -> Observed<'_> {
    Observed::begin(What::Statement(statement), dialect)
}

/// Begins to observe an insert.
pub(super) fn insert(insert: &Insert, dialect: Dialect) -> Observed<'_> {
    Observed::begin(What::Insert(insert), dialect)
}

/// Begins to observe a COMMIT.
pub(super) fn commit(dialect: Dialect) -> Observed<'static> {
    Observed::begin(What::Commit, dialect)
}

impl<'a> Observed<'a> {
    fn begin(what: What<'a>, dialect: Dialect) -> Self {
        if !matches!(what, What::Commit) {
            tracing::trace!(target: "ferroflow_store::statements", sql = &*what.text(dialect), "statement");
        }
        let mut span = ActiveSpan::start("", Kind::Client);
        if span.is_recorded() && replica::current().is_some() {
            span.set("ferroflow.database", "replica");
        }
        Self { what, dialect, start: Instant::now(), span, rows: 0, is_done: false }
    }

    /// Counts a row.
    pub(super) fn row(&mut self) {
        self.rows += 1;
    }

    /// It has completed, with all counted rows.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }

    /// It has completed and has changed this many rows.
    pub(super) fn done_with(mut self, rows: u64) {
        (self.rows, self.is_done) = (rows, true);
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        let elapsed = self.start.elapsed();
        let statistics = self.what.statistics();
        statistics.record(elapsed, self.rows, !self.is_done);
        statistics.log_if_slow(elapsed, self.rows, || self.what.text(self.dialect));
        if !self.span.is_recorded() {
            return;
        }
        let mut text = self.what.text(self.dialect);
        if text.len() > TEXT {
            let end = (0..=TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            text.to_mut().truncate(end);
        }
        self.span.rename(statistics.name);
        self.span.set("db.system.name", self.dialect.pick("postgresql", "sqlite"));
        self.span.set("db.query.summary", statistics.name);
        self.span.set("db.query.text", text);
        self.span.set("db.response.returned_rows", self.rows);
        if let What::Insert(insert) = &self.what {
            self.span.set("db.operation.batch.size", insert.rows.len());
        }
        if !self.is_done {
            self.span.fail();
        }
    }
}

impl What<'_> {
    fn statistics(&self) -> &'static Statistics {
        match self {
            Self::Statement(statement) => statement.statistics(),
            Self::Insert(insert) => of_name("insert", insert.table),
            Self::Commit => &COMMIT,
        }
    }

    /// The text, with placeholders for all values.
    fn text(&self, dialect: Dialect) -> Cow<'static, str> {
        match self {
            Self::Statement(statement) => statement.public_text(dialect),
            Self::Insert(insert) => match dialect {
                Dialect::Postgres => insert.postgres_sql().into(),
                Dialect::Sqlite => insert.sqlite_sql().into(),
            },
            Self::Commit => "COMMIT".into(),
        }
    }
}

/// The statistics by family and name of statements that have no static of their own.
static NAMED: RwLock<Option<HashMap<(&'static str, &'static str), &'static Statistics>>> = RwLock::new(None);

/// The statistics of statements whose text is dynamic. Both names are constants of the code: what is kept is bounded.
pub(super) fn of_name(family: &'static str, name: &'static str) -> &'static Statistics {
    let known = NAMED.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.as_ref().and_then(|known| known.get(&(family, name))) {
        return found;
    }
    drop(known);
    let mut known = NAMED.write().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().entry((family, name)).or_insert_with(|| {
        let name: &'static str = Box::leak(format!("{family}::{name}").into_boxed_str());
        Box::leak(Box::new(Statistics::new(name)))
    })
}
