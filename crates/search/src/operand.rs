//! The operands of comparisons: quoted keys and texts, lists, numbers.

use ferroflow_model::Error;

use crate::{
    syntax::{
        clauses::Operand,
        lexer::Kind,
        list::{self, Literal},
        python::{self, Int},
    },
    value::Value,
};

/// Removes one layer of quotes and then one of backticks from a key.
pub(crate) fn unquoted(key: &str) -> &str {
    without(without_quotes(key).unwrap_or(key), '`')
}

/// Removes the quote character if it is at both ends of a text.
pub(crate) fn without(text: &str, quote: char) -> &str {
    text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)).unwrap_or(text)
}

fn without_quotes(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// The text between quotes, as written: neither doubled nor escaped quotes are unescaped.
pub(crate) fn quoted(text: &str) -> Result<Value, Error> {
    without_quotes(text).map(|text| Value::Text(text.to_owned())).ok_or_else(|| {
        Error::invalid(format!(
            "Parameter value is either not quoted or unidentified quote types used for string value {text}. Use either \
             single or double quotes."
        ))
    })
}

/// The error for a tag or param that is compared with something other than a quoted text.
pub(crate) fn expected_quoted(kind: &str, found: &str) -> Error {
    Error::invalid(format!("Expected a quoted string value for {kind} (e.g. 'my-value'). Got value {found}"))
}

/// An integer or a floating-point number.
pub(crate) fn number(operand: Operand<'_>) -> Option<Value> {
    match operand.kind {
        Kind::Integer => Some(match python::int(operand.text)? {
            Int::Value(value) => Value::Int(value),
            Int::TooLarge => Value::Huge(operand.text.to_owned()),
        }),
        Kind::Float => python::float(operand.text).map(Value::Real),
        _ => None,
    }
}

/// The error for an attribute that is compared with a list, which only those in `allowed` are.
pub(crate) fn no_lists(allowed: &[&str]) -> Error {
    Error::invalid(format!(
        "Only {} attributes support comparison with a list of quoted string values.",
        python::repr_list(allowed.iter().map(|name| python::repr(name)))
    ))
}

/// A list of at least one text.
pub(crate) fn text_list(text: &str) -> Result<Value, Error> {
    let literal = list::parse(text).ok_or_else(|| {
        Error::invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.",
        )
    })?;
    let items = match literal {
        Literal::Tuple(items) => items,
        single => vec![single],
    };
    if items.is_empty() {
        return Err(Error::invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
        ));
    }
    let texts: Option<Vec<_>> = items
        .iter()
        .map(|item| match item {
            Literal::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    texts.map(Value::List).ok_or_else(|| {
        Error::invalid(format!(
            "While parsing a list in the query, expected string value, punctuation, or whitespace, but got different \
             type in list: {}",
            Literal::Tuple(items).repr()
        ))
    })
}
