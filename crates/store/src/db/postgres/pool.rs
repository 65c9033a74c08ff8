//! The connections of a process: bounded, fewer while the server has none left, each told from one through a pooler.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Config, SimpleQueryMessage, error::SqlState};

use super::{
    connect::{Connector, Fault},
    pooler::{self, Pooler},
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
    /// The [`Pooler`] that asks for the most care of those that were found.
    pooler: Arc<AtomicU8>,
    connector: Connector,
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
    pooler: Pooler,
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
    /// Whether the next transaction may run on another connection of the server: no setting and no lock outlasts a
    /// transaction then.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pooler != Pooler::None
    }

    /// Whether a statement that is prepared by name is there in the next transaction.
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
    /// A pool of `size` connections, for which a request waits `wait`. No connection is made yet.
    pub(crate) fn new(uri: &PostgresUri, size: usize, wait: Duration) -> Result<Self, DbError> {
        let (pooler, fault) = (Arc::new(AtomicU8::new(Pooler::None as u8)), Fault::default());
        let connector = Connector::new(uri, fault.clone())?;
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(Config::new(), connector.clone(), config);
        let known = Arc::clone(&pooler);
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let known = Arc::clone(&known);
                Box::pin(async move {
                    let found = begin(client).await.map_err(HookError::Backend)?;
                    if known.fetch_max(found as u8, Ordering::SeqCst) < found as u8 {
                        found.tell();
                    }
                    Ok(())
                })
            }))
            .build()
            .map_err(|error| DbError::Other(error.to_string()))?;
        let permits = Arc::new(Semaphore::new(size));
        Ok(Self { pool, size, wait, permits, shrunk: Mutex::default(), pooler, connector, fault })
    }

    /// A connection, once one is free. While the server has none left for this process, the pool is as small as what it
    /// has, and requests wait for each other.
    pub(crate) async fn get(&self) -> Result<Client, DbError> {
        let deadline = tokio::time::Instant::now() + self.wait;
        self.grow();
        let mut refusal = None;
        loop {
            // A permit that is free is had without a wait, whatever the time is.
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
                    let pooler = Pooler::from(self.pooler.load(Ordering::SeqCst));
                    return Ok(Client { object: Box::new(object), pooler, permit });
                }
                Err(PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error))) => error,
                Err(PoolError::Timeout(_)) => {
                    return Err(DbError::NotBegun("the database accepted no connection in time".into()));
                }
                Err(other) => return Err(DbError::NotBegun(other.to_string())),
            };
            if !is_exhausted(&error) {
                return Err(match self.fault.get() {
                    Some(fault) => DbError::NotBegun(format!("{error}: {fault}")),
                    None => DbError::from(error).before_begin(),
                });
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

    /// Asks the server to stop what runs on a connection, and waits until it has been done.
    pub(crate) async fn cancel(&self, client: &Client) -> Result<(), DbError> {
        self.connector.cancel(client).await
    }

    /// Closes the connections that are free, and the others when they become free.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// Prepares a connection, and looks for a pooler before the server.
async fn begin(client: &tokio_postgres::Client) -> Result<Pooler, tokio_postgres::Error> {
    // Text that goes to a client must not depend on the server's settings.
    let answer = client.simple_query("SET TIME ZONE 'UTC'; SELECT pg_backend_pid()").await?;
    let process = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i32>().ok(),
        _ => None,
    });
    // What can not be told is taken for a pooler, which is slower and never wrong.
    if process.is_some() && pooler::named_process(client).await.ok() == process {
        return Ok(Pooler::None);
    }
    Ok(if pooler::keeps_names(client).await? { Pooler::WithNames } else { Pooler::WithoutNames })
}

/// Whether a server, or a pooler before it, has no connection left.
fn is_exhausted(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::TOO_MANY_CONNECTIONS
            // PgBouncer has one code for everything.
            || error.message().starts_with("no more connections allowed")
    })
}
