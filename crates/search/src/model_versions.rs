//! Searches for model versions.

use ferroflow_model::Error;

use crate::{
    comparator::Comparator,
    field::{self, AttributeOrTag, Field, Operands},
    filter, operand,
    order_by::{self, OrderBy},
    registered_models::{check_shape, expected_text, field_of_registry},
    syntax::{
        clauses::{Clause, Operand},
        lexer::Kind,
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

/// What a filter may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VersionField {
    Text(TextAttribute),
    Version,
    Tag,
}

use VersionField::{Tag, Text, Version};

const ATTRIBUTES: [(&str, VersionField); 4] = [
    ("name", Text(TextAttribute::Name)),
    ("run_id", Text(TextAttribute::RunId)),
    ("source_path", Text(TextAttribute::SourcePath)),
    ("version_number", Version),
];

const COLUMNS: [(&str, Column); 4] = [
    ("name", Column::Name),
    ("version_number", Column::Version),
    ("creation_timestamp", Column::CreationTime),
    ("last_updated_timestamp", Column::LastUpdatedTime),
];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<VersionField>(filter)
}

/// Parses ORDER BY clauses; without any, last updated first. Ties are ordered by name, then by version, descending.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    let mut order = order_by::distinct(order_by, |clause| {
        let (name, ascending) = order_by::split(clause)?;
        let column = match AttributeOrTag::parse(&name)? {
            AttributeOrTag::Attribute(name) => field::attribute(&COLUMNS, operand::unquoted(name))?,
            // A tag named like a column orders by the column, as in the reference.
            AttributeOrTag::Tag(key) => {
                let key = operand::unquoted(key);
                field::find(&COLUMNS, key).ok_or_else(|| {
                    Error::invalid(format!(
                        "Invalid order by key '{key}' specified. Valid keys are {}",
                        python::repr_set(COLUMNS.map(|(name, _)| name))
                    ))
                })?
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

impl Field for VersionField {
    type Condition = Condition;

    fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
        check_shape(clause)
    }

    fn parse(text: &str) -> Result<(Self, &str), Error> {
        field_of_registry(text, &ATTRIBUTES, Tag)
    }

    fn operands(self) -> Operands {
        match self {
            Text(TextAttribute::Name | TextAttribute::RunId) => Operands::TEXTS_AND_LISTS,
            Text(TextAttribute::SourcePath) | Tag => Operands::TEXTS,
            Version => Operands::TEXTS_AND_NUMBERS,
        }
    }

    fn comparators(self) -> &'static [Comparator] {
        match self {
            Text(_) => Comparator::TEXTS,
            Version => Comparator::NUMBERS,
            Tag => Comparator::SINGLE_TEXTS,
        }
    }

    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        Ok(match self {
            Text(column) => Condition::Text { column, test: TextTest::new(comparator, value)? },
            Version => Condition::Version { op: comparator.number()?, value: version(value)? },
            Tag => Condition::Tag { key: key.to_owned(), test: TextTest::new(comparator, value)? },
        })
    }

    fn wrong_operand(self, _key: &str, right: Operand<'_>) -> Error {
        match self {
            Tag => operand::expected_quoted("tag", right.text),
            Text(_) | Version if right.kind == Kind::Parenthesis => operand::no_lists(&["name", "run_id"]),
            Text(_) if operand::number(right).is_some() => Error::invalid(format!(
                "Only the '{}' attributes support comparison with numeric values.",
                python::repr_set(["creation_timestamp", "last_updated_timestamp", "version_number"])
            )),
            Text(_) | Version => expected_text(right.text),
        }
    }

    fn wrong_comparator(self, _key: &str, sign: &str) -> Error {
        Error::invalid(match self {
            Text(_) => format!("Invalid comparator for attribute: {sign}"),
            Version => format!("Invalid comparator for attribute version_number: {sign}"),
            Tag => format!("Invalid comparator for tag: {sign}"),
        })
    }
}

/// A version number, which may be written as text.
fn version(value: Value) -> Result<i64, Error> {
    let invalid =
        |shown: String| Error::invalid(format!("Invalid value for numeric attribute 'version_number': {shown}"));
    match value {
        Value::Int(value) => Ok(value),
        Value::Real(real) => Err(invalid(python::repr_f64(real))),
        Value::Huge(digits) => Err(Value::huge_error("version_number", &digits)),
        Value::Text(text) => match python::int(&text) {
            Some(Int::Value(value)) => Ok(value),
            Some(Int::TooLarge) => Err(Value::huge_error("version_number", &text)),
            None => Err(invalid(python::repr(&text))),
        },
        Value::List(_) | Value::Missing => Err(invalid("a list".to_owned())),
    }
}
