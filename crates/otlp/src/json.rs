//! `json.loads`: parses JSON like Python, borrowing from the text. Accepts `NaN` and `Infinity`, preserves the order of
//! names, and keeps numbers as they are written.

use std::borrow::Cow;

use crate::text;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// As it is written; `NaN`, `Infinity` and `-Infinity` too.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// Pairs in source order; the last one of a name counts.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// What a text is that contains JSON with structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A string, an array or an object that contains something.
    Full,
    /// An empty string, array or object.
    Empty,
}

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotJson,
    /// Nested more deeply than the caller accepts.
    TooDeep,
    /// More values than allowed.
    TooMany,
}

/// Maximum nesting of a tree. Deeper texts are no JSON here.
const MAX_DEPTH: usize = 128;

/// Maximum nesting of a stored span. Decoders of its message accept less than that.
const MAX_STORED: usize = 64;

/// Maximum nesting of a request: a list in a list is three levels deep in OTLP/JSON.
const MAX_REQUEST: usize = 256;

/// Maximum nesting of a text that is only checked. Python gives up near 1,000.
const MAX_CHECKED: usize = 512;

impl<'a> Json<'a> {
    /// Parses a text. An unpaired surrogate becomes a question mark, as in Python's encoder.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Self::read(text, Reader { text, at: 0, values: usize::MAX, deepest: MAX_DEPTH, strict: false }).ok()
    }

    /// Parses a request with at most `values` values. Refuses unpaired surrogates.
    pub(crate) fn request(text: &'a str, values: usize) -> Result<Self, Refusal> {
        Self::read(text, Reader { text, at: 0, values, deepest: MAX_REQUEST, strict: true })
    }

    /// Parses a stored span, or the text of one of its attributes.
    pub(crate) fn stored(text: &'a str) -> Result<Self, Refusal> {
        Self::read(text, Reader { text, at: 0, values: usize::MAX, deepest: MAX_STORED, strict: false })
    }

    fn read(text: &'a str, mut reader: Reader<'a>) -> Read<Self> {
        reader.blank();
        let value = reader.value(0)?;
        reader.blank();
        if reader.at == text.len() { Ok(value) } else { Err(Refusal::NotJson) }
    }

    /// The value of a name in an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(pairs) = self else { return None };
        pairs.iter().rfind(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The value of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// `bool(value)`
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(text) => text.parse::<f64>().is_ok_and(|number| number != 0.0),
            Self::Text(text) => !text.is_empty(),
            Self::Array(items) => !items.is_empty(),
            Self::Object(pairs) => !pairs.is_empty(),
        }
    }

    /// The value of an integer of 64 bits.
    pub(crate) fn int(&self) -> Option<i64> {
        if let Self::Number(text) = self { text.parse().ok() } else { None }
    }

    /// The value of a number.
    pub(crate) fn float(&self) -> Option<f64> {
        match self {
            Self::Number("-Infinity") => Some(f64::NEG_INFINITY),
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// `json.dumps(value, ensure_ascii=ascii)`
    pub(crate) fn dump(&self, ascii: bool, out: &mut String) {
        let quoted = if ascii { text::quoted_ascii } else { text::quoted };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number("-0") => out.push('0'),
            Self::Number(number) if !is_integer(number) => {
                text::float(self.float().unwrap_or(f64::NAN), out);
            }
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => quoted(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    item.dump(ascii, out);
                }
                out.push(']');
            }
            Self::Object(pairs) => {
                out.push('{');
                for (at, (first, last)) in
                    text::distinct_names(pairs.iter().map(|(name, _)| name)).into_iter().enumerate()
                {
                    out.push_str(if at > 0 { ", " } else { "" });
                    quoted(&pairs[first].0, out);
                    out.push_str(": ");
                    pairs[last].1.dump(ascii, out);
                }
                out.push('}');
            }
        }
    }
}

/// Whether a number is written as an integer.
pub(crate) fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E', 'N', 'I'])
}

/// Checks, without building anything, whether a text is a JSON string, array or object.
pub(crate) fn shape(text: &str) -> Option<Shape> {
    let start = text.bytes().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
    if !matches!(text.as_bytes()[start], b'"' | b'[' | b'{') {
        return None;
    }
    let mut reader = Reader { text, at: start, values: usize::MAX, deepest: MAX_CHECKED, strict: false };
    let end = reader.check(0).ok()?;
    reader.blank();
    (reader.at == text.len()).then_some(end)
}

struct Reader<'a> {
    text: &'a str,
    /// The position, always on a character boundary.
    at: usize,
    values: usize,
    /// Maximum nesting.
    deepest: usize,
    strict: bool,
}

type Read<T> = Result<T, Refusal>;

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn blank(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Read<Json<'a>> {
        self.values = self.values.checked_sub(1).ok_or(Refusal::TooMany)?;
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'[') => {
                let mut items = Vec::new();
                self.items(depth, b']', |reader, depth| {
                    items.push(reader.value(depth)?);
                    Ok(())
                })?;
                Ok(Json::Array(items))
            }
            Some(b'{') => {
                let mut pairs = Vec::new();
                self.items(depth, b'}', |reader, depth| {
                    let name = reader.string()?;
                    reader.colon()?;
                    pairs.push((name, reader.value(depth)?));
                    Ok(())
                })?;
                Ok(Json::Object(pairs))
            }
            _ => self.scalar(),
        }
    }

    /// Skips a value.
    fn check(&mut self, depth: usize) -> Read<Shape> {
        let is_empty = match self.peek() {
            Some(b'"') => self.skip_string()?,
            Some(b'[') => self.items(depth, b']', |reader, depth| reader.check(depth).map(drop))?,
            Some(b'{') => self.items(depth, b'}', |reader, depth| {
                reader.skip_string()?;
                reader.colon()?;
                reader.check(depth).map(drop)
            })?,
            _ => self.scalar().map(|_| false)?,
        };
        Ok(if is_empty { Shape::Empty } else { Shape::Full })
    }

    fn scalar(&mut self) -> Read<Json<'a>> {
        for (word, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Number("NaN")),
            ("Infinity", Json::Number("Infinity")),
            ("-Infinity", Json::Number("-Infinity")),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        self.number()
    }

    fn colon(&mut self) -> Read<()> {
        self.blank();
        if !self.take(":") {
            return Err(Refusal::NotJson);
        }
        self.blank();
        Ok(())
    }

    /// Comma-separated items up to the closing bracket. Returns whether there are none.
    fn items(&mut self, depth: usize, end: u8, mut item: impl FnMut(&mut Self, usize) -> Read<()>) -> Read<bool> {
        if depth == self.deepest {
            return Err(Refusal::TooDeep);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(true);
        }
        loop {
            item(self, depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(found) if found == end => {
                    self.at += 1;
                    return Ok(false);
                }
                _ => return Err(Refusal::NotJson),
            }
            self.blank();
        }
    }

    fn number(&mut self) -> Read<Json<'a>> {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = self.rest();
        let mut end = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(&rest[end..]);
        if whole == 0 {
            return Err(Refusal::NotJson);
        }
        // A leading zero ends the number: further digits are not part of it.
        end += if rest[end] == b'0' { 1 } else { whole };
        if rest.get(end) == Some(&b'.') && digits(&rest[end + 1..]) > 0 {
            end += 1 + digits(&rest[end + 1..]);
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(rest.get(end + 1 + sign..).unwrap_or_default());
            end += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
        let text = &self.text[self.at..self.at + end];
        self.at += end;
        Ok(Json::Number(text))
    }

    /// Skips a string. Returns whether it is empty.
    fn skip_string(&mut self) -> Read<bool> {
        let start = self.at + 1;
        if !self.take("\"") {
            return Err(Refusal::NotJson);
        }
        loop {
            self.at += self.rest().iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.at == start + 1);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                _ => return Err(Refusal::NotJson),
            }
        }
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        if !self.take("\"") {
            return Err(Refusal::NotJson);
        }
        let mut out = String::new();
        loop {
            let plain = self.rest().iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            let run = &self.text[self.at..self.at + plain];
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    if out.is_empty() {
                        return Ok(Cow::Borrowed(run));
                    }
                    out.push_str(run);
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {
                    out.push_str(run);
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(Refusal::NotJson),
            }
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Read<char> {
        let char = match self.peek().ok_or(Refusal::NotJson)? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => return self.unit(),
            char @ (b'"' | b'\\' | b'/') => char.into(),
            _ => return Err(Refusal::NotJson),
        };
        self.at += 1;
        Ok(char)
    }

    /// Reads a character of one or two UTF-16 code units.
    fn unit(&mut self) -> Read<char> {
        let first = self.hex().ok_or(Refusal::NotJson)?;
        self.at += 5;
        if let Some(char) = char::from_u32(first.into()) {
            return Ok(char);
        }
        if first < 0xdc00 && self.take("\\") {
            if let Some(second) = self.hex()
                && let Some(Ok(char)) = char::decode_utf16([first, second]).next()
            {
                self.at += 5;
                return Ok(char);
            }
            self.at -= 1;
        }
        if self.strict { Err(Refusal::NotJson) } else { Ok('?') }
    }

    /// The four digits after `u`.
    fn hex(&self) -> Option<u16> {
        let digits =
            self.rest().strip_prefix(b"u")?.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
