//! The connection pool of a process: bounded, shrinks while the server has no connections left, detects poolers.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Config, SimpleQueryMessage, error::SqlState};

use super::{
    connect::{Connector, Fault},
    identity::identity,
    pooler::{self, Pooler},
};
use crate::db::{DbError, PostgresUri};

/// How long the pool stays shrunk after the server rejected a connection.
const SHRUNK: Duration = Duration::from_secs(5);

/// Interval between attempts to get a connection when the pool cannot shrink further.
const RETRY: Duration = Duration::from_millis(100);

/// Why a connection to a database with another [`identity`] is closed.
const ANOTHER: &str =
    "it is another database, and not a streaming replica of the backend store with the same database and schema";

/// The connection pool of a process.
pub(crate) struct PostgresPool {
    pool: Pool,
    size: usize,
    wait: Duration,
    /// One permit per connection that may be in use. Those of rejected connections are removed for a while.
    permits: Arc<Semaphore>,
    shrunk: Mutex<Shrunk>,
    found: Arc<Found>,
    connector: Connector,
    fault: Fault,
}

/// What connections have found out about the database.
#[derive(Default)]
struct Found {
    /// Whether any connection was opened.
    has_answered: AtomicBool,
    /// The most restrictive [`Pooler`] detected so far.
    pooler: AtomicU8,
    /// Why the last connection could not be opened.
    refusal: Mutex<Option<String>>,
}

/// The permits removed because the server rejected connections.
#[derive(Default)]
struct Shrunk {
    permits: usize,
    at: Option<Instant>,
}

/// A connection in use.
pub(crate) struct Client {
    object: Box<Object>,
    pooler: Pooler,
    // Dropped after the connection.
    permit: OwnedSemaphorePermit,
}

impl Deref for Client {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

impl Client {
    /// Whether the next transaction may run on another server connection: session settings and session locks do not
    /// persist then.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pooler != Pooler::None
    }

    /// Whether a named prepared statement still exists in the next transaction.
    pub(crate) fn keeps_names(&self) -> bool {
        self.pooler != Pooler::WithoutNames
    }

    /// Closes the connection.
    pub(crate) fn close(self) {
        drop(Object::take(*self.object));
        drop(self.permit);
    }
}

impl PostgresPool {
    /// A pool of `size` connections. A request waits at most `wait` for one. Connects lazily.
    pub(crate) fn new(uri: &PostgresUri, size: usize, wait: Duration) -> Result<Self, DbError> {
        Self::open(uri, size, wait, None)
    }

    /// A pool of connections to the database with this [`identity`], or to a replica of it. To get another one is
    /// [`DbError::Other`].
    pub(crate) fn of_database(
        uri: &PostgresUri,
        size: usize,
        wait: Duration,
        expected: String,
    ) -> Result<Self, DbError> {
        Self::open(uri, size, wait, Some(expected.into()))
    }

    fn open(uri: &PostgresUri, size: usize, wait: Duration, expected: Option<Arc<str>>) -> Result<Self, DbError> {
        let (found, fault) = (Arc::<Found>::default(), Fault::default());
        let connector = Connector::new(uri, fault.clone())?;
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(Config::new(), connector.clone(), config);
        let known = Arc::clone(&found);
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let (known, expected) = (Arc::clone(&known), expected.clone());
                Box::pin(async move {
                    if let Some(expected) = expected
                        && identity(client).await.map_err(HookError::Backend)? != *expected
                    {
                        return Err(HookError::message(ANOTHER));
                    }
                    let pooler = begin(client).await.map_err(HookError::Backend)?;
                    if known.pooler.fetch_max(pooler as u8, Ordering::SeqCst) < pooler as u8 {
                        pooler.log();
                    }
                    known.has_answered.store(true, Ordering::Relaxed);
                    known.refuse(None);
                    Ok(())
                })
            }))
            .build()
            .map_err(|error| DbError::Other(error.to_string()))?;
        let permits = Arc::new(Semaphore::new(size));
        Ok(Self { pool, size, wait, permits, shrunk: Mutex::default(), found, connector, fault })
    }

    /// Waits for a free connection. While the server has no connections left for this process, the pool shrinks to the
    /// open ones and requests share these. A server that has answered before and does not accept connections, as during
    /// a restart or a fail-over, is waited for.
    pub(crate) async fn get(&self) -> Result<Client, DbError> {
        let deadline = tokio::time::Instant::now() + self.wait;
        self.grow();
        let mut refusal = None;
        loop {
            // A free permit is acquired without waiting, even after the deadline.
            let is_late = refusal.is_some() && tokio::time::Instant::now() >= deadline;
            let permit = tokio::time::timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
            let Some(permit) = permit.ok().filter(|_| !is_late) else {
                return Err(
                    refusal.unwrap_or_else(|| DbError::NotBegun("no database connection became free in time".into()))
                );
            };
            let permit = permit.map_err(|_| DbError::NotBegun("the server is stopping".into()))?;
            let error = match self.pool.get().await {
                Ok(object) => {
                    let pooler = Pooler::from(self.found.pooler.load(Ordering::SeqCst));
                    return Ok(Client { object: Box::new(object), pooler, permit });
                }
                Err(PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error))) => error,
                Err(PoolError::Timeout(_)) => {
                    return Err(DbError::NotBegun("the database accepted no connection in time".into()));
                }
                Err(PoolError::PostCreateHook(HookError::Message(text))) => return Err(DbError::Other(text.into())),
                Err(other) => return Err(DbError::NotBegun(other.to_string())),
            };
            if !is_exhausted(&error) {
                let is_away = self.found.has_answered.load(Ordering::Relaxed) && is_away(&error);
                let error = match self.fault.get() {
                    Some(fault) => return Err(DbError::NotBegun(format!("{error}: {fault}"))),
                    None => DbError::from(error).before_begin(),
                };
                if !is_away {
                    return Err(error);
                }
                if let DbError::NotBegun(reason) = &error {
                    self.found.refuse(Some(reason.clone()));
                }
                refusal = Some(error);
                drop(permit);
                tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + RETRY)).await;
                continue;
            }
            if refusal.is_none() {
                tracing::warn!(
                    connections = self.pool.status().size,
                    of = self.size,
                    "the database has no connection left: requests wait for those that are open"
                );
            }
            refusal = Some(DbError::from(error).before_begin());
            if let Err(permit) = self.shrink(permit) {
                drop(permit);
                tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + RETRY)).await;
            }
        }
    }

    /// Removes the permit of a rejected connection, or returns it as an error if the pool cannot shrink further.
    fn shrink(&self, permit: OwnedSemaphorePermit) -> Result<(), OwnedSemaphorePermit> {
        let mut shrunk = self.shrunk.lock().unwrap_or_else(PoisonError::into_inner);
        shrunk.at = Some(Instant::now());
        if self.size - shrunk.permits <= self.pool.status().size.max(1) {
            return Err(permit);
        }
        shrunk.permits += 1;
        permit.forget();
        Ok(())
    }

    /// Restores the removed permits after [`SHRUNK`].
    fn grow(&self) {
        let mut shrunk = self.shrunk.lock().unwrap_or_else(PoisonError::into_inner);
        if shrunk.at.is_some_and(|at| at.elapsed() >= SHRUNK) {
            self.permits.add_permits(shrunk.permits);
            *shrunk = Shrunk::default();
        }
    }

    /// Why no connection can be opened, since one could not be.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.found.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections in use, and the maximum.
    pub(crate) fn status(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.max_size)
    }

    /// Cancels what runs on a connection and waits until the server has done so.
    pub(crate) async fn cancel(&self, client: &Client) -> Result<(), DbError> {
        self.connector.cancel(client).await
    }

    /// Closes idle connections now, and the others when they are returned.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

impl Found {
    fn refuse(&self, refusal: Option<String>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

/// Initialises a connection and detects a pooler in front of the server.
async fn begin(client: &tokio_postgres::Client) -> Result<Pooler, tokio_postgres::Error> {
    // Text that is sent to clients must not depend on the server's settings. JIT compilation takes longer than any statement
    // of a request, and PostgreSQL would begin it where a plan without `enable_seqscan` has to scan a table.
    let answer = client.simple_query("SET TIME ZONE 'UTC'; SET jit = off; SELECT pg_backend_pid()").await?;
    let process = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i32>().ok(),
        _ => None,
    });
    // If the detection fails, a pooler is assumed, which is slower but always correct.
    if process.is_some() && pooler::startup_pid(client).await.ok() == process {
        return Ok(Pooler::None);
    }
    Ok(if pooler::keeps_names(client).await? { Pooler::WithNames } else { Pooler::WithoutNames })
}

/// Whether the server does not accept connections, and may soon: it is not reached, or starts, stops or fails over.
fn is_away(error: &tokio_postgres::Error) -> bool {
    // 08: connection exception, `PgBouncer` without a server among them; 57: operator intervention.
    error.as_db_error().is_none_or(|error| matches!(error.code().code().get(..2), Some("08" | "57")))
}

/// Whether the server, or a pooler in front of it, has no connections left.
fn is_exhausted(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::TOO_MANY_CONNECTIONS
            // PgBouncer uses one SQLSTATE for all errors.
            || error.message().starts_with("no more connections allowed")
    })
}
