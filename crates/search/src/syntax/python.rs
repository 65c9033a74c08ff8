//! Parses numbers and formats values like the reference: error messages contain Python's notation.

use std::fmt::Write;

use super::chars::{digit, is_space};

/// `str.strip()`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// An integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Int {
    Value(i64),
    /// Valid in Python, but out of the range of a database column.
    TooLarge,
}

impl Int {
    pub(crate) fn value(self) -> Option<i64> {
        match self {
            Self::Value(value) => Some(value),
            Self::TooLarge => None,
        }
    }
}

/// `int(text)`.
pub(crate) fn int(text: &str) -> Option<Int> {
    let ascii = ascii_number(text)?;
    let digits = ascii.strip_prefix(['+', '-']).unwrap_or(&ascii);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(ascii.parse().map_or(Int::TooLarge, Int::Value))
}

/// `float(text)`.
pub(crate) fn float(text: &str) -> Option<f64> {
    // Rust accepts the same as Python: decimal and exponent notation, `inf`, `infinity` and `nan` in any case.
    ascii_number(text)?.parse().ok()
}

/// Converts digits of all scripts to ASCII, and removes surrounding white space and underscores between digits.
fn ascii_number(text: &str) -> Option<String> {
    let text = strip(text);
    let mut ascii = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut after_digit = false;
    while let Some(c) = rest.next() {
        if c == '_' {
            if !after_digit || rest.peek().copied().and_then(digit).is_none() {
                return None;
            }
            continue;
        }
        let value = digit(c);
        after_digit = value.is_some();
        ascii.push(value.and_then(|value| char::from_digit(value, 10)).unwrap_or(c));
    }
    Some(ascii)
}

/// `repr(text)`.
pub(crate) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        let code = u32::from(c);
        let is_shown = c == ' ' || !(c.is_control() || is_space(c) || is_invisible(c));
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => out.extend(['\\', c]),
            _ if is_shown => out.push(c),
            // Writing to a string cannot fail.
            _ if code < 0x100 => _ = write!(out, "\\x{code:02x}"),
            _ if code < 0x1_0000 => _ = write!(out, "\\u{code:04x}"),
            _ => _ = write!(out, "\\U{code:08x}"),
        }
    }
    out.push(quote);
    out
}

/// Format characters and private use characters, which Python escapes.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..)
}

/// `repr(float)`.
pub(crate) fn repr_f64(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{}e{sign}{digits:0>2}", mantissa.strip_suffix(".0").unwrap_or(mantissa))
}

/// `repr` of a value that came from JSON.
pub(crate) fn repr_json(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(String::new, repr_f64),
        Value::Number(number) => number.to_string(),
        Value::String(text) => repr(text),
        Value::Array(items) => repr_list(items.iter().map(repr_json)),
        Value::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{}: {}", repr(key), repr_json(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// A list of formatted values.
pub(crate) fn repr_list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A tuple of formatted values.
pub(crate) fn repr_tuple(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.len() == 1 { format!("({},)", items[0]) } else { format!("({})", items.join(", ")) }
}

/// A set of words. Python's order is arbitrary; here they are sorted.
pub(crate) fn repr_set<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<_> = words.into_iter().collect();
    words.sort_unstable();
    let words: Vec<_> = words.into_iter().map(repr).collect();
    format!("{{{}}}", words.join(", "))
}
