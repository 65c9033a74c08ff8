//! Backend URIs in the form of SQLAlchemy.

mod postgres;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use ferroflow_model::Environment;
use percent_encoding::percent_decode_str;

/// A parsed backend URI. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub enum BackendUri {
    /// A SQLite file, relative to the working directory or absolute.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresUri>),
}

/// The settings of a PostgreSQL URI and of the `PG*` environment variables, combined.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PostgresUri {
    /// Host names, addresses or socket directories, in the order they are tried.
    pub hosts: Vec<String>,
    /// One port per host, or one for all.
    pub ports: Vec<u16>,
    /// The role; the operating system's user name when absent.
    pub user: Option<String>,
    /// The password, if any.
    pub password: Option<String>,
    /// A password file in the format of `~/.pgpass`, read for each connection. Used if there is no
    /// [`PostgresUri::password`].
    pub password_file: Option<PathBuf>,
    /// The database; the role's name when absent.
    pub database: Option<String>,
    /// Whether TLS is required, and what is verified.
    pub ssl_mode: SslMode,
    /// PEM file with the trusted root certificates; the system's when absent.
    pub ssl_root_cert: Option<PathBuf>,
    /// PEM file with the client's certificate.
    pub ssl_cert: Option<PathBuf>,
    /// PEM file with the client's key.
    pub ssl_key: Option<PathBuf>,
    /// The name shown in `pg_stat_activity`.
    pub application_name: Option<String>,
    /// Server options, as `-c search_path=x`.
    pub options: Option<String>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Option<Duration>,
    /// Accept only a server that is writable (`target_session_attrs=read-write`).
    pub read_write_only: bool,
    /// The parsed host and database may contain a part of the password, and so are redacted.
    pub is_ambiguous: bool,
}

impl PostgresUri {
    /// The port of the host with this index.
    #[must_use]
    pub fn port(&self, host: usize) -> u16 {
        self.ports.get(host).or(self.ports.first()).copied().unwrap_or(DEFAULT_PORT)
    }
}

/// PostgreSQL's default port.
const DEFAULT_PORT: u16 = 5432;

/// `sslmode` of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server supports it; certificates are not verified.
    #[default]
    Prefer,
    /// TLS; certificates are verified only when a root certificate is given.
    Require,
    /// TLS; the certificate chain is verified.
    VerifyCa,
    /// TLS; the certificate chain and the host name are verified.
    VerifyFull,
}

/// Why a URI was rejected, in one line without the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UriError(String);

impl BackendUri {
    /// Parses `sqlite:///relative`, `sqlite:////absolute`, `postgres://…` and `postgresql://…`, with or without a
    /// driver as in `postgresql+psycopg2://…`. What the URI does not set comes from the `PG*` environment variables, as
    /// in libpq.
    ///
    /// # Errors
    /// One line that says what is wrong, without the password.
    pub fn parse(uri: &str, environment: &Environment) -> Result<Self, UriError> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Err(UriError(format!(
                "the backend store URI{} has no scheme: use sqlite:///path/to/file.db or postgresql://user:password@host:5432/database",
                quoted(uri)
            )));
        };
        let (dialect, driver) = match scheme.split_once('+') {
            Some((dialect, driver)) => (dialect, Some(driver)),
            None => (scheme, None),
        };
        match (dialect, driver) {
            ("sqlite", None | Some("pysqlite" | "pysqlcipher" | "aiosqlite")) => parse_sqlite(rest),
            ("postgres" | "postgresql", None | Some("psycopg2" | "psycopg" | "asyncpg" | "pg8000" | "psycopg2cffi")) => {
                postgres::parse(rest, environment).map(|uri| Self::Postgres(Box::new(uri)))
            }
            ("mysql" | "mssql", _) => Err(UriError(format!(
                "the backend store '{dialect}' is not supported: use SQLite or PostgreSQL"
            ))),
            ("file", _) => Err(UriError(
                "the file store is not supported: use sqlite:///mlflow.db (the reference's `mlflow migrate-filestore` moves a file store into a database)".into(),
            )),
            _ => Err(UriError(format!(
                "the scheme{} of the backend store URI is not supported: use sqlite:// or postgresql://",
                quoted(scheme)
            ))),
        }
    }
}

impl BackendUri {
    /// Whether another URI names the same database, perhaps with other credentials or settings.
    #[must_use]
    pub fn is_same_database(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(path), Self::Sqlite(other)) => {
                let full = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
                path == other || full(path).is_some_and(|path| Some(path) == full(other))
            }
            (Self::Postgres(uri), Self::Postgres(other)) => {
                let database = |uri: &PostgresUri| uri.database.clone().or_else(|| uri.user.clone());
                let ports = |uri: &PostgresUri| (0..uri.hosts.len()).map(|host| uri.port(host)).collect::<Vec<_>>();
                uri.hosts == other.hosts
                    && ports(uri) == ports(other)
                    && database(uri) == database(other)
                    && uri.options == other.options
            }
            _ => false,
        }
    }
}

/// Quotes a text for an error message. Only a plain name or path is shown; anything else may contain a password.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|char| char.is_ascii_alphanumeric() || "./_-+".contains(char));
    if is_plain && text.len() <= 60 { format!(" '{text}'") } else { String::new() }
}

fn parse_sqlite(rest: &str) -> Result<BackendUri, UriError> {
    let (location, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((host, path)) = location.split_once('/') else {
        return Err(UriError("an in-memory SQLite database cannot be served: use sqlite:///path/to/file.db".into()));
    };
    if !host.is_empty() {
        return Err(UriError(
            "a SQLite URI has three slashes before a relative path (sqlite:///mlflow.db) and four before an absolute one".into(),
        ));
    }
    let path = decode(path, "path")?;
    if path.is_empty() || path == ":memory:" {
        return Err(UriError("an in-memory SQLite database cannot be served: use sqlite:///path/to/file.db".into()));
    }
    Ok(BackendUri::Sqlite(PathBuf::from(path)))
}

fn decode(text: &str, what: &str) -> Result<String, UriError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| UriError(format!("the {what} in the backend store URI is not UTF-8 after percent-decoding")))
}

impl fmt::Display for BackendUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:///{}", path.display()),
            Self::Postgres(uri) => {
                f.write_str("postgresql://")?;
                if let Some(user) = &uri.user {
                    write!(f, "{user}@")?;
                }
                if uri.is_ambiguous {
                    return f.write_str("…");
                }
                for (index, host) in uri.hosts.iter().enumerate() {
                    let port = uri.port(index);
                    write!(f, "{}{host}:{port}", if index == 0 { "" } else { "," })?;
                }
                write!(f, "/{}", uri.database.as_deref().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for BackendUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendUri({self})")
    }
}
