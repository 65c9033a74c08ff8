//! PostgreSQL URIs: those of libpq, and SQLAlchemy's extensions.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ferroflow_model::Environment;

use super::{DEFAULT_PORT, PostgresUri, SslMode, UriError, decode};

/// The default socket directories of libpq: that of Debian, Red Hat and psycopg, and that of a server built from
/// source.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Replaces an error message that could show a part of a password.
const ENCODE: &str = "the PostgreSQL URI cannot be read: percent-encode special characters in the user and the password \
                      ('/' is %2F, '@' is %40, ':' is %3A, '?' is %3F, '&' is %26)";

/// Parses what follows the scheme.
pub(super) fn parse(rest: &str, environment: &Environment) -> Result<PostgresUri, UriError> {
    let is_ambiguous = is_ambiguous(rest);
    let is_secret = is_ambiguous || rest.split_once('?').is_some_and(|(_, query)| query.contains("password"));
    let read = read(rest, environment).map_err(|error| if is_secret { UriError(ENCODE.into()) } else { error });
    read.map(|uri| PostgresUri { is_ambiguous, ..uri })
}

/// Whether the password may contain a delimiter. What is between the first colon and the last `@` is redacted then.
fn is_ambiguous(rest: &str) -> bool {
    let between = rest.find(':').zip(rest.rfind('@')).and_then(|(colon, at)| rest.get(colon + 1..at));
    let Some(between) = between else { return false };
    // SQLAlchemy, and so this module, reads a password up to the only `@`, whatever it contains.
    let is_only = rest.matches('@').count() == 1;
    between.contains(['/', '?', '@']) && !(is_only && split_login(rest).is_ok_and(|(login, _)| login.is_some()))
}

/// Splits `user:password` from the rest at the `@`.
fn split_login(rest: &str) -> Result<(Option<&str>, &str), UriError> {
    let split = |at: usize| Ok((Some(&rest[..at]), &rest[at + 1..]));
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let query = rest.find('?').unwrap_or(rest.len());
    let authority = &rest[..path];
    if let Some(at) = authority.rfind('@') {
        if authority[..at].contains(':') && rest[at + 1..query].contains('@') {
            return Err(UriError(ENCODE.into()));
        }
        return split(at);
    }
    if !authority.contains(':') || authority.starts_with('[') {
        return Ok((None, rest));
    }
    // A password that contains a slash or a question mark, unless these are hosts with ports.
    match rest[..query].rfind('@') {
        Some(at) => split(at),
        None if authority.split(',').all(|host| split_port(host).is_ok()) => Ok((None, rest)),
        None => rest.rfind('@').map_or(Ok((None, rest)), split),
    }
}

fn read(rest: &str, environment: &Environment) -> Result<PostgresUri, UriError> {
    let (login, rest) = split_login(rest)?;
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = location.split_once('/').unwrap_or((location, ""));
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
        uri.hosts.extend(Some(decode(host, "host")?).filter(|host| !host.is_empty()));
        uri.ports.extend(port);
    }
    uri.database = Some(decode(database, "database")?).filter(|database| !database.is_empty());
    let mut further = QueryHosts::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(&value.replace('+', " "), name)?;
        set_option(&mut uri, &mut further, name, value)?;
    }
    if !further.hosts.is_empty() {
        uri.hosts = further.hosts;
    }
    if !further.ports.is_empty() {
        uri.ports = further.ports;
    }
    fill_from_env(&mut uri, environment)?;
    if uri.hosts.len() > 1 && uri.ports.len() > 1 && uri.hosts.len() != uri.ports.len() {
        return Err(UriError("the PostgreSQL URI names several hosts: give every one a port, or none".into()));
    }
    Ok(uri)
}

/// Hosts and ports of the query, which override those of the authority.
#[derive(Default)]
struct QueryHosts {
    hosts: Vec<String>,
    ports: Vec<u16>,
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

/// Truncates a text of the URI for an error message.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

fn set_option(uri: &mut PostgresUri, further: &mut QueryHosts, name: &str, value: String) -> Result<(), UriError> {
    match name {
        // SQLAlchemy accepts several `host` parameters, each with its port; libpq accepts a list.
        "host" => {
            for host in value.split(',').filter(|host| !host.is_empty()) {
                let (host, port) = if is_socket(host) { (host, None) } else { split_port(host)? };
                further.hosts.push(host.to_owned());
                further.ports.extend(port);
            }
        }
        "port" => further.ports = value.split(',').map(parse_port).collect::<Result<_, _>>()?,
        "user" => uri.user = Some(value),
        "password" => uri.password = Some(value),
        "passfile" => uri.password_file = Some(value.into()),
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
        // Options of libpq without effect here: keep-alives are always on, GSS is not supported.
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

/// Whether a host is the directory of a Unix socket.
fn is_socket(host: &str) -> bool {
    host.starts_with('/')
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

fn fill_from_env(uri: &mut PostgresUri, environment: &Environment) -> Result<(), UriError> {
    if uri.ports.is_empty() {
        uri.ports = match environment.get("PGPORT") {
            Some(ports) => ports.split(',').map(parse_port).collect::<Result<_, _>>()?,
            None => vec![DEFAULT_PORT],
        };
    }
    if uri.hosts.is_empty() {
        uri.hosts = match environment.get("PGHOST") {
            Some(hosts) => hosts.split(',').map(str::to_owned).collect(),
            None => vec![default_host(uri.port(0))],
        };
    }
    let from = |field: &mut Option<String>, name: &str| {
        if field.is_none() {
            *field = environment.get(name).map(str::to_owned);
        }
    };
    from(&mut uri.user, "PGUSER");
    from(&mut uri.password, "PGPASSWORD");
    from(&mut uri.database, "PGDATABASE");
    from(&mut uri.application_name, "PGAPPNAME");
    from(&mut uri.options, "PGOPTIONS");
    if uri.ssl_mode == SslMode::default()
        && let Some(mode) = environment.get("PGSSLMODE")
    {
        uri.ssl_mode = parse_ssl_mode(mode)?;
    }
    let path = |field: &mut Option<PathBuf>, name: &str| {
        if field.is_none() {
            *field = environment.get(name).map(PathBuf::from);
        }
    };
    path(&mut uri.ssl_root_cert, "PGSSLROOTCERT");
    path(&mut uri.ssl_cert, "PGSSLCERT");
    path(&mut uri.ssl_key, "PGSSLKEY");
    path(&mut uri.password_file, "PGPASSFILE");
    if uri.password_file.is_none() {
        let own = environment.get("HOME").map(|home| Path::new(home).join(".pgpass"));
        uri.password_file = own.filter(|path| path.exists());
    }
    Ok(())
}

/// The default host, as in libpq: the socket directory of a local server, else `localhost`.
fn default_host(port: u16) -> String {
    let has_socket = |folder: &&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    SOCKET_FOLDERS.into_iter().find(has_socket).unwrap_or("localhost").to_owned()
}
