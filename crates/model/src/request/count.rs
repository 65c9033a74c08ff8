//! Counts the values in a body from its bytes. The memory for parsing depends on their number more than on the length,
//! so it is known before anything is allocated.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// An upper bound for the number of values in a JSON text: objects, lists, texts, numbers and literals. Every value
/// except the first follows a comma or an opening bracket; those inside texts are counted too.
#[must_use]
pub fn at_most(json: &[u8]) -> usize {
    let mut count = 1;
    // Sums of one byte each are vectorised.
    for part in json.chunks(255) {
        let of_part = part.iter().fold(0_u8, |sum, byte| sum + u8::from(separates(*byte)));
        count += usize::from(of_part);
    }
    count
}

/// The exact number of values in a JSON text.
pub(super) fn exactly(json: &[u8]) -> usize {
    let (mut count, mut in_text, mut is_opened, mut at) = (1, false, false, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => at += 1,
            // The container is empty.
            b']' | b'}' if !in_text && is_opened => count -= 1,
            byte if !in_text => count += usize::from(separates(*byte)),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            is_opened = !in_text && matches!(byte, b'[' | b'{');
        }
        at += 1;
    }
    count
}

const fn separates(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b'{')
}

/// The length of a list, parsed without its elements.
#[derive(Debug, Default)]
pub(crate) struct Length(pub(crate) usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LengthVisitor)
    }
}

struct LengthVisitor;

impl<'de> Visitor<'de> for LengthVisitor {
    type Value = Length;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Length, A::Error> {
        let mut length = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            length += 1;
        }
        Ok(Length(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn nodes(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(nodes).sum(),
            Value::Object(fields) => fields.values().map(nodes).sum::<usize>(),
            _ => 0,
        }
    }

    #[test]
    fn texts_count_as_one_value() {
        let json = br#"{"a": "[,{\",,", "b\\": ["\\", {}]}"#;
        assert_eq!(exactly(json), 5);
        assert_eq!(exactly(b"[[], [ ], {}, [1], \"[]\", {\"a\": {}}]"), 9);
        assert!(at_most(json) > 5);
        assert_eq!(at_most(&b",".repeat(1000)), 1001);
    }

    proptest! {
        #[test]
        fn no_json_holds_more(json in r#"(\[|\]|\{"k":|\}|,|1|"[a,\[]{0,3}"|\{\}){0,20}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&json)
                // A repeated key is in the tree once.
                && json.matches("\"k\":").count() < 2
            {
                prop_assert_eq!(nodes(&value), exactly(json.as_bytes()));
                prop_assert!(exactly(json.as_bytes()) <= at_most(json.as_bytes()));
            }
        }

        #[test]
        fn any_bytes_are_counted(json: Vec<u8>) {
            prop_assert!(exactly(&json) <= at_most(&json));
        }
    }
}
