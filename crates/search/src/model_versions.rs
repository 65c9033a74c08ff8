//! Searches for model versions.

use ferroflow_model::Error;

use crate::{
    filter::{self, EntityType, Identifier, Listing, Parsed},
    order_by::{self, OrderBy},
    registered_models::{check_comparator, expected_text, null_tests_unsupported},
    syntax::{
        clauses::Clause,
        python::{self, Int},
    },
    value::{NumberOp, TextTest, Value},
};

/// A condition on model versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A text column. NULL does not match.
    Text {
        /// The column.
        column: TextAttribute,
        /// The test of the value.
        test: TextTest,
    },
    /// The version number.
    Version {
        /// The operator.
        op: NumberOp,
        /// The operand.
        value: i64,
    },
    /// A tag; a missing one does not match. Its value is never tested against a list.
    Tag {
        /// The key.
        key: String,
        /// The test of the value.
        test: TextTest,
    },
}

/// Text columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextAttribute {
    /// The name of the registered model.
    Name,
    /// The run that produced it.
    RunId,
    /// The source URI; never tested against a list.
    SourcePath,
}

/// Columns to order by. NULLs come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// The name of the registered model.
    Name,
    /// The version number.
    Version,
    /// The time of creation.
    CreationTime,
    /// The time of the last update.
    LastUpdatedTime,
}

const FILTER_KEYS: [&str; 4] = ["name", "run_id", "source_path", "version_number"];
const ORDER_KEYS: [&str; 4] = ["creation_timestamp", "last_updated_timestamp", "name", "version_number"];
const LIST_KEYS: [&str; 2] = ["name", "run_id"];
const NUMBER_KEYS: [&str; 3] = ["creation_timestamp", "last_updated_timestamp", "version_number"];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    let clauses = filter::parse(filter, Listing::Plain, parse_clause)?;
    clauses.into_iter().map(condition).collect()
}

/// Parses ORDER BY clauses; without any, last updated first. Ties are ordered by name, then by version, descending.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    let mut order = order_by::distinct(order_by, |clause| {
        let (identifier, ascending) = order_by::split(clause)?;
        // A tag named like a column orders by the column, as in the reference.
        let Identifier { key, .. } = filter::unquoted_identifier(&identifier, &ORDER_KEYS)?;
        let column = match key.as_str() {
            "name" => Column::Name,
            "version_number" => Column::Version,
            "creation_timestamp" => Column::CreationTime,
            "last_updated_timestamp" => Column::LastUpdatedTime,
            _ => {
                return Err(Error::invalid(format!(
                    "Invalid order by key '{key}' specified. Valid keys are {}",
                    python::repr_set(&ORDER_KEYS)
                )));
            }
        };
        Ok(OrderBy { column, ascending })
    })?;
    if order.is_empty() {
        order.push(OrderBy::descending(Column::LastUpdatedTime));
    }
    OrderBy::ascending(Column::Name).append(&mut order);
    OrderBy::descending(Column::Version).append(&mut order);
    Ok(order)
}

fn parse_clause(clause: &Clause<'_>) -> Result<Parsed, Error> {
    let right = clause.right.ok_or_else(null_tests_unsupported)?;
    let Identifier { entity, key } = filter::registry_identifier(clause.left.text, &FILTER_KEYS)?;
    let value = if entity == EntityType::Tag {
        filter::pair_value(entity, right)?
    } else if let Some(value) = filter::attribute_text(&key, &LIST_KEYS, right) {
        value?
    } else {
        let number = filter::number(right).ok_or_else(|| expected_text(right.text))?;
        if key != "version_number" {
            return Err(Error::invalid(format!(
                "Only the '{}' attributes support comparison with numeric values.",
                python::repr_set(&NUMBER_KEYS)
            )));
        }
        number
    };
    Ok(Parsed { entity, key, sign: clause.sign.to_uppercase(), value })
}

fn condition(clause: Parsed) -> Result<Condition, Error> {
    let Parsed { entity, key, sign, value } = clause;
    let column = match (entity, key.as_str()) {
        (EntityType::Attribute, "version_number") => return version(&sign, value),
        (EntityType::Attribute, "name") => Some(TextAttribute::Name),
        (EntityType::Attribute, "run_id") => Some(TextAttribute::RunId),
        (EntityType::Attribute, _) => Some(TextAttribute::SourcePath),
        _ => None,
    };
    check_comparator(column.is_none(), &sign)?;
    let test = TextTest::new(&sign, value)?;
    Ok(match column {
        Some(column) => Condition::Text { column, test },
        None => Condition::Tag { key, test },
    })
}

fn version(sign: &str, value: Value) -> Result<Condition, Error> {
    let op = NumberOp::parse(sign)
        .ok_or_else(|| Error::invalid(format!("Invalid comparator for attribute version_number: {sign}")))?;
    let invalid =
        |shown: String| Error::invalid(format!("Invalid value for numeric attribute 'version_number': {shown}"));
    let value = match value {
        Value::Int(value) => value,
        Value::Real(real) => return Err(invalid(python::repr_f64(real))),
        Value::Huge(digits) => return Err(Value::huge_error("version_number", &digits)),
        Value::Text(text) => match python::int(&text) {
            Some(Int::Value(value)) => value,
            Some(Int::TooLarge) => return Err(Value::huge_error("version_number", &text)),
            None => return Err(invalid(python::repr(&text))),
        },
        Value::List(_) | Value::Missing => return Err(invalid("a list".to_owned())),
    };
    Ok(Condition::Version { op, value })
}
