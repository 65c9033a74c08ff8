//! Tracks when a user was last seen, so that a login is one line of the audit log rather than one per request: clients
//! send their credentials with every request.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Idle time after which a user's next request is a login again.
const SILENCE: Duration = Duration::from_secs(600);

/// Maximum number of tracked pairs of user and address.
const MOST: usize = 10_000;

/// When each pair of user and address was last seen.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<HashMap<(String, Option<IpAddr>), Instant>>);

impl Logins {
    /// Records a request of a user and returns whether it is a login.
    pub(crate) fn is_new(&self, username: &str, from: Option<IpAddr>) -> bool {
        self.is_new_at(username, from, Instant::now())
    }

    fn is_new_at(&self, username: &str, from: Option<IpAddr>, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.insert((username.to_owned(), from), now);
        if seen.len() > MOST {
            seen.retain(|_, last| now.duration_since(*last) < SILENCE);
            // All entries are recent: the older half is evicted, and its next requests are logged as logins again.
            if seen.len() > MOST {
                let mut times: Vec<Instant> = seen.values().copied().collect();
                let (_, middle, _) = times.select_nth_unstable(MOST / 2);
                let middle = *middle;
                seen.retain(|_, last| *last > middle);
            }
        }
        last.is_none_or(|last| now.duration_since(last) >= SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_told_once() {
        let (logins, start) = (Logins::default(), Instant::now());
        let (here, there) = (Some([127, 0, 0, 1].into()), Some([10, 0, 0, 1].into()));
        assert!(logins.is_new_at("ann", here, start) && !logins.is_new_at("ann", here, start + SILENCE / 2));
        assert!(!logins.is_new_at("ann", here, start + SILENCE), "she was there in between");
        assert!(logins.is_new_at("ann", there, start) && logins.is_new_at("bob", here, start));
        assert!(logins.is_new_at("ann", here, start + SILENCE * 2));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (logins, start) = (Logins::default(), Instant::now());
        for number in 0..3 * MOST {
            logins.is_new_at(&number.to_string(), None, start + Duration::from_millis(number as u64));
        }
        assert!(logins.0.lock().unwrap().len() <= MOST + 1);
    }
}
