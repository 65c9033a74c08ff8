//! Validates `Host` headers: names by pattern, IP addresses by network.
//!
//! A numeric pattern such as `10.*` only matches IP addresses: `10.0.0.7`, but not `10.evil.example`, which anyone can
//! register and resolve to this server (DNS rebinding). An IP address can not be rebound.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;
use wildmatch::WildMatch;

/// Networks that are allowed by default: loopback and private ones (RFC 1918, RFC 4193).
const DEFAULT_NETWORKS: [&str; 7] =
    ["127.0.0.1/32", "::1/128", "0.0.0.0/32", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// Patterns of the reference for two IPv6 networks, which match no valid address literally.
const REFERENCE_NETWORKS: [(&str, &str); 2] = [("fc00:*", "fc00::/8"), ("fd00:*", "fd00::/8")];

/// The allowed hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Hosts(Vec<Rule>);

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Any,
    /// Any address in a network, with any port.
    Network(IpNet),
    /// A pattern for the whole header.
    Text(Pattern),
}

/// A pattern: `*` matches any text and `?` any character.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pattern {
    text: String,
    wildcards: WildMatch,
    /// Whether it only matches IP addresses.
    addresses_only: bool,
}

impl Default for Hosts {
    fn default() -> Self {
        let networks = DEFAULT_NETWORKS.iter().filter_map(|text| text.parse().ok()).map(Rule::Network);
        let names = ["localhost", "localhost:*"].into_iter().map(|text| Rule::Text(Pattern::new(text, text)));
        Self(names.chain(networks).collect())
    }
}

impl Hosts {
    /// Parses a comma-separated list: `*`, networks such as `10.0.0.0/8`, and patterns.
    ///
    /// # Errors
    /// An item with a slash is not a network.
    pub fn parse(list: &str) -> Result<Self, String> {
        let rule = |text: &str| {
            let text = REFERENCE_NETWORKS.iter().find(|(known, _)| *known == text).map_or(text, |(_, network)| network);
            match text {
                "*" => Ok(Rule::Any),
                text if text.contains('/') => {
                    let network: Result<IpNet, _> = text.parse();
                    network.map(Rule::Network).map_err(|_| format!("'{text}' is not a network such as 10.0.0.0/8"))
                }
                text => Ok(Rule::Text(Pattern::new(text, text))),
            }
        };
        list.split(',').map(str::trim).map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Also allows an IP address, with any port.
    #[must_use]
    pub fn with_address(mut self, address: IpAddr) -> Self {
        self.0.push(Rule::Network(address.into()));
        self
    }

    /// Whether a `Host` header is allowed.
    pub(super) fn allow(&self, header: &str) -> bool {
        if self.0.contains(&Rule::Any) {
            return !header.is_empty();
        }
        let Some(host) = host(header) else { return false };
        self.0.iter().any(|rule| match rule {
            Rule::Any => true,
            Rule::Network(network) => address(&host).is_some_and(|address| network.contains(&address)),
            Rule::Text(pattern) => pattern.matches(header, &host),
        })
    }
}

/// The host of `host` or `host:port`.
fn host(header: &str) -> Option<Host> {
    // A Host header has no userinfo.
    if header.contains('@') {
        return None;
    }
    let host = match header.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => header,
    };
    Host::parse(host).ok()
}

fn address<S>(host: &Host<S>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(ip) => Some((*ip).into()),
        Host::Ipv6(ip) => Some((*ip).into()),
        Host::Domain(_) => None,
    }
}

impl Pattern {
    /// A pattern; its part `authority` decides whether it only matches IP addresses.
    pub(super) fn new(text: &str, authority: &str) -> Self {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        let of_digits = host.bytes().any(|byte| byte.is_ascii_digit())
            && host.bytes().all(|byte| byte.is_ascii_digit() || b".*?".contains(&byte));
        Self {
            text: text.to_owned(),
            wildcards: WildMatch::new(text),
            addresses_only: of_digits || host.starts_with('['),
        }
    }

    /// Whether it is literally this text.
    pub(super) fn equals(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether it matches a text, whose host is `host`.
    pub(super) fn matches<S>(&self, text: &str, host: &Host<S>) -> bool {
        (!self.addresses_only || address(host).is_some()) && self.wildcards.matches(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_private_networks_are_allowed_as_addresses() {
        let hosts = Hosts::default();
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:80",
            "[::1]:5000",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.0.1:5000",
            "192.168.0.1",
            "[fc00::1]",
            "[fd12:3456::1]:5000",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.evil.example",
            "192.168.evil.example:5000",
            "172.16.evil.example",
            "172.32.0.1",
            "11.0.0.1",
            "127.0.0.1.evil.example",
            "[fe80::1]",
            "fc00:80",
            "fd00:evil",
            "localhost:5000@evil.example",
            "local host",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn a_list_has_names_networks_and_addresses() {
        let allowed = |list: &str, host: &str| Hosts::parse(list).unwrap().allow(host);
        assert!(allowed("a.example, *.corp.example", "ml.corp.example"));
        assert!(!allowed("*.corp.example", "corp.example") && !allowed("a.example", "a.example:5000"));
        assert!(allowed("ml.example:*", "ml.example:5000"));
        assert!(allowed("100.64.0.0/10", "100.100.1.1:5000") && !allowed("100.64.0.0/10", "100.64.evil.example"));
        assert!(allowed("2001:db8::/32", "[2001:db8::7]:80"));
        assert!(allowed("10.*", "10.0.0.1") && !allowed("10.*", "10.evil.example") && !allowed("10*", "10x.example"));
        assert!(allowed("10.*:5000", "10.0.0.1:5000") && !allowed("10.*:5000", "10.evil.example:5000"));
        assert!(allowed("fd00:*", "[fd00::1]:5000") && !allowed("fd00:*", "fd00:5000"));
        assert!(allowed("[fd00:*", "[fd00::1]:5000"));
        assert!(allowed("*", "anything") && !allowed("*", ""));
        assert!(Hosts::parse("10.0.0.0/33").is_err() && Hosts::parse("a.example/8").is_err());
        let pod = Hosts::parse("a.example").unwrap().with_address("203.0.113.7".parse().unwrap());
        assert!(pod.allow("203.0.113.7:5000") && !pod.allow("203.0.113.8"));
    }
}
