//! Searches for registered models.

use ferroflow_model::Error;

use crate::{
    filter::{self, EntityType, Identifier, Listing, Parsed},
    order_by::{self, OrderBy},
    syntax::{clauses::Clause, python},
    value::TextTest,
};

/// What a registered model must fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Its name.
    Name(TextTest),
    /// A tag; a model without it does not match. The test is never a list.
    Tag {
        /// Its name.
        key: String,
        /// What holds for its value.
        test: TextTest,
    },
}

/// What registered models are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// The name.
    Name,
    /// When the model was last changed.
    LastUpdatedTime,
}

const KEYS: [&str; 1] = ["name"];

/// The conditions of a filter; the empty one has none.
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

/// The order of a search: the clauses as given, then the name.
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
    let right = clause.right.ok_or_else(no_null_tests)?;
    let Identifier { entity, key } = filter::registry_identifier(clause.left.text, &KEYS)?;
    let value = if entity == EntityType::Tag {
        filter::pair_value(entity, right)?
    } else {
        filter::attribute_text(&key, &KEYS, right).unwrap_or_else(|| Err(expected_text(right.text)))?
    };
    Ok(Parsed { entity, key, sign: clause.sign.to_uppercase(), value })
}

/// The sentence for `IS NULL`, on which the reference fails.
pub(crate) fn no_null_tests() -> Error {
    Error::invalid("IS NULL / IS NOT NULL is not supported for registered models and model versions")
}

/// The sentence for an attribute that is compared to something else than text.
pub(crate) fn expected_text(found: &str) -> Error {
    Error::invalid(format!(
        "Expected a quoted string value or a list of quoted string values for attributes. Got value {found}"
    ))
}

/// Refuses what a tag or a text attribute can not be compared with.
pub(crate) fn check_comparator(is_tag: bool, sign: &str) -> Result<(), Error> {
    let (entity, is_known) = if is_tag {
        ("tag", matches!(sign, "=" | "!=" | "LIKE" | "ILIKE"))
    } else {
        ("attribute", matches!(sign, "=" | "!=" | "LIKE" | "ILIKE" | "IN" | "NOT IN"))
    };
    if is_known { Ok(()) } else { Err(Error::invalid(format!("Invalid comparator for {entity}: {sign}"))) }
}
