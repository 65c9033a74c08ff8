//! Users.

use crate::{Error, Result};

/// Minimum length of a password, in characters.
const MIN_PASSWORD_CHARS: usize = 12;

/// Maximum length of a password, in bytes: the reference has no limit and hashes whatever it receives.
const MAX_PASSWORD_BYTES: usize = 4096;

/// Maximum length of a username in characters, that of the database column.
const MAX_USERNAME_CHARS: usize = 255;

/// Checks the name of a user.
pub fn username(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("Username cannot be empty."));
    }
    if name.chars().count() > MAX_USERNAME_CHARS {
        return Err(Error::invalid(format!("Username must be at most {MAX_USERNAME_CHARS} characters.")));
    }
    if name.contains([':', '\0']) {
        // Basic authentication ends the username at the first colon, so the user could not log in.
        return Err(Error::invalid("Username must not contain ':'."));
    }
    Ok(())
}

/// Checks a new password.
pub fn password(password: &str) -> Result<()> {
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(Error::invalid(format!("Password must be at least {MIN_PASSWORD_CHARS} characters.")));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::invalid(format!("Password must be at most {MAX_PASSWORD_BYTES} bytes.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_at_least_twelve_characters() {
        assert!(password("twelve chars").is_ok() && password("éééééééééééé").is_ok());
        assert!(password("eleven char").is_err() && password("").is_err());
        assert!(password(&"x".repeat(MAX_PASSWORD_BYTES + 1)).is_err());
    }

    #[test]
    fn names_that_basic_authentication_cannot_send_are_refused() {
        assert!(username("alice").is_ok() && username("a b@c").is_ok());
        assert!(username("").is_err() && username("a:b").is_err() && username(&"x".repeat(256)).is_err());
    }
}
