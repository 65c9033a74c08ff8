//! What Helm does after a runbook: texts that runbooks print at their end.

/// After an upgrade of the image.
pub(super) const IMAGE: &str = "\
Until that file has it, `helm upgrade` and `helm rollback` return to the older image.";

/// After a recovery.
pub(super) fn recovered(old: &str) -> String {
    format!(
        "Until that file has it, `helm upgrade` returns the server to {old}, without the data that was logged since. So does \
         `helm rollback` to a revision from before this recovery, at any later time. With Helm 3, {old} then has no backups: its \
         schedule stays suspended, or is missing (`ferroflow ops doctor` reports it). For an older image use \
         `ferroflow ops rollback`, or set its tag in your file of values"
    )
}
