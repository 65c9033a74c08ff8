//! Metadata that is stored in several columns: token usage and cost.

use std::fmt::Write as _;

use ferroflow_model::Error;
use serde_json::Value as Json;

use crate::{
    comparator::Comparator,
    syntax::python,
    value::{Number, Value},
};

/// Metadata that is stored in several columns, and is a JSON object for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Numbers of tokens, integers.
    Tokens,
    /// Costs, doubles.
    Cost,
}

/// A test of the columns.
#[derive(Debug, Clone, PartialEq)]
pub enum UsageTest {
    /// All are NULL.
    IsNull,
    /// At least one is not NULL.
    IsNotNull,
    /// These columns have these values, and the others are NULL; `None` is a text that no row has.
    Equal(Option<Vec<(&'static str, Number)>>),
    /// At least one is not NULL, and [`Self::Equal`] is false.
    NotEqual(Option<Vec<(&'static str, Number)>>),
}

impl Usage {
    /// The metadata with this key.
    pub(crate) fn of(key: &str) -> Option<Self> {
        [Self::Tokens, Self::Cost].into_iter().find(|usage| usage.key() == key)
    }

    /// Its key.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tokens => "mlflow.trace.tokenUsage",
            Self::Cost => "mlflow.trace.cost",
        }
    }

    /// The columns, which are named as the fields of the JSON object, in their order.
    #[must_use]
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Tokens => &[
                "input_tokens",
                "output_tokens",
                "total_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "cache_creation_input_tokens_above_1hr",
            ],
            Self::Cost => &["input_cost", "output_cost", "total_cost"],
        }
    }

    /// The test for a comparator.
    pub(super) fn test(self, comparator: Comparator, value: Value) -> Result<UsageTest, Error> {
        match (comparator, value) {
            (Comparator::IsNull, _) => Ok(UsageTest::IsNull),
            (Comparator::IsNotNull, _) => Ok(UsageTest::IsNotNull),
            (Comparator::EQUAL, Value::Text(text)) => Ok(UsageTest::Equal(self.values(&text))),
            (Comparator::NOT_EQUAL, Value::Text(text)) => Ok(UsageTest::NotEqual(self.values(&text))),
            _ => Err(Error::invalid(format!(
                "Comparator '{}' is not supported for reserved metadata '{}'. Only '=', '!=', 'IS NULL', and 'IS NOT \
                 NULL' are supported.",
                comparator.text(),
                self.key()
            ))),
        }
    }

    /// The condition that the metadata is a text.
    pub(crate) fn equal(self, text: &str) -> super::Condition {
        super::Condition::Usage { usage: self, test: UsageTest::Equal(self.values(text)) }
    }

    /// The values in a text that is written exactly as the server writes it; `None` for any other text.
    fn values(self, text: &str) -> Option<Vec<(&'static str, Number)>> {
        let fields: serde_json::Map<String, Json> = serde_json::from_str(text).ok()?;
        let mut values = Vec::new();
        let mut written = String::new();
        for column in self.columns() {
            let Some(value) = fields.get(*column) else { continue };
            let (shown, value) = match self {
                Self::Tokens => value.as_i64().map(|int| (int.to_string(), Number::Int(int)))?,
                Self::Cost => value.as_f64().map(|real| (python::repr_f64(real), Number::Real(real)))?,
            };
            let comma = if values.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(written, "{comma}\"{column}\": {shown}");
            values.push((*column, value));
        }
        (!values.is_empty() && text == format!("{{{written}}}")).then_some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_own_text_has_values() {
        let values = |text| Usage::Tokens.values(text);
        assert_eq!(
            values(r#"{"input_tokens": 10, "total_tokens": 12}"#),
            Some(vec![("input_tokens", Number::Int(10)), ("total_tokens", Number::Int(12))])
        );
        for text in
            ["", "{}", "1", r#"{"input_tokens":10}"#, r#"{"input_tokens": 10.0}"#, r#"{"input_tokens": 1, "x": 2}"#]
        {
            assert_eq!(values(text), None, "{text}");
        }
        assert_eq!(Usage::Cost.values(r#"{"input_cost": 1}"#), None);
        assert_eq!(
            Usage::Cost.values(r#"{"input_cost": 1.0, "total_cost": 1e-05}"#),
            Some(vec![("input_cost", Number::Real(1.0)), ("total_cost", Number::Real(0.00001))])
        );
    }
}
