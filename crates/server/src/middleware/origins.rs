//! Validates the origins of requests that change state: local ones, and those that the operator allows.

use url::{Host, Url};

use super::hosts::Pattern;

/// The origins that the operator allows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origins {
    any: bool,
    patterns: Vec<Pattern>,
}

impl Origins {
    /// Parses a comma-separated list: `*`, or patterns such as `https://*.example.com`.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let items = || list.split(',').map(str::trim).filter(|item| !item.is_empty());
        let pattern = |text: &str| Pattern::new(text, text.split_once("://").map_or(text, |(_, authority)| authority));
        Self { any: items().any(|item| item == "*"), patterns: items().map(pattern).collect() }
    }

    /// Whether every origin is allowed.
    pub(super) fn allows_any(&self) -> bool {
        self.any
    }

    /// Whether an `Origin` header is local or allowed by the operator.
    pub(super) fn allow(&self, header: &str) -> bool {
        if self.any || self.patterns.iter().any(|pattern| pattern.equals(header)) {
            return true;
        }
        let Some(host) = host(header) else { return false };
        is_loopback(&host) || self.patterns.iter().any(|pattern| pattern.matches(header, &host))
    }
}

/// The host of an origin in the form that browsers send: a scheme, a host and an optional port, and nothing else.
fn host(header: &str) -> Option<Host> {
    let url = Url::parse(header).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.origin().ascii_serialization().eq_ignore_ascii_case(header).then(|| url.host().map(|host| host.to_owned()))?
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => *ip == std::net::Ipv4Addr::LOCALHOST,
        Host::Ipv6(ip) => *ip == std::net::Ipv6Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let allowed = Origins::parse("https://app.example, https://*.corp.example,http://10.*,vscode-webview://x");
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:1",
            "https://app.example",
            "https://x.corp.example",
            "http://10.0.0.7",
            "vscode-webview://x",
        ] {
            assert!(allowed.allow(origin), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://evil@localhost",
            "foo://localhost",
            "http://localhost/path",
            "http://localhost:99999",
            "https://evil.example/.corp.example",
            "https://evil.example#.corp.example",
            "http://10.evil.example",
            "localhost",
        ] {
            assert!(!allowed.allow(origin), "{origin}");
        }
        assert!(Origins::parse("*").allow("https://anything.example"));
    }
}
