//! A connection outside the pool, for work that needs the database for a while: migrations.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    BackendUri, DbError, Row, Statement, Synchronous, Upkeep, Value,
    postgres::{self, PostgresPool},
    sqlite::{self, Role, Session},
};
use crate::db::dialect::Dialect;

/// Timeout for connecting.
const CONNECT: Duration = Duration::from_secs(30);

/// Migrations may run and wait for long: overrides the timeouts of the role's settings.
pub(crate) const NO_TIMEOUTS: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// The purpose of a [`Direct`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Changing the schema. Creates a missing SQLite file.
    Migrate,
    /// Reading only. A missing SQLite file is an error.
    Inspect,
}

/// A dedicated connection.
pub(crate) struct Direct(Inner);

enum Inner {
    Postgres(postgres::Client),
    Sqlite { session: Arc<Session>, path: Option<PathBuf> },
}

impl Direct {
    /// Connects to a database.
    pub(crate) async fn open(uri: &BackendUri, access: Access) -> Result<Self, DbError> {
        let inner = match uri {
            BackendUri::Postgres(uri) => {
                let client = PostgresPool::new(uri, 1, CONNECT)?.get().await?;
                if !client.is_pooled() {
                    client.batch_execute(&NO_TIMEOUTS.replace("LOCAL ", "")).await?;
                }
                Inner::Postgres(client)
            }
            BackendUri::Sqlite(path) => {
                let role = if access == Access::Migrate { Role::Migrator } else { Role::Inspector };
                let session = Session::open(path, "sqlite-direct", role, Synchronous::Full)?;
                Inner::Sqlite { session: Arc::new(session), path: Some(path.clone()) }
            }
        };
        Ok(Self(inner))
    }

    /// Opens a SQLite database in memory.
    pub(crate) fn in_memory() -> Result<Self, DbError> {
        let session = Session::open(Path::new(sqlite::IN_MEMORY), "sqlite-memory", Role::Migrator, Synchronous::Full)?;
        Ok(Self(Inner::Sqlite { session: Arc::new(session), path: None }))
    }

    /// Closes the connection and waits until the SQLite file is closed.
    pub(crate) async fn close(self) {
        if let Inner::Sqlite { session, .. } = self.0
            && let Some(session) = Arc::into_inner(session)
        {
            session.close().await;
        }
    }

    /// The SQL dialect of this database.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.0 {
            Inner::Postgres(_) => Dialect::Postgres,
            Inner::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// Whether a pooler may run the next transaction on another server connection, so that neither session locks nor
    /// session settings persist.
    pub(crate) fn is_pooled(&self) -> bool {
        matches!(&self.0, Inner::Postgres(client) if client.is_pooled())
    }

    /// The file of a SQLite database; `None` for one in memory and for PostgreSQL.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.0 {
            Inner::Sqlite { path, .. } => path.as_deref(),
            Inner::Postgres(_) => None,
        }
    }

    /// Runs any number of statements without parameters, in the open transaction if there is one.
    pub(crate) async fn batch(&self, sql: impl Into<String>) -> Result<(), DbError> {
        let sql = sql.into();
        match &self.0 {
            Inner::Postgres(client) => Ok(client.batch_execute(&sql).await?),
            Inner::Sqlite { session, .. } => session.run(move |connection| Ok(connection.execute_batch(&sql)?)).await,
        }
    }

    /// Runs a statement and returns its rows.
    pub(crate) async fn query<T, F>(&self, statement: Statement, mut map: F) -> Result<Vec<T>, DbError>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let mut rows = Vec::new();
        match &self.0 {
            Inner::Postgres(client) => {
                postgres::each(client, &statement, None, None, &mut |row| {
                    rows.push(map(row)?);
                    Ok(())
                })
                .await?;
                Ok(rows)
            }
            Inner::Sqlite { session, .. } => {
                session
                    .run(move |connection| {
                        sqlite::each(connection, &statement, None, &mut |row| {
                            rows.push(map(row)?);
                            Ok(())
                        })?;
                        Ok(rows)
                    })
                    .await
            }
        }
    }

    /// Returns the first column of every row, as text.
    pub(crate) async fn texts(&self, sql: impl Into<String>) -> Result<Vec<String>, DbError> {
        self.query(Statement::unscoped(Upkeep::Migration, Into::<String>::into(sql), Vec::new()), |row| row.get(0))
            .await
    }

    /// Returns the single number that a query selects.
    pub(crate) async fn number(&self, sql: impl Into<String>) -> Result<i64, DbError> {
        let numbers = self
            .query(Statement::unscoped(Upkeep::Migration, Into::<String>::into(sql), Vec::new()), |row| {
                row.get::<i64>(0)
            })
            .await?;
        numbers.first().copied().ok_or_else(|| DbError::Other("a count query returned no row".into()))
    }

    /// Runs a statement and returns the number of changed rows.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<u64, DbError> {
        match &self.0 {
            Inner::Postgres(client) => postgres::execute(client, &statement).await,
            Inner::Sqlite { session, .. } => {
                session.run(move |connection| sqlite::execute(connection, &statement)).await
            }
        }
    }

    /// Runs a statement once per row of parameters, pipelined.
    pub(crate) async fn execute_each(
        &self,
        statement: impl Fn(Vec<Value>) -> Statement,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), DbError> {
        let statements: Vec<Statement> = rows.into_iter().map(statement).collect();
        let Some(first) = statements.first() else { return Ok(()) };
        match &self.0 {
            Inner::Postgres(client) if !client.keeps_names() => {
                for statement in &statements {
                    postgres::execute(client, statement).await?;
                }
                Ok(())
            }
            Inner::Postgres(client) => {
                let prepared = client.prepare_cached(first.postgres()).await?;
                let sent = statements.iter().map(|statement| client.execute_raw(&prepared, &statement.params));
                futures_util::future::try_join_all(sent).await?;
                Ok(())
            }
            Inner::Sqlite { session, .. } => {
                session
                    .run(move |connection| {
                        for statement in &statements {
                            sqlite::execute(connection, statement)?;
                        }
                        Ok(())
                    })
                    .await
            }
        }
    }

    /// Copies the last committed state of a SQLite file with SQLite's backup API. `progress` gets the number of copied
    /// pages and of all pages.
    pub(crate) async fn back_up(
        from: &Path,
        to: &Path,
        progress: impl Fn(u64, u64) + Send + 'static,
    ) -> Result<(), DbError> {
        let source = Session::open(from, "sqlite-backup", Role::Inspector, Synchronous::Full)?;
        let to = to.to_owned();
        source.run(move |connection| sqlite::back_up(connection, &to, &progress)).await
    }
}
