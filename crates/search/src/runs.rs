//! Searches for runs.

use ferroflow_model::Error;

use crate::{
    filter::{self, EntityType, Identifier, Listing, Parsed},
    order_by::{self, OrderBy},
    syntax::{clauses::Clause, lexer::Kind, python},
    value::{Number, NumberOp, PairTest, TextTest, Value},
};

/// A condition on runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The latest value of a metric; a missing one does not match. NaN differs from every number and is neither smaller
    /// nor larger.
    Metric {
        /// The key.
        key: String,
        /// The operator.
        op: NumberOp,
        /// The operand; may be infinite.
        value: f64,
    },
    /// A param.
    Param {
        /// The key.
        key: String,
        /// The test of the value.
        test: PairTest,
    },
    /// A tag.
    Tag {
        /// The key.
        key: String,
        /// The test of the value.
        test: PairTest,
    },
    /// A text column. NULL does not match.
    Text {
        /// The column.
        column: TextAttribute,
        /// The test of the value.
        test: TextTest,
    },
    /// A timestamp. NULL does not match.
    Time {
        /// The column.
        column: TimeAttribute,
        /// The operator.
        op: NumberOp,
        /// The operand, in milliseconds since 1970.
        value: Number,
    },
    /// A dataset: matches if any dataset among the inputs of the run does.
    Dataset {
        /// The attribute of the dataset.
        column: DatasetAttribute,
        /// The test of the value.
        test: TextTest,
    },
}

/// Text columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextAttribute {
    /// The id.
    RunId,
    /// The name. A filter must test the tag `mlflow.runName`, because old runs have no name in their row; an order uses
    /// the row's column.
    RunName,
    /// The user.
    UserId,
    /// The name of the status, such as `RUNNING`.
    Status,
    /// The artifact location.
    ArtifactUri,
}

/// Timestamp columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeAttribute {
    /// The start time.
    StartTime,
    /// The end time.
    EndTime,
}

/// Attributes of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetAttribute {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// The context of its use: the input's tag `mlflow.data.context`.
    Context,
}

/// Columns to order by. NULLs come last in both directions, preceded by NaN for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Column {
    /// A text column.
    Text(TextAttribute),
    /// A timestamp.
    Time(TimeAttribute),
    /// The latest value of a metric.
    Metric(String),
    /// The value of a param, as text.
    Param(String),
    /// The value of a tag, as text.
    Tag(String),
}

const FILTER_KEYS: [&str; 12] = [
    "Created",
    "Run Name",
    "Run name",
    "artifact_uri",
    "created",
    "end_time",
    "run name",
    "run_id",
    "run_name",
    "start_time",
    "status",
    "user_id",
];
const ORDER_KEYS: [&str; 9] =
    ["Created", "artifact_uri", "created", "end_time", "run_id", "run_name", "start_time", "status", "user_id"];
const DATASET_KEYS: [&str; 3] = ["context", "digest", "name"];
const LIST_KEYS: [&str; 1] = ["run_id"];

const TEXT_SIGNS: [&str; 6] = ["!=", "=", "ILIKE", "IN", "LIKE", "NOT IN"];
const PAIR_SIGNS: [&str; 6] = ["!=", "=", "ILIKE", "IS NOT NULL", "IS NULL", "LIKE"];
const NUMBER_SIGNS: [&str; 6] = ["!=", "<", "<=", "=", ">", ">="];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    let clauses = filter::parse(filter, Listing::Quoted, parse_clause)?;
    clauses.into_iter().map(condition).collect()
}

/// Parses ORDER BY clauses. Ties are ordered newest first, then by id.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    let mut order = order_by::distinct(order_by, |clause| {
        let (identifier, ascending) = order_by::split(clause)?;
        let column = column(identifier_of(&identifier, &ORDER_KEYS)?)?;
        Ok(OrderBy { column, ascending })
    })?;
    OrderBy::descending(Column::Time(TimeAttribute::StartTime)).append(&mut order);
    OrderBy::ascending(Column::Text(TextAttribute::RunId)).append(&mut order);
    Ok(order)
}

fn parse_clause(clause: &Clause<'_>) -> Result<Parsed, Error> {
    let Identifier { entity, key } = identifier_of(clause.left.text, &FILTER_KEYS)?;
    let Some(right) = clause.right else {
        if !matches!(entity, EntityType::Tag | EntityType::Param) {
            return Err(Error::invalid(format!(
                "IS NULL / IS NOT NULL is only supported for tags and params, not for '{}' '{key}'",
                entity.name()
            )));
        }
        return Ok(Parsed { entity, key, sign: clause.sign.to_owned(), value: Value::Missing });
    };
    let value = match entity {
        EntityType::Metric => filter::number(right)
            .ok_or_else(|| Error::invalid(format!("Expected numeric value type for metric. Found {}", right.text)))?,
        EntityType::Param | EntityType::Tag => filter::pair_value(entity, right)?,
        EntityType::Attribute if time_attribute(&key).is_some() => filter::number(right).ok_or_else(|| {
            Error::invalid(format!("Expected numeric value type for numeric attribute: {key}. Found {}", right.text))
        })?,
        EntityType::Attribute => filter::attribute_text(&key, &LIST_KEYS, right).unwrap_or_else(|| {
            Err(Error::invalid(format!("Expected a quoted string value for attributes. Got value {}", right.text)))
        })?,
        EntityType::Dataset if right.kind == Kind::Parenthesis => filter::text_list(right)?,
        EntityType::Dataset => filter::quoted(right).unwrap_or_else(|| {
            Err(Error::invalid(format!(
                "Expected a quoted string value for dataset attributes. Got value {}",
                right.text
            )))
        })?,
    };
    Ok(Parsed { entity, key, sign: clause.sign.to_uppercase(), value })
}

fn condition(clause: Parsed) -> Result<Condition, Error> {
    let Parsed { entity, key, sign, value } = clause;
    let accept = |signs: [&'static str; 6], shown: [&str; 6], end: &str| {
        if signs.contains(&sign.as_str()) {
            return Ok(());
        }
        Err(Error::invalid(format!("Invalid comparator '{sign}' not one of '{}{end}", python::repr_set(&shown))))
    };
    // The reference omits the closing quote in some of these messages, and lists the comparators of texts for
    // timestamps.
    match entity {
        EntityType::Metric => {
            accept(NUMBER_SIGNS, NUMBER_SIGNS, "")?;
            let value = match value {
                #[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
                Value::Int(int) => int as f64,
                Value::Real(real) => real,
                Value::Huge(digits) => python::float(&digits).unwrap_or(f64::INFINITY),
                _ => return Err(Error::invalid(format!("Expected numeric value type for metric. Found {key}"))),
            };
            Ok(Condition::Metric { key, op: number_op(&sign)?, value })
        }
        EntityType::Param => {
            accept(PAIR_SIGNS, PAIR_SIGNS, "'")?;
            Ok(Condition::Param { key, test: pair_test(&sign, value)? })
        }
        EntityType::Tag => {
            accept(PAIR_SIGNS, PAIR_SIGNS, "")?;
            Ok(Condition::Tag { key, test: pair_test(&sign, value)? })
        }
        EntityType::Dataset => {
            accept(TEXT_SIGNS, TEXT_SIGNS, "")?;
            let column = match key.as_str() {
                "name" => DatasetAttribute::Name,
                "digest" => DatasetAttribute::Digest,
                _ => DatasetAttribute::Context,
            };
            Ok(Condition::Dataset { column, test: TextTest::new(&sign, value)? })
        }
        EntityType::Attribute => {
            if let Some(column) = time_attribute(&key) {
                accept(NUMBER_SIGNS, TEXT_SIGNS, "")?;
                let value = match value {
                    Value::Int(int) => Number::Int(int),
                    Value::Real(real) => Number::Real(real),
                    Value::Huge(digits) => return Err(Value::huge_error(&key, &digits)),
                    _ => return Err(unknown_attribute(&key, &FILTER_KEYS)),
                };
                return Ok(Condition::Time { column, op: number_op(&sign)?, value });
            }
            accept(TEXT_SIGNS, TEXT_SIGNS, "'")?;
            let column = text_attribute(&key).ok_or_else(|| unknown_attribute(&key, &FILTER_KEYS))?;
            Ok(Condition::Text { column, test: TextTest::new(&sign, value)? })
        }
    }
}

fn pair_test(sign: &str, value: Value) -> Result<PairTest, Error> {
    match sign {
        "IS NULL" => Ok(PairTest::IsNull),
        "IS NOT NULL" => Ok(PairTest::IsNotNull),
        _ => TextTest::new(sign, value).map(PairTest::Value),
    }
}

fn number_op(sign: &str) -> Result<NumberOp, Error> {
    NumberOp::parse(sign).ok_or_else(|| Error::invalid(format!("Invalid comparator '{sign}'")))
}

fn column(identifier: Identifier) -> Result<Column, Error> {
    let Identifier { entity, key } = identifier;
    match entity {
        EntityType::Metric => Ok(Column::Metric(key)),
        EntityType::Param => Ok(Column::Param(key)),
        EntityType::Tag => Ok(Column::Tag(key)),
        EntityType::Dataset => Err(Error::invalid("Invalid identifier type 'dataset'")),
        EntityType::Attribute => time_attribute(&key)
            .map(Column::Time)
            .or_else(|| text_attribute(&key).map(Column::Text))
            .ok_or_else(|| unknown_attribute(&key, &ORDER_KEYS)),
    }
}

fn unknown_attribute(key: &str, attributes: &[&str]) -> Error {
    Error::invalid(format!(
        "Invalid attribute key '{key}' specified. Valid keys are '{}'",
        python::repr_set(attributes)
    ))
}

fn time_attribute(key: &str) -> Option<TimeAttribute> {
    match key {
        "start_time" | "created" | "Created" => Some(TimeAttribute::StartTime),
        "end_time" => Some(TimeAttribute::EndTime),
        _ => None,
    }
}

fn text_attribute(key: &str) -> Option<TextAttribute> {
    match key {
        "run_id" => Some(TextAttribute::RunId),
        "run_name" | "run name" | "Run name" | "Run Name" => Some(TextAttribute::RunName),
        "user_id" => Some(TextAttribute::UserId),
        "status" => Some(TextAttribute::Status),
        "artifact_uri" => Some(TextAttribute::ArtifactUri),
        _ => None,
    }
}

fn identifier_of(text: &str, attributes: &[&str]) -> Result<Identifier, Error> {
    let (entity, key) = match text.split_once('.') {
        None => (EntityType::Attribute, text),
        Some((entity, key)) => (entity_type(filter::without(entity, '`'))?, key),
    };
    let key = filter::unquote_key(key);
    filter::check_attribute(entity, key, attributes)?;
    if entity == EntityType::Dataset && !DATASET_KEYS.contains(&key) {
        return Err(Error::invalid(format!(
            "Invalid dataset key '{key}' specified. Valid keys are '{}'",
            python::repr_set(&DATASET_KEYS)
        )));
    }
    Ok(Identifier { entity, key: key.to_owned() })
}

fn entity_type(name: &str) -> Result<EntityType, Error> {
    match name {
        "metric" | "metrics" => Ok(EntityType::Metric),
        "parameter" | "parameters" | "param" | "params" => Ok(EntityType::Param),
        "tag" | "tags" => Ok(EntityType::Tag),
        "attribute" | "attributes" | "attr" | "run" => Ok(EntityType::Attribute),
        "dataset" | "datasets" => Ok(EntityType::Dataset),
        _ => Err(Error::invalid(format!(
            "Invalid entity type '{name}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"
        ))),
    }
}
