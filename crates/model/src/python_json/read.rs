//! `json.loads`.

use std::collections::{HashMap, HashSet};

use super::{Json, Text, text::Escaped};
use crate::Error;

/// Maximum nesting of arrays and objects. Python gives up near 1,000.
const MAX_DEPTH: usize = 256;

/// Maximum number of digits of an integer, as in Python.
const MAX_DIGITS: usize = 4300;

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not JSON.
    NotJson,
    /// It is JSON, but no array.
    NotArray,
    /// It is nested too deeply.
    TooDeep,
    /// It has more values than allowed.
    TooMany,
}

impl Refusal {
    /// The error for a parameter with this text.
    #[must_use]
    pub fn of(self, parameter: &str) -> Error {
        let reason = match self {
            Self::NotJson => "it is not valid JSON".to_owned(),
            Self::NotArray => "it is not a list".to_owned(),
            Self::TooDeep => format!("it is nested more than {MAX_DEPTH} levels deep"),
            Self::TooMany => "it has too many values".to_owned(),
        };
        Error::invalid(format!("Invalid value for parameter '{parameter}' supplied: {reason}."))
    }
}

/// A whole text as one value.
pub(super) fn whole(text: &str, values: usize) -> Result<Json, Refusal> {
    let mut reader = Reader { text, at: 0, values };
    reader.blank();
    let value = reader.value(0)?;
    reader.end()?;
    Ok(value)
}

/// The items of an array.
pub(super) fn items<E: From<Refusal>>(
    text: &str,
    values: usize,
    mut each: impl FnMut(Json) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader { text, at: 0, values };
    reader.blank();
    if reader.peek() != Some(b'[') {
        return Err(match whole(text, values) {
            Ok(_) => Refusal::NotArray.into(),
            Err(refusal) => refusal.into(),
        });
    }
    reader.items(0, b']', |reader, depth| {
        reader.values = values;
        each(reader.value(depth)?)
    })?;
    Ok(reader.end()?)
}

/// See [`super::end_of_value`].
pub(super) fn end_of_value(text: &str) -> Option<usize> {
    let mut reader = Reader { text, at: 0, values: usize::MAX };
    reader.value(0).ok()?;
    Some(reader.at)
}

struct Reader<'a> {
    text: &'a str,
    /// The position, always on a character boundary.
    at: usize,
    /// The number of values that may follow.
    values: usize,
}

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

    fn end(&mut self) -> Result<(), Refusal> {
        self.blank();
        if self.at == self.text.len() { Ok(()) } else { Err(Refusal::NotJson) }
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.rest().starts_with(word.as_bytes());
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn value(&mut self, depth: usize) -> Result<Json, Refusal> {
        self.values = self.values.checked_sub(1).ok_or(Refusal::TooMany)?;
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'[') => {
                let mut items = Vec::new();
                self.items(depth, b']', |reader, depth| {
                    items.push(reader.value(depth)?);
                    Ok::<_, Refusal>(())
                })?;
                Ok(Json::Array(items))
            }
            Some(b'{') => {
                let mut pairs = Vec::new();
                self.items(depth, b'}', |reader, depth| {
                    let name = reader.string()?;
                    reader.blank();
                    if !reader.take(":") {
                        return Err(Refusal::NotJson);
                    }
                    reader.blank();
                    pairs.push((name, reader.value(depth)?));
                    Ok(())
                })?;
                Ok(Json::Object(distinct(pairs)))
            }
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Json, Refusal> {
        for (word, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        self.number()
    }

    /// Comma-separated items up to the closing bracket.
    fn items<E: From<Refusal>>(
        &mut self,
        depth: usize,
        end: u8,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        if depth == MAX_DEPTH {
            return Err(Refusal::TooDeep.into());
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self, depth + 1)?;
            self.blank();
            let found = self.peek().filter(|found| *found == b',' || *found == end).ok_or(Refusal::NotJson)?;
            self.at += 1;
            if found == end {
                return Ok(());
            }
            self.blank();
        }
    }

    fn number(&mut self) -> Result<Json, Refusal> {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = self.rest();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(&rest[sign..]);
        if whole == 0 {
            return Err(Refusal::NotJson);
        }
        // A leading zero ends the number: further digits are not part of it.
        let whole = sign + if rest[sign] == b'0' { 1 } else { whole };
        let mut end = whole;
        if rest.get(end) == Some(&b'.') {
            let fraction = digits(&rest[end + 1..]);
            end += if fraction > 0 { 1 + fraction } else { 0 };
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(rest.get(end + 1 + sign..).unwrap_or_default());
            end += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
        let text = &self.text[self.at..self.at + end];
        self.at += end;
        if end > whole {
            return text.parse().map(Json::Float).map_err(|_| Refusal::NotJson);
        }
        if end - sign > MAX_DIGITS {
            return Err(Refusal::NotJson);
        }
        Ok(Json::Int(if text == "-0" { "0" } else { text }.into()))
    }

    fn string(&mut self) -> Result<Text, Refusal> {
        if !self.take("\"") {
            return Err(Refusal::NotJson);
        }
        let mut out = Escaped::default();
        loop {
            let plain =
                self.rest().iter().take_while(|byte| matches!(byte, b' '..=b'~') && !is_special(**byte)).count();
            out.push_plain(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.peek().ok_or(Refusal::NotJson)? {
                b'"' => {
                    self.at += 1;
                    return Ok(out.finish());
                }
                b'\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                0..=0x1f => return Err(Refusal::NotJson),
                _ => {
                    let char = self.text[self.at..].chars().next().ok_or(Refusal::NotJson)?;
                    char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push(*unit));
                    self.at += char.len_utf8();
                }
            }
        }
    }

    /// The code unit that a backslash introduces.
    fn escape(&mut self) -> Result<u16, Refusal> {
        let unit = match self.peek().ok_or(Refusal::NotJson)? {
            b'n' => 0x0a,
            b'r' => 0x0d,
            b't' => 0x09,
            b'b' => 0x08,
            b'f' => 0x0c,
            byte @ (b'"' | b'\\' | b'/') => byte.into(),
            b'u' => {
                let digits = self.rest().get(1..5).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(Refusal::NotJson)?;
                self.at += 4;
                u16::from_str_radix(digits, 16).map_err(|_| Refusal::NotJson)?
            }
            _ => return Err(Refusal::NotJson),
        };
        self.at += 1;
        Ok(unit)
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

/// Keeps each name once, at its first place and with its last value.
fn distinct(pairs: Vec<(Text, Json)>) -> Vec<(Text, Json)> {
    let names: HashSet<&Text> = pairs.iter().map(|(name, _)| name).collect();
    if names.len() == pairs.len() {
        return pairs;
    }
    let mut places = HashMap::with_capacity(names.len());
    let mut kept: Vec<(Text, Json)> = Vec::with_capacity(names.len());
    for (name, value) in pairs {
        if let Some(place) = places.get(&name).copied() {
            let place: usize = place;
            kept[place].1 = value;
        } else {
            places.insert(name.clone(), kept.len());
            kept.push((name, value));
        }
    }
    kept
}
