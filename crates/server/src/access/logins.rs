//! Tracks when a user was last seen, so that a login is one line of the audit log rather than one per request: clients
//! send their credentials with every request.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use ferroflow_model::cache::Cache;

/// Idle time after which a user's next request is a login again.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// Maximum number of tracked pairs of user and address. The next request of an evicted one is logged as a login again.
const MAX_ENTRIES: usize = 10_000;

/// When each pair of user and address was last seen.
#[derive(Debug)]
pub(crate) struct RecentLogins(Cache<(String, Option<IpAddr>), Instant>);

impl Default for RecentLogins {
    fn default() -> Self {
        Self(Cache::new(MAX_ENTRIES))
    }
}

impl RecentLogins {
    /// Records a request of a user and returns whether it is a login.
    pub(crate) fn is_new(&self, username: &str, from: Option<IpAddr>) -> bool {
        self.is_new_at(username, from, Instant::now())
    }

    fn is_new_at(&self, username: &str, from: Option<IpAddr>, now: Instant) -> bool {
        let last = self.0.replace((username.to_owned(), from), now);
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
    fn many_addresses_do_not_evict_a_user_who_is_active() {
        let (recent, start) = (RecentLogins::default(), Instant::now());
        recent.is_new_at("ann", None, start);
        for number in 0..3 * MAX_ENTRIES {
            recent.is_new_at(&number.to_string(), None, start);
            if number % 100 == 0 {
                assert!(!recent.is_new_at("ann", None, start));
            }
        }
        assert!(recent.is_new_at("0", None, start), "the memory is bounded");
    }
}
