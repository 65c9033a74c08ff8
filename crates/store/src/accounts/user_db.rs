//! Access to the users database that counts changes of users, roles and grants.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ferroflow_model::Result;

use crate::db::{Answer, Conn, Db, DbError, Op, Row, Statement, Tx};

/// The users database. Every transaction through it counts as a change, so that no write can forget to invalidate what
/// is cached of users.
#[derive(Clone)]
pub(crate) struct UserDb {
    db: Db,
    changes: Arc<AtomicU64>,
}

impl UserDb {
    pub(crate) fn new(db: Db) -> Self {
        Self { db, changes: Arc::default() }
    }

    /// Number of changes by this process so far. It grows after a change is committed, and after one that failed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The database without the count: for reads, and for the state of logins, which no cache holds.
    pub(crate) fn uncounted(&self) -> &Db {
        &self.db
    }

    /// [`Db::reader`].
    pub(crate) async fn reader(&self) -> Result<Conn, DbError> {
        self.db.reader().await
    }

    /// [`Db::query`].
    pub(crate) async fn query<T, F>(&self, statement: Statement, map: F) -> Result<Vec<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.db.query(statement, map).await
    }

    /// [`Db::transaction`], counted.
    pub(crate) async fn transaction<T, Fut>(&self, work: impl Fn(Tx) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        let _counted = Counted(&self.changes);
        self.db.transaction(work).await
    }

    /// [`Db::unit`], counted.
    pub(crate) async fn unit(&self, ops: Vec<Op>) -> Result<Vec<Answer>, DbError> {
        let _counted = Counted(&self.changes);
        self.db.unit(ops).await
    }
}

/// Counts a change when it is dropped: also when the request that makes it is cancelled.
struct Counted<'a>(&'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
