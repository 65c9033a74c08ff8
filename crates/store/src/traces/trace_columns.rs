//! The metadata of a trace that is stored in columns of its row: session, token usage and cost. Searches and metrics
//! read the columns.

use std::collections::BTreeMap;

use ferroflow_model::{Result, limits, number, validation};
use serde_json::{Map, Value as Json};

use crate::{
    db::Value,
    traces::trace_infos::{COST, COSTS, SESSION, TOKEN_USAGE, TOKENS},
};

/// The values of the columns; `None` is a column that the metadata says nothing valid about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MetadataColumns {
    session: Option<String>,
    tokens: [Option<i64>; TOKENS.len()],
    costs: [Option<f64>; COSTS.len()],
}

impl MetadataColumns {
    /// Those of metadata. A number that is none, or out of range, is left out.
    ///
    /// # Errors
    /// The session is longer than its column.
    pub(crate) fn of(metadata: &BTreeMap<String, String>) -> Result<Self> {
        let session = metadata.get(SESSION);
        if let Some(session) = session {
            validation::trace_text("Session ID", limits::TRACE_SESSION, session)?;
        }
        let object = |key| match metadata.get(key).map(|text| serde_json::from_str(text)) {
            Some(Ok(Json::Object(entries))) => entries,
            _ => Map::new(),
        };
        let (usage, cost) = (object(TOKEN_USAGE), object(COST));
        Ok(Self {
            session: session.cloned(),
            tokens: TOKENS.map(|name| usage.get(name).and_then(count)),
            costs: COSTS.map(|name| cost.get(name).and_then(amount)),
        })
    }

    /// The values in the order of the columns: session, [`TOKENS`], [`COSTS`].
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        let tokens = self.tokens.iter().map(|count| Value::from(*count));
        let costs = self.costs.iter().map(|amount| Value::from(*amount));
        std::iter::once(self.session.as_deref().into()).chain(tokens).chain(costs)
    }
}

/// A number of tokens: an integer of 64 bits, in any form of a JSON number or as a text.
fn count(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64().or_else(|| integral(number.as_f64()?)),
        Json::String(text) => match number::parse_int(text) {
            Some(number) => i64::try_from(number).ok(),
            None => integral(number::parse_float(text)?),
        },
        _ => None,
    }
}

/// The integer that a double is.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn integral(number: f64) -> Option<i64> {
    // 2^63 is the first double beyond the range.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

/// An amount of money: a finite number, also as a text.
fn amount(value: &Json) -> Option<f64> {
    let number = match value {
        Json::Number(number) => number.as_f64()?,
        Json::String(text) => number::parse_float(text)?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(pairs: &[(&str, &str)]) -> Result<MetadataColumns> {
        MetadataColumns::of(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn numbers_are_read_in_every_form() {
        let usage = r#"{"input_tokens": 1, "output_tokens": 2.0, "total_tokens": "3", "cache_read_input_tokens": "4e1",
            "cache_creation_input_tokens": true, "cache_creation_input_tokens_above_1hr": 1.5, "other": 9}"#;
        let cost = r#"{"input_cost": 1, "output_cost": "0.5", "total_cost": "inf"}"#;
        let found = columns(&[(TOKEN_USAGE, usage), (COST, cost), (SESSION, "s"), ("x", "y")]).unwrap();
        assert_eq!(found.tokens, [Some(1), Some(2), Some(3), Some(40), None, None]);
        assert_eq!(found.costs, [Some(1.0), Some(0.5), None]);
        assert_eq!(found.session.as_deref(), Some("s"));
        assert_eq!(found.values().count(), 10);
    }

    #[test]
    fn what_is_no_usage_is_left_out() {
        let large =
            r#"{"input_tokens": 9223372036854775808, "output_tokens": 9223372036854775807, "total_tokens": null}"#;
        let found = columns(&[(TOKEN_USAGE, large)]).unwrap();
        assert_eq!(found.tokens[..3], [None, Some(i64::MAX), None]);
        for text in ["", "[1]", "3", "{", "{\"input_tokens\": {}}"] {
            assert_eq!(columns(&[(TOKEN_USAGE, text), (COST, text)]).unwrap(), MetadataColumns::default(), "{text}");
        }
        let error = columns(&[(SESSION, &"é".repeat(251))]).unwrap_err();
        assert_eq!(error.message, "'Session ID' exceeds the maximum length of 250 characters");
    }
}
