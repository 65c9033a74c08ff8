//! Copies a database, and its write-ahead log into its file.

use std::{path::Path, thread, time::Duration};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use crate::db::DbError;

/// Checkpoints the write-ahead log into the database file.
pub(in crate::db) fn checkpoint(connection: &mut Connection) -> Result<(), DbError> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

/// Pages copied between two reports of progress.
const BACKUP_PAGES: i32 = 4096;

/// Copies the database into a new file, which is complete and on disk when this returns.
pub(in crate::db) fn back_up(
    connection: &mut Connection,
    to: &Path,
    progress: &dyn Fn(u64, u64),
) -> Result<(), DbError> {
    let mut copy = Connection::open(to)?;
    // A transaction makes the copy a snapshot. Without one, the backup restarts whenever another connection commits,
    // and never ends under load. Without a write-ahead log the transaction would block writers, so the copy proceeds
    // between commits.
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode == "wal" {
        connection.execute_batch("BEGIN; SELECT 1 FROM sqlite_master LIMIT 1")?;
    }
    let backup = Backup::new(connection, &mut copy)?;
    loop {
        match backup.step(BACKUP_PAGES)? {
            StepResult::Done => break,
            StepResult::More => {}
            // Another connection is writing: retry when it is done.
            _ => thread::sleep(Duration::from_millis(50)),
        }
        let at = backup.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or_default();
        progress(count(at.pagecount - at.remaining), count(at.pagecount));
    }
    drop(backup);
    if mode == "wal" {
        connection.execute_batch("COMMIT")?;
    }
    // The copy of a file in WAL mode is in WAL mode too, but must be a single file.
    Ok(copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?)
}
