//! Transactions: one that returns `Ok` is committed, any other one is rolled back. There is no other way to begin or to
//! commit one, so none can be forgotten, and none is left without its retries.

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
    Answer, Backend, Conn, Db, DbError, Inner, Insert, Op, Row, Statement, lease::Lease, postgres, sqlite, wrote,
};

/// How often a transaction that lost against a concurrent one is run again.
const RETRIES: u32 = 8;

/// An open transaction, which [`Db::transaction`] ends. Rolled back when it is dropped before.
pub struct Tx(Arc<Open>);

struct Open {
    /// Taken when it is dropped.
    conn: Option<Conn>,
    last: Mutex<Vec<(Op, Arc<Notify>)>>,
    /// Whether a statement lost against a concurrent transaction.
    has_lost: AtomicBool,
    is_committed: AtomicBool,
}

impl Db {
    /// Runs `work` in a transaction that is committed when `work` returns `Ok`, and rolled back when it returns an error
    /// or is dropped. `work` is run again, in a new transaction, when the database ended this one in favour of a
    /// concurrent one (`40001 serialization_failure`, `40P01 deadlock_detected`) or when [`Tx::conflict`] was called; so it
    /// has no effects but those on the database.
    ///
    /// # Errors
    /// Those of `work`, and those of the database; the transaction has no effect then, unless the connection was lost
    /// during the commit.
    pub async fn transaction<T, Fut>(&self, work: impl Fn(Tx) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        self.transact(work).await
    }

    /// Runs `work` as [`Db::transaction`] does, but once: for work with effects outside the database.
    ///
    /// # Errors
    /// Those of [`Db::transaction`], and a conflict with a concurrent transaction.
    pub async fn transaction_once<T, Fut>(&self, work: impl FnOnce(Tx) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        let tx = self.begin().await?;
        let value = work(Tx(Arc::clone(&tx.0))).await?;
        tx.commit().await?;
        Ok(value)
    }

    /// [`Db::transaction`] with the errors of the database as they are.
    pub(crate) async fn transact<T, E, Fut>(&self, work: impl Fn(Tx) -> Fut) -> std::result::Result<T, E>
    where
        E: From<DbError>,
        Fut: Future<Output = std::result::Result<T, E>>,
    {
        let mut attempt = 0;
        loop {
            let tx = self.begin().await?;
            let outcome = match work(Tx(Arc::clone(&tx.0))).await {
                Ok(value) => tx.commit().await.map(|()| value).map_err(E::from),
                Err(error) => Err(error),
            };
            if outcome.is_ok() || !tx.0.has_lost.load(Ordering::Relaxed) || attempt >= RETRIES {
                return outcome;
            }
            drop(tx);
            attempt += 1;
            back_off(attempt).await;
        }
    }

    /// Runs `work`, which is a transaction of its own, again while it loses against concurrent ones.
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

    async fn begin(&self) -> std::result::Result<Tx, DbError> {
        let inner = match &self.backend {
            // Transactions may wait for each other's locks, each on a connection.
            Backend::Postgres(pool) => {
                let share = self.shares.take(self.options.acquire_timeout).await?;
                Inner::Postgres(Box::new(Lease::writer(pool, share).await?))
            }
            Backend::Sqlite(pool) => Inner::SqliteWriter(pool.writer(self.options.acquire_timeout).await?),
        };
        // The connection belongs to the transaction before BEGIN is sent: a caller that goes away
        // while it is on its way leaves a rollback behind it, never a connection with a transaction
        // that the next one would write into.
        let tx = Tx(Arc::new(Open {
            conn: Some(Conn(inner)),
            last: Mutex::default(),
            has_lost: AtomicBool::new(false),
            is_committed: AtomicBool::new(false),
        }));
        match &tx.conn()?.0 {
            Inner::Postgres(lease) => {
                let begin = format!("BEGIN; {}", postgres::statement_timeout(self.options.statement_timeout));
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

/// Waits a random time before the next attempt, up to 2 ms before the first and up to 256 ms before the last.
async fn back_off(attempt: u32) {
    let ceiling = 1000_u64 << attempt;
    tracing::debug!(attempt, "a transaction lost against a concurrent one and is run again");
    tokio::time::sleep(Duration::from_micros(rand::random_range(0..=ceiling))).await;
}

impl Tx {
    /// The connection, for what only reads.
    pub(crate) fn conn(&self) -> std::result::Result<&Conn, DbError> {
        let conn = self.0.conn.as_ref().filter(|_| !self.0.is_committed.load(Ordering::Relaxed));
        conn.ok_or_else(|| DbError::Other("the transaction has ended".into()))
    }

    /// Says that a concurrent transaction made this one's work invalid: it is run again. Returns the error to end it with.
    pub(crate) fn conflict(&self, text: String) -> DbError {
        self.0.has_lost.store(true, Ordering::Relaxed);
        DbError::Conflict(text)
    }

    fn noted<T>(&self, outcome: std::result::Result<T, DbError>) -> std::result::Result<T, DbError> {
        if outcome.as_ref().is_err_and(DbError::is_conflict) {
            self.0.has_lost.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// The rows of one statement.
    pub async fn query<T, F>(&self, statement: Statement, map: F) -> std::result::Result<Vec<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> std::result::Result<T, DbError> + Send + 'static,
    {
        self.noted(self.conn()?.query(statement, map).await)
    }

    /// The first row of one statement, if any.
    pub async fn query_opt<T, F>(&self, statement: Statement, map: F) -> std::result::Result<Option<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> std::result::Result<T, DbError> + Send + 'static,
    {
        self.noted(self.conn()?.query_opt(statement, map).await)
    }

    /// Runs a statement; the number of rows it changed.
    pub async fn execute(&self, statement: Statement) -> std::result::Result<u64, DbError> {
        self.noted(self.conn()?.execute(statement).await)
    }

    /// Inserts many rows; the number of rows that were new.
    pub async fn insert(&self, rows: Insert) -> std::result::Result<u64, DbError> {
        self.noted(self.conn()?.insert(rows).await)
    }

    /// Runs several statements in their order, in one round trip. Statements that are awaited together
    /// instead may be run in any order.
    pub async fn run(&self, ops: Vec<Op>) -> std::result::Result<Vec<Answer>, DbError> {
        let outcome = match &self.conn()?.0 {
            Inner::Postgres(lease) => postgres::pipeline(lease.client()?, &ops).await,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                session.run(move |connection| sqlite::pipeline(connection, &ops)).await
            }
        };
        self.noted(outcome)
    }

    /// Runs a statement at the end, in the round trip of the commit. If it changes something, `waiting` is
    /// woken when that is committed.
    pub(crate) fn at_last(&self, op: Op, waiting: &Arc<Notify>) {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).push((op, Arc::clone(waiting)));
    }

    async fn commit(&self) -> std::result::Result<(), DbError> {
        wrote();
        let last = std::mem::take(&mut *self.0.last.lock().unwrap_or_else(PoisonError::into_inner));
        let (ops, waiting): (Vec<Op>, Vec<Arc<Notify>>) = last.into_iter().unzip();
        let outcome = match &self.conn()?.0 {
            Inner::Postgres(lease) => postgres::commit(lease.client()?, &ops).await,
            Inner::SqliteWriter(writer) => writer.write(move |connection| sqlite::commit(connection, &ops)).await,
            Inner::SqliteReader(reader) => reader.session.run(move |connection| sqlite::commit(connection, &ops)).await,
        };
        let answers = self.noted(outcome)?;
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
        let Some(Conn(inner)) = self.conn.take() else { return };
        if *self.is_committed.get_mut() {
            return;
        }
        match inner {
            Inner::Postgres(lease) => lease.abandon(),
            // The job keeps the writer's guard until the rollback has run.
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
