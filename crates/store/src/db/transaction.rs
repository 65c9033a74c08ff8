//! Transactions. A transaction is committed if its work returns `Ok`, and rolled back otherwise. `begin` and `commit`
//! are private to this module, so a caller can neither forget the commit nor leave out the retries by accident.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferroflow_model::Result;
use tokio::sync::Notify;

use super::{
    Answer, Backend, Conn, Db, DbError, Inner, Insert, Op, Row, Statement, lease::Lease, mark_written, observe,
    postgres, sqlite,
};

/// How often a transaction is retried after a conflict with a concurrent one.
const RETRIES: u32 = 8;

/// How long PostgreSQL keeps a transaction that sends nothing. Its work has no effects outside the database and sends one
/// statement after the other: it stops only with its process, which is frozen or gets no processor, and other servers
/// would wait for its locks.
const IDLE: Duration = Duration::from_secs(5);

/// A transaction. [`Db::transaction`] commits it; rolled back if it is dropped before.
pub struct Tx(Arc<Open>);

struct Open {
    /// `None` only after `drop` has taken it.
    conn: Option<Conn>,
    before_commit: Mutex<Vec<(Op, Arc<Notify>)>>,
    /// Whether a statement failed with a conflict, or [`Tx::conflict`] was called.
    has_conflict: AtomicBool,
    is_committed: AtomicBool,
}

impl Db {
    /// Runs `work` in a transaction, which is committed if `work` returns `Ok`, and rolled back if `work` returns an
    /// error or is dropped. On a conflict with a concurrent transaction (`40001 serialization_failure`,
    /// `40P01 deadlock_detected`) or after [`Tx::conflict`], `work` is retried in a new transaction, at most 8 times,
    /// with exponential backoff and jitter. So `work` must not have effects outside the database.
    ///
    /// # Errors
    /// Errors of `work` and of the database. The transaction has no effect then, unless the connection was lost during
    /// the commit.
    pub async fn transaction<T, Fut>(&self, work: impl Fn(Tx) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        self.transact(work).await
    }

    /// [`Db::transaction`] without retries, for work with effects outside the database.
    ///
    /// # Errors
    /// Those of [`Db::transaction`], and conflicts with concurrent transactions.
    pub async fn transaction_once<T, Fut>(&self, work: impl FnOnce(Tx) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        let tx = self.begin(None).await?;
        let value = work(Tx(Arc::clone(&tx.0))).await?;
        tx.commit().await?;
        Ok(value)
    }

    /// [`Db::transaction`] with an error type of the caller's choice, such as [`DbError`].
    pub(crate) async fn transact<T, E, Fut>(&self, work: impl Fn(Tx) -> Fut) -> std::result::Result<T, E>
    where
        E: From<DbError>,
        Fut: Future<Output = std::result::Result<T, E>>,
    {
        let mut attempt = 0;
        loop {
            let tx = self.begin(Some(IDLE)).await?;
            let outcome = match work(Tx(Arc::clone(&tx.0))).await {
                Ok(value) => tx.commit().await.map(|()| value).map_err(E::from),
                Err(error) => Err(error),
            };
            if outcome.is_ok() || !tx.0.has_conflict.load(Ordering::Relaxed) || attempt >= RETRIES {
                return outcome;
            }
            drop(tx);
            attempt += 1;
            back_off(attempt).await;
        }
    }

    /// Retries `work`, which runs a transaction of its own, on a conflict with a concurrent one.
    pub(super) async fn retrying<T, Fut>(&self, work: impl Fn() -> Fut) -> std::result::Result<T, DbError>
    where
        Fut: Future<Output = std::result::Result<T, DbError>>,
    {
        let mut attempt = 0;
        loop {
            match work().await {
                Err(error) if error.is_conflict() && attempt < RETRIES => {
                    attempt += 1;
                    back_off(attempt).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Begins a transaction, which PostgreSQL ends if it sends nothing for `idle`.
    async fn begin(&self, idle: Option<Duration>) -> std::result::Result<Tx, DbError> {
        let inner = observe::acquire(async {
            Ok(match &self.backend {
                // Transactions that wait for row locks hold their connections, so these count towards the caller's
                // share.
                Backend::Postgres(pool) => {
                    let share = self.shares.take(self.options.acquire_timeout).await?;
                    Inner::Postgres(Box::new(Lease::writer(pool, share).await?))
                }
                Backend::Sqlite(pool) => Inner::SqliteWriter(pool.writer(self.options.acquire_timeout).await?),
            })
        });
        let inner = inner.await?;
        // `Tx` owns the connection before BEGIN is sent: if the caller drops this future meanwhile, the transaction is
        // rolled back, and the connection does not return to the pool with an open transaction.
        let tx = Tx(Arc::new(Open {
            conn: Some(Conn::new(inner)),
            before_commit: Mutex::default(),
            has_conflict: AtomicBool::new(false),
            is_committed: AtomicBool::new(false),
        }));
        match &tx.conn()?.inner {
            Inner::Postgres(lease) => {
                let limit = postgres::statement_timeout(self.options.statement_timeout);
                let idle = idle.map_or_else(String::new, |idle| {
                    format!("; SET LOCAL idle_in_transaction_session_timeout = {}", idle.as_millis())
                });
                let begin = format!("BEGIN; {limit}{}{idle}", postgres::BY_INDEX);
                let answer = lease.client()?.batch_execute(&begin).await;
                answer.map_err(|error| DbError::from(error).before_begin())?;
            }
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                let begun = session.run(|connection| Ok(connection.execute_batch("BEGIN IMMEDIATE")?)).await;
                begun.map_err(DbError::before_begin)?;
            }
        }
        Ok(tx)
    }
}

/// Waits before a retry, with exponential backoff and jitter: up to 2 ms before the first one, up to 256 ms before the
/// last.
async fn back_off(attempt: u32) {
    let ceiling = 1000_u64 << attempt;
    tracing::debug!(attempt, "retrying a transaction after a conflict with a concurrent one");
    tokio::time::sleep(Duration::from_micros(rand::random_range(0..=ceiling))).await;
}

impl Tx {
    /// The transaction's connection, for functions that only read.
    pub(crate) fn conn(&self) -> std::result::Result<&Conn, DbError> {
        let conn = self.0.conn.as_ref().filter(|_| !self.0.is_committed.load(Ordering::Relaxed));
        conn.ok_or_else(|| DbError::Other("the transaction has ended".into()))
    }

    /// Requests a retry because a concurrent transaction has invalidated this one. Returns the error with which the
    /// work has to end.
    pub(crate) fn conflict(&self, text: String) -> DbError {
        self.0.has_conflict.store(true, Ordering::Relaxed);
        DbError::Conflict(text)
    }

    /// Records whether a statement failed with a conflict.
    fn record_conflict<T>(&self, outcome: std::result::Result<T, DbError>) -> std::result::Result<T, DbError> {
        if outcome.as_ref().is_err_and(DbError::is_conflict) {
            self.0.has_conflict.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Runs a statement and returns its rows.
    pub async fn query<T, F>(&self, statement: Statement, map: F) -> std::result::Result<Vec<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> std::result::Result<T, DbError> + Send + 'static,
    {
        self.record_conflict(self.conn()?.query(statement, map).await)
    }

    /// Runs a statement and folds its rows into `state` as they arrive.
    pub(crate) async fn fold<S, F>(&self, statement: Statement, state: S, add: F) -> std::result::Result<S, DbError>
    where
        S: Send + 'static,
        F: FnMut(&mut S, &Row<'_>) -> std::result::Result<(), DbError> + Send + 'static,
    {
        self.record_conflict(self.conn()?.fold(statement, state, add).await)
    }

    /// Runs a statement and returns its first row, if any.
    pub async fn query_opt<T, F>(&self, statement: Statement, map: F) -> std::result::Result<Option<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> std::result::Result<T, DbError> + Send + 'static,
    {
        self.record_conflict(self.conn()?.query_opt(statement, map).await)
    }

    /// Runs a statement and returns the number of changed rows.
    pub async fn execute(&self, statement: Statement) -> std::result::Result<u64, DbError> {
        self.record_conflict(self.conn()?.execute(statement).await)
    }

    /// Inserts rows and returns the number of inserted ones.
    pub async fn insert(&self, rows: Insert) -> std::result::Result<u64, DbError> {
        self.record_conflict(self.conn()?.insert(rows).await)
    }

    /// Runs statements in this order and in one round trip. The order of statements that are awaited together instead
    /// is not defined.
    pub async fn run(&self, ops: Vec<Op>) -> std::result::Result<Vec<Answer>, DbError> {
        let outcome = match &self.conn()?.inner {
            Inner::Postgres(lease) => postgres::pipeline(lease.client()?, &ops).await,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                session.run(move |connection| sqlite::pipeline(connection, &ops)).await
            }
        };
        self.record_conflict(outcome)
    }

    /// Registers a statement that runs in the round trip of the commit, just before it. If it changes rows, `waiting`
    /// is notified after the commit.
    pub(crate) fn before_commit(&self, op: Op, waiting: &Arc<Notify>) {
        self.0.before_commit.lock().unwrap_or_else(PoisonError::into_inner).push((op, Arc::clone(waiting)));
    }

    async fn commit(&self) -> std::result::Result<(), DbError> {
        mark_written();
        let last = std::mem::take(&mut *self.0.before_commit.lock().unwrap_or_else(PoisonError::into_inner));
        let (ops, waiting): (Vec<Op>, Vec<Arc<Notify>>) = last.into_iter().unzip();
        let outcome = match &self.conn()?.inner {
            Inner::Postgres(lease) => postgres::commit(lease.client()?, &ops).await,
            Inner::SqliteWriter(writer) => writer.write(move |connection| sqlite::commit(connection, &ops)).await,
            Inner::SqliteReader(reader) => reader.session.run(move |connection| sqlite::commit(connection, &ops)).await,
        };
        let answers = self.record_conflict(outcome)?;
        self.0.is_committed.store(true, Ordering::Relaxed);
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            if answer != sqlite::changed(0) {
                waiting.notify_one();
            }
        }
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(Conn { inner, .. }) = self.conn.take() else { return };
        if *self.is_committed.get_mut() {
            return;
        }
        match inner {
            Inner::Postgres(lease) => lease.abandon(),
            // The job holds the writer's guard until the rollback is done.
            Inner::SqliteWriter(writer) => {
                let session = Arc::clone(&writer.session);
                session.send(move |connection| {
                    if !connection.is_autocommit() {
                        let _ = connection.execute_batch("ROLLBACK");
                    }
                    drop(writer);
                });
            }
            Inner::SqliteReader(_) => {}
        }
    }
}
