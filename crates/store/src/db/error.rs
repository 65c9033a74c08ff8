//! What can go wrong below SQL, told apart as far as a caller acts on it.

use std::error::Error as _;

use ferroflow_model::ErrorCode;
use tokio_postgres::error::SqlState;

use super::progress::honest;

/// An error of the database or of the way to it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// A primary key or unique constraint refused the row.
    #[error("unique constraint violated: {0}")]
    Unique(String),
    /// A foreign key refused the row.
    #[error("foreign key violated: {0}")]
    ForeignKey(String),
    /// The transaction lost against a concurrent one; running it again may work.
    #[error("transaction conflict: {0}")]
    Conflict(String),
    /// Somebody else holds a lock for longer than this connection waits.
    #[error("lock not obtained: {0}")]
    Locked(String),
    /// The database is not there, or out of connections. Try again later.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// There was no connection, or no transaction could begin on it: nothing was done.
    #[error("nothing was begun: {0}")]
    NotBegun(String),
    /// The caller's other requests have all the connections that one caller may have.
    #[error("share of connections used up: {0}")]
    Busy(String),
    /// The statement ran longer than the limit for statements, and was stopped. Nothing of it stays.
    #[error("statement stopped: {0}")]
    Timeout(String),
    /// A value the database can not hold, such as a NUL in text or an integer out of range.
    #[error("value refused by the database: {0}")]
    Value(String),
    /// Anything else: a defect of ours or of the database.
    #[error("database error: {0}")]
    Other(String),
}

impl DbError {
    /// Whether running the same transaction once more can succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// The same error of a step before which nothing was begun.
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
            // Without an answer of the server it is the connection that failed, unless a value
            // could not even be encoded.
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
                // 22: data exception; 23: the remaining integrity constraints; 54: limits.
                Some("22" | "23" | "54") => Self::Value(text),
                // 08 connection, 28 login, 3D no such database, 53 resources, 57 shutdown,
                // 25006 read-only: a replica or a server in recovery.
                Some("08" | "28" | "3D" | "53" | "57") => Self::Unavailable(text),
                // Every statement of such a transaction that would write is refused.
                _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::NotBegun(text),
                _ => Self::Other(text),
            }
        }
    }
}

/// What a client is told of a database error. The details go to the log, not over the wire.
impl From<DbError> for ferroflow_model::Error {
    fn from(error: DbError) -> Self {
        match &error {
            DbError::Unavailable(_) | DbError::Locked(_) | DbError::Conflict(_) => {
                tracing::warn!(%error, "the database could not answer");
                Self::unavailable("The database is temporarily unavailable. Try again in a moment.")
            }
            DbError::NotBegun(_) => {
                tracing::warn!(%error, "the database could not be asked");
                honest(Self::busy("The database is temporarily unavailable; nothing was done. Try again in a moment."))
            }
            DbError::Busy(_) => {
                tracing::debug!(%error, "a caller has its share of the connections");
                Self::new(
                    ErrorCode::RequestLimitExceeded,
                    "Too many requests of this caller are running. Try again in a moment.",
                )
            }
            DbError::Timeout(_) => {
                tracing::warn!(%error, "a statement took too long");
                Self::new(
                    ErrorCode::DeadlineExceeded,
                    "The database did not answer within the server's limit for a statement. Ask for less: fewer \
                     conditions, fewer experiments or a smaller page.",
                )
            }
            DbError::Value(_) => {
                tracing::debug!(%error, "the database refused a value");
                Self::bad_request("The request has a value that the database can not hold.")
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
