//! Rate limits for failed logins. They are counted in the users database, for all replicas: per name and address, per
//! name, and per address. Too many failures block further logins, with exponential backoff.
//!
//! Failures must not lock a user out. So a cached password bypasses the limits (`crate::login`), a user who has
//! recently logged in from an address is limited there only by its own failures, and failures for unknown names do not
//! count against the address: these cannot be guessed.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ferroflow_model::{Error, ErrorCode, Result};
use ferroflow_store::{LoginFailures, UserStore};
use sha2::{Digest as _, Sha256};

use crate::password::hex;

/// Number of free failures, and the longest block after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    free_attempts: i64,
    max_wait: Duration,
}

/// Limit per name and address.
const PER_USER_AND_ADDRESS: Limit = Limit { free_attempts: 10, max_wait: Duration::from_secs(300) };

/// Limit per name, from all addresses.
const PER_USER: Limit = Limit { free_attempts: 30, max_wait: Duration::from_secs(300) };

/// Limit per address, for existing users: many clients may share it.
const PER_ADDRESS: Limit = Limit { free_attempts: 100, max_wait: Duration::from_secs(60) };

/// The first block.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The part of an address that identifies a client: all of an IPv4 address, the first 64 bits of an IPv6 address (RFC
/// 6177: the client chooses the rest).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sender(IpAddr);

impl Sender {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// The keys that a login is counted under.
pub(crate) struct LimitKeys {
    user_and_address: String,
    user: String,
    address: String,
    /// Counted instead of the address for an unknown name, so that both cases take the same time.
    unknown_user: String,
    known: String,
}

/// What is known about the client of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderStatus {
    /// Whether the user has recently logged in from this address.
    pub(crate) is_known: bool,
}

impl LimitKeys {
    pub(crate) fn new(username: &str, from: Option<Sender>) -> Self {
        let from = from.map(|Sender(address)| address.to_string()).unwrap_or_default();
        let pair = hash(&format!("{from}\n{username}"));
        Self {
            user_and_address: format!("name:{pair}"),
            user: format!("anywhere:{}", hash(username)),
            address: format!("address:{from}"),
            unknown_user: format!("invented:{from}"),
            known: pair,
        }
    }

    /// The keys for a user who confirms the password within a session.
    pub(crate) fn for_own_password(username: &str) -> Self {
        Self::new(&format!("own password\n{username}"), None)
    }

    /// Refuses a login that is blocked.
    pub(crate) async fn check(&self, users: &UserStore) -> Result<SenderStatus> {
        let keys = vec![self.user_and_address.clone(), self.user.clone(), self.address.clone()];
        let (found, is_known) = match users.login_failures(keys, self.known.clone()).await {
            Ok(found) => found,
            Err(error) => {
                // Fails open: a user with the correct password must not be locked out.
                tracing::warn!(message = error.message, "failed logins cannot be counted");
                return Ok(SenderStatus { is_known: false });
            }
        };
        match found.iter().filter_map(|failures| self.limit(&failures.key, is_known)?.wait(failures)).max() {
            None => Ok(SenderStatus { is_known }),
            Some(wait) => Err(Error::new(
                ErrorCode::RequestLimitExceeded,
                format!("Too many logins have failed. Try again in {} seconds.", wait.as_secs() + 1),
            )),
        }
    }

    fn limit(&self, key: &str, is_known: bool) -> Option<Limit> {
        if key == self.user_and_address {
            return Some(PER_USER_AND_ADDRESS);
        }
        (!is_known).then_some(if key == self.user { PER_USER } else { PER_ADDRESS })
    }

    /// Counts a failure. `exists` is whether there is a user with the name.
    pub(crate) async fn failed(self, users: &UserStore, exists: bool) {
        let keys = vec![self.user_and_address, self.user, if exists { self.address } else { self.unknown_user }];
        if let Err(error) = users.record_login_failure(keys).await {
            tracing::warn!(message = error.message, "counting a failed login failed");
        }
    }

    /// Deletes the failures of this name from this address, and remembers the address as known. Failures from other
    /// addresses stay: another client caused them.
    pub(crate) async fn succeeded(self, users: &UserStore) {
        if let Err(error) = users.record_login(self.user_and_address, self.known).await {
            tracing::warn!(message = error.message, "resetting the failed logins of a user failed");
        }
    }
}

impl Limit {
    /// The rest of the block.
    fn wait(self, found: &LoginFailures) -> Option<Duration> {
        let excess = u32::try_from(found.failures - self.free_attempts).ok()?;
        let wait = FIRST_WAIT.saturating_mul(1 << excess.min(16)).min(self.max_wait);
        wait.checked_sub(found.age).filter(|left| !left.is_zero())
    }
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(failures: i64, seconds_ago: u64) -> LoginFailures {
        LoginFailures { key: String::new(), failures, age: Duration::from_secs(seconds_ago) }
    }

    #[test]
    fn each_failure_beyond_the_free_attempts_doubles_the_wait() {
        let wait = |count, ago| PER_USER_AND_ADDRESS.wait(&failures(count, ago)).map(|wait| wait.as_secs());
        assert_eq!((wait(9, 0), wait(10, 0), wait(11, 0), wait(12, 0)), (None, Some(5), Some(10), Some(20)));
        assert_eq!((wait(10, 4), wait(10, 5), wait(10, 60)), (Some(1), None, None));
        assert_eq!((wait(15, 0), wait(16, 0), wait(17, 0)), (Some(160), Some(300), Some(300)));
        assert_eq!((wait(1_000_000, 0), wait(1_000_000, 299), wait(1_000_000, 300)), (Some(300), Some(1), None));
    }

    #[test]
    fn an_ipv6_sender_is_its_64_bit_network() {
        let sender = |text: &str| Sender::of(text.parse().unwrap());
        assert_eq!(sender("2001:db8:1:2:a:b:c:d"), sender("2001:db8:1:2::1"));
        assert_ne!(sender("2001:db8:1:2::1"), sender("2001:db8:1:3::1"));
        assert_eq!(sender("::ffff:192.0.2.1"), sender("192.0.2.1"));
        assert_ne!(sender("192.0.2.1"), sender("192.0.2.2"));
    }

    #[test]
    fn a_user_known_at_an_address_is_limited_by_its_own_failures_only() {
        let keys = LimitKeys::new("alice", Some(Sender::of("192.0.2.1".parse().unwrap())));
        let limits =
            |is_known| [&keys.user_and_address, &keys.user, &keys.address].map(|key| keys.limit(key, is_known));
        assert_eq!(limits(false), [Some(PER_USER_AND_ADDRESS), Some(PER_USER), Some(PER_ADDRESS)]);
        assert_eq!(limits(true), [Some(PER_USER_AND_ADDRESS), None, None]);
        let elsewhere = LimitKeys::new("alice", Some(Sender::of("192.0.2.2".parse().unwrap())));
        assert_ne!(keys.user_and_address, elsewhere.user_and_address);
        assert_eq!(keys.user, elsewhere.user);
    }
}
