//! Searches for experiments.

use ferroflow_model::Error;

use crate::{
    bounds,
    filter::{self, EntityType, Identifier, Listing, Parsed},
    order_by::{self, OrderBy},
    syntax::{
        clauses::Clause,
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

const KEYS: [&str; 4] = ["creation_time", "experiment_id", "last_update_time", "name"];
const LIST_KEYS: [&str; 1] = ["experiment_id"];
const TEXT_SIGNS: [&str; 6] = ["!=", "=", "ILIKE", "IN", "LIKE", "NOT IN"];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    let clauses = filter::parse(filter, Listing::Plain, parse_clause)?;
    clauses.into_iter().map(condition).collect()
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
        let (identifier, ascending) = order_by::split(clause.as_ref())?;
        let Identifier { entity, key } = filter::unquoted_identifier(&identifier, &KEYS)?;
        if entity != EntityType::Attribute {
            return Err(Error::invalid(format!("Invalid order_by entity: {}", entity.name())));
        }
        let column = match key.as_str() {
            "name" => Column::Name,
            "experiment_id" => Column::Id,
            _ => Column::Time(time_attribute(&key)?),
        };
        // A repeated column is not an error here; the first clause wins.
        OrderBy { column, ascending }.append(&mut order);
    }
    OrderBy::descending(Column::Id).append(&mut order);
    Ok(order)
}

fn parse_clause(clause: &Clause<'_>) -> Result<Parsed, Error> {
    let Identifier { entity, key } = filter::unquoted_identifier(clause.left.text, &KEYS)?;
    let sign = clause.sign.to_owned();
    let Some(right) = clause.right else {
        if entity != EntityType::Tag {
            return Err(Error::invalid(format!(
                "IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'"
            )));
        }
        return Ok(Parsed { entity, key, sign, value: Value::Missing });
    };
    let value = if entity == EntityType::Tag {
        filter::pair_value(entity, right)?
    } else if is_time(&key) {
        filter::number(right).ok_or_else(|| {
            Error::invalid(format!("Expected numeric value type for numeric attribute: {key}. Found {}", right.text))
        })?
    } else {
        filter::attribute_text(&key, &LIST_KEYS, right).unwrap_or_else(|| {
            Err(Error::invalid(format!("Expected a quoted string value for attributes. Got value {}", right.text)))
        })?
    };
    Ok(Parsed { entity, key, sign, value })
}

/// Comparators are case-sensitive here: the reference refuses `like`.
fn condition(clause: Parsed) -> Result<Condition, Error> {
    let Parsed { entity, key, sign, value } = clause;
    if entity == EntityType::Tag {
        let test = match sign.as_str() {
            "IS NULL" => PairTest::IsNull,
            "IS NOT NULL" => PairTest::IsNotNull,
            "=" | "!=" | "LIKE" | "ILIKE" => PairTest::Value(TextTest::new(&sign, value)?),
            _ => return Err(Error::invalid(format!("Invalid comparator for tag: {sign}"))),
        };
        return Ok(Condition::Tag { key, test });
    }
    if key == "experiment_id" {
        return id_test(&sign, value).map(Condition::Id);
    }
    let invalid_sign = |end: &str| {
        Error::invalid(format!("Invalid comparator '{sign}' not one of '{}{end}", python::repr_set(&TEXT_SIGNS)))
    };
    if is_time(&key) {
        // The reference lists the comparators of texts, without a closing quote.
        let op = NumberOp::parse(&sign).ok_or_else(|| invalid_sign(""))?;
        let value = match value {
            Value::Int(value) => value,
            Value::Real(real) => {
                return Err(Error::invalid(format!(
                    "Invalid value for numeric attribute '{key}': '{}'",
                    python::repr_f64(real)
                )));
            }
            Value::Huge(digits) => return Err(Value::huge_error(&key, &digits)),
            _ => return Err(Error::invalid(format!("Invalid value for numeric attribute '{key}'"))),
        };
        return Ok(Condition::Time { column: time_attribute(&key)?, op, value });
    }
    if !TEXT_SIGNS.contains(&sign.as_str()) {
        return Err(invalid_sign("'"));
    }
    TextTest::new(&sign, value).map(Condition::Name)
}

fn id_test(sign: &str, value: Value) -> Result<IdTest, Error> {
    if !matches!(sign, "=" | "!=" | "IN" | "NOT IN") {
        return Err(Error::invalid(format!("Invalid comparator for experiment_id: {sign}")));
    }
    let id = |text: String| {
        python::int(&text).and_then(Int::value).ok_or_else(|| {
            Error::invalid(format!("Invalid experiment ID '{text}'. Experiment ID must be a valid integer."))
        })
    };
    match value {
        Value::List(texts) => {
            let ids = texts.into_iter().map(id).collect::<Result<_, _>>()?;
            match sign {
                "IN" => Ok(IdTest::In(ids)),
                "NOT IN" => Ok(IdTest::NotIn(ids)),
                _ => Err(Value::list_error(sign)),
            }
        }
        Value::Text(text) if sign == "=" => id(text).map(IdTest::Equal),
        Value::Text(text) if sign == "!=" => id(text).map(IdTest::NotEqual),
        _ => Err(Error::invalid(format!("Invalid comparator for experiment_id: {sign}"))),
    }
}

fn is_time(key: &str) -> bool {
    matches!(key, "creation_time" | "last_update_time")
}

fn time_attribute(key: &str) -> Result<TimeAttribute, Error> {
    match key {
        "creation_time" => Ok(TimeAttribute::CreationTime),
        "last_update_time" => Ok(TimeAttribute::LastUpdateTime),
        _ => Err(Error::invalid(format!(
            "Invalid attribute key '{key}' specified. Valid keys are '{}'",
            python::repr_set(&KEYS)
        ))),
    }
}
