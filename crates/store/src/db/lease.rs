//! A connection to PostgreSQL that somebody reads from. What still runs when its reader goes away, or when its time is
//! over, is stopped in the database, and only then does the connection go back to the pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_postgres::error::SqlState;

use super::{
    DbError, Statement, Visit, VisitOf,
    postgres::{self, Client, PostgresPool},
    share::Share,
};

/// How long a statement that has lost its reader may still run, so that short ones need no message of their own.
const GRACE: Duration = Duration::from_millis(20);

/// How long it may take to stop a statement. After that the connection is closed.
const STOP: Duration = Duration::from_secs(10);

/// A connection of the pool.
pub(super) struct Lease {
    client: Option<Client>,
    pool: Arc<PostgresPool>,
    /// How long each read may take.
    limit: Option<Duration>,
    /// Reads that were begun and did not come to their end.
    running: AtomicUsize,
    share: Option<Share>,
}

impl Lease {
    /// A connection to read from, each read for no longer than `limit`.
    pub(super) async fn reader(
        pool: &Arc<PostgresPool>,
        limit: Option<Duration>,
        share: Option<Share>,
    ) -> Result<Self, DbError> {
        let client = Some(pool.get().await?);
        Ok(Self { client, pool: Arc::clone(pool), limit, running: AtomicUsize::new(0), share })
    }

    /// A connection for a transaction, which sets limits of its own.
    pub(super) async fn writer(pool: &Arc<PostgresPool>, share: Option<Share>) -> Result<Self, DbError> {
        Self::reader(pool, None, share).await
    }

    /// The connection.
    pub(super) fn client(&self) -> Result<&Client, DbError> {
        self.client.as_ref().ok_or_else(|| DbError::Other("the connection was given back".into()))
    }

    /// Runs a statement and hands over every row as it arrives.
    pub(super) async fn each(&self, statement: &Statement, visit: &mut Visit<'_>) -> Result<(), DbError> {
        self.read(Box::pin(postgres::each(self.client()?, statement, self.limit, visit))).await
    }

    /// Runs several statements in one round trip and hands over every row with the number of its statement.
    pub(super) async fn each_of(&self, statements: &[Statement], visit: &mut VisitOf<'_>) -> Result<(), DbError> {
        self.read(Box::pin(postgres::each_of(self.client()?, statements, visit))).await
    }

    async fn read(&self, read: impl Future<Output = Result<(), DbError>> + Unpin) -> Result<(), DbError> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let outcome = match self.limit {
            None => read.await,
            Some(limit) => match tokio::time::timeout(limit, read).await {
                Ok(outcome) => outcome,
                Err(_) => Err(DbError::Timeout(format!("no end within {} ms", limit.as_millis()))),
            },
        };
        // After an error rows may still be on their way, and a reader that goes away never gets here.
        if outcome.is_ok() {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Ends a transaction that nobody committed. What runs in it is left to its end: it is a write.
    pub(super) fn abandon(mut self) {
        if let Some(client) = self.client.take() {
            postgres::abandon(client, self.share.take());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(client) = self.client.take().filter(|_| *self.running.get_mut() > 0) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            client.close();
            return;
        };
        let (pool, share) = (Arc::clone(&self.pool), self.share.take());
        runtime.spawn(async move {
            let stopped = tokio::time::timeout(STOP, stop(&client, &pool)).await;
            if !matches!(stopped, Ok(Ok(()))) {
                tracing::warn!("a statement that lost its reader could not be stopped: its connection is closed");
                client.close();
            }
            // The caller's share is free when the database is.
            drop(share);
        });
    }
}

/// Waits until nothing runs on the connection any more, and stops what does.
async fn stop(client: &Client, pool: &PostgresPool) -> Result<(), DbError> {
    if let Ok(ended) = tokio::time::timeout(GRACE, client.batch_execute("")).await {
        return Ok(ended?);
    }
    pool.cancel(client).await?;
    // The order to stop may also have met the statement that waits for the end.
    loop {
        match client.batch_execute("").await {
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
            ended => return Ok(ended?),
        }
    }
}
