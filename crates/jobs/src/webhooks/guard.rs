//! Keeps requests to URLs of users out of the server's internal network (SSRF protection).
//!
//! A URL is checked when a webhook is created, when it is changed and before each delivery. That alone is not enough,
//! since a name may resolve to another address a moment later (DNS rebinding): the client's resolver returns only
//! public addresses, and the client connects to no others. IP addresses in URLs, which bypass the resolver, are checked
//! by [`Guard::target`].

use std::{
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ferroflow_model::{Error, Result, address::is_public, python, uri};
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::sync::Semaphore;

/// Timeout of a DNS lookup.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of concurrent lookups. Each takes a thread, also after its timeout.
const LOOKUPS: usize = 8;

/// The allowed targets, and the resolver.
#[derive(Clone)]
pub(super) struct Guard {
    schemes: Arc<[String]>,
    allow_private: bool,
    lookups: Arc<Semaphore>,
}

impl Guard {
    pub(super) fn new(schemes: Vec<String>, allow_private: bool) -> Self {
        Self { schemes: schemes.into(), allow_private, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// Parses and checks a URL, without a DNS lookup.
    ///
    /// # Errors
    /// It is not a URL, its scheme is not allowed, or its host is a non-public IP address.
    pub(super) fn target(&self, url: &str) -> Result<Url> {
        if url.trim().is_empty() {
            return Err(Error::invalid(format!(
                "Webhook URL cannot be empty or just whitespace: {}",
                python::repr(url)
            )));
        }
        let scheme = uri::scheme(url).unwrap_or_default();
        if !self.schemes.contains(&scheme) || !matches!(scheme.as_str(), "http" | "https") {
            return Err(Error::invalid(format!(
                "Invalid webhook URL scheme: {}. Allowed schemes are: {}.",
                python::repr(&scheme),
                self.schemes.join(", ")
            )));
        }
        let no_host = || Error::invalid(format!("Webhook URL must include a hostname: {}", python::repr(url)));
        // The parser below would accept the `path` in `https:///path` as the host.
        if !has_host(url) {
            return Err(no_host());
        }
        // The client uses the same parser, so that both see the same host.
        let parsed = Url::parse(url)
            .map_err(|error| Error::invalid(format!("Invalid webhook URL {}: {error}", python::repr(url))))?;
        let host = parsed.host_str().ok_or_else(no_host)?;
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            self.allow(host, address).map_err(Error::from)?;
        }
        Ok(parsed)
    }

    /// Parses and checks a URL and the addresses that its host resolves to.
    ///
    /// # Errors
    /// Those of [`Guard::target`]; or the host can not be resolved, or has a non-public address.
    pub(super) async fn check(&self, url: &str) -> Result<Url> {
        let url = self.target(url)?;
        let host = url.host_str().unwrap_or_default();
        // With private addresses allowed, the host need not exist yet.
        if !self.allow_private && host.trim_matches(['[', ']']).parse::<IpAddr>().is_err() {
            self.resolve(host).await.map_err(Error::from)?;
        }
        Ok(url)
    }

    fn allow(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        if self.allow_private || is_public(address) {
            return Ok(());
        }
        Err(Refusal::NotPublic { host: host.to_owned(), address })
    }

    /// The addresses of a host, all of which are allowed.
    async fn resolve(&self, host: &str) -> Result<Vec<SocketAddr>, Refusal> {
        let lookups = Arc::clone(&self.lookups);
        let name = host.to_owned();
        let lookup = tokio::spawn(async move {
            // Held until the thread is free again.
            let _permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect::<Vec<_>>())
        });
        let found = match tokio::time::timeout(TIMEOUT, lookup).await {
            Ok(joined) => joined.unwrap_or_else(|error| Err(io::Error::other(error))),
            Err(_) => return Err(Refusal::TimedOut { host: host.to_owned() }),
        };
        let found =
            found.map_err(|error| Refusal::Unresolvable { host: host.to_owned(), reason: error.to_string() })?;
        for address in &found {
            self.allow(host, address.ip())?;
        }
        Ok(found)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(Guard::resolve(&guard, name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether there is anything between `//` and the path.
fn has_host(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(['/', '\\', '?', '#']))
}

/// Why a host is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It resolves to a non-public address.
    NotPublic { host: String, address: IpAddr },
    /// It can not be resolved.
    Unresolvable { host: String, reason: String },
    /// The lookup timed out.
    TimedOut { host: String },
}

impl Refusal {
    /// Whether a retry is pointless.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(self, Self::NotPublic { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPublic { host, address } => write!(
                f,
                "Webhook URL must not resolve to a non-public IP address. {} resolves to {address}.",
                python::repr(host.trim_matches(['[', ']']))
            ),
            Self::Unresolvable { host, reason } => {
                write!(f, "Cannot resolve Webhook URL hostname {}: {reason}", python::repr(host))
            }
            Self::TimedOut { host } => write!(
                f,
                "Timed out resolving Webhook URL hostname {} after {} seconds",
                python::repr(host),
                TIMEOUT.as_secs()
            ),
        }
    }
}

impl StdError for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::invalid(refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(vec!["https".into()], false)
    }

    fn refusal(url: &str) -> String {
        guard().target(url).unwrap_err().message
    }

    #[test]
    fn a_url_has_an_allowed_scheme_and_a_host() {
        assert_eq!(refusal(" \n"), "Webhook URL cannot be empty or just whitespace: ' \\n'");
        assert_eq!(refusal("http://h/"), "Invalid webhook URL scheme: 'http'. Allowed schemes are: https.");
        assert_eq!(refusal("example.org/x"), "Invalid webhook URL scheme: ''. Allowed schemes are: https.");
        for url in ["https:", "https://", "https:///x", "https:x", "https://?x", "https:\\\\h"] {
            assert_eq!(refusal(url), format!("Webhook URL must include a hostname: {}", python::repr(url)));
        }
        assert!(refusal("https://[::1/x").starts_with("Invalid webhook URL "));
        assert!(guard().target("HTTPS://Example.ORG:8443/a?b#c").is_ok());
        let odd = Guard::new(vec!["ftp".into(), "https".into()], false);
        assert!(odd.target("ftp://h/").is_err(), "only HTTP is spoken");
    }

    #[test]
    fn non_public_addresses_are_refused_in_every_notation() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.1.1.1@127.0.0.1",
            "1.1.1.1\\@127.0.0.1",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "0",
            "10.0.0.1:8080",
        ] {
            let url = format!("https://{host}/");
            let outcome = guard().target(&url);
            // A backslash ends the host, for browsers as for this client.
            if host.contains('\\') {
                assert_eq!(outcome.unwrap().host_str(), Some("1.1.1.1"));
                continue;
            }
            assert!(outcome.unwrap_err().message.contains("non-public"), "{url}");
            assert!(Guard::new(vec!["https".into()], true).target(&url).is_ok(), "{url} with the setting");
        }
        assert!(guard().target("https://93.184.216.34/").is_ok());
    }

    #[tokio::test]
    async fn names_of_non_public_addresses_are_refused_on_check_and_on_connect() {
        let message = guard().check("https://localhost:8443/").await.unwrap_err().message;
        assert!(
            message.starts_with("Webhook URL must not resolve to a non-public IP address. 'localhost'"),
            "{message}"
        );
        // A label of more than 63 characters is invalid, so no DNS query is sent.
        let unknown = "x".repeat(64);
        let message = guard().check(&format!("https://{unknown}/")).await.unwrap_err().message;
        assert!(message.starts_with(&format!("Cannot resolve Webhook URL hostname '{unknown}': ")), "{message}");
        let Err(error) = Resolve::resolve(&guard(), "localhost".parse().unwrap()).await else { panic!("refused") };
        assert!(error.downcast_ref::<Refusal>().is_some_and(Refusal::is_permanent));
        let open = Guard::new(vec!["https".into()], true);
        assert!(open.check(&format!("https://{unknown}/")).await.is_ok(), "it may come into being later");
        assert!(Resolve::resolve(&open, "localhost".parse().unwrap()).await.is_ok());
    }
}
