//! Searches for registered models.

use ferroflow_model::Error;

use crate::{
    filter::{self, EntityType, Identifier, Listing, Parsed},
    order_by::{self, OrderBy},
    syntax::{clauses::Clause, python},
    value::TextTest,
};

/// A condition on registered models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The name.
    Name(TextTest),
    /// A tag; a missing one does not match. Its value is never tested against a list.
    Tag {
        /// The key.
        key: String,
        /// The test of the value.
        test: TextTest,
    },
}

/// Columns to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// The name.
    Name,
    /// The time of the last update.
    LastUpdatedTime,
}

const KEYS: [&str; 1] = ["name"];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    let clauses = filter::parse(filter, Listing::Plain, parse_clause)?;
    clauses
        .into_iter()
        .map(|Parsed { entity, key, sign, value }| {
            let is_tag = entity == EntityType::Tag;
            check_comparator(is_tag, &sign)?;
            let test = TextTest::new(&sign, value)?;
            Ok(if is_tag { Condition::Tag { key, test } } else { Condition::Name(test) })
        })
        .collect()
}

/// Parses ORDER BY clauses. Ties are ordered by name.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    let mut order = order_by::distinct(order_by, |clause| {
        let (identifier, ascending) = order_by::split(clause)?;
        let column = match identifier.as_str() {
            "name" => Column::Name,
            "timestamp" | "last_updated_timestamp" => Column::LastUpdatedTime,
            _ => {
                return Err(Error::invalid(format!(
                    "Invalid order by key '{identifier}' specified. Valid keys are '{}'",
                    python::repr_set(&["name", "timestamp"])
                )));
            }
        };
        Ok(OrderBy { column, ascending })
    })?;
    OrderBy::ascending(Column::Name).append(&mut order);
    Ok(order)
}

fn parse_clause(clause: &Clause<'_>) -> Result<Parsed, Error> {
    let right = clause.right.ok_or_else(null_tests_unsupported)?;
    let Identifier { entity, key } = filter::registry_identifier(clause.left.text, &KEYS)?;
    let value = if entity == EntityType::Tag {
        filter::pair_value(entity, right)?
    } else {
        filter::attribute_text(&key, &KEYS, right).unwrap_or_else(|| Err(expected_text(right.text)))?
    };
    Ok(Parsed { entity, key, sign: clause.sign.to_uppercase(), value })
}

/// The error for `IS NULL`, on which the reference crashes.
pub(crate) fn null_tests_unsupported() -> Error {
    Error::invalid("IS NULL / IS NOT NULL is not supported for registered models and model versions")
}

/// The error for an attribute that is compared with something other than text.
pub(crate) fn expected_text(found: &str) -> Error {
    Error::invalid(format!(
        "Expected a quoted string value or a list of quoted string values for attributes. Got value {found}"
    ))
}

/// Refuses comparators that tags or text attributes do not support.
pub(crate) fn check_comparator(is_tag: bool, sign: &str) -> Result<(), Error> {
    let (entity, is_known) = if is_tag {
        ("tag", matches!(sign, "=" | "!=" | "LIKE" | "ILIKE"))
    } else {
        ("attribute", matches!(sign, "=" | "!=" | "LIKE" | "ILIKE" | "IN" | "NOT IN"))
    };
    if is_known { Ok(()) } else { Err(Error::invalid(format!("Invalid comparator for {entity}: {sign}"))) }
}
