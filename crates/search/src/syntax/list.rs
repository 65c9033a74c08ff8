//! The list after `IN`, which the reference parses as a Python literal: quotes, escapes and the concatenation of
//! adjacent strings follow Python, not SQL.

use super::python::{self, Int};

/// A Python value, as far as it may occur in a list of texts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    /// A number or constant, in Python's notation.
    Other(String),
    Tuple(Vec<Self>),
}

impl Literal {
    /// The value in Python's notation.
    pub(crate) fn repr(&self) -> String {
        match self {
            Self::Text(text) => python::repr(text),
            Self::Other(shown) => shown.clone(),
            Self::Tuple(items) => python::repr_tuple(items.iter().map(Self::repr)),
        }
    }
}

/// Maximum nesting of parentheses, which serves no purpose in a list; Python allows 200.
const MAX_DEPTH: usize = 100;

/// Parses the whole text as one value; `None` if that fails.
pub(crate) fn parse(text: &str) -> Option<Literal> {
    let mut reader = Reader { rest: text };
    let value = reader.value(MAX_DEPTH)?;
    reader.skip_space();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.find(['\n', '\r']).map_or("", |end| &comment[end..]);
        }
    }

    fn take(&mut self, expected: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Literal> {
        if depth == 0 {
            return None;
        }
        if self.take('(') {
            return self.tuple(depth);
        }
        if self.starts_string() {
            let mut text = self.string()?;
            while self.starts_string() {
                text.push_str(&self.string()?);
            }
            return Some(Literal::Text(text));
        }
        self.other()
    }

    fn tuple(&mut self, depth: usize) -> Option<Literal> {
        let mut items = Vec::new();
        let mut has_comma = false;
        while !self.take(')') {
            if !items.is_empty() && !has_comma {
                return None;
            }
            items.push(self.value(depth - 1)?);
            has_comma = self.take(',');
        }
        if items.len() == 1 && !has_comma {
            return Some(items.remove(0));
        }
        Some(Literal::Tuple(items))
    }

    /// Skips white space; returns whether a string follows, with or without a prefix.
    fn starts_string(&mut self) -> bool {
        self.skip_space();
        self.rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with(['\'', '"'])
    }

    /// One string with its prefix.
    fn string(&mut self) -> Option<String> {
        let (prefix, body) = self.rest.split_at(self.rest.find(['\'', '"'])?);
        let quote = body.chars().next()?;
        let is_raw = match prefix.to_ascii_lowercase().as_str() {
            "" | "u" => false,
            "r" => true,
            _ => return None,
        };
        let triple: String = [quote; 3].iter().collect();
        let delimiter = if body.starts_with(&triple) { triple.as_str() } else { &triple[..1] };
        let mut text = String::new();
        let mut rest = &body[delimiter.len()..];
        loop {
            if let Some(behind) = rest.strip_prefix(delimiter) {
                self.rest = behind;
                return Some(text);
            }
            let c = rest.chars().next()?;
            rest = &rest[c.len_utf8()..];
            match c {
                '\n' | '\r' if delimiter.len() == 1 => return None,
                '\\' if is_raw => {
                    let escaped = rest.chars().next()?;
                    text.extend(['\\', escaped]);
                    rest = &rest[escaped.len_utf8()..];
                }
                '\\' => rest = escape(rest, &mut text)?,
                _ => text.push(c),
            }
        }
    }

    /// A number or constant.
    fn other(&mut self) -> Option<Literal> {
        self.skip_space();
        let word_end =
            self.rest.find(|c: char| !(c.is_alphanumeric() || "_.+-".contains(c))).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at(word_end);
        if word.is_empty() {
            return None;
        }
        self.rest = behind;
        let shown = match word {
            "None" | "True" | "False" => word.to_owned(),
            _ if !word.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                return None;
            }
            _ => match (python::int(word), python::float(word)) {
                (Some(Int::Value(int)), _) => int.to_string(),
                (_, Some(float)) => python::repr_f64(float),
                _ => return None,
            },
        };
        Some(Literal::Other(shown))
    }
}

/// Decodes the escape sequence after a backslash into `text` and returns the rest.
fn escape<'a>(rest: &'a str, text: &mut String) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let behind = &rest[c.len_utf8()..];
    let hex = |digits: usize| {
        let code = behind.get(..digits).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok())?;
        Some((char::from_u32(code)?, &behind[digits..]))
    };
    let (c, behind) = match c {
        '\n' => return Some(behind),
        '\r' => return Some(behind.strip_prefix('\n').unwrap_or(behind)),
        '\\' | '\'' | '"' => (c, behind),
        'a' => ('\u{7}', behind),
        'b' => ('\u{8}', behind),
        'f' => ('\u{c}', behind),
        'n' => ('\n', behind),
        'r' => ('\r', behind),
        't' => ('\t', behind),
        'v' => ('\u{b}', behind),
        '0'..='7' => {
            let digits = rest.bytes().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
            let code = u32::from_str_radix(&rest[..digits], 8).ok()?;
            (char::from_u32(code)?, &rest[digits..])
        }
        'x' => hex(2)?,
        'u' => hex(4)?,
        'U' => hex(8)?,
        'N' => return None,
        _ => {
            text.push('\\');
            (c, behind)
        }
    };
    text.push(c);
    Some(behind)
}
