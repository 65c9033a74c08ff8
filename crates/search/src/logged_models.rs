//! Searches for logged models. Their filter has its own rules: values need no quotes, and keys keep theirs.

use ferroflow_model::{Error, error::ErrorClass};

use crate::{
    bounds,
    order_by::OrderBy,
    syntax::{
        clauses::{self, Clause, Piece, Unparsable},
        list::{self, Literal},
        python,
    },
    value::{NumberOp, TextTest, Value},
};

/// A condition on logged models.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A column of text, or of a small integer, which is compared in its decimal form. NULL does not match. Never a
    /// timestamp.
    Text {
        /// The column.
        column: Attribute,
        /// The test of the value.
        test: TextTest,
    },
    /// A timestamp.
    Time {
        /// The column.
        column: Attribute,
        /// The operator.
        op: NumberOp,
        /// The operand, in milliseconds since 1970; may be infinite or NaN.
        value: f64,
    },
    /// A metric: matches if any value does. If the search names datasets, only values on these.
    Metric {
        /// The key.
        key: String,
        /// The operator.
        op: NumberOp,
        /// The operand; may be infinite or NaN.
        value: f64,
    },
    /// A param; a missing one does not match.
    Param {
        /// The key.
        key: String,
        /// The test of the value.
        test: TextTest,
    },
    /// A tag; a missing one does not match.
    Tag {
        /// The key.
        key: String,
        /// The test of the value.
        test: TextTest,
    },
}

/// The columns of a logged model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// The id.
    ModelId,
    /// The experiment's id, an integer.
    ExperimentId,
    /// The name.
    Name,
    /// The artifact location.
    ArtifactLocation,
    /// The time of creation, in milliseconds since 1970.
    CreationTimestamp,
    /// The time of the last update, in milliseconds since 1970.
    LastUpdatedTimestamp,
    /// The status, an integer.
    Status,
    /// `active` or `deleted`.
    LifecycleStage,
    /// The type.
    ModelType,
    /// The run that produced it.
    SourceRunId,
    /// The message about the status.
    StatusMessage,
}

/// Columns to order by. NULLs come last in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Column {
    /// An attribute.
    Attribute(Attribute),
    /// The value of a metric with the latest timestamp; ties: the highest step, then the smallest run id.
    Metric {
        /// The key.
        key: String,
        /// Restricts the values to datasets with this name.
        dataset_name: Option<String>,
        /// Restricts the values to datasets with this digest.
        dataset_digest: Option<String>,
    },
}

/// An ORDER BY clause of a request; an empty text is an absent value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderClause<'a> {
    /// An attribute, or `metrics.` and a key.
    pub field_name: &'a str,
    /// The direction.
    pub ascending: bool,
    /// The name of the dataset that the metric was measured on.
    pub dataset_name: Option<&'a str>,
    /// The digest of that dataset.
    pub dataset_digest: Option<&'a str>,
}

impl Attribute {
    const ALL: [Self; 11] = [
        Self::ModelId,
        Self::ExperimentId,
        Self::Name,
        Self::ArtifactLocation,
        Self::CreationTimestamp,
        Self::LastUpdatedTimestamp,
        Self::Status,
        Self::LifecycleStage,
        Self::ModelType,
        Self::SourceRunId,
        Self::StatusMessage,
    ];

    /// The name of the database column.
    #[must_use]
    pub const fn column(self) -> &'static str {
        match self {
            Self::ModelId => "model_id",
            Self::ExperimentId => "experiment_id",
            Self::Name => "name",
            Self::ArtifactLocation => "artifact_location",
            Self::CreationTimestamp => "creation_timestamp_ms",
            Self::LastUpdatedTimestamp => "last_updated_timestamp_ms",
            Self::Status => "status",
            Self::LifecycleStage => "lifecycle_stage",
            Self::ModelType => "model_type",
            Self::SourceRunId => "source_run_id",
            Self::StatusMessage => "status_message",
        }
    }

    /// Whether the column holds an integer that filters compare as text.
    #[must_use]
    pub const fn is_integer_code(self) -> bool {
        matches!(self, Self::ExperimentId | Self::Status)
    }

    const fn is_time(self) -> bool {
        matches!(self, Self::CreationTimestamp | Self::LastUpdatedTimestamp)
    }

    fn parse(name: &str) -> Option<Self> {
        let name = full_name(name);
        Self::ALL.into_iter().find(|attribute| attribute.column() == name)
    }
}

/// Resolves the alias of a column.
fn full_name(name: &str) -> &str {
    match name {
        "creation_time" | "creation_timestamp" => "creation_timestamp_ms",
        "last_updated_timestamp" => "last_updated_timestamp_ms",
        _ => name,
    }
}

#[derive(Clone, Copy)]
enum Entity {
    Attribute,
    Metric,
    Param,
    Tag,
}

impl Entity {
    const fn name(self) -> &'static str {
        match self {
            Self::Attribute => "attributes",
            Self::Metric => "metrics",
            Self::Param => "params",
            Self::Tag => "tags",
        }
    }
}

const TEXT_SIGNS: [&str; 6] = ["=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"];
const NUMBER_SIGNS: [&str; 6] = ["<", "<=", ">", ">=", "=", "!="];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    bounds::check("bytes in its filter", filter.len(), bounds::TEXT)?;
    let invalid = |reason: String| Error::invalid(format!("Invalid filter string: {}. {reason}", python::repr(filter)));
    let pieces = clauses::pieces(filter).map_err(|reason| {
        invalid(match reason {
            Unparsable::TooLarge(limit) => format!("SQLParseError('{}')", limit.message()),
            Unparsable::Empty | Unparsable::Several => "Expected a single SQL expression.".to_owned(),
        })
    })?;
    let is_clause = |piece: &&Piece<'_>| matches!(piece, Piece::Clause(_));
    bounds::check("conditions in its filter", pieces.iter().filter(is_clause).count(), bounds::CONDITIONS)?;
    let mut clauses = Vec::with_capacity(pieces.len());
    for piece in &pieces {
        match piece {
            Piece::Clause(clause) => clauses.push(parse_clause(clause)?),
            Piece::And => {}
            Piece::Other(_) => {
                return Err(invalid(
                    "Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = \
                     0.01')."
                        .to_owned(),
                ));
            }
        }
    }
    clauses.into_iter().map(condition).collect()
}

/// Parses ORDER BY clauses. Ties are ordered newest first, then by id.
pub fn parse_order_by(order_by: &[OrderClause<'_>]) -> Result<Vec<OrderBy<Column>>, Error> {
    bounds::check("clauses in `order_by`", order_by.len(), bounds::ORDERS)?;
    let mut order = Vec::with_capacity(order_by.len() + 2);
    for clause in order_by {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let column = match clause.field_name.split_once('.') {
            None => Column::Attribute(Attribute::parse(clause.field_name).ok_or_else(|| {
                Error::invalid(format!("Invalid order by field name: {}", clause.field_name))
                    .with_class(ErrorClass::AttributeNotFound)
            })?),
            Some(("metrics", key)) => Column::Metric {
                key: key.to_owned(),
                dataset_name: given(clause.dataset_name),
                dataset_digest: given(clause.dataset_digest),
            },
            Some(_) => {
                return Err(Error::invalid(format!(
                    "Invalid order by field name: {}. Only metrics are supported.",
                    clause.field_name
                )));
            }
        };
        // A repeated column is not an error here; the first clause wins.
        OrderBy { column, ascending: clause.ascending }.append(&mut order);
    }
    OrderBy::descending(Column::Attribute(Attribute::CreationTimestamp)).append(&mut order);
    OrderBy::ascending(Column::Attribute(Attribute::ModelId)).append(&mut order);
    Ok(order)
}

/// A clause with parsed operands and an attribute that is not yet validated.
struct Parsed {
    entity: Entity,
    key: String,
    test: Test,
}

enum Test {
    Number(NumberOp, f64),
    Text(String, Value),
}

fn parse_clause(clause: &Clause<'_>) -> Result<Parsed, Error> {
    let Some(right) = clause.right.filter(|_| clause.parts == 3) else {
        return Err(Error::invalid(format!(
            "Invalid comparison: {}. Expected a comparison with 3 tokens.",
            clause.text()
        )));
    };
    let (entity, key) = identifier(clause.left.text)?;
    let is_number = match entity {
        Entity::Attribute => Attribute::parse(key).is_some_and(Attribute::is_time),
        Entity::Metric => true,
        Entity::Param | Entity::Tag => false,
    };
    let sign = clause.sign.to_uppercase();
    let signs = if is_number { NUMBER_SIGNS } else { TEXT_SIGNS };
    if !signs.contains(&sign.as_str()) {
        return Err(Error::invalid(format!(
            "Invalid comparison operator for {}.{key}: {}. Expected one of {}.",
            entity.name(),
            python::repr(&sign),
            python::repr_tuple(signs.iter().map(|sign| python::repr(sign)))
        )));
    }
    let test = match NumberOp::parse(&sign).filter(|_| is_number) {
        Some(op) => {
            let value = python::float(right.text).ok_or_else(|| {
                Error::invalid(format!("Invalid value for {}.{key}: {}. Expected a number.", entity.name(), right.text))
            })?;
            Test::Number(op, value)
        }
        None => Test::Text(sign, text_value(right.text)?),
    };
    Ok(Parsed { entity, key: key.to_owned(), test })
}

fn condition(clause: Parsed) -> Result<Condition, Error> {
    let Parsed { entity, key, test } = clause;
    let column = || Attribute::parse(&key).ok_or_else(|| Error::invalid(format!("Invalid attribute: {key}")));
    match test {
        Test::Number(op, value) => Ok(match entity {
            Entity::Attribute => Condition::Time { column: column()?, op, value },
            Entity::Metric | Entity::Param | Entity::Tag => Condition::Metric { key, op, value },
        }),
        Test::Text(sign, value) => {
            let test = TextTest::new(&sign, value)?;
            Ok(match entity {
                Entity::Attribute => Condition::Text { column: column()?, test },
                Entity::Param => Condition::Param { key, test },
                Entity::Tag | Entity::Metric => Condition::Tag { key, test },
            })
        }
    }
}

/// Splits `metrics.a`: the entity is lower-case ASCII letters; the key is not empty and on one line.
fn identifier(text: &str) -> Result<(Entity, &str), Error> {
    let split = text.split_once('.').filter(|(entity, key)| {
        let key = key.strip_suffix('\n').unwrap_or(key);
        !entity.is_empty() && entity.bytes().all(|b| b.is_ascii_lowercase()) && !key.is_empty() && !key.contains('\n')
    });
    let Some((entity, key)) = split else { return Ok((Entity::Attribute, full_name(text).trim_matches('`'))) };
    let entity = match entity {
        "attributes" => Entity::Attribute,
        "metrics" => Entity::Metric,
        "params" => Entity::Param,
        "tags" => Entity::Tag,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid entity type: {}. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
                python::repr(entity)
            )));
        }
    };
    Ok((entity, key.strip_suffix('\n').unwrap_or(key).trim_matches('`')))
}

/// A value without its single quotes, or a list, which may be empty.
fn text_value(text: &str) -> Result<Value, Error> {
    if !(text.starts_with('(') && text.ends_with(')')) {
        return Ok(Value::Text(text.trim_matches('\'').to_owned()));
    }
    let items = match list::parse(text) {
        Some(Literal::Tuple(items)) => Some(items),
        Some(Literal::Text(text)) => Some(vec![Literal::Text(text)]),
        _ => None,
    };
    let texts: Option<Vec<_>> = items.and_then(|items| {
        items
            .into_iter()
            .map(|item| match item {
                Literal::Text(text) => Some(text),
                // The database compares a number with a text in the number's decimal form.
                Literal::Other(shown) if !matches!(shown.as_str(), "None" | "True" | "False") => Some(shown),
                _ => None,
            })
            .collect()
    });
    texts.map(Value::List).ok_or_else(|| {
        Error::invalid(format!("Invalid list of values: {text}. Expected quoted strings (e.g. ('a', 'b'))."))
    })
}
