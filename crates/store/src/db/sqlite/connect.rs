//! Opens connections, with the settings of what they are for.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::{IN_MEMORY, functions};
use crate::db::DbError;

/// Capacity of a connection's prepared statement cache.
const STATEMENT_CACHE: usize = 256;

/// How long a statement waits for another process's lock on the file, as in the reference.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Page cache of the writer and of each reader, in KiB; allocated on demand and kept. `SQLite`'s default of 2 MiB is
/// less than one batch of a thousand metrics touches. A reader's misses are served by the operating system's cache.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
const READER_CACHE_KIB: i64 = 8 * 1024;

/// `journal_size_limit`: the size to which the write-ahead log's file is truncated after a long transaction, in bytes.
const LOG_BYTES: i64 = 64 * 1024 * 1024;

/// A migration retries on its own and reports that it waits.
const MIGRATOR_BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Role {
    Writer,
    Reader,
    /// Changes the schema. Foreign keys are not enforced, since a table is rebuilt by dropping it, and the journal mode
    /// is not changed.
    Migrator,
    /// Reads a file as it is and never creates one.
    Inspector,
}

impl Role {
    /// Whether a missing file is created.
    pub(super) fn creates_file(self) -> bool {
        matches!(self, Self::Writer | Self::Migrator)
    }
}

/// `PRAGMA synchronous` of the writing connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Every commit is on disk before it is acknowledged.
    #[default]
    Full,
    /// A power failure may lose the last commits but cannot corrupt the file.
    Normal,
}

impl Synchronous {
    pub(super) const fn level(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// Opens a connection.
pub(super) fn connect(path: &Path, role: Role, synchronous: Synchronous) -> Result<Connection, DbError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if role.creates_file() {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
        create_private(path);
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.pragma_update(None, "foreign_keys", role != Role::Migrator)?;
    // LIKE is case-sensitive, as in PostgreSQL and in the reference.
    connection.pragma_update(None, "case_sensitive_like", true)?;
    functions::register(&connection)?;
    let cache = if role == Role::Reader { READER_CACHE_KIB } else { WRITER_CACHE_KIB };
    connection.pragma_update(None, "cache_size", -cache)?;
    match role {
        // SQLite falls back to read-only for a file without write permission.
        Role::Writer if connection.is_readonly("main")? => {
            return Err(DbError::Unavailable(format!("{} cannot be written to", path.display())));
        }
        Role::Writer => {
            // While the reference holds the file in its own journal mode, WAL is not available: a rollback journal is
            // slower and just as safe.
            let _mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            connection.pragma_update(None, "synchronous", synchronous.level())?;
            connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        }
        Role::Migrator => {
            connection.busy_timeout(MIGRATOR_BUSY_TIMEOUT)?;
        }
        Role::Reader | Role::Inspector => connection.pragma_update(None, "query_only", true)?,
    }
    Ok(connection)
}

/// Creates a missing file with access for its owner only: it will contain names, password hashes and whatever users
/// log. SQLite's auxiliary files get the same permissions. Errors are left to SQLite to report.
fn create_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    if path == Path::new(IN_MEMORY) {
        return;
    }
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}
