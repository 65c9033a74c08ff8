//! The system's clock: the one place that reads it. Durations are measured with `Instant`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The current time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Seconds since 1970.
#[must_use]
pub fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_millis() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

/// Microseconds since 1970.
#[must_use]
pub fn unix_micros() -> i64 {
    i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX)
}

/// Zero with a clock before 1970.
fn since_epoch() -> Duration {
    now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
