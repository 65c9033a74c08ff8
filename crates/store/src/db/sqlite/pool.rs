//! The connections to one file: one that writes, and readers.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex as StdMutex, PoisonError},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{
    connect::{Role, Synchronous},
    file_identity::FileIdentity,
    session::{Interrupt, Session, stopped},
};
use crate::db::{DbError, share::Share};

/// The connections to one file.
pub(in crate::db) struct SqlitePool {
    path: PathBuf,
    identity: Arc<FileIdentity>,
    synchronous: Synchronous,
    writer: Arc<Session>,
    /// Held while a transaction is open on the writer.
    writing: Arc<Mutex<()>>,
    idle: StdMutex<Vec<Arc<Session>>>,
    permits: Arc<Semaphore>,
    readers: usize,
}

impl SqlitePool {
    /// Opens the file, creating it if necessary. Readers are opened on demand, at most `most` and no more than the
    /// processors can keep busy: each has a cache of its own.
    pub(in crate::db) fn open(path: &Path, most: usize, synchronous: Synchronous) -> Result<Self, DbError> {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let readers = most.min((2 * processors).max(4));
        let writer = Session::open(path, "sqlite-writer", Role::Writer, synchronous)?;
        Ok(Self {
            path: path.to_owned(),
            identity: Arc::new(FileIdentity::of(path)),
            synchronous,
            writer: Arc::new(writer),
            writing: Arc::default(),
            idle: StdMutex::default(),
            permits: Arc::new(Semaphore::new(readers)),
            readers,
        })
    }

    /// Acquires the writing connection, exclusively.
    pub(in crate::db) async fn writer(&self, wait: Duration) -> Result<Writer, DbError> {
        let guard = tokio::time::timeout(wait, Arc::clone(&self.writing).lock_owned())
            .await
            .map_err(|_| DbError::NotBegun("the SQLite writer is busy".into()))?;
        Ok(Writer { session: Arc::clone(&self.writer), identity: Arc::clone(&self.identity), _guard: guard })
    }

    /// Checks that the file can be read, still exists, and has room to grow.
    pub(in crate::db) async fn check(self: &Arc<Self>, wait: Duration, limit: Option<Duration>) -> Result<(), DbError> {
        let (reader, identity) = (self.reader(wait, limit, None).await?, Arc::clone(&self.identity));
        let done = reader.session.run(move |connection| {
            connection.query_row("SELECT 1 FROM sqlite_master LIMIT 1", [], |_| Ok(())).or_else(
                |error| match error {
                    rusqlite::Error::QueryReturnedNoRows => Ok(()),
                    error => Err(error),
                },
            )?;
            identity.check()?;
            identity.check_free_space()
        });
        done.await
    }

    /// Maximum number of reading connections.
    pub(in crate::db) fn readers(&self) -> usize {
        self.readers
    }

    /// Number of reading connections in use.
    pub(in crate::db) fn busy(&self) -> usize {
        self.readers.saturating_sub(self.permits.available_permits())
    }

    /// Acquires a reading connection. Each job on it takes at most `limit`, which is the same for all readers.
    pub(in crate::db) async fn reader(
        self: &Arc<Self>,
        wait: Duration,
        limit: Option<Duration>,
        share: Option<Share>,
    ) -> Result<Reader, DbError> {
        let permit = tokio::time::timeout(wait, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| DbError::NotBegun("all SQLite readers are busy".into()))?
            .map_err(|_| stopped())?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = if let Some(session) = idle {
            session
        } else {
            let stops = Interrupt::WithCaller(limit);
            Arc::new(Session::open_with(&self.path, "sqlite-reader", Role::Reader, self.synchronous, stops)?)
        };
        let right = Some((permit, share));
        Ok(Reader { session, pool: Arc::clone(self), right })
    }
}

/// The writing connection, held exclusively until dropped.
pub(in crate::db) struct Writer {
    pub(in crate::db) session: Arc<Session>,
    identity: Arc<FileIdentity>,
    _guard: OwnedMutexGuard<()>,
}

impl Writer {
    /// Runs a job that commits, then checks that the open file is still the one at its path.
    pub(in crate::db) async fn write<T, F>(&self, job: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, DbError> + Send + 'static,
    {
        let identity = Arc::clone(&self.identity);
        let done = self.session.run(move |connection| {
            let done = job(connection)?;
            identity.check()?;
            Ok(done)
        });
        done.await
    }
}

/// A reading connection, returned to the pool when dropped.
pub(in crate::db) struct Reader {
    pub(in crate::db) session: Arc<Session>,
    pool: Arc<SqlitePool>,
    right: Option<(OwnedSemaphorePermit, Option<Share>)>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (session, pool, right) = (Arc::clone(&self.session), Arc::clone(&self.pool), self.right.take());
        let give_back = move || {
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            drop(right);
        };
        // A running job has been signalled to stop; the connection is returned once it has.
        if self.session.is_busy() { self.session.send(move |_| give_back()) } else { give_back() }
    }
}
