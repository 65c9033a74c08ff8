//! The attributes of a span as MLflow stores them: each value is a JSON text. The texts are written at the end, from
//! what the request holds.

use std::borrow::Cow;

use ferroflow_model::number;

use crate::{
    json::{Json, Shape, shape},
    keys,
    message::{AnyValue, KeyValue, TraceId},
    text,
};

/// The attributes in their order.
pub(crate) struct Attributes<'a> {
    entries: Vec<(&'a str, Held<'a>)>,
    /// A bit for each key that is present, so that a search for an absent one is one comparison. There are hundreds of
    /// them for each span.
    mask: u64,
}

/// What the text of a value is made of.
enum Held<'a> {
    Any(&'a AnyValue<'a>),
    /// A string that is itself JSON of a string, array or object: clients that encode values send them so, and the
    /// string is the text.
    Nested(&'a str, Shape),
    /// The text.
    Text(String),
    /// The text of another attribute.
    Same(usize),
}

/// A value that a dialect found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The text of the attribute at this position.
    At(usize),
    /// A text.
    Text(String),
}

fn bit(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or_default());
    let hash = key.len() * 31 + byte(bytes.len().wrapping_sub(1)) * 7 + byte(bytes.len() / 2) * 3;
    1 << (hash & 63)
}

impl<'a> Attributes<'a> {
    /// The attributes of a span, with the id of its trace.
    pub(crate) fn new(pairs: &'a [KeyValue<'a>], trace: TraceId) -> Self {
        let mut found = Self { entries: Vec::with_capacity(pairs.len() + 8), mask: 0 };
        for (first, last) in text::distinct(pairs) {
            let held = match &pairs[last].value {
                AnyValue::Text(text) => match shape(text) {
                    Some(shape) => Held::Nested(text, shape),
                    None => Held::Any(&pairs[last].value),
                },
                other => Held::Any(other),
            };
            found.push(&pairs[first].key, held);
        }
        // What a client says about it does not count.
        found.set(keys::REQUEST_ID, Found::Text(format!("\"{trace}\"")));
        found
    }

    /// The attributes in the content of a stored span.
    pub(crate) fn stored(pairs: &'a [(Cow<'a, str>, Json<'a>)]) -> Self {
        let mut found = Self { entries: Vec::with_capacity(pairs.len()), mask: 0 };
        for (key, value) in pairs {
            if let Some(text) = value.text() {
                found.push(key, Held::Text(text.to_owned()));
            }
        }
        found
    }

    fn push(&mut self, key: &'a str, held: Held<'a>) {
        self.mask |= bit(key);
        self.entries.push((key, held));
    }

    /// Sets an attribute. An existing one keeps its position.
    pub(crate) fn set(&mut self, key: &'static str, value: Found) {
        let held = match value {
            Found::At(index) => Held::Same(index),
            Found::Text(text) => Held::Text(text),
        };
        match self.find(key) {
            Some(index) => self.entries[index].1 = held,
            None => self.push(key, held),
        }
    }

    /// The position of an attribute.
    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        if self.mask & bit(key) == 0 {
            return None;
        }
        self.entries.iter().position(|(found, _)| *found == key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The keys with their positions.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.entries.iter().enumerate().map(|(index, (key, _))| (index, *key))
    }

    fn held(&self, index: usize) -> &Held<'a> {
        match &self.entries[index].1 {
            Held::Same(other) => self.held(*other),
            held => held,
        }
    }

    /// The stored text of a value.
    pub(crate) fn text(&self, index: usize) -> Cow<'_, str> {
        match self.held(index) {
            Held::Nested(text, _) => Cow::Borrowed(text),
            Held::Text(text) => Cow::Borrowed(text),
            Held::Any(value) => {
                let mut out = String::new();
                text::any(value, &mut out);
                Cow::Owned(out)
            }
            // `held` resolves it.
            Held::Same(_) => Cow::Borrowed("null"),
        }
    }

    /// The string that a value is when it is decoded; `None` for other types.
    pub(crate) fn string(&self, index: usize) -> Option<Cow<'_, str>> {
        match self.held(index) {
            Held::Any(AnyValue::Text(text)) => Some(Cow::Borrowed(text)),
            Held::Any(_) | Held::Same(_) => None,
            Held::Nested(text, _) if !text.trim_start().starts_with('"') => None,
            Held::Nested(text, _) => decoded(text),
            Held::Text(text) => decoded(text),
        }
    }

    /// The string of an attribute when it is decoded.
    pub(crate) fn string_of(&self, key: &str) -> Option<Cow<'_, str>> {
        self.string(self.find(key)?)
    }

    /// A value in a column: the string, or the text of other types.
    pub(crate) fn shown(&self, key: &str) -> Option<Cow<'_, str>> {
        let index = self.find(key)?;
        Some(self.string(index).unwrap_or_else(|| self.text(index)))
    }

    /// The position of an attribute that is not empty, `false`, zero or null.
    pub(crate) fn full(&self, key: &str) -> Option<usize> {
        let index = self.find(key)?;
        self.is_full(index).then_some(index)
    }

    pub(crate) fn is_full(&self, index: usize) -> bool {
        match self.held(index) {
            Held::Any(value) => value.is_truthy(),
            Held::Nested(_, shape) => *shape == Shape::Full,
            Held::Text(text) => Json::parse(text).is_none_or(|value| value.is_truthy()),
            Held::Same(_) => false,
        }
    }

    /// The first of these attributes that is full.
    pub(crate) fn first_full(&self, keys: &[&str]) -> Option<usize> {
        keys.iter().find_map(|key| self.full(key))
    }

    /// The count in an attribute: an integer, or a string of one.
    pub(crate) fn count(&self, key: &str) -> Option<i64> {
        let index = self.find(key)?;
        match self.held(index) {
            Held::Any(AnyValue::Int(number)) => Some(*number),
            Held::Any(AnyValue::Text(text)) => integer(text),
            Held::Any(_) | Held::Same(_) => None,
            Held::Nested(..) | Held::Text(_) => match self.string(index) {
                Some(text) => integer(&text),
                None => Json::parse(&self.text(index))?.int(),
            },
        }
    }

    /// The number in an attribute, or in its string.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.held(self.find(key)?) {
            Held::Any(AnyValue::Double(number)) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "a cost of 2^53 dollars is none")]
            Held::Any(AnyValue::Int(number)) => Some(*number as f64),
            Held::Any(AnyValue::Text(text)) => number::parse_float(text),
            _ => None,
        }
    }

    /// Writes the attributes as a JSON object of JSON texts.
    pub(crate) fn write(&self, scratch: &mut String, out: &mut String) {
        out.push('{');
        for (index, (key, _)) in self.entries.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            text::quoted(key, out);
            out.push_str(": ");
            match self.held(index) {
                Held::Any(value) => {
                    scratch.clear();
                    text::any(value, scratch);
                    text::quoted(scratch, out);
                }
                Held::Nested(text, _) => text::quoted(text, out),
                Held::Text(text) => text::quoted(text, out),
                Held::Same(_) => out.push_str("null"),
            }
        }
        out.push('}');
    }
}

fn integer(text: &str) -> Option<i64> {
    number::parse_int(text).and_then(|number| i64::try_from(number).ok())
}

/// The string in a JSON text. What is no JSON is the string itself.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    match Json::parse(text) {
        Some(Json::Text(text)) => Some(text),
        Some(_) => None,
        None => Some(Cow::Borrowed(text)),
    }
}
