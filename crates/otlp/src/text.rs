//! Writes JSON like Python's `json.dumps`, straight into a string.

use std::{borrow::Cow, collections::HashMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferroflow_model::{number, python};

use crate::message::{AnyValue, KeyValue};

/// Bytes that JSON escapes in a text.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Writes a quoted text with `ensure_ascii=False`.
pub(crate) fn quoted(text: &str, out: &mut String) {
    out.push('"');
    escaped(text, out);
    out.push('"');
}

/// Writes the inside of a quoted text.
pub(crate) fn escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| SPECIAL[usize::from(byte)]) {
        out.push_str(&rest[..at]);
        special(rest.as_bytes()[at], out);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

fn special(byte: u8, out: &mut String) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        8 => out.push_str("\\b"),
        12 => out.push_str("\\f"),
        // Writing to a string cannot fail.
        byte => drop(write!(out, "\\u{byte:04x}")),
    }
}

/// Writes a quoted text in ASCII, as `json.dumps` without parameters.
pub(crate) fn quoted_ascii(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            ' '..='~' if char != '"' && char != '\\' => out.push(char),
            '\0'..='\u{1f}' | '"' | '\\' => special(char as u8, out),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// Writes a value as the reference's encoder of traces does: bytes are `str(bytes)`.
pub(crate) fn any(value: &AnyValue<'_>, out: &mut String) {
    match value {
        AnyValue::Null => out.push_str("null"),
        AnyValue::Text(text) => quoted(text, out),
        AnyValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        AnyValue::Int(number) => drop(write!(out, "{number}")),
        AnyValue::Double(number) => float(*number, out),
        AnyValue::Bytes(bytes) => quoted(&python::repr_bytes(bytes), out),
        AnyValue::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                any(item, out);
            }
            out.push(']');
        }
        AnyValue::Map(pairs) => map(pairs, out, any),
    }
}

/// Writes the attributes of a link, whose bytes are in base64.
pub(crate) fn link_attributes(pairs: &[KeyValue<'_>], out: &mut String) {
    map(pairs, out, |value, out| match value {
        AnyValue::Bytes(bytes) => quoted(&STANDARD.encode(bytes), out),
        other => any(other, out),
    });
}

/// Writes a map in the order of a Python dictionary: a repeated key keeps its position and gets the last value.
pub(crate) fn map(pairs: &[KeyValue<'_>], out: &mut String, value: fn(&AnyValue<'_>, &mut String)) {
    out.push('{');
    for (index, (first, last)) in distinct(pairs).into_iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        quoted(&pairs[first].key, out);
        out.push_str(": ");
        value(&pairs[last].value, out);
    }
    out.push('}');
}

/// The first and the last position of each key, in the order of the first.
pub(crate) fn distinct(pairs: &[KeyValue<'_>]) -> Vec<(usize, usize)> {
    distinct_names(pairs.iter().map(|pair| &pair.key))
}

/// The first and the last position of each name, in the order of the first. Takes linear time.
pub(crate) fn distinct_names<'n>(names: impl ExactSizeIterator<Item = &'n Cow<'n, str>>) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::with_capacity(names.len());
    if names.len() <= FEW {
        let mut known: Vec<&str> = Vec::with_capacity(names.len());
        for (at, name) in names.enumerate() {
            if let Some(index) = known.iter().position(|known| *known == name) {
                found[index].1 = at;
            } else {
                known.push(name);
                found.push((at, at));
            }
        }
        return found;
    }
    let mut positions = HashMap::with_capacity(names.len());
    for (at, name) in names.enumerate() {
        let position = *positions.entry(name.as_ref()).or_insert(found.len());
        match found.get_mut(position) {
            Some(known) => known.1 = at,
            None => found.push((at, at)),
        }
    }
    found
}

/// So few names are compared with each other faster than hashed.
const FEW: usize = 32;

/// Writes a float: `json.dumps` has `NaN` and infinities.
pub(crate) fn float(number: f64, out: &mut String) {
    out.push_str(&match number {
        n if n.is_nan() => "NaN".to_owned(),
        n if n.is_infinite() => if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        n => number::float_repr(n),
    });
}

/// The first `limit` characters of a text.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

/// A text for a column: without NUL characters, which PostgreSQL cannot store.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_python_does() {
        let mut out = String::new();
        quoted("ü\n\"\\\u{1}\u{7f}😀", &mut out);
        assert_eq!(out, "\"ü\\n\\\"\\\\\\u0001\u{7f}😀\"");
        let mut out = String::new();
        quoted_ascii("ü\n\"\u{7f}😀", &mut out);
        assert_eq!(out, r#""\u00fc\n\"\u007f\ud83d\ude00""#);
    }

    #[test]
    fn bytes_are_written_as_python_shows_them() {
        let mut out = String::new();
        any(&AnyValue::Bytes(Cow::Borrowed(b"a'\x00\xff\n")), &mut out);
        assert_eq!(out, r#""b\"a'\\x00\\xff\\n\"""#);
    }

    #[test]
    fn a_repeated_key_keeps_its_position_and_gets_the_last_value() {
        let pair = |key: usize, value| KeyValue { key: key.to_string().into(), value: AnyValue::Int(value) };
        let mut out = String::new();
        map(&[pair(1, 1), pair(2, 2), pair(1, 3)], &mut out, any);
        assert_eq!(out, r#"{"1": 3, "2": 2}"#);
        let many: Vec<_> = (0..40).map(|key| pair(key, 0)).chain([pair(0, 9)]).collect();
        assert_eq!(distinct(&many).len(), 40);
        assert_eq!(distinct(&many)[0], (0, 40));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("üü", 1), "ü");
        assert_eq!(cut("üü", 2), "üü");
    }
}
