//! Searches for experiments.

use ferroflow_model::Error;

use crate::{
    bounds,
    comparator::Comparator,
    field::{self, AttributeOrTag, Field, Operands},
    filter, operand,
    order_by::{self, OrderBy},
    syntax::{
        clauses::Operand,
        lexer::Kind,
        python::{self, Int},
    },
    value::{NumberOp, PairTest, TextTest, Value},
};

/// A condition on experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The name. Never a list.
    Name(TextTest),
    /// The id.
    Id(IdTest),
    /// A timestamp. NULL does not match.
    Time {
        /// The column.
        column: TimeAttribute,
        /// The operator.
        op: NumberOp,
        /// The operand, in milliseconds since 1970.
        value: i64,
    },
    /// A tag. Its value is never tested against a list.
    Tag {
        /// The key.
        key: String,
        /// The test of the value.
        test: PairTest,
    },
}

/// A test of an experiment's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdTest {
    /// `= '1'`
    Equal(i64),
    /// `!= '1'`
    NotEqual(i64),
    /// `IN ('1', '2')`
    In(Vec<i64>),
    /// `NOT IN ('1', '2')`
    NotIn(Vec<i64>),
}

/// Timestamp columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeAttribute {
    /// The time of creation.
    CreationTime,
    /// The time of the last update.
    LastUpdateTime,
}

/// Columns to order by. NULLs come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// The name.
    Name,
    /// The id, an integer.
    Id,
    /// A timestamp.
    Time(TimeAttribute),
}

/// What a filter may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExperimentField {
    Name,
    Id,
    Time(TimeAttribute),
    Tag,
}

use ExperimentField::{Id, Name, Tag, Time};

const ATTRIBUTES: [(&str, ExperimentField); 4] = [
    ("name", Name),
    ("experiment_id", Id),
    ("creation_time", Time(TimeAttribute::CreationTime)),
    ("last_update_time", Time(TimeAttribute::LastUpdateTime)),
];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<ExperimentField>(filter)
}

/// Parses ORDER BY clauses; without any, newest first. Ties are ordered by id, descending, or ascending without
/// clauses.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    if order_by.is_empty() {
        let creation_time = Column::Time(TimeAttribute::CreationTime);
        return Ok(vec![OrderBy::descending(creation_time), OrderBy::ascending(Column::Id)]);
    }
    bounds::order(order_by)?;
    let mut order = Vec::with_capacity(order_by.len() + 1);
    for clause in order_by {
        let (name, ascending) = order_by::split(clause.as_ref())?;
        let column = match ExperimentField::parse(&name)?.0 {
            Name => Column::Name,
            Id => Column::Id,
            Time(column) => Column::Time(column),
            Tag => return Err(Error::invalid("Invalid order_by entity: tag")),
        };
        // A repeated column is not an error here; the first clause wins.
        OrderBy { column, ascending }.append(&mut order);
    }
    OrderBy::descending(Column::Id).append(&mut order);
    Ok(order)
}

impl Field for ExperimentField {
    type Condition = Condition;

    /// The reference refuses `like`.
    const ANY_CASE: bool = false;

    fn parse(text: &str) -> Result<(Self, &str), Error> {
        Ok(match AttributeOrTag::parse(text)? {
            AttributeOrTag::Attribute(name) => {
                let name = operand::unquoted(name);
                (field::attribute(&ATTRIBUTES, name)?, name)
            }
            AttributeOrTag::Tag(key) => (Tag, operand::unquoted(key)),
        })
    }

    fn operands(self) -> Operands {
        match self {
            Name | Tag => Operands::TEXTS,
            Id => Operands::TEXTS_AND_LISTS,
            Time(_) => Operands::NUMBERS,
        }
    }

    fn comparators(self) -> &'static [Comparator] {
        match self {
            Name => Comparator::TEXTS,
            Id => Comparator::IDS,
            Time(_) => Comparator::NUMBERS,
            Tag => Comparator::OPTIONAL_TEXTS,
        }
    }

    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        Ok(match self {
            Name => Condition::Name(TextTest::new(comparator, value)?),
            Id => Condition::Id(id_test(comparator, value)?),
            Time(column) => {
                let invalid =
                    |shown: &str| Error::invalid(format!("Invalid value for numeric attribute '{key}': '{shown}'"));
                let value = match value {
                    Value::Int(value) => value,
                    Value::Real(real) => return Err(invalid(&python::repr_f64(real))),
                    Value::Huge(digits) => return Err(Value::huge_error(key, &digits)),
                    _ => return Err(comparator.unusable()),
                };
                Condition::Time { column, op: comparator.number()?, value }
            }
            Tag => Condition::Tag { key: key.to_owned(), test: PairTest::new(comparator, value)? },
        })
    }

    fn no_null_test(self, key: &str) -> Option<Error> {
        Some(Error::invalid(format!("IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'")))
    }

    fn wrong_operand(self, key: &str, right: Operand<'_>) -> Error {
        let found = right.text;
        match self {
            Tag => operand::expected_quoted("tag", found),
            Time(_) => {
                Error::invalid(format!("Expected numeric value type for numeric attribute: {key}. Found {found}"))
            }
            Name | Id if right.kind == Kind::Parenthesis => operand::no_lists(&["experiment_id"]),
            Name | Id => Error::invalid(format!("Expected a quoted string value for attributes. Got value {found}")),
        }
    }

    fn wrong_comparator(self, _key: &str, sign: &str) -> Error {
        let listed = Comparator::repr_set(Comparator::TEXTS);
        Error::invalid(match self {
            Tag => format!("Invalid comparator for tag: {sign}"),
            Id => format!("Invalid comparator for experiment_id: {sign}"),
            // The reference lists the comparators of texts, without a closing quote.
            Time(_) => format!("Invalid comparator '{sign}' not one of '{listed}"),
            Name => format!("Invalid comparator '{sign}' not one of '{listed}'"),
        })
    }
}

fn id_test(comparator: Comparator, value: Value) -> Result<IdTest, Error> {
    let id = |text: String| {
        python::int(&text).and_then(Int::value).ok_or_else(|| {
            Error::invalid(format!("Invalid experiment ID '{text}'. Experiment ID must be a valid integer."))
        })
    };
    match value {
        Value::List(texts) => {
            let ids = texts.into_iter().map(id).collect::<Result<_, _>>()?;
            match comparator {
                Comparator::In => Ok(IdTest::In(ids)),
                Comparator::NotIn => Ok(IdTest::NotIn(ids)),
                _ => Err(Value::list_error(comparator)),
            }
        }
        Value::Text(text) if comparator == Comparator::EQUAL => id(text).map(IdTest::Equal),
        Value::Text(text) if comparator == Comparator::NOT_EQUAL => id(text).map(IdTest::NotEqual),
        _ => Err(comparator.unusable()),
    }
}
