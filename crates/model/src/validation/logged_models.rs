//! Logged models.

use crate::{Error, Result, python};

/// Checks the name of a logged model; without one, a random name is generated later.
pub fn logged_model_name(name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    if !name.is_empty() && !name.contains(['/', ':', '.', '%', '"', '\'']) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid model name ({}) provided. Model name must be a non-empty string and cannot contain the following \
         characters: ('/', ':', '.', '%', '\"', \"'\")",
        python::repr(name)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_model_name_is_a_plain_word() {
        assert_eq!(logged_model_name(None), Ok(()));
        assert_eq!(logged_model_name(Some("my model-1")), Ok(()));
        assert_eq!(
            logged_model_name(Some("a.b")).unwrap_err().message,
            r#"Invalid model name ('a.b') provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%', '"', "'")"#
        );
        for name in ["", "a/b", "a:b", "a%b", "a\"b", "a'b"] {
            assert!(logged_model_name(Some(name)).is_err(), "{name}");
        }
    }
}
