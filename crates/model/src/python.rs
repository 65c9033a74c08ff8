//! Formats values like Python, for messages of the reference that contain them.

use std::fmt::Write as _;

use unicode_general_category::{GeneralCategory, get_general_category};

use crate::number;

/// `text.strip()`: Python counts the separators of ASCII as white space too.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(|char: char| char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char))
}

/// `repr()` of a string: single quotes, unless the text contains single but no double quotes.
#[must_use]
pub fn repr(text: &str) -> String {
    repr_of(text.chars().map(u32::from))
}

/// [`repr`] of the string with these code points, among which may be unpaired surrogates.
#[must_use]
pub fn repr_of(code_points: impl Iterator<Item = u32> + Clone) -> String {
    let has = |char: char| code_points.clone().any(|found| found == u32::from(char));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(code_points.size_hint().0 + 2);
    out.push(quote);
    for code in code_points {
        let Some(char) = char::from_u32(code) else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{code:04x}");
            continue;
        };
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char == quote => {
                out.push('\\');
                out.push(char);
            }
            char if !is_printable(char) => {
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            char => out.push(char),
        }
    }
    out.push(quote);
    out
}

/// `str.isprintable()` of a character: no control, format or unassigned character, and no space other than ` `.
fn is_printable(char: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate, Unassigned,
    };
    if char.is_ascii() {
        return !char.is_ascii_control();
    }
    !matches!(
        get_general_category(char),
        Control | Format | LineSeparator | ParagraphSeparator | PrivateUse | SpaceSeparator | Surrogate | Unassigned
    )
}

/// `repr()` of bytes: `b'a\x00'`, with the quotes of [`repr`].
#[must_use]
pub fn repr_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if char::from(byte) == quote => out.extend(['\\', quote]),
            b' '..=b'~' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    out.push(quote);
    out
}

/// `repr()` of a list of strings.
#[must_use]
pub fn repr_list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| repr(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// `json.dumps(value)`: a space after every comma and colon, non-ASCII characters escaped.
#[must_use]
pub fn json_dumps(value: &serde_json::Value) -> String {
    let mut out = String::new();
    dump(value, Style { comma: ", ", colon: ": ", ascii: true }, &mut out);
    out
}

/// `json.dumps(value, sort_keys=True, separators=(",", ":"))`
#[must_use]
pub fn json_dumps_compact(value: &serde_json::Value) -> String {
    let mut out = String::new();
    dump(value, Style { comma: ",", colon: ":", ascii: true }, &mut out);
    out
}

/// Parameters of `json.dumps`.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The item separator.
    pub comma: &'static str,
    /// The key separator.
    pub colon: &'static str,
    /// `ensure_ascii`: escapes non-ASCII characters.
    pub ascii: bool,
}

fn dump(value: &serde_json::Value, style: Style, out: &mut String) {
    match value {
        serde_json::Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(style.comma);
                }
                dump(item, style, out);
            }
            out.push(']');
        }
        serde_json::Value::Object(fields) => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(style.comma);
                }
                style.text(name, out);
                out.push_str(style.colon);
                dump(field, style, out);
            }
            out.push('}');
        }
        serde_json::Value::String(text) => style.text(text, out),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => out.push_str(&number::float_repr(float)),
            _ => out.push_str(&number.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

impl Style {
    /// Appends a quoted string.
    pub fn text(self, text: &str, out: &mut String) {
        out.push('"');
        for char in text.chars() {
            match char {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                ' '..='~' => out.push(char),
                _ if !self.ascii && char >= ' ' => out.push(char),
                _ => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_as_python_does() {
        for (text, expected) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("\"", "'\"'"),
            ("'\"", "'\\'\"'"),
            ("a\\b\n\t\r", "'a\\\\b\\n\\t\\r'"),
            ("\0\x7f\u{a0}\u{2028}", "'\\x00\\x7f\\xa0\\u2028'"),
            ("ü雪", "'ü雪'"),
            ("\u{200b}\u{e000}\u{1f600}", "'\\u200b\\ue000😀'"),
        ] {
            assert_eq!(repr(text), expected);
        }
        assert_eq!(repr_list(&["a", "b'"]), "['a', \"b'\"]");
    }

    #[test]
    fn json_is_written_as_python_does() {
        let value = serde_json::json!({"a": [1, "ü\n😀\u{7f}", null, true], "b": {}});
        let expected = r#"{"a": [1, "\u00fc\n\ud83d\ude00\u007f", null, true], "b": {}}"#;
        assert_eq!(json_dumps(&value), expected);
    }
}
