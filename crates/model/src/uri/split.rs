//! Splits URIs like Python's `urllib.parse` (3.11), on which it depends what the reference accepts as a location.

use std::net::Ipv6Addr;

use crate::{Error, Result};

/// Schemes with parameters, which follow a `;` in the last path component.
const WITH_PARAMS: &[&str] = &[
    "", "ftp", "hdl", "prospero", "http", "imap", "https", "shttp", "rtsp", "rtsps", "rtspu", "sip", "sips", "mms",
    "sftp", "tel",
];

/// Characters that NFKC normalisation of a host maps to one of `/?#@:`.
const NFKC_DELIMITERS: &[char] = &[
    '\u{2047}', '\u{2048}', '\u{2049}', '\u{2100}', '\u{2101}', '\u{2105}', '\u{2106}', '\u{2a74}', '\u{fe13}',
    '\u{fe16}', '\u{fe55}', '\u{fe56}', '\u{fe5f}', '\u{fe6b}', '\u{ff03}', '\u{ff0f}', '\u{ff1a}', '\u{ff1f}',
    '\u{ff20}',
];

/// The parts of a URI or a plain path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitUri {
    /// The scheme in lower case; empty for a plain path.
    pub scheme: String,
    /// The authority: `user@host:port`.
    pub authority: String,
    /// The path, as written.
    pub path: String,
}

impl SplitUri {
    /// Splits a URI. Drops the query and the fragment.
    ///
    /// # Errors
    /// The host is not valid.
    pub fn parse(uri: &str) -> Result<Self> {
        Self::split(uri, true)
    }

    /// [`parse`](Self::parse), but `#` is part of the path.
    ///
    /// # Errors
    /// The host is not valid.
    pub fn parse_without_fragment(uri: &str) -> Result<Self> {
        Self::split(uri, false)
    }

    fn split(uri: &str, fragments: bool) -> Result<Self> {
        let text: String =
            uri.trim_start_matches(|c| c <= ' ').chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect();
        let mut rest = text.as_str();
        let scheme = super::scheme(rest).unwrap_or_default();
        if !scheme.is_empty() {
            rest = &rest[scheme.len() + 1..];
        }
        let mut authority = "";
        if let Some(behind) = rest.strip_prefix("//") {
            let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
            (authority, rest) = behind.split_at(end);
            if !is_authority(authority) {
                return Err(Error::invalid(format!("Invalid URI '{uri}': '{authority}' is not a host")));
            }
        }
        if fragments {
            rest = rest.split('#').next().unwrap_or_default();
        }
        let path = rest.split('?').next().unwrap_or_default();
        Ok(Self { scheme, authority: authority.to_owned(), path: path.to_owned() })
    }

    /// The path without parameters, if the scheme has them.
    #[must_use]
    pub fn path_without_params(&self) -> &str {
        if !WITH_PARAMS.contains(&self.scheme.as_str()) {
            return &self.path;
        }
        let last = self.path.rfind('/').unwrap_or_default();
        self.path[last..].find(';').map_or(&self.path, |at| &self.path[..last + at])
    }

    /// The host in lower case; empty if there is none.
    #[must_use]
    pub fn host(&self) -> String {
        let (host, _) = self.host_and_port();
        match host.split_once('%') {
            Some((host, zone)) => format!("{}%{zone}", host.to_lowercase()),
            None => host.to_lowercase(),
        }
    }

    /// The port, if there is one; `Err` if it is not a valid port number.
    pub(crate) fn port(&self) -> Result<Option<u16>, ()> {
        match self.host_and_port().1 {
            "" => Ok(None),
            port if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().map(Some).map_err(|_| ()),
            _ => Err(()),
        }
    }

    fn host_and_port(&self) -> (&str, &str) {
        let info = self.authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match info.split_once('[') {
            Some((_, bracketed)) => {
                let (host, port) = bracketed.split_once(']').unwrap_or((bracketed, ""));
                (host, port.split_once(':').map_or("", |(_, port)| port))
            }
            None => info.split_once(':').unwrap_or((info, "")),
        };
        (host, port)
    }
}

fn is_authority(authority: &str) -> bool {
    if authority.contains('[') != authority.contains(']') {
        return false;
    }
    let inside = authority.split_once('[').map(|(_, rest)| rest.split(']').next().unwrap_or_default());
    let host = inside.is_none_or(|host| match host.strip_prefix('v') {
        Some(future) => future.split_once('.').is_some_and(|(version, rest)| {
            !version.is_empty() && !rest.is_empty() && version.bytes().all(|b| b.is_ascii_hexdigit())
        }),
        None => host.split('%').next().unwrap_or_default().parse::<Ipv6Addr>().is_ok(),
    });
    host && !authority.contains(NFKC_DELIMITERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str) -> (String, String, String) {
        let SplitUri { scheme, authority, path } = SplitUri::parse(uri).unwrap();
        (scheme, authority, path)
    }

    #[test]
    fn a_uri_is_split_as_urllib_does() {
        for (uri, scheme, authority, path) in [
            ("s3://bucket/a/b?x=y#z", "s3", "bucket", "/a/b"),
            ("S3:/a", "s3", "", "/a"),
            ("/a/b", "", "", "/a/b"),
            ("//host/a", "", "host", "/a"),
            ("models:/m/1", "models", "", "/m/1"),
            ("C:\\a", "c", "", "\\a"),
            ("1a:/b", "", "", "1a:/b"),
            (" \u{1}ht\ntp://h", "http", "h", ""),
            ("http://h#/a", "http", "h", ""),
            ("dummy-source", "", "", "dummy-source"),
            (":a", "", "", ":a"),
            ("", "", "", ""),
        ] {
            assert_eq!(parts(uri), (scheme.into(), authority.into(), path.into()), "{uri}");
        }
        assert_eq!(SplitUri::parse_without_fragment("models:/a#b/1").unwrap().path, "/a#b/1");
        for uri in ["http://[::1/x", "http://]/x", "http://[1.2.3.4]/x", "http://a\u{2100}b/x"] {
            assert!(SplitUri::parse(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn hosts_ports_and_params() {
        for (uri, host, port) in [
            ("http://User@Example.COM:80/x", "example.com", Ok(Some(80))),
            ("http://[::1]:5000", "::1", Ok(Some(5000))),
            ("http://h:", "h", Ok(None)),
            ("http://h:x", "h", Err(())),
            ("http://h:99999", "h", Err(())),
            ("file:///x", "", Ok(None)),
        ] {
            let split = SplitUri::parse(uri).unwrap();
            assert_eq!((split.host(), split.port()), (host.into(), port), "{uri}");
        }
        assert_eq!(SplitUri::parse("http://h/a;b/c;d").unwrap().path_without_params(), "/a;b/c");
        assert_eq!(SplitUri::parse("s3://h/a;b").unwrap().path_without_params(), "/a;b");
    }
}
