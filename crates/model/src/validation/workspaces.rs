//! Names of workspaces.

use crate::{Error, Result};

/// The form of a name: a label of DNS, as Kubernetes has them.
const PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Names that are segments of paths.
const RESERVED: &[&str] = &["workspaces", "api", "ajax-api", "static-files"];

/// Checks the name of a workspace other than the default one.
///
/// # Errors
/// The name has a wrong length or form, or is reserved.
pub fn workspace_name(name: &str) -> Result<()> {
    if !(2..=63).contains(&name.chars().count()) {
        return Err(Error::invalid(format!("Workspace name '{name}' must be between 2 and 63 characters.")));
    }
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let has_form = bytes.iter().all(|byte| is_word(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| is_word(*byte))
        && bytes.last().is_some_and(|byte| is_word(*byte));
    if !has_form {
        return Err(Error::invalid(format!(
            "Workspace name '{name}' must match the pattern {PATTERN} \
             (lowercase alphanumeric with optional internal hyphens)."
        )));
    }
    if RESERVED.contains(&name) {
        return Err(Error::invalid(format!("Workspace name '{name}' is reserved and cannot be used.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for name in ["ab", "team-a", "0x", "default", &"a".repeat(63)] {
            assert!(workspace_name(name).is_ok(), "{name}");
        }
        for name in ["", "a", "-a", "a-", "A1", "a_b", "a.b", "a/b", "a\n", "workspaces", "api", "é1", &"a".repeat(64)]
        {
            assert!(workspace_name(name).is_err(), "{name}");
        }
    }
}
