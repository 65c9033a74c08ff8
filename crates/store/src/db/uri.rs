//! Where the data lives: backend URIs as SQLAlchemy writes them.

use std::{fmt, path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;

/// A parsed backend URI. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub enum BackendUri {
    /// A SQLite file, relative to the working directory or absolute.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresUri>),
}

/// What a PostgreSQL URI and the `PG*` environment variables say together.
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
    /// The database; the role's name when absent.
    pub database: Option<String>,
    /// How far TLS is asked for.
    pub ssl_mode: SslMode,
    /// PEM file with the certificates that are trusted; the system's when absent.
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
    /// Only a server that accepts writes will do (`target_session_attrs=read-write`).
    pub read_write_only: bool,
}

/// `sslmode` of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, certificates unchecked.
    #[default]
    Prefer,
    /// TLS, certificates checked only when a root certificate is given.
    Require,
    /// TLS, the certificate chain is checked.
    VerifyCa,
    /// TLS, the certificate chain and the host name are checked.
    VerifyFull,
}

/// Why a URI was refused, in one line without the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UriError(String);

impl BackendUri {
    /// Parses `sqlite:///relative`, `sqlite:////absolute`, `postgres://…`, `postgresql://…`,
    /// `postgresql+psycopg2://…` and `postgresql+psycopg://…`. What the URI leaves open comes from
    /// the `PG*` environment variables, as with libpq.
    ///
    /// # Errors
    /// One line that names what is wrong, never the password.
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        Self::parse_with_env(uri, |name| std::env::var(name).ok())
    }

    /// [`BackendUri::parse`] with the environment given by the caller.
    ///
    /// # Errors
    /// As [`BackendUri::parse`].
    pub fn parse_with_env(uri: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self, UriError> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Err(UriError(format!(
                "the backend store URI '{}' has no scheme: use sqlite:///path/to/file.db or postgresql://user:password@host:5432/database",
                shorten(uri)
            )));
        };
        let (dialect, driver) = match scheme.split_once('+') {
            Some((dialect, driver)) => (dialect, Some(driver)),
            None => (scheme, None),
        };
        match (dialect, driver) {
            ("sqlite", None | Some("pysqlite" | "pysqlcipher" | "aiosqlite")) => parse_sqlite(rest),
            ("postgres" | "postgresql", None | Some("psycopg2" | "psycopg" | "asyncpg" | "pg8000" | "psycopg2cffi")) => {
                parse_postgres(rest, env).map(|uri| Self::Postgres(Box::new(uri)))
            }
            ("mysql" | "mssql", _) => Err(UriError(format!(
                "the backend store '{dialect}' is not supported: use SQLite or PostgreSQL"
            ))),
            ("file", _) => Err(UriError(
                "the file store is not supported: use sqlite:///mlflow.db (the reference's `mlflow migrate-filestore` moves a file store into a database)".into(),
            )),
            _ => Err(UriError(format!(
                "the scheme '{}' of the backend store URI is not supported: use sqlite:// or postgresql://",
                shorten(scheme)
            ))),
        }
    }
}

/// A piece of user text that is safe and short enough for an error line.
fn shorten(text: &str) -> String {
    let text = text.rsplit_once('@').map_or(text, |(_, tail)| tail);
    text.chars().take(60).collect()
}

fn parse_sqlite(rest: &str) -> Result<BackendUri, UriError> {
    let (location, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((host, path)) = location.split_once('/') else {
        return Err(UriError("an in-memory SQLite database can not be served: use sqlite:///path/to/file.db".into()));
    };
    if !host.is_empty() {
        return Err(UriError(
            "a SQLite URI has three slashes before a relative path (sqlite:///mlflow.db) and four before an absolute one".into(),
        ));
    }
    let path = decode(path, "path")?;
    if path.is_empty() || path == ":memory:" {
        return Err(UriError("an in-memory SQLite database can not be served: use sqlite:///path/to/file.db".into()));
    }
    Ok(BackendUri::Sqlite(PathBuf::from(path)))
}

fn parse_postgres(rest: &str, env: impl Fn(&str) -> Option<String>) -> Result<PostgresUri, UriError> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = location.split_once('/').unwrap_or((location, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    let mut uri = PostgresUri::default();
    if let Some(login) = login {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        uri.user = Some(decode(user, "user")?).filter(|user| !user.is_empty());
        uri.password = password.map(|password| decode(password, "password")).transpose()?;
    }
    for host in hosts.split(',').filter(|host| !host.is_empty()) {
        let (host, port) = split_port(host)?;
        uri.hosts.push(decode(host, "host")?);
        uri.ports.extend(port);
    }
    uri.database = Some(decode(database, "database")?).filter(|database| !database.is_empty());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(&value.replace('+', " "), name)?;
        set_option(&mut uri, name, value)?;
    }
    fill_from_env(&mut uri, env)?;
    if uri.hosts.len() > 1 && uri.ports.len() > 1 && uri.hosts.len() != uri.ports.len() {
        return Err(UriError("the PostgreSQL URI names several hosts: give every one a port, or none".into()));
    }
    Ok(uri)
}

fn split_port(host: &str) -> Result<(&str, Option<u16>), UriError> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (name, tail) = rest
            .split_once(']')
            .ok_or_else(|| UriError("the IPv6 address in the PostgreSQL URI has no closing bracket".into()))?;
        (name, tail.strip_prefix(':'))
    } else {
        match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    match port {
        None | Some("") => Ok((name, None)),
        Some(port) => Ok((name, Some(parse_port(port)?))),
    }
}

fn parse_port(port: &str) -> Result<u16, UriError> {
    port.parse().map_err(|_| UriError(format!("'{}' in the PostgreSQL URI is not a port", shorten(port))))
}

fn set_option(uri: &mut PostgresUri, name: &str, value: String) -> Result<(), UriError> {
    match name {
        "host" => uri.hosts = value.split(',').map(str::to_owned).collect(),
        "port" => uri.ports = value.split(',').map(parse_port).collect::<Result<_, _>>()?,
        "user" => uri.user = Some(value),
        "password" => uri.password = Some(value),
        "dbname" => uri.database = Some(value),
        "sslmode" => uri.ssl_mode = parse_ssl_mode(&value)?,
        "sslrootcert" => uri.ssl_root_cert = Some(value.into()),
        "sslcert" => uri.ssl_cert = Some(value.into()),
        "sslkey" => uri.ssl_key = Some(value.into()),
        "application_name" | "fallback_application_name" => uri.application_name = Some(value),
        "options" => uri.options = Some(value),
        "connect_timeout" => {
            let seconds: u64 = value
                .parse()
                .map_err(|_| UriError("connect_timeout in the PostgreSQL URI is not a number of seconds".into()))?;
            uri.connect_timeout = Some(Duration::from_secs(seconds)).filter(|timeout| !timeout.is_zero());
        }
        "target_session_attrs" => match value.as_str() {
            "any" | "prefer-standby" => {}
            "read-write" | "primary" => uri.read_write_only = true,
            _ => {
                return Err(UriError(format!(
                    "target_session_attrs={} is not supported in the PostgreSQL URI",
                    shorten(&value)
                )));
            }
        },
        // Options of libpq that change nothing here: keep-alives are on, GSS is not built.
        "keepalives"
        | "keepalives_idle"
        | "keepalives_interval"
        | "keepalives_count"
        | "gssencmode"
        | "channel_binding"
        | "client_encoding"
        | "sslcompression"
        | "tcp_user_timeout"
        | "sslsni" => {}
        _ => return Err(UriError(format!("the option '{}' of the PostgreSQL URI is not known", shorten(name)))),
    }
    Ok(())
}

fn parse_ssl_mode(value: &str) -> Result<SslMode, UriError> {
    Ok(match value {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => {
            return Err(UriError(format!(
                "sslmode={} is not one of disable, allow, prefer, require, verify-ca, verify-full",
                shorten(value)
            )));
        }
    })
}

fn fill_from_env(uri: &mut PostgresUri, env: impl Fn(&str) -> Option<String>) -> Result<(), UriError> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    if uri.hosts.is_empty() {
        uri.hosts = match env("PGHOST") {
            Some(hosts) => hosts.split(',').map(str::to_owned).collect(),
            None => vec!["localhost".to_owned()],
        };
    }
    if uri.ports.is_empty() {
        let port = env("PGPORT").map(|port| parse_port(&port)).transpose()?;
        uri.ports = vec![port.unwrap_or(5432)];
    }
    let from = |field: &mut Option<String>, name: &str| {
        if field.is_none() {
            *field = env(name);
        }
    };
    from(&mut uri.user, "PGUSER");
    from(&mut uri.password, "PGPASSWORD");
    from(&mut uri.database, "PGDATABASE");
    from(&mut uri.application_name, "PGAPPNAME");
    from(&mut uri.options, "PGOPTIONS");
    if uri.ssl_mode == SslMode::default()
        && let Some(mode) = env("PGSSLMODE")
    {
        uri.ssl_mode = parse_ssl_mode(&mode)?;
    }
    if uri.ssl_root_cert.is_none() {
        uri.ssl_root_cert = env("PGSSLROOTCERT").map(PathBuf::from);
    }
    if uri.ssl_cert.is_none() {
        uri.ssl_cert = env("PGSSLCERT").map(PathBuf::from);
    }
    if uri.ssl_key.is_none() {
        uri.ssl_key = env("PGSSLKEY").map(PathBuf::from);
    }
    Ok(())
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
                for (index, host) in uri.hosts.iter().enumerate() {
                    let port = uri.ports.get(index).or(uri.ports.first()).copied().unwrap_or(5432);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<BackendUri, UriError> {
        BackendUri::parse_with_env(uri, |_| None)
    }

    fn postgres(uri: &str) -> PostgresUri {
        match parse(uri).unwrap() {
            BackendUri::Postgres(uri) => *uri,
            BackendUri::Sqlite(_) => panic!("not PostgreSQL"),
        }
    }

    #[test]
    fn sqlite_paths_are_relative_with_three_slashes_and_absolute_with_four() {
        assert_eq!(parse("sqlite:///mlflow.db"), Ok(BackendUri::Sqlite("mlflow.db".into())));
        assert_eq!(parse("sqlite:////var/lib/m%20l.db"), Ok(BackendUri::Sqlite("/var/lib/m l.db".into())));
        assert_eq!(parse("sqlite:///x.db?timeout=5"), Ok(BackendUri::Sqlite("x.db".into())));
        for memory in ["sqlite://", "sqlite:///", "sqlite:///:memory:"] {
            assert!(parse(memory).unwrap_err().to_string().contains("in-memory"), "{memory}");
        }
        assert!(parse("sqlite://mlflow.db/x").is_err());
    }

    #[test]
    fn every_spelling_of_postgresql_is_understood() {
        for scheme in ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"] {
            let uri = postgres(&format!("{scheme}://al%40ice:p%3Aw%2Fd@db.example:6432/ml?sslmode=verify-full"));
            assert_eq!(uri.user.as_deref(), Some("al@ice"));
            assert_eq!(uri.password.as_deref(), Some("p:w/d"));
            assert_eq!(uri.hosts, ["db.example"]);
            assert_eq!(uri.ports, [6432]);
            assert_eq!(uri.database.as_deref(), Some("ml"));
            assert_eq!(uri.ssl_mode, SslMode::VerifyFull);
        }
    }

    #[test]
    fn a_password_with_an_at_sign_left_unescaped_still_works() {
        assert_eq!(postgres("postgresql://u:p@ss@h/d").password.as_deref(), Some("p@ss"));
    }

    #[test]
    fn sockets_ipv6_and_several_hosts() {
        assert_eq!(postgres("postgresql://u@/d?host=/run/pg").hosts, ["/run/pg"]);
        assert_eq!(postgres("postgresql://[::1]:7/d").hosts, ["::1"]);
        let uri = postgres("postgresql://a:1,b:2/d?target_session_attrs=read-write");
        assert_eq!((uri.hosts.len(), uri.ports.len(), uri.read_write_only), (2, 2, true));
    }

    #[test]
    fn the_environment_fills_the_gaps_and_never_overrides() {
        let env = |name: &str| match name {
            "PGPASSWORD" => Some("secret".to_owned()),
            "PGUSER" => Some("other".to_owned()),
            "PGSSLMODE" => Some("require".to_owned()),
            _ => None,
        };
        let BackendUri::Postgres(uri) = BackendUri::parse_with_env("postgresql://me@h/d", env).unwrap() else {
            panic!("not PostgreSQL")
        };
        assert_eq!(uri.user.as_deref(), Some("me"));
        assert_eq!(uri.password.as_deref(), Some("secret"));
        assert_eq!(uri.ssl_mode, SslMode::Require);
    }

    #[test]
    fn no_error_and_no_display_shows_the_password() {
        let uri = parse("postgresql://u:hunter2@h/d").unwrap();
        assert_eq!(uri.to_string(), "postgresql://u@h:5432/d");
        assert!(!format!("{uri:?}").contains("hunter2"));
        for bad in [
            "postgresql://u:hunter2@h:notaport/d",
            "postgresql://u:hunter2@h/d?nope=1",
            "postgresql://u:hunter2@h/d?sslmode=maybe",
            "u:hunter2@h/d",
            "oracle://u:hunter2@h/d",
            "mysql+pymysql://u:hunter2@h/d",
        ] {
            assert!(!parse(bad).unwrap_err().to_string().contains("hunter2"), "{bad}");
        }
    }
}
