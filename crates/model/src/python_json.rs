//! JSON as Python reads and writes it: `json.loads` and `json.dumps`.
//!
//! Differs from `serde_json` in what identities and stored rows depend on: integers of any size, the order of names,
//! `NaN` and `Infinity`, unpaired surrogates, and the notation of floats.

mod read;
mod text;

use std::{cmp::Ordering, collections::HashMap};

pub use self::{read::Refusal, text::Text};
use crate::{number, python};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `None`
    Null,
    /// `bool`
    Bool(bool),
    /// `int`: a sign and digits, as Python writes them.
    Int(Box<str>),
    /// `float`
    Float(f64),
    /// `str`
    Text(Text),
    /// `list`
    Array(Vec<Json>),
    /// `dict`: each name once, in the order of its first appearance, with its last value.
    Object(Vec<(Text, Json)>),
}

impl Json {
    /// `json.loads(text)`, with at most `values` values.
    ///
    /// # Errors
    /// It is not JSON, nested too deeply, or has too many values.
    pub fn parse(text: &str, values: usize) -> Result<Self, Refusal> {
        read::whole(text, values)
    }

    /// Parses an array, one item at a time, so that not all of them are in memory. Each has at most `values` values.
    ///
    /// # Errors
    /// Errors of `item`; of [`Json::parse`]; [`Refusal::NotArray`].
    pub fn each_item<E: From<Refusal>>(
        text: &str,
        values: usize,
        item: impl FnMut(Self) -> Result<(), E>,
    ) -> Result<(), E> {
        read::items(text, values, item)
    }

    /// The value of a name in an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.object()?.iter().find(|(found, _)| found.is(name)).map(|(_, value)| value)
    }

    /// As [`Json::get`].
    #[must_use]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Object(pairs) = self else { return None };
        pairs.iter_mut().find(|(found, _)| found.is(name)).map(|(_, value)| value)
    }

    /// `value[name] = new`, for an object.
    pub fn set(&mut self, name: &str, new: Self) {
        if let Some(value) = self.get_mut(name) {
            *value = new;
        } else if let Self::Object(pairs) = self {
            pairs.push((Text::new(name), new));
        }
    }

    /// `type(value).__name__`
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Array(_) => "list",
            Self::Object(_) => "dict",
        }
    }

    /// The names and values of an object.
    #[must_use]
    pub fn object(&self) -> Option<&[(Text, Self)]> {
        if let Self::Object(pairs) = self { Some(pairs) } else { None }
    }

    /// The text of a string; `None` for other values.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// `bool(value)`
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(digits) => &**digits != "0",
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Array(items) => !items.is_empty(),
            Self::Object(pairs) => !pairs.is_empty(),
        }
    }

    /// Whether every float in it is finite. JSON has no other numbers; Python writes them nevertheless.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Float(number) => number.is_finite(),
            Self::Array(items) => items.iter().all(Self::is_finite),
            Self::Object(pairs) => pairs.iter().all(|(_, value)| value.is_finite()),
            _ => true,
        }
    }

    /// `json.dumps(value)`
    #[must_use]
    pub fn dumps(&self) -> String {
        let mut out = String::new();
        self.dump(false, &mut out);
        out
    }

    /// `json.dumps(value, sort_keys=True)`
    #[must_use]
    pub fn dumps_sorted(&self) -> String {
        let mut out = String::new();
        self.dump(true, &mut out);
        out
    }

    fn dump(&self, is_sorted: bool, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(digits) => out.push_str(digits),
            Self::Float(number) if number.is_nan() => out.push_str("NaN"),
            Self::Float(number) if number.is_infinite() => {
                out.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Self::Float(number) => out.push_str(&number::float_repr(*number)),
            Self::Text(text) => text.dump(out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    item.dump(is_sorted, out);
                }
                out.push(']');
            }
            Self::Object(pairs) => {
                let mut pairs: Vec<&(Text, Self)> = pairs.iter().collect();
                if is_sorted {
                    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
                }
                out.push('{');
                for (index, (name, value)) in pairs.into_iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    name.dump(out);
                    out.push_str(": ");
                    value.dump(is_sorted, out);
                }
                out.push('}');
            }
        }
    }

    /// `str(value)`; `None` for a string with an unpaired surrogate.
    #[must_use]
    pub fn to_str(&self) -> Option<String> {
        if let Self::Text(text) = self {
            return text.decode();
        }
        let mut out = String::new();
        self.repr(&mut out);
        Some(out)
    }

    /// Appends `repr(value)`.
    fn repr(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("None"),
            Self::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Self::Int(digits) => out.push_str(digits),
            Self::Float(number) => out.push_str(&number::float_repr(*number)),
            Self::Text(text) => out.push_str(&python::repr_of(text.code_points())),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    item.repr(out);
                }
                out.push(']');
            }
            Self::Object(pairs) => {
                out.push('{');
                for (index, (name, value)) in pairs.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    out.push_str(&python::repr_of(name.code_points()));
                    out.push_str(": ");
                    value.repr(out);
                }
                out.push('}');
            }
        }
    }
}

/// `dict.update(other)`
pub fn update(pairs: &mut Vec<(Text, Json)>, other: &[(Text, Json)]) {
    let mut places: HashMap<Text, usize> =
        pairs.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
    for (name, value) in other {
        if let Some(place) = places.get(name) {
            pairs[*place].1 = value.clone();
        } else {
            places.insert(name.clone(), pairs.len());
            pairs.push((name.clone(), value.clone()));
        }
    }
}

/// The end of the value at the start of a JSON text, in bytes.
#[must_use]
pub fn end_of_value(text: &str) -> Option<usize> {
    read::end_of_value(text)
}

/// Python compares strings by code points.
impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code_points().cmp(other.code_points())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
