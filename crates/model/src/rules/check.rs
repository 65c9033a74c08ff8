//! The checks.

use serde_json::{Map, Value};

use super::Rule;
use crate::{
    Error, Result, number,
    validation::{invalid_value, missing_value},
};

const SEE_DOCS: &str = " See the API docs for more information about request parameters.";

/// A check of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Present, and not an empty text.
    Required,
    /// A text.
    Text,
    /// An integer, or a text that contains one.
    Integer,
    /// A number, or a text that contains one.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// A list of texts.
    Texts,
    /// An integer not greater than this.
    AtMost(i64),
    /// An integer in this range, inclusive.
    Within(i64, i64),
    /// A list of at most this many runs.
    AtMostItems(usize),
    /// A list of objects with these fields.
    EachHas(&'static [&'static str]),
    /// A list of objects with a `key` field.
    EntriesHaveKeys,
    /// Present; its value is never quoted in the error message.
    Secret,
    /// A text also in a request that can be parsed, where null is absent.
    NotNullText,
    /// An object, or null; these fields of it are texts, not null.
    TextFields(&'static [&'static str]),
}

impl Check {
    /// Whether parsing the request as its message performs the same check.
    const fn is_of_type(self) -> bool {
        matches!(self, Self::Text | Self::Integer | Self::Number | Self::Boolean | Self::List | Self::Texts)
    }

    /// Whether a parsed message and the set of its fields are sufficient for this check.
    pub(crate) const fn is_fast(self) -> bool {
        self.is_of_type() || matches!(self, Self::Required | Self::EachHas(_))
    }
}

/// Checks the parameters of a request against `rules`. `was_read` is whether they could be parsed as the message.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for the first violated rule.
pub(crate) fn check(rules: &[Rule], request: &Map<String, Value>, was_read: bool) -> Result<()> {
    for (parameter, checks) in rules {
        if !request.contains_key(*parameter) && !checks.contains(&Check::Required) {
            continue;
        }
        let given = |name: &str| request.get(name).filter(|value| !value.is_null());
        let value = match given(parameter) {
            // Old clients send `run_uuid` instead of `run_id`.
            None if *parameter == "run_id" => given("run_uuid"),
            value => value,
        };
        for check in checks.iter().filter(|check| !(was_read && check.is_of_type())) {
            holds(*check, parameter, value)?;
        }
    }
    Ok(())
}

fn holds(check: Check, parameter: &str, value: Option<&Value>) -> Result<()> {
    let good = match (check, value) {
        (Check::Secret, None) => return Err(Error::invalid(missing_value("secret_value"))),
        (Check::Required, None) => return broken(missing_value(parameter)),
        (Check::Required, Some(value)) => {
            if value == "" {
                return broken(missing_value(parameter));
            }
            true
        }
        (Check::Text | Check::NotNullText, Some(value)) => value.is_string(),
        (Check::Integer, Some(value)) => is_integer(value),
        (Check::Number, Some(Value::String(text))) => number::parse_float(text).is_some(),
        (Check::Number, Some(value)) => value.is_number() || value.is_boolean(),
        (Check::Boolean, Some(value)) => value.is_boolean(),
        (Check::List, Some(value)) => value.is_array(),
        (Check::Texts, Some(value)) => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        (Check::AtMost(most), Some(value)) => integer(value).is_none_or(|number| number <= i128::from(most)),
        (Check::Within(least, most), Some(value)) => {
            if integer(value).is_some_and(|n| n < i128::from(least) || n > i128::from(most)) {
                return broken(format!("{parameter} must be between {least} and {most}."));
            }
            true
        }
        (Check::AtMostItems(most), Some(Value::Array(items))) => {
            if items.len() > most {
                return broken(format!(
                    "GetMetricHistoryBulkInterval request must specify at most {most} {parameter}. \
                     Received {} {parameter}.",
                    items.len()
                ));
            }
            true
        }
        (Check::EachHas(names), Some(Value::Array(items))) => {
            for (index, item) in items.iter().enumerate() {
                for name in names {
                    if item.get(name).is_none_or(|value| value.is_null() || value == "") {
                        return broken(missing_value(&format!("{parameter}[{index}].{name}")));
                    }
                }
            }
            true
        }
        (Check::EntriesHaveKeys, Some(value)) => value.as_array().is_some_and(|entries| {
            entries.iter().all(|entry| entry.get("key").is_some_and(|key| !key.is_null() && key != ""))
        }),
        (Check::TextFields(names), Some(Value::Object(fields))) => {
            for name in names {
                if let Some(value) = fields.get(*name).filter(|value| !value.is_string()) {
                    return broken(wrong_type(name, value));
                }
            }
            true
        }
        // Null is treated as absent when parsing; the reference fails with a 500 here.
        (Check::Secret | Check::AtMost(_) | Check::Within(..) | Check::AtMostItems(_) | Check::EachHas(_), _)
        | (Check::TextFields(_), None) => true,
        (Check::TextFields(_), Some(_)) | (_, None) => false,
    };
    if good {
        return Ok(());
    }
    broken(wrong_type(parameter, value.unwrap_or(&Value::Null)))
}

fn wrong_type(parameter: &str, value: &Value) -> String {
    invalid_value(parameter, value, Some(&format!(" Hint: Value was of type '{}'.", type_name(value))))
}

fn broken(message: String) -> Result<()> {
    Err(Error::invalid(message + SEE_DOCS))
}

/// The JSON values that Python's `int()` accepts.
fn is_integer(value: &Value) -> bool {
    match value {
        Value::String(text) => number::parse_int(text).is_some(),
        value => value.is_number() || value.is_boolean(),
    }
}

fn integer(value: &Value) -> Option<i128> {
    #[expect(clippy::cast_possible_truncation, reason = "Python's int() cuts the fraction too")]
    match value {
        Value::String(text) => number::parse_int(text).or_else(|| number::parse_float(text).map(|f| f as i128)),
        Value::Number(n) => n.as_i64().map(i128::from).or_else(|| n.as_f64().map(|f| f as i128)),
        Value::Bool(bool) => Some(i128::from(*bool)),
        _ => None,
    }
}

/// The name of a JSON value's type in Python.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}
