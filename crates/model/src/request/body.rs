//! Parameters in a body.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::check_values;
use crate::{Error, Result, limits::RequestSize};

/// Maximum nesting.
const MAX_DEPTH: usize = 127;

/// The JSON object in a body. As in the reference, an empty body and one that is not JSON are an empty object, and JSON
/// encoded as a JSON string is parsed again.
///
/// # Errors
/// The body is another JSON value, or JSON that only Python accepts.
pub(super) fn parameters(body: impl AsRef<[u8]>) -> Result<Map<String, Value>> {
    let bytes = body.as_ref();
    let Ok(text) = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) else {
        return Ok(Map::new());
    };
    let value = read(text)?;
    drop(body);
    let value = match value {
        Some(Value::String(inner)) => {
            check_values(inner.as_bytes(), RequestSize::MEDIUM.values)?;
            read(&inner)?
                .ok_or_else(|| Error::invalid("The request body is a JSON string, and the text in it is not JSON."))?
        }
        Some(value) => value,
        None => return Ok(Map::new()),
    };
    match value {
        Value::Object(request) => Ok(request),
        Value::Null => Ok(Map::new()),
        _ => Err(Error::invalid("The request body must be a JSON object.")),
    }
}

/// Parses JSON; `None` if the text is not JSON.
fn read(text: &str) -> Result<Option<Value>> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(Some(value));
    }
    let scan = Scan::of(text);
    if scan.depth > MAX_DEPTH {
        return Err(Error::invalid("The request body is nested too deeply."));
    }
    match serde_json::from_str::<IgnoredAny>(&scan.strict) {
        Ok(_) => {
            Err(Error::invalid(format!("The request body is not valid JSON: {}.", scan.fault.unwrap_or("syntax"))))
        }
        Err(_) => Ok(None),
    }
}

/// Replaces Python's extensions of JSON in a text by standard JSON, so that a body with such an extension is refused
/// because of it instead of being treated as empty.
struct Scan {
    strict: String,
    fault: Option<&'static str>,
    depth: usize,
}

impl Scan {
    fn of(text: &str) -> Self {
        let mut scan = Self { strict: String::with_capacity(text.len()), fault: None, depth: 0 };
        let (mut rest, mut depth) = (text, 0_usize);
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => scan.string(rest),
                '-' | '0'..='9' | 'N' | 'I' => scan.number(rest),
                _ => {
                    match first {
                        '[' | '{' => depth += 1,
                        ']' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    scan.depth = scan.depth.max(depth);
                    scan.strict.push(first);
                    first.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        scan
    }

    /// Copies a number or a literal; returns its length.
    fn number(&mut self, rest: &str) -> usize {
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let token = &rest[..length];
        if matches!(token, "NaN" | "Infinity" | "-Infinity") {
            self.fault = Some("NaN and Infinity must be in quotes");
            self.strict.push('0');
        } else if token.bytes().any(|b| b.is_ascii_digit()) && token.parse().is_ok_and(f64::is_infinite) {
            self.fault = Some("a number is too large");
            self.strict.push('0');
        } else {
            self.strict.push_str(token);
        }
        length
    }

    /// Copies a string with its quotes; returns its length.
    fn string(&mut self, rest: &str) -> usize {
        let bytes = rest.as_bytes();
        let mut at = 1;
        let mut from = 0;
        while at < bytes.len() && bytes[at] != b'"' {
            if bytes[at] != b'\\' {
                at += 1;
                continue;
            }
            let (length, is_unpaired) = match (surrogate(rest, at), surrogate(rest, at + 6)) {
                (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, false),
                (Some(0xd800..0xe000), _) => (6, true),
                _ => (2, false),
            };
            if is_unpaired {
                self.fault = Some("a string has an unpaired surrogate");
                self.strict.push_str(&rest[from..at]);
                self.strict.push('?');
                from = at + length;
            }
            at += length;
        }
        // After an escape at the very end or before a multi-byte character, the position may be inside or past the
        // text.
        let mut end = (at + 1).min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        self.strict.push_str(rest.get(from..end).unwrap_or_default());
        end
    }
}

/// The code unit of an escape `\uXXXX` at position `at`.
fn surrogate(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(body: &str) -> Value {
        Value::Object(parameters(body.as_bytes()).unwrap())
    }

    #[test]
    fn invalid_json_is_an_empty_request() {
        for body in ["", "null", "{", "{'a': 1}", "{\"a\": 1} x", "{\"a\": \"\u{1}\"}", "\"null\""] {
            assert_eq!(object(body), json!({}), "{body}");
        }
        assert_eq!(parameters(b"{\"a\": \"\xff\"}"), Ok(Map::new()));
        assert_eq!(object("\u{feff}{\"a\": 1}"), json!({"a": 1}));
    }

    #[test]
    fn json_in_a_string_is_read_again() {
        assert_eq!(object(r#""{\"a\": \"b\"}""#), json!({"a": "b"}));
        assert!(parameters(br#""not json""#).is_err());
    }

    #[test]
    fn values_other_than_objects_are_refused() {
        for body in ["[]", "1", "true", r#""[1]""#, r#""\"twice\"""#] {
            let error = parameters(body.as_bytes()).unwrap_err();
            assert_eq!(error.message, "The request body must be a JSON object.", "{body}");
        }
    }

    #[test]
    fn json_that_only_python_accepts_is_refused_with_the_reason() {
        for (body, fault) in [
            (r#"{"a": NaN}"#, "NaN and Infinity must be in quotes"),
            (r#"{"a": NaN, "b": "\ud83d\ude00"}"#, "NaN and Infinity must be in quotes"),
            (r#"{"a": [-Infinity]}"#, "NaN and Infinity must be in quotes"),
            (r#"{"a": "\" NaN", "b": Infinity}"#, "NaN and Infinity must be in quotes"),
            (r#"{"a": 1e999}"#, "a number is too large"),
            (r#"{"a": "x\ud800y"}"#, "a string has an unpaired surrogate"),
            (r#"{"a": "x\\\udc00"}"#, "a string has an unpaired surrogate"),
        ] {
            let error = parameters(body.as_bytes()).unwrap_err();
            assert_eq!(error.message, format!("The request body is not valid JSON: {fault}."), "{body}");
        }
        assert_eq!(object(r#"{"a": "\ud83d\ude00 NaN \\ud800"}"#), json!({"a": "😀 NaN \\ud800"}));
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        assert_eq!(parameters(deep.as_bytes()).unwrap_err().message, "The request body is nested too deeply.");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            let _ = parameters(&body);
        }

        #[test]
        fn any_text_is_read_or_refused(body in r#"[\{\}\[\]":,\\uda80NI1e9é-]{0,40}"#) {
            let _ = parameters(body.as_bytes());
        }
    }
}
