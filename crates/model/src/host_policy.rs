//! Restricts the hosts that client-supplied locations may make the server connect to (SSRF protection).
//!
//! Some schemes of artifact locations (`http`, `hdfs`, …) name the host to connect to. Only the server's own storage is
//! allowed, unless the operator allows a scheme.

use std::collections::HashSet;

use crate::{Error, Result, uri::SplitUri};

/// Schemes whose locations name a host, the family of each, and its default ports.
const SCHEMES: &[(&str, &str, &[u16])] = &[
    ("ftp", "ftp", &[21]),
    ("sftp", "sftp", &[22]),
    // A Hadoop client reads the port from its own settings.
    ("hdfs", "hdfs", &[]),
    ("viewfs", "hdfs", &[]),
    ("http", "http", &[80]),
    ("https", "http", &[443]),
    // Both, since the tracking server may be reached over either protocol.
    ("mlflow-artifacts", "http", &[80, 443]),
    ("r2", "r2", &[443]),
    ("b2", "b2", &[443]),
    ("abfss", "abfss", &[443]),
];

/// Database schemes, which the reference validates.
const DATABASES: [&str; 4] = ["postgresql", "mysql", "sqlite", "mssql"];

/// The hosts that may be connected to.
#[derive(Debug, Clone, Default)]
pub struct HostPolicy {
    trusted: HashSet<Target>,
    allowed: HashSet<String>,
}

/// Family of schemes, host and port.
type Target = (&'static str, String, Option<u16>);

impl HostPolicy {
    /// Allows the hosts of the server's own locations, and all hosts with one of the schemes in `allowed`, a
    /// comma-separated list (`MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES`).
    #[must_use]
    pub fn new(own_locations: &[&str], allowed: &str) -> Self {
        let trusted =
            own_locations.iter().filter_map(|location| named_host(location).ok()?).flat_map(|host| host.targets);
        let allowed = allowed.split(',').map(|scheme| scheme.trim().to_lowercase()).filter(|scheme| !scheme.is_empty());
        Self { trusted: trusted.collect(), allowed: allowed.collect() }
    }

    /// Checks a location from the request's field `field`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn check(&self, location: &str, field: &str) -> Result<()> {
        let Some(NamedHost { scheme, targets }) = named_host(location)? else { return Ok(()) };
        if targets.iter().any(|target| self.trusted.contains(target)) || self.allowed.contains(scheme) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "'{field}' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host other than the \
             tracking server's configured artifact storage, so the server would connect to the host named in the URI. \
             Set the MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server to allow it."
        )))
    }
}

/// The host that a location names.
struct NamedHost {
    scheme: &'static str,
    /// Empty if it is ambiguous which host a client would connect to.
    targets: Vec<Target>,
}

fn named_host(location: &str) -> Result<Option<NamedHost>> {
    let uri = SplitUri::parse(location)?;
    check_database(location, &uri.scheme)?;
    let Some((scheme, family, ports)) = SCHEMES.iter().find(|(scheme, ..)| *scheme == uri.scheme) else {
        return Ok(None);
    };
    // `mlflow-artifacts:/path` is this server.
    if *scheme == "mlflow-artifacts" && uri.authority.is_empty() {
        return Ok(None);
    }
    // Clients may end the host at a backslash or white space, where this parser does not.
    let targets = match uri.port() {
        Ok(port) if !uri.authority.contains(|c: char| c == '\\' || c.is_whitespace()) => {
            let ports = match port {
                Some(port) => vec![Some(port)],
                None if ports.is_empty() => vec![None],
                None => ports.iter().copied().map(Some).collect(),
            };
            ports.into_iter().map(|port| (*family, uri.host(), port)).collect()
        }
        _ => Vec::new(),
    };
    Ok(Some(NamedHost { scheme, targets }))
}

/// Refuses invalid database URIs.
fn check_database(location: &str, scheme: &str) -> Result<()> {
    if !DATABASES.iter().any(|database| scheme.starts_with(database)) {
        return Ok(());
    }
    let mut parts = scheme.split('+');
    let engine = parts.next().unwrap_or_default();
    if parts.count() > 1 {
        return Err(Error::invalid(format!(
            "Invalid database URI: '{location}'. Please refer to https://mlflow.org/docs/latest/tracking.html#storage \
             for format specifications."
        )));
    }
    if !DATABASES.contains(&engine) {
        return Err(Error::invalid(format!(
            "Invalid database engine: '{engine}'. Supported database engines are {}",
            DATABASES.join(", ")
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_without_a_host_are_allowed() {
        let policy = HostPolicy::default();
        for location in
            ["s3://bucket/x", "mlflow-artifacts:/1/x", "/a/b", "file:///x", "dbfs:/x", "wasbs://c@a/x", "sqlite:///x"]
        {
            assert_eq!(policy.check(location, "source"), Ok(()), "{location}");
        }
        for location in [
            "http://h/x",
            "HTTPS://h",
            "ftp:///x",
            "mlflow-artifacts://h/x",
            "hdfs://h/x",
            "abfss://f@a/x",
            "r2://b@e",
            "b2://x",
        ] {
            let message = policy.check(location, "source").unwrap_err().message;
            assert!(message.starts_with("'source' cannot use the '"), "{message}");
        }
        assert!(
            policy.check("sqlitex:/a", "source").unwrap_err().message.starts_with("Invalid database engine: 'sqlitex'")
        );
        assert!(policy.check("mysql+a+b:/a", "source").unwrap_err().message.starts_with("Invalid database URI"));
    }

    #[test]
    fn the_servers_own_hosts_are_trusted() {
        let policy = HostPolicy::new(&["http://Store:80/root", "hdfs://name/x", "mlflow-artifacts:/"], "");
        for location in ["http://store/a", "mlflow-artifacts://store/a", "viewfs://name/y"] {
            assert_eq!(policy.check(location, "source"), Ok(()), "{location}");
        }
        for location in
            ["https://store/a", "http://store:81/a", "hdfs://name:9000/y", "http://store\\x/a", "http://store:x/a"]
        {
            assert!(policy.check(location, "source").is_err(), "{location}");
        }
    }

    #[test]
    fn a_scheme_can_be_allowed() {
        let policy = HostPolicy::new(&[], " Http, ,hdfs");
        assert_eq!(policy.check("http://anywhere:x/a", "source"), Ok(()));
        assert_eq!(policy.check("hdfs://a", "source"), Ok(()));
        assert!(policy.check("https://a", "source").is_err());
    }
}
