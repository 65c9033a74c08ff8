//! The time, as columns hold it.

use ferroflow_model::clock;

/// Milliseconds since 1970.
#[must_use]
pub(crate) fn now_ms() -> i64 {
    clock::unix_millis()
}
