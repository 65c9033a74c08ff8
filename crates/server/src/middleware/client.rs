//! The address of the client that a request comes from: the other end of the connection, or, where that is a proxy which
//! the operator trusts, what it says.
//!
//! Each proxy adds the address that it was asked from at the right end of `X-Forwarded-For` (or of `Forwarded`, RFC 7239),
//! behind whatever its client sent. So the list is read from the right, as far as trusted proxies go: the first address
//! that is none of theirs is the client, and what stands left of it is what the client claims.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;

use crate::Peer;

/// Proxies in a row that are looked at.
const MOST_HOPS: usize = 32;

/// Addresses of proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// From addresses and networks in CIDR notation.
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

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request whose connection comes from `peer`.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.has(peer) {
            return peer;
        }
        let said = |name, entries: fn(&str) -> Vec<Option<IpAddr>>| {
            let lines: Option<Vec<&str>> =
                headers.get_all(name).iter().map(|line| line.to_str().ok()).collect::<Option<_>>();
            // What can not be read names nobody.
            let found = lines.map_or_else(|| vec![None], |lines| lines.into_iter().flat_map(entries).collect());
            (!found.is_empty()).then(|| self.last_untrusted(peer, &found))
        };
        match (said("x-forwarded-for", forwarded_for), said("forwarded", forwarded)) {
            (None, None) => peer,
            (Some(client), None) | (None, Some(client)) => client,
            // A proxy that writes one of them passes the other on as its client wrote it: they must agree.
            (Some(one), Some(other)) => {
                if one == other {
                    one
                } else {
                    peer
                }
            }
        }
    }

    /// The first address from the right that is of no trusted proxy. Where the list is not understood, the proxy that
    /// gave it is the client.
    fn last_untrusted(&self, peer: IpAddr, entries: &[Option<IpAddr>]) -> IpAddr {
        let mut client = peer;
        for entry in entries.iter().rev().take(MOST_HOPS) {
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

/// The `for` of each element of a line of `Forwarded`.
fn forwarded(line: &str) -> Vec<Option<IpAddr>> {
    // Commas in quotes stand in no address. Were they read as a part of one, a quote that a client has not closed would
    // take in what the proxy has added.
    let node = |element: &str| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| unquoted(value.trim()).and_then(address))?
        })
    };
    line.split(',').map(node).collect()
}

/// A value without its quotes, of which there are two or none.
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

/// The client of a request, once it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) IpAddr);

impl Client {
    /// Finds it out.
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
    fn what_a_stranger_says_is_not_believed() {
        assert_eq!(client("203.0.113.1", &[(XFF, "198.51.100.1"), ("forwarded", "for=198.51.100.1")]), "203.0.113.1");
        assert_eq!(client("::ffff:203.0.113.1", &[(XFF, "198.51.100.1")]), "203.0.113.1");
    }

    #[test]
    fn the_list_is_read_from_the_right_to_the_first_that_is_not_trusted() {
        for (said, expected) in [
            ("198.51.100.1", "198.51.100.1"),
            ("1.1.1.1, 198.51.100.1", "198.51.100.1"),
            ("1.1.1.1, 198.51.100.1, 10.9.9.9,192.0.2.7", "198.51.100.1"),
            ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
            ("198.51.100.1:4711, [fd00::1]:80", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            // Where it is not understood it ends: what the client wrote left of it does not count.
            ("198.51.100.1, unknown", "10.0.0.1"),
            ("198.51.100.1, unknown, 10.2.2.2", "10.2.2.2"),
            ("", "10.0.0.1"),
            ("198.51.100.1,", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[(XFF, said)]), expected, "{said}");
        }
        // Several lines are one list.
        assert_eq!(client("10.0.0.1", &[(XFF, "1.1.1.1"), (XFF, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        let long = vec!["10.1.1.1"; 1000].join(",");
        assert_eq!(client("10.0.0.1", &[(XFF, &format!("198.51.100.1,{long}"))]), "10.1.1.1");
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_says() {
        for (said, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1", "2001:db8::1"),
            ("for=1.1.1.1, for=198.51.100.1;host=x, proto=http;for=10.2.2.2", "198.51.100.1"),
            ("for=198.51.100.1, for=_hidden", "10.0.0.1"),
            ("for=198.51.100.1, proto=https", "10.0.0.1"),
            ("for=198.51.100.1, for=\"unknown, for=1.1.1.1\"", "10.0.0.1"),
            ("for=\"1.1.1.1, for=198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[("forwarded", said)]), expected, "{said}");
        }
    }

    #[test]
    fn of_two_lists_that_differ_one_is_the_clients_own() {
        let both = |one: &str, other: &str| client("10.0.0.1", &[(XFF, one), ("forwarded", other)]);
        assert_eq!(both("198.51.100.1", "for=198.51.100.1"), "198.51.100.1");
        assert_eq!(both("198.51.100.1", "for=198.51.100.2"), "10.0.0.1");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["10.0.0.0/33", "10.*", "proxy.example", "fd00::/8x"] {
            assert!(TrustedProxies::parse([wrong]).unwrap_err().contains(wrong));
        }
        assert!(TrustedProxies::parse(["", " "]).unwrap().0.is_empty());
    }
}
