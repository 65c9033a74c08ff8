//! Shared by the validators: error messages, characters of names, and lengths.

use serde_json::{Map, Value};
use unicode_general_category::{GeneralCategory, get_general_category};

use crate::{Error, Result, limits, python};

const BAD_CHARACTERS: &str = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), \
                              spaces ( ), colon(:) and slashes (/).";

/// `Invalid value … for parameter '…' supplied`, followed by a full stop or by `: ` and `reason`.
#[must_use]
pub fn invalid_value(path: &str, value: &Value, reason: Option<&str>) -> String {
    let value = python::json_dumps_compact(&shortened(value, &mut limits::VALUE_IN_ERROR.clone()));
    match reason {
        Some(reason) => format!("Invalid value {value} for parameter '{path}' supplied: {reason}"),
        None => format!("Invalid value {value} for parameter '{path}' supplied."),
    }
}

/// Truncates a value to `room` characters, so that an error message does not repeat a long request.
fn shortened(value: &Value, budget: &mut usize) -> Value {
    *budget = budget.saturating_sub(1);
    match value {
        Value::String(text) => {
            let cut = text.char_indices().nth(*budget).map(|(cut, _)| &text[..cut]);
            *budget = budget.saturating_sub(text.len());
            cut.map_or_else(|| value.clone(), |cut| format!("{cut}…").into())
        }
        Value::Array(items) => {
            let mut list = Vec::new();
            for item in items {
                if *budget == 0 {
                    break;
                }
                list.push(shortened(item, budget));
            }
            list.into()
        }
        Value::Object(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                if *budget == 0 {
                    break;
                }
                object.insert(name.chars().take(*budget).collect(), shortened(field, budget));
            }
            object.into()
        }
        _ => value.clone(),
    }
}

/// `Missing value for required parameter '…'.`
#[must_use]
pub fn missing_value(path: &str) -> String {
    format!("Missing value for required parameter '{path}'.")
}

/// `'…' exceeds the maximum length of … characters`
#[must_use]
pub fn exceeds_maximum_length(path: &str, limit: usize) -> String {
    format!("'{path}' exceeds the maximum length of {limit} characters")
}

/// `path.name`, or `name` alone.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Refuses a text of more than `limit` characters.
pub(super) fn length(name: &str, limit: usize, text: &str) -> Result<()> {
    if fits(limit, text) { Ok(()) } else { Err(Error::invalid(exceeds_maximum_length(name, limit))) }
}

/// Truncates a text to `limit` characters, or returns an error if it is longer and `truncate` is false.
pub(super) fn shorten(name: &str, limit: usize, text: &str, truncate: bool) -> Result<String> {
    if fits(limit, text) {
        Ok(text.to_owned())
    } else if truncate {
        Ok(text.chars().take(limit).collect())
    } else {
        Err(Error::invalid(exceeds_maximum_length(name, limit)))
    }
}

fn fits(limit: usize, text: &str) -> bool {
    // A character has at least one byte: most texts need no counting.
    text.len() <= limit || text.chars().count() <= limit
}

/// Refuses invalid names of metrics, params and tags: characters other than word characters and `/.- :`, or a path that
/// is not normalised.
pub(super) fn entity_name(path: &str, name: &str) -> Result<()> {
    if !all_but_newline(name).chars().all(|c| is_word(c) || "/.- :".contains(c)) {
        return Err(Error::invalid(invalid_value(path, &name.into(), Some(BAD_CHARACTERS))));
    }
    unchanged_path(path, name)
}

/// Refuses a name that, as a path, resolves to another one.
pub(super) fn unchanged_path(path: &str, name: &str) -> Result<()> {
    if is_plain_path(name) {
        return Ok(());
    }
    let norm = normpath(name);
    if norm == name && norm != "." && !norm.starts_with("..") && !norm.starts_with('/') {
        return Ok(());
    }
    let reason = format!(
        "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. \
         This name would resolve to {}",
        python::repr(&norm)
    );
    Err(Error::invalid(invalid_value(path, &name.into(), Some(&reason))))
}

/// Whether a name is a single component that is not a dot path. This is the common case and needs no normalisation.
fn is_plain_path(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/')
}

/// The text without a trailing newline, which `$` in Python's regular expressions allows.
pub(super) fn all_but_newline(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

/// Python's `\w`: letters, numbers and the underscore in any script, but no combining marks.
pub(super) fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    matches!(
        get_general_category(c),
        GeneralCategory::UppercaseLetter
            | GeneralCategory::LowercaseLetter
            | GeneralCategory::TitlecaseLetter
            | GeneralCategory::ModifierLetter
            | GeneralCategory::OtherLetter
            | GeneralCategory::DecimalNumber
            | GeneralCategory::LetterNumber
            | GeneralCategory::OtherNumber
    )
}

/// `[a-zA-Z0-9][\w\-]{0,rest}`, the form of an id.
pub(super) fn is_id(text: &str, rest: usize) -> bool {
    let mut chars = all_but_newline(text).chars();
    chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.clone().count() <= rest
        && chars.all(|c| is_word(c) || c == '-')
}

/// `posixpath.normpath`: removes empty and `.` components, and resolves `..` as far as possible. Exactly two leading
/// slashes are kept, as POSIX allows them a special meaning.
pub(super) fn normpath(path: &str) -> String {
    let slashes = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let stays = part != ".." || parts.last().map_or(slashes.is_empty(), |last| *last == "..");
        if stays {
            parts.push(part);
        } else {
            parts.pop();
        }
    }
    let norm = slashes.to_owned() + &parts.join("/");
    if norm.is_empty() { ".".to_owned() } else { norm }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_normalised_as_posixpath_does() {
        for (path, norm) in [
            ("", "."),
            (".", "."),
            ("a//b/./c", "a/b/c"),
            ("a/../b", "b"),
            ("..", ".."),
            ("../../a", "../../a"),
            ("a/../..", ".."),
            ("/..", "/"),
            ("/../a", "/a"),
            ("//a", "//a"),
            ("//..", "//"),
            ("///a", "/a"),
            ("a/", "a"),
        ] {
            assert_eq!(normpath(path), norm, "{path}");
        }
    }

    #[test]
    fn a_word_character_is_pythons() {
        for c in "aZ0_é雪٣²Ⅷªʰ".chars() {
            assert!(is_word(c), "{c}");
        }
        // A combining vowel sign, an emoji, punctuation, a space, the copyright sign.
        for c in "\u{93f}\u{301}🙂-.\u{a0}©".chars() {
            assert!(!is_word(c), "{c}");
        }
    }

    #[test]
    fn a_length_is_counted_in_characters() {
        assert!(length("key", 3, "雪雪雪").is_ok());
        assert_eq!(
            length("key", 3, "雪雪雪雪").unwrap_err().message,
            "'key' exceeds the maximum length of 3 characters"
        );
        assert_eq!(shorten("Param value", 2, "雪雪雪", true).as_deref(), Ok("雪雪"));
        assert!(shorten("Param value", 2, "雪雪雪", false).is_err());
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "[./a]{0,12}") {
            let once = normpath(&path);
            prop_assert_eq!(normpath(&once), once);
        }

        #[test]
        fn the_fast_path_agrees_with_normpath(name in "[./a ]{0,8}") {
            if is_plain_path(&name) {
                prop_assert_eq!(normpath(&name), name);
            }
        }
    }
}
