//! The client address of a request: the peer of the connection, or, if that is a trusted proxy, the address that it
//! forwards.
//!
//! Each proxy appends the address of its own peer to `X-Forwarded-For` (or `Forwarded`, RFC 7239), after whatever its
//! client sent. So the list is read from the right while entries are trusted proxies: the first other address is the
//! client, and everything left of it is only the client's claim.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;

use crate::Peer;

/// Maximum number of entries that are read.
const MAX_HOPS: usize = 32;

/// Networks of proxies whose forwarding headers are trusted.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Parses IP addresses and networks in CIDR notation.
    ///
    /// # Errors
    /// A text is neither.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let parse = |text: &str| {
            let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            let found = text.parse::<IpNet>().or_else(|_| address());
            found.map_err(|_| format!("'{text}' is neither an address nor a network such as 10.0.0.0/8 or fd00::/8"))
        };
        texts.into_iter().map(str::trim).filter(|text| !text.is_empty()).map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the networks has all addresses of IPv4 or IPv6, so that every client is a trusted proxy.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0.iter().any(|network| network.prefix_len() == 0)
    }

    /// Whether a trusted proxy has sent a request: it is the peer of the connection.
    pub(crate) fn sent(&self, extensions: &Extensions) -> bool {
        extensions.get::<Peer>().is_some_and(|peer| self.has(peer.0.ip().to_canonical()))
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request whose connection has this peer.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.has(peer) {
            return peer;
        }
        let from_header = |name, entries: fn(&str) -> Vec<Option<IpAddr>>| {
            let lines: Option<Vec<&str>> =
                headers.get_all(name).iter().map(|line| line.to_str().ok()).collect::<Option<_>>();
            // Unreadable lines are an unknown client.
            let found = lines.map_or_else(|| vec![None], |lines| lines.into_iter().flat_map(entries).collect());
            (!found.is_empty()).then(|| self.last_untrusted(peer, &found))
        };
        match (from_header("x-forwarded-for", forwarded_for), from_header("forwarded", forwarded)) {
            (None, None) => peer,
            (Some(client), None) | (None, Some(client)) => client,
            // A proxy that writes one header may pass the other on from its client: both must agree.
            (Some(one), Some(other)) => {
                if one == other {
                    one
                } else {
                    peer
                }
            }
        }
    }

    /// The first address from the right that is not a trusted proxy. At an entry that can not be parsed, the proxy that
    /// added it is the client.
    fn last_untrusted(&self, peer: IpAddr, entries: &[Option<IpAddr>]) -> IpAddr {
        let mut client = peer;
        for entry in entries.iter().rev().take(MAX_HOPS) {
            let Some(address) = entry else { break };
            client = *address;
            if !self.has(client) {
                break;
            }
        }
        client
    }
}

/// The entries of a line of `X-Forwarded-For`.
fn forwarded_for(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(address).collect()
}

/// The `for` parameter of each element in a line of `Forwarded`.
fn forwarded(line: &str) -> Vec<Option<IpAddr>> {
    // Quoted strings with commas are not supported, as no address has one: otherwise an unclosed quote of the client
    // would swallow what the proxy has appended.
    let node = |element: &str| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| unquoted(value.trim()).and_then(address))?
        })
    };
    line.split(',').map(node).collect()
}

/// A value without its pair of quotes, if any.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value).filter(|value| !value.contains('"')),
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let found = IpAddr::from_str(text)
        .or_else(|_| SocketAddr::from_str(text).map(|address| address.ip()))
        .or_else(|error| text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok()).ok_or(error));
    found.ok().map(|address| address.to_canonical())
}

/// Extension: the client of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) IpAddr);

impl Client {
    /// Determines the client.
    pub(super) fn of(extensions: &Extensions, headers: &HeaderMap, proxies: &TrustedProxies) -> Option<Self> {
        extensions.get::<Peer>().map(|peer| Self(proxies.client(peer.0.ip(), headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies = TrustedProxies::parse(["10.0.0.0/8", " 192.0.2.7", "fd00::/8"]).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &map).to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn headers_of_untrusted_peers_are_ignored() {
        assert_eq!(client("203.0.113.1", &[(XFF, "198.51.100.1"), ("forwarded", "for=198.51.100.1")]), "203.0.113.1");
        assert_eq!(client("::ffff:203.0.113.1", &[(XFF, "198.51.100.1")]), "203.0.113.1");
    }

    #[test]
    fn the_list_is_read_from_the_right_to_the_first_that_is_not_trusted() {
        for (value, expected) in [
            ("198.51.100.1", "198.51.100.1"),
            ("1.1.1.1, 198.51.100.1", "198.51.100.1"),
            ("1.1.1.1, 198.51.100.1, 10.9.9.9,192.0.2.7", "198.51.100.1"),
            ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
            ("198.51.100.1:4711, [fd00::1]:80", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            // The list ends at an entry that can not be parsed: what is left of it is ignored.
            ("198.51.100.1, unknown", "10.0.0.1"),
            ("198.51.100.1, unknown, 10.2.2.2", "10.2.2.2"),
            ("", "10.0.0.1"),
            ("198.51.100.1,", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[(XFF, value)]), expected, "{value}");
        }
        // Several header lines form one list.
        assert_eq!(client("10.0.0.1", &[(XFF, "1.1.1.1"), (XFF, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        let long = vec!["10.1.1.1"; 1000].join(",");
        assert_eq!(client("10.0.0.1", &[(XFF, &format!("198.51.100.1,{long}"))]), "10.1.1.1");
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_says() {
        for (value, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1", "2001:db8::1"),
            ("for=1.1.1.1, for=198.51.100.1;host=x, proto=http;for=10.2.2.2", "198.51.100.1"),
            ("for=198.51.100.1, for=_hidden", "10.0.0.1"),
            ("for=198.51.100.1, proto=https", "10.0.0.1"),
            ("for=198.51.100.1, for=\"unknown, for=1.1.1.1\"", "10.0.0.1"),
            ("for=\"1.1.1.1, for=198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[("forwarded", value)]), expected, "{value}");
        }
    }

    #[test]
    fn of_two_lists_that_differ_one_is_the_clients_own() {
        let both = |one: &str, other: &str| client("10.0.0.1", &[(XFF, one), ("forwarded", other)]);
        assert_eq!(both("198.51.100.1", "for=198.51.100.1"), "198.51.100.1");
        assert_eq!(both("198.51.100.1", "for=198.51.100.2"), "10.0.0.1");
    }

    #[test]
    fn invalid_networks_are_refused() {
        for wrong in ["10.0.0.0/33", "10.*", "proxy.example", "fd00::/8x"] {
            assert!(TrustedProxies::parse([wrong]).unwrap_err().contains(wrong));
        }
        assert!(TrustedProxies::parse(["", " "]).unwrap().are_none());
        let are_all = |text| TrustedProxies::parse([text]).unwrap().are_all();
        assert!(are_all("0.0.0.0/0") && are_all("::/0") && !are_all("10.0.0.0/8"));
    }
}
