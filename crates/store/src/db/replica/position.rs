//! The position of the primary in its write-ahead log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::db::{
    DbError, Statement, Upkeep,
    postgres::{self, PostgresPool},
};

/// The end of what is on the disk of the primary, and its timeline. An acknowledged commit is before that end, except with
/// `synchronous_commit = off`, where it is before the end of what is inserted.
const POSITION: &str = "SELECT (CASE WHEN current_setting('synchronous_commit') = 'off' \
                        THEN pg_current_wal_insert_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint, \
                        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint";

/// A place in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Number of bytes from the beginning.
    pub(super) at: i64,
    /// The number of the timeline. After a promotion, also of a restored backup, the log goes on in a new one: the same
    /// number of bytes is another place there.
    pub(super) timeline: i64,
}

/// Asks the primary for its position. Requests that wait at the same time share one answer.
pub(super) struct Positions {
    /// One connection of its own, so that no other statement is before the question.
    pool: PostgresPool,
    limit: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Whether a task asks.
    is_asking: bool,
    askers: Vec<oneshot::Sender<Option<Position>>>,
}

impl Positions {
    /// Asks by `pool`; an answer takes at most `limit`.
    pub(super) fn new(pool: PostgresPool, limit: Duration) -> Arc<Self> {
        Arc::new(Self { pool, limit, waiting: Mutex::default() })
    }

    /// A position of the primary after this call has begun, so that what was committed before is before it. `None` if the
    /// primary does not answer.
    pub(super) async fn now(self: &Arc<Self>) -> Option<Position> {
        let (answer, position) = oneshot::channel();
        let begins = {
            let mut waiting = self.lock();
            waiting.askers.push(answer);
            !std::mem::replace(&mut waiting.is_asking, true)
        };
        if begins {
            // Spawned, so that it answers the others even if this caller is gone.
            tokio::spawn(Arc::clone(self).answer());
        }
        // The answer to a question that was on its way, and the next one.
        timeout(2 * self.limit, position).await.ok()?.ok()?
    }

    /// Asks until there is no question left.
    async fn answer(self: Arc<Self>) {
        loop {
            let askers = {
                let mut waiting = self.lock();
                if waiting.askers.is_empty() {
                    waiting.is_asking = false;
                    return;
                }
                std::mem::take(&mut waiting.askers)
            };
            let position = match timeout(self.limit, self.ask()).await {
                Ok(Ok(position)) => Some(position),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the primary does not tell its position");
                    None
                }
                Err(_) => None,
            };
            for asker in askers {
                // Its caller may be gone.
                let _ = asker.send(position);
            }
        }
    }

    async fn ask(&self) -> Result<Position, DbError> {
        let client = self.pool.get().await?;
        let mut position = None;
        let statement = Statement::unscoped(Upkeep::Startup, POSITION, Vec::new());
        postgres::each(&client, &statement, None, None, &mut |row| {
            position = Some(Position { at: row.get(0)?, timeline: row.get(1)? });
            Ok(())
        })
        .await?;
        position.ok_or_else(|| DbError::Other("the primary has no position".into()))
    }

    /// The pool of the connection to the primary.
    pub(super) fn pool(&self) -> &PostgresPool {
        &self.pool
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
