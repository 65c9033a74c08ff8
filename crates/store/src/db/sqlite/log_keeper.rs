//! Keeps the write-ahead log short while the writer goes on: a thread with a connection of its own copies the pages of a
//! long log into the database file, then the writer copies the few that were added meanwhile, between two jobs, and the
//! log begins anew.
//!
//! `SQLite`'s `wal_autocheckpoint` does all of this in the commit that crosses the threshold: the callers of that commit,
//! and all who queue behind it, wait for up to 16 MiB of random writes and for their fsync.

use std::{
    cell::Cell,
    ffi::c_int,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel},
    thread,
};

use rusqlite::{Connection, OpenFlags, hooks::Wal};

use super::connect::Synchronous;

/// Pages in the write-ahead log (16 MiB) that are worth a checkpoint. Logging rewrites the same index pages again and
/// again: a longer log means fewer page writes to the database file.
const LONG: c_int = 4_000;

/// Pages by which a log may grow while it is copied (48 MiB), before the writer waits.
const GROWTH: c_int = 12_000;

thread_local! {
    /// The number of pages in the log after the last commit of this thread.
    static PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// What is done about the log of a writer.
pub(super) struct LogKeeper {
    path: PathBuf,
    synchronous: Synchronous,
    copier: Option<Copier>,
    is_copying: bool,
    /// The number of pages after the last job.
    pages: c_int,
    /// The number of pages at which the next checkpoint begins.
    next: c_int,
}

/// The thread that copies the log.
struct Copier {
    requests: SyncSender<()>,
    done: Receiver<()>,
    thread: thread::JoinHandle<()>,
}

impl LogKeeper {
    /// Keeps the log of a connection, on the thread that owns it, in place of `wal_autocheckpoint`.
    pub(super) fn of(connection: &Connection, path: &Path, synchronous: Synchronous) -> Self {
        connection.wal_hook(Some(|_: &Wal, pages| {
            PAGES.set(pages);
            Ok(())
        }));
        Self { path: path.to_owned(), synchronous, copier: None, is_copying: false, pages: 0, next: LONG }
    }

    /// After each job of the writer. A job that left a transaction open has more jobs to come.
    pub(super) fn after_job(&mut self, connection: &Connection) {
        let pages = PAGES.get();
        if pages < self.pages {
            // The log has begun anew.
            self.next = LONG;
        }
        self.pages = pages;
        if pages < self.next || !connection.is_autocommit() {
            return;
        }
        if self.is_copying {
            let Some(copier) = &self.copier else { return };
            let is_over = match copier.done.try_recv() {
                Err(TryRecvError::Empty) if pages < self.next.saturating_add(GROWTH) => return,
                Err(TryRecvError::Empty) => copier.done.recv(),
                Err(TryRecvError::Disconnected) => Err(RecvError),
                Ok(()) => Ok(()),
            };
            if is_over.is_err() {
                self.stop();
            }
            self.is_copying = false;
            self.copy_rest(connection);
        } else if self.begin() {
            self.is_copying = true;
        } else {
            self.copy_rest(connection);
        }
    }

    /// Copies what is left of the log. A reader that began before keeps the log from beginning anew: it is tried again when
    /// as much was added.
    fn copy_rest(&mut self, connection: &Connection) {
        copy(connection);
        self.next = self.pages.saturating_add(LONG);
    }

    /// Asks the other thread to copy the log; `false` if there is none.
    fn begin(&mut self) -> bool {
        if self.copier.is_none() {
            self.copier = Copier::start(self.path.clone(), self.synchronous);
        }
        self.copier.as_ref().is_some_and(|copier| copier.requests.try_send(()).is_ok())
    }

    /// Waits for the other thread, whose connection is closed then.
    fn stop(&mut self) {
        if let Some(Copier { requests, done, thread }) = self.copier.take() {
            drop((requests, done));
            // A panic there has been reported by its thread.
            let _ = thread.join();
        }
    }
}

impl Drop for LogKeeper {
    /// The writer's connection is the last one to close, which removes the log.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Copier {
    fn start(path: PathBuf, synchronous: Synchronous) -> Option<Self> {
        let (requests, asked) = sync_channel(1);
        let (over, done) = sync_channel(1);
        let thread = thread::Builder::new().name("sqlite-log".into()).spawn(move || {
            let Ok(connection) = open(&path, synchronous) else { return };
            while asked.recv().is_ok() {
                copy(&connection);
                if over.send(()).is_err() {
                    return;
                }
            }
        });
        Some(Self { requests, done, thread: thread.ok()? })
    }
}

fn open(path: &Path, synchronous: Synchronous) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "synchronous", synchronous.level())?;
    Ok(connection)
}

/// Copies pages of the log into the database file: all that no reader and no writer is in the way of. What fails is tried
/// again at the next checkpoint; the log has every page until then.
fn copy(connection: &Connection) {
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = copied {
        tracing::debug!(%error, "the write-ahead log cannot be copied into the database file");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Role, Session, SqlitePool, session::Interrupt};
    use super::*;

    const PAGE: u64 = 4_096;

    fn length(path: &Path, suffix: &str) -> u64 {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    /// Commits a megabyte so many times.
    async fn fill(pool: &SqlitePool, times: usize) {
        let writer = pool.writer(Duration::from_secs(10)).await.unwrap();
        for _ in 0..times {
            let fill = |connection: &mut Connection| {
                Ok(connection.execute("INSERT INTO filled VALUES (zeroblob(1048576))", []).map(|_| ())?)
            };
            writer.write(fill).await.unwrap();
        }
    }

    fn pool(folder: &Path) -> (SqlitePool, PathBuf) {
        let path = folder.join("test.db");
        let pool = SqlitePool::open(&path, 2, Synchronous::Full).unwrap();
        (pool, path)
    }

    #[tokio::test]
    async fn a_log_stays_short_and_its_pages_come_into_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (pool, path) = pool(folder.path());
        let writer = pool.writer(Duration::from_secs(10)).await.unwrap();
        writer.write(|connection| Ok(connection.execute_batch("CREATE TABLE filled (value BLOB)")?)).await.unwrap();
        drop(writer);
        fill(&pool, 200).await;
        let most = u64::try_from(2 * LONG + GROWTH).unwrap() * PAGE;
        assert!(length(&path, "-wal") < most, "the log has {} bytes", length(&path, "-wal"));
        assert!(length(&path, "") > 200 * 1_048_576 - most, "the file has {} bytes", length(&path, ""));
    }

    #[tokio::test]
    async fn a_log_that_a_reader_kept_is_short_again_once_the_reader_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (pool, path) = pool(folder.path());
        let writer = pool.writer(Duration::from_secs(10)).await.unwrap();
        writer.write(|connection| Ok(connection.execute_batch("CREATE TABLE filled (value BLOB)")?)).await.unwrap();
        drop(writer);
        let reader = Session::open_with(&path, "reader", Role::Reader, Synchronous::Full, Interrupt::Never).unwrap();
        let begin = |connection: &mut Connection| Ok(connection.execute_batch("BEGIN; SELECT * FROM filled LIMIT 1")?);
        reader.run(begin).await.unwrap();
        fill(&pool, 100).await;
        assert!(length(&path, "-wal") >= 100 * 1_048_576);
        reader.close().await;
        fill(&pool, 100).await;
        // `journal_size_limit` cuts the file when the log begins anew.
        assert!(length(&path, "-wal") < 100 * 1_048_576, "the log has {} bytes", length(&path, "-wal"));
    }
}
