//! Webhooks.

use crate::{Error, Result, python};

/// Maximum length of a name, in characters.
const MAX_NAME: usize = 63;

/// Maximum page size.
const MAX_RESULTS: i32 = 1000;

/// Checks the name of a webhook.
pub fn webhook_name(name: &str) -> Result<()> {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric() || SAME_AS_ASCII.contains(&c);
    let inner = |c: char| alphanumeric(c) || matches!(c, '.' | '_' | '-');
    if (1..=MAX_NAME).contains(&name.chars().count())
        && name.chars().all(inner)
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Webhook name {} is invalid. It must start and end with a letter or digit, be less than 63 characters long, \
         and contain only letters, digits, dots (.), underscores (_), and hyphens (-).",
        python::repr(name)
    )))
}

/// Non-ASCII characters that `[a-z]` matches in Python if case is ignored.
const SAME_AS_ASCII: [char; 4] = ['\u{130}', '\u{131}', '\u{17f}', '\u{212a}'];

/// The page size for webhooks; 0 is the default.
pub fn webhook_page_size(max_results: i32) -> Result<i32> {
    match max_results {
        0 => Ok(100),
        1..=MAX_RESULTS => Ok(max_results),
        _ => Err(Error::invalid("max_results must be between 1 and 1000.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label() {
        for name in ["a", "7", "Team.hook-1_b", &"x".repeat(63), "\u{212a}"] {
            assert_eq!(webhook_name(name), Ok(()), "{name}");
        }
        for name in ["", " ", "-a", "a-", ".a", "a b", "a\n", "ü", "a/b", &"x".repeat(64)] {
            assert!(webhook_name(name).unwrap_err().message.starts_with("Webhook name "), "{name}");
        }
    }

    #[test]
    fn a_page_has_a_size() {
        assert_eq!(webhook_page_size(0), Ok(100));
        assert_eq!(webhook_page_size(1000), Ok(1000));
        assert!(webhook_page_size(-1).is_err() && webhook_page_size(1001).is_err());
    }
}
