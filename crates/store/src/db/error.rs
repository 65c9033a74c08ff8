//! Database errors, distinguished as far as callers act on the difference.

use std::error::Error as _;

use ferroflow_model::{ErrorCode, limits::memory};
use tokio_postgres::error::SqlState;

use super::written::downgrade_if_written;

/// An error of the database or of the connection to it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// A primary key or unique constraint was violated.
    #[error("unique constraint violated: {0}")]
    Unique(String),
    /// A foreign key constraint was violated.
    #[error("foreign key violated: {0}")]
    ForeignKey(String),
    /// A conflict with a concurrent transaction (serialization failure, deadlock); a retry may succeed.
    #[error("transaction conflict: {0}")]
    Conflict(String),
    /// A lock was not obtained within the lock timeout.
    #[error("lock not obtained: {0}")]
    Locked(String),
    /// The database is unreachable, or has no free connections. Retry later.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// No connection was available, or no transaction could begin: nothing was executed.
    #[error("nothing was begun: {0}")]
    NotBegun(String),
    /// The caller's share of the connections is in use by its other requests.
    #[error("share of connections used up: {0}")]
    Busy(String),
    /// Other requests with large results had all turns. Retry later.
    #[error("no turn for a large result: {0}")]
    Crowded(String),
    /// The request read more than a result may hold.
    #[error("result too large: {0}")]
    TooLarge(String),
    /// The statement exceeded the statement timeout and was cancelled. It had no effect.
    #[error("statement stopped: {0}")]
    Timeout(String),
    /// A value that the database cannot store, such as a NUL in text or an integer out of range.
    #[error("value refused by the database: {0}")]
    Value(String),
    /// A read on the replica failed; it is repeated on the primary.
    #[error("read replica: {0}")]
    Replica(String),
    /// Any other error: a bug in ferroflow or in the database.
    #[error("database error: {0}")]
    Other(String),
}

impl DbError {
    /// Whether a retry of the same transaction may succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// The error of a step before BEGIN: if it is transient, nothing was executed.
    #[must_use]
    pub(crate) fn before_begin(self) -> Self {
        match self {
            Self::Unavailable(text) | Self::Locked(text) => Self::NotBegun(text),
            other => other,
        }
    }
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        use rusqlite::ffi;
        let text = error.to_string();
        let Some(inner) = error.sqlite_error() else {
            return Self::Other(text);
        };
        match (inner.code, inner.extended_code) {
            (_, ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_ROWID) => {
                Self::Unique(text)
            }
            (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Self::ForeignKey(text),
            (Code::ConstraintViolation | Code::TooBig | Code::TypeMismatch, _) => Self::Value(text),
            (_, ffi::SQLITE_BUSY_SNAPSHOT) => Self::Conflict(text),
            (Code::DatabaseBusy | Code::DatabaseLocked, _) => Self::Locked(text),
            (Code::OperationInterrupted, _) => Self::Timeout(text),
            (Code::DiskFull | Code::CannotOpen | Code::ReadOnly | Code::SystemIoFailure, _) => Self::Unavailable(text),
            _ => Self::Other(text),
        }
    }
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            let text = match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            // Without an error response of the server, the connection failed, unless a value could not be encoded.
            return if text.contains("error serializing parameter") {
                Self::Value(text)
            } else {
                Self::Unavailable(text)
            };
        };
        let text = match db.detail() {
            Some(detail) => format!("{} ({detail})", db.message()),
            None => db.message().to_owned(),
        };
        let code = db.code();
        if *code == SqlState::UNIQUE_VIOLATION {
            Self::Unique(text)
        } else if *code == SqlState::FOREIGN_KEY_VIOLATION {
            Self::ForeignKey(text)
        } else if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
            Self::Conflict(text)
        } else if *code == SqlState::LOCK_NOT_AVAILABLE {
            Self::Locked(text)
        } else if *code == SqlState::QUERY_CANCELED {
            Self::Timeout(text)
        } else {
            match code.code().get(..2) {
                // 22: data exception; 23: other integrity constraint violations; 54: program limit exceeded.
                Some("22" | "23" | "54") => Self::Value(text),
                // 08: connection exception; 28: authorization; 3D: unknown database; 53: insufficient resources; 57:
                // shutdown.
                Some("08" | "28" | "3D" | "53" | "57") => Self::Unavailable(text),
                // The server has closed the connection of a transaction that sent nothing.
                _ if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Unavailable(text),
                // Read-only: a replica, or a server in recovery. It rejects all writes of the transaction.
                _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::NotBegun(text),
                _ => Self::Other(text),
            }
        }
    }
}

/// Maps a database error to the error that the client gets. The details are logged, not sent.
impl From<DbError> for ferroflow_model::Error {
    fn from(error: DbError) -> Self {
        match &error {
            DbError::Unavailable(_) | DbError::Locked(_) | DbError::Conflict(_) => {
                tracing::warn!(%error, "the database is unavailable");
                Self::unavailable("The database is temporarily unavailable. Try again later.")
            }
            DbError::Replica(_) => {
                tracing::debug!(%error, "a read goes to the primary instead");
                Self::unavailable("The read replica of the database is temporarily unavailable. Try again later.")
            }
            DbError::NotBegun(_) => {
                tracing::warn!(%error, "no connection or no transaction: nothing was executed");
                downgrade_if_written(Self::busy(
                    "The database is temporarily unavailable; nothing was done. Try again later.",
                ))
            }
            DbError::Busy(_) => {
                tracing::debug!(%error, "a caller has used its share of the connections");
                Self::new(
                    ErrorCode::RequestLimitExceeded,
                    "Too many requests of this caller are running. Try again later.",
                )
            }
            DbError::Crowded(_) => {
                tracing::warn!(%error, "large results take turns");
                Self::busy("Other large responses are being sent. Try again in a moment, or request a smaller page.")
            }
            DbError::TooLarge(_) => {
                tracing::info!(%error, "a result is too large");
                Self::invalid(format!(
                    "The response would hold more than {} MiB. Request less of it: a smaller page (max_results), or \
                     fewer ids.",
                    memory::LARGEST_RESULT / 1024 / 1024
                ))
            }
            DbError::Timeout(_) => {
                tracing::warn!(%error, "a statement timed out");
                Self::new(
                    ErrorCode::DeadlineExceeded,
                    "The statement exceeded the server's time limit. Request less: fewer \
                     conditions, fewer experiments or a smaller page.",
                )
            }
            DbError::Value(_) => {
                tracing::debug!(%error, "the database refused a value");
                Self::bad_request("The request has a value that the database cannot hold.")
            }
            DbError::Unique(_) | DbError::ForeignKey(_) => {
                tracing::debug!(%error, "the database refused a row");
                Self::bad_request(
                    "The request contradicts what is stored: it repeats a key or names something that does not exist.",
                )
            }
            DbError::Other(_) => {
                tracing::error!(%error, "unexpected database error");
                Self::internal("Internal database error. The server's log has the details under this request's id.")
            }
        }
    }
}
