//! `json.loads`: parses JSON like Python. Accepts `NaN` and `Infinity`, preserves the order of names, and distinguishes
//! integers from floats.

use std::str::FromStr;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, as the nearest double.
    Huge(f64),
    Float(f64),
    Text(String),
    Array(Vec<Json>),
    /// Pairs in source order; the last one of a name wins.
    Object(Vec<(String, Json)>),
}

/// Why a text cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// It is not JSON.
    NotJson,
    /// It is nested more deeply than decoders accept.
    TooDeep,
}

/// Maximum nesting of arrays and objects.
const MAX_DEPTH: usize = 64;

impl Json {
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let mut reader = Reader { text, at: 0 };
        reader.blank();
        let value = reader.value(0)?;
        reader.blank();
        if reader.at == text.len() { Ok(value) } else { Err(ParseError::NotJson) }
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
            Self::Int(number) => *number != 0,
            Self::Huge(_) => true,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Array(items) => !items.is_empty(),
            Self::Object(pairs) => !pairs.is_empty(),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    /// The position, always on a character boundary.
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
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

    fn value(&mut self, depth: usize) -> Result<Json, ParseError> {
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
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, ParseError> {
        let mut items = Vec::new();
        self.items(depth, b']', |reader, depth| {
            items.push(reader.value(depth)?);
            Ok(())
        })?;
        Ok(Json::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Json, ParseError> {
        let mut pairs = Vec::new();
        self.items(depth, b'}', |reader, depth| {
            let name = reader.string()?;
            reader.blank();
            if !reader.take(":") {
                return Err(ParseError::NotJson);
            }
            reader.blank();
            pairs.push((name, reader.value(depth)?));
            Ok(())
        })?;
        Ok(Json::Object(pairs))
    }

    /// Comma-separated items up to the closing bracket.
    fn items(
        &mut self,
        depth: usize,
        end: u8,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        if depth == MAX_DEPTH {
            return Err(ParseError::TooDeep);
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
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(found) if found == end => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(ParseError::NotJson),
            }
            self.blank();
        }
    }

    fn number(&mut self) -> Result<Json, ParseError> {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = self.rest();
        let mut end = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(&rest[end..]);
        // A leading zero ends the number: further digits are not part of it.
        end += if rest.get(end) == Some(&b'0') { 1 } else { whole };
        let mut is_float = false;
        if whole > 0 && rest.get(end) == Some(&b'.') && digits(&rest[end + 1..]) > 0 {
            end += 1 + digits(&rest[end + 1..]);
            is_float = true;
        }
        if whole > 0 && matches!(rest.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(rest.get(end + 1 + sign..).unwrap_or_default());
            if exponent > 0 {
                end += 1 + sign + exponent;
                is_float = true;
            }
        }
        if whole == 0 {
            return Err(ParseError::NotJson);
        }
        let text = &self.text[self.at..self.at + end];
        self.at += end;
        if is_float {
            return f64::from_str(text).map(Json::Float).map_err(|_| ParseError::NotJson);
        }
        Ok(match i64::from_str(text) {
            Ok(number) => Json::Int(number),
            Err(_) => Json::Huge(f64::from_str(text).map_err(|_| ParseError::NotJson)?),
        })
    }

    fn string(&mut self) -> Result<String, ParseError> {
        if !self.take("\"") {
            return Err(ParseError::NotJson);
        }
        let mut out = String::new();
        loop {
            let plain = self.rest().iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            out.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escaped()?);
                }
                _ => return Err(ParseError::NotJson),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, ParseError> {
        let char = match self.peek().ok_or(ParseError::NotJson)? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => return self.unit(),
            char @ (b'"' | b'\\' | b'/') => char.into(),
            _ => return Err(ParseError::NotJson),
        };
        self.at += 1;
        Ok(char)
    }

    /// Decodes a character from one or two UTF-16 code units. An unpaired surrogate becomes a question mark, as in
    /// Python's encoder.
    fn unit(&mut self) -> Result<char, ParseError> {
        let first = self.hex().ok_or(ParseError::NotJson)?;
        self.at += 5;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first.into()).unwrap_or('?'));
        }
        if self.take("\\") {
            if let Some(second) = self.hex()
                && let Some(Ok(char)) = char::decode_utf16([first, second]).next()
            {
                self.at += 5;
                return Ok(char);
            }
            self.at -= 1;
        }
        Ok('?')
    }

    /// The four digits after `u`.
    fn hex(&self) -> Option<u16> {
        let digits =
            self.rest().strip_prefix(b"u")?.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_that_python_accepts_is_parsed() {
        for (text, value) in [
            (" null ", Json::Null),
            ("-0", Json::Int(0)),
            ("9223372036854775807", Json::Int(i64::MAX)),
            ("9223372036854775808", Json::Huge(9_223_372_036_854_775_808.0)),
            ("1.0", Json::Float(1.0)),
            ("-1e5", Json::Float(-1e5)),
            ("1E-2", Json::Float(0.01)),
            ("1e999", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
            (r#""\u00e9\n\/\ud83d\ude00é\ud800x\udc00\ud800\ud83d\ude00""#, Json::Text("é\n/😀é?x??😀".into())),
            ("[ ]", Json::Array(Vec::new())),
            ("[1 ,\n2]", Json::Array(vec![Json::Int(1), Json::Int(2)])),
            (
                r#"{"b": {}, "a" : [true], "b": false}"#,
                Json::Object(vec![
                    ("b".into(), Json::Object(Vec::new())),
                    ("a".into(), Json::Array(vec![Json::Bool(true)])),
                    ("b".into(), Json::Bool(false)),
                ]),
            ),
        ] {
            assert_eq!(Json::parse(text), Ok(value), "{text}");
        }
        assert!(matches!(Json::parse("NaN"), Ok(Json::Float(number)) if number.is_nan()));
        assert_eq!(Json::parse(r#"{"b": 1, "b": 2}"#).unwrap().get("b"), Some(&Json::Int(2)));
    }

    #[test]
    fn json_that_python_refuses_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "--1",
            "-",
            "[1,]",
            "[,1]",
            "[1",
            "{1: 2}",
            "{\"a\"}",
            "{\"a\":1,}",
            "\"a",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "1 2",
            "tru",
            "'a'",
            "\u{feff}1",
            "nan",
            "\u{a0}1",
        ] {
            assert_eq!(Json::parse(text), Err(ParseError::NotJson), "{text:?}");
        }
        assert!(Json::parse(&("[".repeat(64) + &"]".repeat(64))).is_ok());
        assert_eq!(Json::parse(&"[".repeat(65)), Err(ParseError::TooDeep));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"[\{\}\[\]":,\\uda80NIe.E+é \-]{0,40}"#) {
            let _ = Json::parse(&text);
        }

        #[test]
        fn json_is_read_as_by_others(text in "\\PC{0,20}", number in any::<i64>(), float in any::<f64>()) {
            prop_assume!(float.is_finite());
            let dumped = serde_json::json!({"text": text, "number": number, "float": float}).to_string();
            let read = Json::parse(&dumped).unwrap();
            prop_assert_eq!(read.get("text"), Some(&Json::Text(text)));
            prop_assert_eq!(read.get("number"), Some(&Json::Int(number)));
            prop_assert_eq!(read.get("float"), Some(&Json::Float(float)));
        }
    }
}
