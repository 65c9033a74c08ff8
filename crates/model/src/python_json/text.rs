//! Strings of Python.

use std::fmt::Write as _;

/// A string of Python, which may contain unpaired surrogates. Kept as `json.dumps` writes it between the quotes: each
/// string has one such form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(Box<str>);

impl Text {
    /// A string without unpaired surrogates.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut out = Escaped::default();
        text.encode_utf16().for_each(|unit| out.push(unit));
        out.finish()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is a text of printable ASCII without quotes and backslashes.
    #[must_use]
    pub fn is(&self, plain: &str) -> bool {
        *self.0 == *plain
    }

    /// The string; `None` if it has an unpaired surrogate.
    #[must_use]
    pub fn decode(&self) -> Option<String> {
        if !self.0.contains('\\') {
            return Some(self.0.to_string());
        }
        self.code_points().map(char::from_u32).collect()
    }

    /// Appends it in quotes.
    pub(super) fn dump(&self, out: &mut String) {
        out.push('"');
        out.push_str(&self.0);
        out.push('"');
    }

    /// Its code points; a pair of surrogates is one.
    pub(super) fn code_points(&self) -> impl Iterator<Item = u32> + Clone {
        let mut units = Units(self.0.as_bytes());
        std::iter::from_fn(move || {
            let unit = units.next()?;
            if (0xd800..0xdc00).contains(&unit)
                && let Some(second) = units.clone().next().filter(|second| (0xdc00..0xe000).contains(second))
            {
                units.next();
                return Some(0x1_0000 + ((u32::from(unit) - 0xd800) << 10) + (u32::from(second) - 0xdc00));
            }
            Some(unit.into())
        })
    }
}

/// The UTF-16 code units of an escaped text.
#[derive(Clone)]
struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first()?;
        if *first != b'\\' {
            self.0 = rest;
            return Some((*first).into());
        }
        let (escape, rest) = rest.split_first()?;
        self.0 = rest;
        Some(match escape {
            b'u' => {
                let (digits, rest) = rest.split_at_checked(4)?;
                self.0 = rest;
                u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            b'n' => 0x0a,
            b'r' => 0x0d,
            b't' => 0x09,
            b'b' => 0x08,
            b'f' => 0x0c,
            other => (*other).into(),
        })
    }
}

/// A text under construction.
#[derive(Default)]
pub(super) struct Escaped(String);

impl Escaped {
    /// Appends printable ASCII without quotes and backslashes.
    pub(super) fn push_plain(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Appends a UTF-16 code unit.
    pub(super) fn push(&mut self, unit: u16) {
        match unit {
            0x22 => self.0.push_str("\\\""),
            0x5c => self.0.push_str("\\\\"),
            0x0a => self.0.push_str("\\n"),
            0x0d => self.0.push_str("\\r"),
            0x09 => self.0.push_str("\\t"),
            0x08 => self.0.push_str("\\b"),
            0x0c => self.0.push_str("\\f"),
            // Writing to a string cannot fail.
            _ => match u8::try_from(unit) {
                Ok(byte @ b' '..=b'~') => self.0.push(byte.into()),
                _ => _ = write!(self.0, "\\u{unit:04x}"),
            },
        }
    }

    pub(super) fn finish(self) -> Text {
        Text(self.0.into_boxed_str())
    }
}
