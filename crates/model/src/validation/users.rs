//! Users.

use crate::{Error, Result};

/// Minimum length of a password, in characters.
const SHORTEST_PASSWORD: usize = 12;

/// Maximum length of a password, in bytes: the reference has no limit and hashes whatever it receives.
const LONGEST_PASSWORD: usize = 4096;

/// Maximum length of a username in characters, that of the database column.
const LONGEST_USERNAME: usize = 255;

/// Checks the name of a user.
pub fn username(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("Username cannot be empty."));
    }
    if name.chars().count() > LONGEST_USERNAME {
        return Err(Error::invalid(format!("Username must be at most {LONGEST_USERNAME} characters.")));
    }
    if name.contains([':', '\0']) {
        // Basic authentication ends the username at the first colon, so the user could not log in.
        return Err(Error::invalid("Username must not contain ':'."));
    }
    Ok(())
}

/// Checks a new password.
pub fn password(password: &str) -> Result<()> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(Error::invalid(format!("Password must be at least {SHORTEST_PASSWORD} characters.")));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(Error::invalid(format!("Password must be at most {LONGEST_PASSWORD} bytes.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_twelve_characters_of_any_length() {
        assert!(password("twelve chars").is_ok() && password("éééééééééééé").is_ok());
        assert!(password("eleven char").is_err() && password("").is_err());
        assert!(password(&"x".repeat(LONGEST_PASSWORD + 1)).is_err());
    }

    #[test]
    fn a_name_that_nobody_could_log_in_with_is_refused() {
        assert!(username("alice").is_ok() && username("a b@c").is_ok());
        assert!(username("").is_err() && username("a:b").is_err() && username(&"x".repeat(256)).is_err());
    }
}
