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
    free: i64,
    longest: Duration,
}

/// Limit per name and address.
const HERE: Limit = Limit { free: 10, longest: Duration::from_secs(300) };

/// Limit per name, from all addresses.
const ANYWHERE: Limit = Limit { free: 30, longest: Duration::from_secs(300) };

/// Limit per address, for existing users: many clients may share it.
const ADDRESS: Limit = Limit { free: 100, longest: Duration::from_secs(60) };

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
pub(crate) struct Keys {
    here: String,
    anywhere: String,
    address: String,
    /// Counted instead of the address for an unknown name, so that both cases take the same time.
    invented: String,
    known: String,
}

/// What is known about the client of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether the user has recently logged in from this address.
    pub(crate) is_known: bool,
}

impl Keys {
    pub(crate) fn new(username: &str, from: Option<Sender>) -> Self {
        let from = from.map(|Sender(address)| address.to_string()).unwrap_or_default();
        let pair = hash(&format!("{from}\n{username}"));
        Self {
            here: format!("name:{pair}"),
            anywhere: format!("anywhere:{}", hash(username)),
            address: format!("address:{from}"),
            invented: format!("invented:{from}"),
            known: pair,
        }
    }

    /// The keys for a user who confirms the password within a session.
    pub(crate) fn of_session(username: &str) -> Self {
        Self::new(&format!("own password\n{username}"), None)
    }

    /// Refuses a login that is blocked.
    pub(crate) async fn check(&self, users: &UserStore) -> Result<Standing> {
        let keys = vec![self.here.clone(), self.anywhere.clone(), self.address.clone()];
        let (found, is_known) = match users.login_failures(keys, self.known.clone()).await {
            Ok(found) => found,
            Err(error) => {
                // Fails open: a user with the correct password must not be locked out.
                tracing::warn!(message = error.message, "failed logins can not be counted");
                return Ok(Standing { is_known: false });
            }
        };
        match found.iter().filter_map(|failures| self.limit(&failures.key, is_known)?.wait(failures)).max() {
            None => Ok(Standing { is_known }),
            Some(wait) => Err(Error::new(
                ErrorCode::RequestLimitExceeded,
                format!("Too many logins have failed. Try again in {} seconds.", wait.as_secs() + 1),
            )),
        }
    }

    fn limit(&self, key: &str, is_known: bool) -> Option<Limit> {
        if key == self.here {
            return Some(HERE);
        }
        (!is_known).then_some(if key == self.anywhere { ANYWHERE } else { ADDRESS })
    }

    /// Counts a failure. `exists` is whether there is a user with the name.
    pub(crate) async fn failed(self, users: &UserStore, exists: bool) {
        let keys = vec![self.here, self.anywhere, if exists { self.address } else { self.invented }];
        if let Err(error) = users.record_login_failure(keys).await {
            tracing::warn!(message = error.message, "a failed login was not counted");
        }
    }

    /// Deletes the failures of this name from this address, and remembers the address as known. Failures from other
    /// addresses stay: another client caused them.
    pub(crate) async fn succeeded(self, users: &UserStore) {
        if let Err(error) = users.record_login(self.here, self.known).await {
            tracing::warn!(message = error.message, "the failed logins of a user were not forgotten");
        }
    }
}

impl Limit {
    /// The rest of the block.
    fn wait(self, found: &LoginFailures) -> Option<Duration> {
        let over = u32::try_from(found.failures - self.free).ok()?;
        let wait = FIRST_WAIT.saturating_mul(1 << over.min(16)).min(self.longest);
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
    fn each_failure_beyond_those_that_are_free_doubles_the_wait() {
        let wait = |count, ago| HERE.wait(&failures(count, ago)).map(|wait| wait.as_secs());
        assert_eq!((wait(9, 0), wait(10, 0), wait(11, 0), wait(12, 0)), (None, Some(5), Some(10), Some(20)));
        assert_eq!((wait(10, 4), wait(10, 5), wait(10, 60)), (Some(1), None, None));
        assert_eq!((wait(15, 0), wait(16, 0), wait(17, 0)), (Some(160), Some(300), Some(300)));
        assert_eq!((wait(1_000_000, 0), wait(1_000_000, 299), wait(1_000_000, 300)), (Some(300), Some(1), None));
    }

    #[test]
    fn an_ipv6_sender_is_its_network() {
        let sender = |text: &str| Sender::of(text.parse().unwrap());
        assert_eq!(sender("2001:db8:1:2:a:b:c:d"), sender("2001:db8:1:2::1"));
        assert_ne!(sender("2001:db8:1:2::1"), sender("2001:db8:1:3::1"));
        assert_eq!(sender("::ffff:192.0.2.1"), sender("192.0.2.1"));
        assert_ne!(sender("192.0.2.1"), sender("192.0.2.2"));
    }

    #[test]
    fn a_user_who_is_known_here_waits_for_own_failures_alone() {
        let keys = Keys::new("alice", Some(Sender::of("192.0.2.1".parse().unwrap())));
        let limits = |is_known| [&keys.here, &keys.anywhere, &keys.address].map(|key| keys.limit(key, is_known));
        assert_eq!(limits(false), [Some(HERE), Some(ANYWHERE), Some(ADDRESS)]);
        assert_eq!(limits(true), [Some(HERE), None, None]);
        let elsewhere = Keys::new("alice", Some(Sender::of("192.0.2.2".parse().unwrap())));
        assert_ne!(keys.here, elsewhere.here);
        assert_eq!(keys.anywhere, elsewhere.anywhere);
    }
}
