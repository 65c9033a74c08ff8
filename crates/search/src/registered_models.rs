//! Searches for registered models.

use ferroflow_model::Error;

use crate::{
    comparator::Comparator,
    field::{self, AttributeOrTag, Field, Operands},
    filter, operand,
    order_by::{self, OrderBy},
    syntax::{
        clauses::{Clause, Operand},
        python,
    },
    value::{TextTest, Value},
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

/// What a filter may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModelField {
    Name,
    Tag,
}

const ATTRIBUTES: [(&str, ModelField); 1] = [("name", ModelField::Name)];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<ModelField>(filter)
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
                    python::repr_set(["name", "timestamp"])
                )));
            }
        };
        Ok(OrderBy { column, ascending })
    })?;
    OrderBy::ascending(Column::Name).append(&mut order);
    Ok(order)
}

impl Field for ModelField {
    type Condition = Condition;

    fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
        check_shape(clause)
    }

    fn parse(text: &str) -> Result<(Self, &str), Error> {
        field_of_registry(text, &ATTRIBUTES, Self::Tag)
    }

    fn operands(self) -> Operands {
        match self {
            Self::Name => Operands::TEXTS_AND_LISTS,
            Self::Tag => Operands::TEXTS,
        }
    }

    fn comparators(self) -> &'static [Comparator] {
        match self {
            Self::Name => Comparator::TEXTS,
            Self::Tag => Comparator::SINGLE_TEXTS,
        }
    }

    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        let test = TextTest::new(comparator, value)?;
        Ok(match self {
            Self::Name => Condition::Name(test),
            Self::Tag => Condition::Tag { key: key.to_owned(), test },
        })
    }

    fn wrong_operand(self, _key: &str, right: Operand<'_>) -> Error {
        match self {
            Self::Name => expected_text(right.text),
            Self::Tag => operand::expected_quoted("tag", right.text),
        }
    }

    fn wrong_comparator(self, _key: &str, sign: &str) -> Error {
        Error::invalid(match self {
            Self::Name => format!("Invalid comparator for attribute: {sign}"),
            Self::Tag => format!("Invalid comparator for tag: {sign}"),
        })
    }
}

/// The attribute or tag with a name, and its key. An attribute in quotes is unknown.
pub(crate) fn field_of_registry<'a, F: Copy>(
    text: &'a str,
    attributes: &[(&str, F)],
    tag: F,
) -> Result<(F, &'a str), Error> {
    Ok(match AttributeOrTag::parse(text)? {
        AttributeOrTag::Attribute(name) => (field::attribute(attributes, name)?, name),
        AttributeOrTag::Tag(key) => (tag, operand::unquoted(key)),
    })
}

/// [`field::check_shape`], for things without `IS NULL`, on which the reference crashes.
pub(crate) fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
    field::check_shape(clause)?;
    if clause.right.is_none() {
        return Err(Error::invalid("IS NULL / IS NOT NULL is not supported for registered models and model versions"));
    }
    Ok(())
}

/// The error for an attribute that is compared with something other than text.
pub(crate) fn expected_text(found: &str) -> Error {
    Error::invalid(format!(
        "Expected a quoted string value or a list of quoted string values for attributes. Got value {found}"
    ))
}
