//! The time, in the type of backups and runbooks.

use ferroflow_model::clock;
use jiff::Timestamp;

/// The current time.
pub(crate) fn now() -> Timestamp {
    // Only a clock that is thousands of years wrong is out of range.
    Timestamp::try_from(clock::now()).unwrap_or_default()
}
