//! One database with two drivers. The only place that knows them.

mod direct;
mod error;
mod lease;
mod postgres;
mod progress;
mod share;
mod sqlite;
mod statement;
mod tls;
mod transaction;
mod uri;
mod value;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;

pub(crate) use direct::{Access, Direct, PATIENT};
pub use error::DbError;
pub use progress::watch_writes;
pub(crate) use progress::{honest, wrote};
pub use share::as_caller;
pub use sqlite::Synchronous;
pub use statement::{Column, Guard, Insert, Kind, Plan, Statement, bool, int, real, text};
pub use transaction::Tx;
pub use uri::{BackendUri, PostgresUri, SslMode, UriError};
pub use value::{FromColumn, Row, Value};

use self::{lease::Lease, postgres::PostgresPool, share::Shares, sqlite::SqlitePool};
use crate::dialect::Dialect;

/// How long the database may take to answer when it is asked whether it does: less than probes of platforms wait.
const PING: Duration = Duration::from_secs(3);

/// Limits of a [`Db`].
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Connections (PostgreSQL) or reading connections (SQLite) at the most.
    pub pool_size: usize,
    /// How long a request waits for a connection before it is answered with 429.
    pub acquire_timeout: Duration,
    /// How long a statement may run before it is stopped; `None` for upkeep, whose statements take as long as they
    /// take. Writes to SQLite, of which there is one at a time, are not stopped.
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

/// The database: cheap to clone, shared by everything.
#[derive(Clone)]
pub struct Db {
    backend: Backend,
    options: DbOptions,
    shares: Arc<Shares>,
}

#[derive(Clone)]
enum Backend {
    Postgres(Arc<PostgresPool>),
    Sqlite(Arc<SqlitePool>),
}

/// A step of a [`Db::unit`].
#[derive(Debug, Clone)]
pub enum Op {
    /// Rows come back.
    Query(Statement),
    /// The number of changed rows comes back.
    Execute(Statement),
    /// The number of new rows comes back.
    Insert(Insert),
}

/// What a step of a [`Db::unit`] answered: its rows, or one row with the number of changed rows.
pub type Answer = Vec<Vec<Value>>;

/// The number in an answer of one row and one column, such as that of changed rows. Nothing is 0.
#[must_use]
pub fn count(answer: &Answer) -> i64 {
    match answer.first().and_then(|row| row.first()) {
        Some(Value::Int(count)) => *count,
        _ => 0,
    }
}

impl Db {
    /// Opens a database. A SQLite file is created; a PostgreSQL server is asked for nothing yet.
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
        Ok(Self { backend, options, shares: Shares::of(connections) })
    }

    /// Which SQL this database speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.backend {
            Backend::Postgres(_) => Dialect::Postgres,
            Backend::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// A connection to read from. Statements sent together (`join!`) travel together.
    /// What still runs on it when it is dropped is stopped.
    ///
    /// # Errors
    /// None became free in time, or the caller has its share of them.
    pub async fn reader(&self) -> Result<Conn, DbError> {
        let (wait, limit) = (self.options.acquire_timeout, self.options.statement_timeout);
        let share = self.shares.take(wait).await?;
        Ok(Conn(match &self.backend {
            Backend::Postgres(pool) => Inner::Postgres(Box::new(Lease::reader(pool, limit, share).await?)),
            Backend::Sqlite(pool) => Inner::SqliteReader(pool.reader(wait, limit, share).await?),
        }))
    }

    /// The rows of one statement.
    pub async fn query<T, F>(&self, statement: Statement, map: F) -> Result<Vec<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.reader().await?.query(statement, map).await
    }

    /// How the database would run a statement, a line for each step.
    pub async fn explain(&self, statement: Statement) -> Result<Vec<String>, DbError> {
        let column = self.dialect().pick(0, 3);
        self.query(statement.explained(self.dialect()), move |row| row.get(column)).await
    }

    /// Runs several statements in one transaction, in one round trip, and again when it lost
    /// against a concurrent transaction.
    pub async fn unit(&self, ops: Vec<Op>) -> Result<Vec<Answer>, DbError> {
        let ops = Arc::new(ops);
        let outcome = self.retrying(|| self.unit_once(Arc::clone(&ops))).await;
        if !matches!(outcome, Err(DbError::NotBegun(_))) {
            wrote();
        }
        outcome
    }

    async fn unit_once(&self, ops: Arc<Vec<Op>>) -> Result<Vec<Answer>, DbError> {
        match &self.backend {
            Backend::Postgres(pool) => {
                let client = pool.get().await?;
                // Run to the end even if the caller goes away: a transaction cut in the middle
                // would go back to the pool half-done.
                let limit = self.options.statement_timeout;
                tokio::spawn(async move { postgres::unit(&client, &ops, limit).await })
                    .map(|joined| joined.unwrap_or_else(|error| Err(DbError::Other(error.to_string()))))
                    .await
            }
            Backend::Sqlite(pool) => {
                let writer = pool.writer(self.options.acquire_timeout).await?;
                writer.write(move |connection| sqlite::unit(connection, &ops)).await
            }
        }
    }

    /// Runs SQL of several statements in one transaction, as when the schema is created.
    pub async fn batch(&self, sql: String) -> Result<(), DbError> {
        match &self.backend {
            // What is sent in one message is one transaction.
            Backend::Postgres(pool) => Ok(pool.get().await?.batch_execute(&sql).await?),
            Backend::Sqlite(pool) => {
                let writer = pool.writer(self.options.acquire_timeout).await?;
                writer.write(move |connection| sqlite::batch(connection, &sql)).await
            }
        }
    }

    /// Whether the database can be read and written to, as far as can be told without writing.
    ///
    /// # Errors
    /// It does not answer, is a read-only standby, or its file is gone or on a full disk. Or all connections are taken
    /// for as long as [`PING`]: one caller can not take them all, and what runs on them ends at the limit for
    /// statements, so this lasts only while many ask for more than there is.
    pub async fn check(&self) -> Result<(), DbError> {
        match tokio::time::timeout(PING, self.check_now()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DbError::Unavailable("no connection that answers became free in time".into())),
        }
    }

    async fn check_now(&self) -> Result<(), DbError> {
        match &self.backend {
            Backend::Postgres(_) => {
                let statement = Statement::new("SELECT current_setting('transaction_read_only')", Vec::new());
                let read_only = self.query(statement, |row| row.get::<String>(0)).await?;
                if read_only.iter().any(|setting| setting == "on") {
                    return Err(DbError::Unavailable("the database is read-only, as a standby is".into()));
                }
                Ok(())
            }
            Backend::Sqlite(pool) => pool.check(self.options.acquire_timeout, self.options.statement_timeout).await,
        }
    }

    /// Leaves the database as one finds it in order: everything of a SQLite file is in that file,
    /// nothing in the log beside it.
    pub async fn close(&self) -> Result<(), DbError> {
        match &self.backend {
            Backend::Postgres(pool) => pool.close(),
            Backend::Sqlite(pool) => {
                let writer = pool.writer(self.options.acquire_timeout).await?;
                writer.session.run(sqlite::checkpoint).await?;
            }
        }
        Ok(())
    }

    /// Connections in use and at the most.
    #[must_use]
    pub fn pool_status(&self) -> (usize, usize) {
        match &self.backend {
            Backend::Postgres(pool) => pool.status(),
            Backend::Sqlite(pool) => (pool.busy(), self.options.pool_size),
        }
    }
}

/// Takes a row. Not a parameter of the functions that hand rows over: these would be compiled for each of the statements.
type Visit<'a> = dyn FnMut(&Row<'_>) -> Result<(), DbError> + Send + 'a;

/// The same, with the number of the statement that the row is from.
type VisitOf<'a> = dyn FnMut(usize, &Row<'_>) -> Result<(), DbError> + Send + 'a;

/// A connection.
pub struct Conn(Inner);

enum Inner {
    Postgres(Box<Lease>),
    SqliteReader(sqlite::Reader),
    SqliteWriter(sqlite::Writer),
}

impl Conn {
    /// Which SQL the database speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        match &self.0 {
            Inner::Postgres(_) => Dialect::Postgres,
            Inner::SqliteReader(_) | Inner::SqliteWriter(_) => Dialect::Sqlite,
        }
    }

    /// The rows of one statement, mapped as they arrive.
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

    /// What becomes of `state` when every row of one statement has been added to it, as they arrive.
    pub async fn fold<S, F>(&self, statement: Statement, mut state: S, mut add: F) -> Result<S, DbError>
    where
        S: Send + 'static,
        F: FnMut(&mut S, &Row<'_>) -> Result<(), DbError> + Send + 'static,
    {
        match &self.0 {
            Inner::Postgres(lease) => lease.each(&statement, &mut |row| add(&mut state, row)).await?,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                return session
                    .run(move |connection| {
                        sqlite::each(connection, &statement, &mut |row| add(&mut state, row))?;
                        Ok(state)
                    })
                    .await;
            }
        }
        Ok(state)
    }

    /// The same for several statements that are sent together: `add` is told which of them a row is from.
    pub async fn fold_all<S, F>(&self, statements: Vec<Statement>, mut state: S, mut add: F) -> Result<S, DbError>
    where
        S: Send + 'static,
        F: FnMut(&mut S, usize, &Row<'_>) -> Result<(), DbError> + Send + 'static,
    {
        match &self.0 {
            Inner::Postgres(lease) => lease.each_of(&statements, &mut |which, row| add(&mut state, which, row)).await?,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                return session
                    .run(move |connection| {
                        for (which, statement) in statements.iter().enumerate() {
                            sqlite::each(connection, statement, &mut |row| add(&mut state, which, row))?;
                        }
                        Ok(state)
                    })
                    .await;
            }
        }
        Ok(state)
    }

    /// The first row of one statement, if any.
    pub async fn query_opt<T, F>(&self, statement: Statement, map: F) -> Result<Option<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    {
        Ok(self.query(statement, map).await?.into_iter().next())
    }

    async fn execute(&self, statement: Statement) -> Result<u64, DbError> {
        match &self.0 {
            Inner::Postgres(lease) => postgres::execute(lease.client()?, &statement).await,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                session.run(move |connection| sqlite::execute(connection, &statement)).await
            }
        }
    }

    async fn insert(&self, rows: Insert) -> Result<u64, DbError> {
        match &self.0 {
            Inner::Postgres(lease) => postgres::insert(lease.client()?, &rows).await,
            Inner::SqliteReader(sqlite::Reader { session, .. })
            | Inner::SqliteWriter(sqlite::Writer { session, .. }) => {
                session.run(move |connection| sqlite::insert(connection, &rows)).await
            }
        }
    }
}
