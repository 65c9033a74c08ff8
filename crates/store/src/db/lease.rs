//! A PostgreSQL connection on loan from the pool. If a reader is dropped or times out while a statement runs, the
//! statement is cancelled in the database before the connection returns to the pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_postgres::error::SqlState;

use super::{
    Account, DbError, Statement, Visit, VisitOf,
    postgres::{self, Client, PostgresPool},
    share::Share,
};

/// How long an abandoned statement may still run: short ones need no cancel request.
const GRACE: Duration = Duration::from_millis(20);

/// Timeout for cancelling a statement. After that the connection is closed.
const STOP: Duration = Duration::from_secs(10);

/// A connection on loan from the pool.
pub(super) struct Lease {
    client: Option<Client>,
    pool: Arc<PostgresPool>,
    /// Timeout of each read.
    limit: Option<Duration>,
    /// Reads that began and did not complete.
    running: AtomicUsize,
    share: Option<Share>,
}

impl Lease {
    /// Borrows a connection for reading; each read takes at most `limit`.
    pub(super) async fn reader(
        pool: &Arc<PostgresPool>,
        limit: Option<Duration>,
        share: Option<Share>,
    ) -> Result<Self, DbError> {
        let client = Some(pool.get().await?);
        Ok(Self { client, pool: Arc::clone(pool), limit, running: AtomicUsize::new(0), share })
    }

    /// Borrows a connection for a transaction, which sets its own statement timeout.
    pub(super) async fn writer(pool: &Arc<PostgresPool>, share: Option<Share>) -> Result<Self, DbError> {
        Self::reader(pool, None, share).await
    }

    /// The connection.
    pub(super) fn client(&self) -> Result<&Client, DbError> {
        self.client.as_ref().ok_or_else(|| DbError::Other("the connection was returned to the pool".into()))
    }

    /// Runs a statement and passes every row to `visit` as it arrives.
    pub(super) async fn each(
        &self,
        statement: &Statement,
        account: Option<&Account>,
        visit: &mut Visit<'_>,
    ) -> Result<(), DbError> {
        self.read(Box::pin(postgres::each(self.client()?, statement, self.limit, account, visit))).await
    }

    /// Runs several statements in one round trip and passes every row to `visit` with the index of its statement.
    pub(super) async fn each_of(
        &self,
        statements: &[Statement],
        account: Option<&Account>,
        visit: &mut VisitOf<'_>,
    ) -> Result<(), DbError> {
        self.read(Box::pin(postgres::each_of(self.client()?, statements, account, visit))).await
    }

    async fn read(&self, read: impl Future<Output = Result<(), DbError>> + Unpin) -> Result<(), DbError> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let outcome = match self.limit {
            None => read.await,
            Some(limit) => match tokio::time::timeout(limit, read).await {
                Ok(outcome) => outcome,
                Err(_) => Err(DbError::Timeout(format!("no completion within {} ms", limit.as_millis()))),
            },
        };
        // Skipped after an error, when rows may still be on their way, and when the reader is dropped.
        if outcome.is_ok() {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Closes the connection.
    pub(super) fn close(mut self) {
        if let Some(client) = self.client.take() {
            client.close();
        }
    }

    /// Rolls back a transaction that was not committed. Its running statement is not cancelled: it is a write.
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
                tracing::warn!("an abandoned statement could not be cancelled: its connection is closed");
                client.close();
            }
            // Releases the caller's share once the database is no longer busy for it.
            drop(share);
        });
    }
}

/// Waits until the connection is idle; cancels what still runs after [`GRACE`].
async fn stop(client: &Client, pool: &PostgresPool) -> Result<(), DbError> {
    if let Ok(ended) = tokio::time::timeout(GRACE, client.batch_execute("")).await {
        return Ok(ended?);
    }
    pool.cancel(client).await?;
    // The cancel request may also have hit the empty statement that waits.
    loop {
        match client.batch_execute("").await {
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
            ended => return Ok(ended?),
        }
    }
}
