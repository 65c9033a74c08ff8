//! The connections of a process: bounded, fewer while the server has none left, each told from one through a pooler.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Config, SimpleQueryMessage, error::SqlState};

use super::{
    connect::{Connector, Fault},
    pooler,
};
use crate::db::{DbError, PostgresUri};

/// How long the pool stays small after the server refused a connection.
const SHRUNK: Duration = Duration::from_secs(5);

/// Time between two attempts to get the only connection.
const RETRY: Duration = Duration::from_millis(100);

/// The connections of a process.
pub(crate) struct PostgresPool {
    pool: Pool,
    size: usize,
    wait: Duration,
    /// One for each connection that may be in use. Those that the server refused are taken away for a while.
    permits: Arc<Semaphore>,
    shrunk: Mutex<Shrunk>,
    is_pooled: Arc<AtomicBool>,
    fault: Fault,
}

/// What the server refused.
#[derive(Default)]
struct Shrunk {
    permits: usize,
    at: Option<Instant>,
}

/// A connection in use.
pub(crate) struct Client {
    object: Box<Object>,
    is_pooled: bool,
    // Given back after the connection.
    permit: OwnedSemaphorePermit,
}

impl Deref for Client {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

impl Client {
    /// Whether the next transaction may run on another connection of the server: a statement is not prepared by name
    /// then, and no setting outlasts a transaction.
    pub(crate) fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Closes the connection.
    pub(super) fn close(self) {
        drop(Object::take(*self.object));
        drop(self.permit);
    }
}

impl PostgresPool {
    /// A pool of `size` connections, for which a request waits `wait`. No connection is made yet.
    pub(crate) fn new(uri: &PostgresUri, size: usize, wait: Duration) -> Result<Self, DbError> {
        let (is_pooled, fault) = (Arc::new(AtomicBool::new(false)), Fault::default());
        let manager = Manager::from_connect(
            Config::new(),
            Connector::new(uri, fault.clone())?,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let found = Arc::clone(&is_pooled);
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let found = Arc::clone(&found);
                Box::pin(async move {
                    if begin(client).await.map_err(HookError::Backend)? && !found.swap(true, Ordering::SeqCst) {
                        tracing::info!(
                            "a connection pooler is before the database: statements are sent without a name, and \
                             planned each time"
                        );
                    }
                    Ok(())
                })
            }))
            .build()
            .map_err(|error| DbError::Other(error.to_string()))?;
        let permits = Arc::new(Semaphore::new(size));
        Ok(Self { pool, size, wait, permits, shrunk: Mutex::default(), is_pooled, fault })
    }

    /// A connection, once one is free. While the server has none left for this process, the pool is as small as what it
    /// has, and requests wait for each other.
    pub(crate) async fn get(&self) -> Result<Client, DbError> {
        let deadline = tokio::time::Instant::now() + self.wait;
        self.grow();
        let mut refusal = None;
        loop {
            let permit = tokio::time::timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
            let Ok(permit) = permit else {
                return Err(refusal
                    .unwrap_or_else(|| DbError::Unavailable("no database connection became free in time".into())));
            };
            let permit = permit.map_err(|_| DbError::Unavailable("the server is stopping".into()))?;
            let error = match self.pool.get().await {
                Ok(object) => {
                    let is_pooled = self.is_pooled.load(Ordering::SeqCst);
                    return Ok(Client { object: Box::new(object), is_pooled, permit });
                }
                Err(PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error))) => error,
                Err(PoolError::Timeout(_)) => {
                    return Err(DbError::Unavailable("the database accepted no connection in time".into()));
                }
                Err(other) => return Err(DbError::Unavailable(other.to_string())),
            };
            if !is_exhausted(&error) {
                return Err(match self.fault.get() {
                    Some(fault) => DbError::Unavailable(format!("{error}: {fault}")),
                    None => error.into(),
                });
            }
            if refusal.is_none() {
                tracing::warn!(
                    connections = self.pool.status().size,
                    of = self.size,
                    "the database has no connection left: requests wait for those that are open"
                );
            }
            refusal = Some(error.into());
            if let Err(permit) = self.shrink(permit) {
                drop(permit);
                tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + RETRY)).await;
            }
        }
    }

    /// Takes a permit away that no connection could be had for, and gives it back if it is the only one.
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

    /// Tries all connections again after a while.
    fn grow(&self) {
        let mut shrunk = self.shrunk.lock().unwrap_or_else(PoisonError::into_inner);
        if shrunk.at.is_some_and(|at| at.elapsed() >= SHRUNK) {
            self.permits.add_permits(shrunk.permits);
            *shrunk = Shrunk::default();
        }
    }

    /// Connections that are open and not free, and at most.
    pub(crate) fn status(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.max_size)
    }

    /// Closes the connections that are free, and the others when they become free.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// Prepares a connection; whether a pooler is before the server.
async fn begin(client: &tokio_postgres::Client) -> Result<bool, tokio_postgres::Error> {
    // Text that goes to a client must not depend on the server's settings.
    let answer = client.simple_query("SET TIME ZONE 'UTC'; SELECT pg_backend_pid()").await?;
    let process = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i32>().ok(),
        _ => None,
    });
    // What can not be told is taken for a pooler, which is slower and never wrong.
    Ok(process.is_none() || pooler::named_process(client).await.ok() != process)
}

/// Whether a server, or a pooler before it, has no connection left.
fn is_exhausted(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::TOO_MANY_CONNECTIONS
            // PgBouncer has one code for everything.
            || error.message().starts_with("no more connections allowed")
    })
}
