//! Tracks when a user was last seen, so that a login is one line of the audit log rather than one per request: clients
//! send their credentials with every request.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Idle time after which a user's next request is a login again.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// Maximum number of tracked pairs of user and address.
const MAX_ENTRIES: usize = 10_000;

/// When each pair of user and address was last seen.
#[derive(Debug, Default)]
pub(crate) struct RecentLogins(Mutex<HashMap<(String, Option<IpAddr>), Instant>>);

impl RecentLogins {
    /// Records a request of a user and returns whether it is a login.
    pub(crate) fn is_new(&self, username: &str, from: Option<IpAddr>) -> bool {
        self.is_new_at(username, from, Instant::now())
    }

    fn is_new_at(&self, username: &str, from: Option<IpAddr>, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.insert((username.to_owned(), from), now);
        if seen.len() > MAX_ENTRIES {
            seen.retain(|_, last| now.duration_since(*last) < IDLE_TIME);
            // All entries are recent: the older half is evicted, and its next requests are logged as logins again.
            if seen.len() > MAX_ENTRIES {
                let mut times: Vec<Instant> = seen.values().copied().collect();
                let (_, middle, _) = times.select_nth_unstable(MAX_ENTRIES / 2);
                let middle = *middle;
                seen.retain(|_, last| *last > middle);
            }
        }
        last.is_none_or(|last| now.duration_since(last) >= IDLE_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_recorded_once() {
        let (recent, start) = (RecentLogins::default(), Instant::now());
        let (here, there) = (Some([127, 0, 0, 1].into()), Some([10, 0, 0, 1].into()));
        assert!(recent.is_new_at("ann", here, start) && !recent.is_new_at("ann", here, start + IDLE_TIME / 2));
        assert!(!recent.is_new_at("ann", here, start + IDLE_TIME), "she was there in between");
        assert!(recent.is_new_at("ann", there, start) && recent.is_new_at("bob", here, start));
        assert!(recent.is_new_at("ann", here, start + IDLE_TIME * 2));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (recent, start) = (RecentLogins::default(), Instant::now());
        for number in 0..3 * MAX_ENTRIES {
            recent.is_new_at(&number.to_string(), None, start + Duration::from_millis(number as u64));
        }
        assert!(recent.0.lock().unwrap().len() <= MAX_ENTRIES + 1);
    }
}
