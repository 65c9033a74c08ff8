//! The database: one interface over two drivers. No other module knows the drivers.

mod account;
pub(crate) mod clock;
pub mod dialect;
mod direct;
mod error;
mod lease;
mod observe;
mod postgres;
mod replica;
mod share;
mod sql;
mod sqlite;
mod statement;
mod tls;
mod transaction;
mod uri;
mod value;
mod written;

use std::{sync::Arc, time::Duration};

use ferroflow_telemetry::Origin;
use futures_util::FutureExt;
use tokio::runtime::Handle;

pub use account::{Account, ResultBudget};
pub(crate) use direct::{Access, Direct, NO_TIMEOUTS};
pub use error::DbError;
pub use observe::{CONNECTION_WAIT, refused_connections, waiting_for_connections};
pub use replica::ReplicaStatus;
pub(crate) use sql::{
    Anywhere, Child, Key, Listed, Page, ScopeKind, Scoping, Sql, has_workspace, in_workspace, joined, length, upkeep,
};
pub use sql::{Text, Upkeep};
pub use sqlite::Synchronous;
pub use statement::{Column, Guard, Insert, Kind, Plan, Statement, bool, date, int, json, real, text};
pub use transaction::Tx;
pub use uri::{BackendUri, PostgresUri, SslMode, UriError};
pub use value::{FromColumn, Row, Value};
pub use written::track_writes;
pub(crate) use written::{downgrade_if_written, mark_written};

use self::{
    lease::Lease,
    postgres::PostgresPool,
    replica::{Replica, Unit},
    share::Shares,
    sqlite::SqlitePool,
};
use crate::db::dialect::Dialect;

/// How long [`Db::check`] waits for an answer: less than the timeout of usual readiness probes.
const PING: Duration = Duration::from_secs(3);

/// Limits of a [`Db`].
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Maximum number of connections (PostgreSQL) or of reading connections (SQLite).
    pub pool_size: usize,
    /// How long a request waits for a connection before it gets 429.
    pub acquire_timeout: Duration,
    /// How long a statement may run before it is cancelled; `None` for maintenance, whose statements have no limit.
    /// Writes to SQLite, which has a single writer, are not cancelled.
    pub statement_timeout: Option<Duration>,
    /// `PRAGMA synchronous` of SQLite.
    pub synchronous: Synchronous,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            pool_size: 16,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: None,
            synchronous: Synchronous::Full,
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    backend: Backend,
    options: DbOptions,
    shares: Arc<Shares>,
    replica: Option<Arc<Replica>>,
}

#[derive(Clone)]
enum Backend {
    Postgres(Arc<PostgresPool>),
    Sqlite(Arc<SqlitePool>),
}

/// A step of a [`Db::unit`].
#[derive(Debug, Clone)]
pub enum Op {
    /// Returns rows.
    Query(Statement),
    /// Returns the number of changed rows.
    Execute(Statement),
    /// Returns the number of inserted rows.
    Insert(Insert),
}

/// The result of a step of a [`Db::unit`]: its rows, or one row with the number of changed rows.
pub type Answer = Vec<Vec<Value>>;

/// The integer in a one-row, one-column answer, such as the number of changed rows; 0 if there is none.
#[must_use]
pub fn count(answer: &Answer) -> i64 {
    match answer.first().and_then(|row| row.first()) {
        Some(Value::Int(count)) => *count,
        _ => 0,
    }
}

impl Db {
    /// Opens a database. Creates a missing SQLite file; connects to PostgreSQL lazily.
    pub fn open(uri: &BackendUri, options: DbOptions) -> Result<Self, DbError> {
        let backend = match uri {
            BackendUri::Postgres(uri) => {
                Backend::Postgres(Arc::new(PostgresPool::new(uri, options.pool_size, options.acquire_timeout)?))
            }
            BackendUri::Sqlite(path) => {
                Backend::Sqlite(Arc::new(SqlitePool::open(path, options.pool_size, options.synchronous)?))
            }
        };
        let connections = match &backend {
            Backend::Postgres(_) => options.pool_size,
            Backend::Sqlite(pool) => pool.readers(),
        };
        Ok(Self { backend, options, shares: Shares::of(connections), replica: None })
    }

    /// The SQL dialect of this database.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.backend {
            Backend::Postgres(_) => Dialect::Postgres,
            Backend::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// A connection for reading, to the replica within [`Db::replicated`]. Statements that are awaited together (`join!`) are pipelined. Dropping the connection
    /// cancels the statements that still run on it.
    ///
    /// # Errors
    /// No connection became free in time, or the caller's share is used up.
    pub async fn reader(&self) -> Result<Conn, DbError> {
        if self.replica.is_some()
            && let Some(unit) = replica::current()
        {
            // Boxed: a server without a replica does not carry its future.
            let lease = observe::acquire(Box::pin(unit.reader())).await?;
            return Ok(Conn { unit: Some(unit), ..Conn::new(Inner::Postgres(Box::new(lease))) });
        }
        let (wait, limit) = (self.options.acquire_timeout, self.options.statement_timeout);
        let acquired = observe::acquire(async {
            let share = self.shares.take(wait).await?;
            Ok(match &self.backend {
                Backend::Postgres(pool) => Inner::Postgres(Box::new(Lease::reader(pool, limit, share).await?)),
                Backend::Sqlite(pool) => Inner::SqliteReader(pool.reader(wait, limit, share).await?),
            })
        });
        Ok(Conn::new(acquired.await?))
    }

    /// Runs a statement and returns its rows.
    pub async fn query<T, F>(&self, statement: Statement, map: F) -> Result<Vec<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.reader().await?.query(statement, map).await
    }

    /// The query plan of a statement, one line per step.
    pub async fn explain(&self, statement: Statement) -> Result<Vec<String>, DbError> {
        let column = self.dialect().pick(0, 3);
        self.query(statement.explained(self.dialect()), move |row| row.get(column)).await
    }

    /// Runs several statements in one transaction and one round trip, and retries it on a conflict with a concurrent
    /// one.
    pub async fn unit(&self, ops: Vec<Op>) -> Result<Vec<Answer>, DbError> {
        let ops = Arc::new(ops);
        let outcome = self.retrying(|| self.unit_once(Arc::clone(&ops))).await;
        if !matches!(outcome, Err(DbError::NotBegun(_))) {
            mark_written();
        }
        outcome
    }

    async fn unit_once(&self, ops: Arc<Vec<Op>>) -> Result<Vec<Answer>, DbError> {
        match &self.backend {
            Backend::Postgres(pool) => {
                let client = observe::acquire(pool.get()).await?;
                // Spawned, so that it completes even if the caller drops this future: otherwise the connection would
                // return to the pool with an open transaction.
                let limit = self.options.statement_timeout;
                tokio::spawn(Origin::current().carry(async move { postgres::unit(&client, &ops, limit).await }))
                    .map(|joined| joined.unwrap_or_else(|error| Err(DbError::Other(error.to_string()))))
                    .await
            }
            Backend::Sqlite(pool) => {
                let writer = observe::acquire(pool.writer(self.options.acquire_timeout)).await?;
                writer.write(move |connection| sqlite::unit(connection, &ops)).await
            }
        }
    }

    /// Runs a script of several statements in one transaction, such as the schema.
    pub async fn batch(&self, sql: String) -> Result<(), DbError> {
        match &self.backend {
            // The statements of one simple-query message run in one implicit transaction.
            Backend::Postgres(pool) => Ok(pool.get().await?.batch_execute(&sql).await?),
            Backend::Sqlite(pool) => {
                let writer = pool.writer(self.options.acquire_timeout).await?;
                writer.write(move |connection| sqlite::batch(connection, &sql)).await
            }
        }
    }

    /// Runs a statement of its own that may not be in a transaction, such as `CREATE INDEX CONCURRENTLY`. It continues if
    /// the caller drops this future.
    pub(crate) async fn alone(&self, sql: String) -> Result<(), DbError> {
        match &self.backend {
            Backend::Postgres(pool) => {
                let client = pool.get().await?;
                // Spawned, so that the connection does not return to the pool while the statement runs.
                tokio::spawn(async move { postgres::alone(&client, &sql).await })
                    .map(|joined| joined.unwrap_or_else(|error| Err(DbError::Other(error.to_string()))))
                    .await
            }
            Backend::Sqlite(_) => self.batch(sql).await,
        }
    }

    /// Checks that the database can be read and written, as far as that is possible without writing.
    ///
    /// # Errors
    /// It does not answer, is a read-only standby, or its file is missing or on a full disk. Or no connection became
    /// free within [`PING`]: since one caller cannot take all connections and statements have a timeout, that happens
    /// only under overload.
    pub async fn check(&self) -> Result<(), DbError> {
        let Ok(outcome) = tokio::time::timeout(PING, self.check_now()).await else {
            let refusal = match &self.backend {
                Backend::Postgres(pool) => pool.refusal(),
                Backend::Sqlite(_) => None,
            };
            let reason = refusal.unwrap_or_else(|| "no connection that answers became free in time".into());
            return Err(DbError::Unavailable(reason));
        };
        outcome
    }

    async fn check_now(&self) -> Result<(), DbError> {
        match &self.backend {
            Backend::Postgres(_) => {
                let statement =
                    Statement::unscoped(Upkeep::Startup, "SELECT current_setting('transaction_read_only')", Vec::new());
                let read_only = self.query(statement, |row| row.get::<String>(0)).await?;
                if read_only.iter().any(|setting| setting == "on") {
                    return Err(DbError::Unavailable("the database is read-only, as a standby is".into()));
                }
                Ok(())
            }
            Backend::Sqlite(pool) => pool.check(self.options.acquire_timeout, self.options.statement_timeout).await,
        }
    }

    /// Closes the pool (PostgreSQL), or checkpoints the write-ahead log into the database file (SQLite).
    pub async fn close(&self) -> Result<(), DbError> {
        match &self.backend {
            Backend::Postgres(pool) => {
                pool.close();
                if let Some(replica) = &self.replica {
                    replica.close();
                }
            }
            Backend::Sqlite(pool) => {
                let writer = pool.writer(self.options.acquire_timeout).await?;
                writer.session.run(sqlite::checkpoint).await?;
            }
        }
        Ok(())
    }

    /// Connections in use, and the configured maximum.
    #[must_use]
    pub fn pool_status(&self) -> (usize, usize) {
        match &self.backend {
            Backend::Postgres(pool) => pool.status(),
            Backend::Sqlite(pool) => (pool.busy(), self.options.pool_size),
        }
    }
}

/// A row callback. Dynamic, because functions with a type parameter for it would be compiled once per caller.
type Visit<'a> = dyn FnMut(&Row<'_>) -> Result<(), DbError> + Send + 'a;

/// A row callback with the index of the statement that returned the row.
type VisitOf<'a> = dyn FnMut(usize, &Row<'_>) -> Result<(), DbError> + Send + 'a;

/// A connection.
pub struct Conn {
    inner: Inner,
    /// The account that rows are charged to.
    account: Option<Account>,
    /// The read that it belongs to, if it leads to a replica.
    unit: Option<Arc<Unit>>,
}

enum Inner {
    Postgres(Box<Lease>),
    SqliteReader(sqlite::Reader),
    SqliteWriter(sqlite::Writer),
}

impl Conn {
    fn new(inner: Inner) -> Self {
        Self { inner, account: Account::current(), unit: None }
    }

    /// The SQL dialect of the database.
    pub(crate) fn dialect(&self) -> Dialect {
        match &self.inner {
            Inner::Postgres(_) => Dialect::Postgres,
            Inner::SqliteReader(_) | Inner::SqliteWriter(_) => Dialect::Sqlite,
        }
    }

    /// The size of the rows that the request has read so far; 0 for work without an account.
    pub(crate) fn charged(&self) -> usize {
        self.account.as_ref().map_or(0, Account::charged)
    }

    /// Charges the request for what it keeps in memory in place of rows.
    ///
    /// # Errors
    /// [`DbError::TooLarge`]: the request has read more than [`memory::LARGEST_RESULT`].
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), DbError> {
        self.account.as_ref().map_or(Ok(()), |account| account.charge(bytes))
    }

    /// Takes back the charge for rows that are no longer in memory.
    pub(crate) fn refund(&self, bytes: usize) {
        if let Some(account) = &self.account {
            account.refund(bytes);
        }
    }

    /// Runs a statement and maps its rows as they arrive.
    pub async fn query<T, F>(&self, statement: Statement, mut map: F) -> Result<Vec<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.fold(statement, Vec::new(), move |out, row| {
            out.push(map(row)?);
            Ok(())
        })
        .await
    }

    /// Runs a statement and folds its rows into `state` as they arrive.
    pub async fn fold<S, F>(&self, statement: Statement, state: S, mut add: F) -> Result<S, DbError>
    where
        S: Send + 'static,
        F: FnMut(&mut S, &Row<'_>) -> Result<(), DbError> + Send + 'static,
    {
        self.fold_all(vec![statement], state, move |state, _, row| add(state, row)).await
    }

    /// [`Conn::fold`] for several statements that are sent together; `add` also gets the index of the row's statement.
    pub async fn fold_all<S, F>(&self, statements: Vec<Statement>, state: S, mut add: F) -> Result<S, DbError>
    where
        S: Send + 'static,
        F: FnMut(&mut S, usize, &Row<'_>) -> Result<(), DbError> + Send + 'static,
    {
        let is_counted = self.account.is_some();
        let add = move |state: &mut S, which: usize, row: &Row<'_>| {
            add(state, which, row)?;
            if is_counted { row.size() } else { Ok(0) }
        };
        self.fold_counted(statements, state, add).await
    }

    /// [`Conn::fold_all`] where `add` returns the size of what it keeps of a row, which is charged to the request's
    /// account.
    pub(crate) async fn fold_counted<S, F>(
        &self,
        statements: Vec<Statement>,
        mut state: S,
        mut add: F,
    ) -> Result<S, DbError>
    where
        S: Send + 'static,
        F: FnMut(&mut S, usize, &Row<'_>) -> Result<usize, DbError> + Send + 'static,
    {
        let account = self.account.clone();
        let mut visit = {
            let account = account.clone();
            move |state: &mut S, which: usize, row: &Row<'_>| {
                let size = add(state, which, row)?;
                match &account {
                    Some(account) if size > 0 => account.charge(size),
                    _ => Ok(()),
                }
            }
        };
        match &self.inner {
            Inner::Postgres(lease) => {
                let outcome = match statements.as_slice() {
                    [statement] => lease.each(statement, account.as_ref(), &mut |row| visit(&mut state, 0, row)).await,
                    several => {
                        lease.each_of(several, account.as_ref(), &mut |which, row| visit(&mut state, which, row)).await
                    }
                };
                outcome.map_err(|error| match &self.unit {
                    Some(unit) => unit.record(error),
                    None => error,
                })?;
            }
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                let account = account.map(|account| (account, Handle::current()));
                return session
                    .run(move |connection| {
                        for (which, statement) in statements.iter().enumerate() {
                            let visit = &mut |row: &Row<'_>| visit(&mut state, which, row);
                            sqlite::each(connection, statement, account.as_ref(), visit)?;
                        }
                        Ok(state)
                    })
                    .await;
            }
        }
        Ok(state)
    }

    /// Runs a statement and returns its first row, if any.
    pub async fn query_opt<T, F>(&self, statement: Statement, map: F) -> Result<Option<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    {
        Ok(self.query(statement, map).await?.into_iter().next())
    }

    async fn execute(&self, statement: Statement) -> Result<u64, DbError> {
        match &self.inner {
            Inner::Postgres(lease) => postgres::execute(lease.client()?, &statement).await,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                session.run(move |connection| sqlite::execute(connection, &statement)).await
            }
        }
    }

    async fn insert(&self, rows: Insert) -> Result<u64, DbError> {
        match &self.inner {
            Inner::Postgres(lease) => postgres::insert(lease.client()?, &rows).await,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                session.run(move |connection| sqlite::insert(connection, &rows)).await
            }
        }
    }
}
