//! Searches for runs.

use ferroflow_model::Error;

use crate::{
    comparator::Comparator,
    field::{self, Field, Operands},
    filter, operand,
    order_by::{self, OrderBy},
    syntax::{clauses::Operand, lexer, python},
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

/// What a filter may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunField {
    Metric,
    Param,
    Tag,
    Text(TextAttribute),
    Time(TimeAttribute),
    Dataset(DatasetAttribute),
}

use RunField::{Dataset, Metric, Param, Tag, Text, Time};

/// What the part before the first dot of a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Metric,
    Param,
    Tag,
    Attribute,
    Dataset,
}

const KINDS: [(&str, Kind); 14] = [
    ("metric", Kind::Metric),
    ("metrics", Kind::Metric),
    ("parameter", Kind::Param),
    ("parameters", Kind::Param),
    ("param", Kind::Param),
    ("params", Kind::Param),
    ("tag", Kind::Tag),
    ("tags", Kind::Tag),
    ("attribute", Kind::Attribute),
    ("attributes", Kind::Attribute),
    ("attr", Kind::Attribute),
    ("run", Kind::Attribute),
    ("dataset", Kind::Dataset),
    ("datasets", Kind::Dataset),
];

/// The attributes; orders have the first [`IN_ORDERS`] only.
const ATTRIBUTES: [(&str, RunField); 12] = [
    ("run_id", Text(TextAttribute::RunId)),
    ("run_name", Text(TextAttribute::RunName)),
    ("user_id", Text(TextAttribute::UserId)),
    ("status", Text(TextAttribute::Status)),
    ("artifact_uri", Text(TextAttribute::ArtifactUri)),
    ("start_time", Time(TimeAttribute::StartTime)),
    ("created", Time(TimeAttribute::StartTime)),
    ("Created", Time(TimeAttribute::StartTime)),
    ("end_time", Time(TimeAttribute::EndTime)),
    ("run name", Text(TextAttribute::RunName)),
    ("Run name", Text(TextAttribute::RunName)),
    ("Run Name", Text(TextAttribute::RunName)),
];

const IN_ORDERS: usize = 9;

const DATASETS: [(&str, RunField); 3] = [
    ("name", Dataset(DatasetAttribute::Name)),
    ("digest", Dataset(DatasetAttribute::Digest)),
    ("context", Dataset(DatasetAttribute::Context)),
];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<RunField>(filter)
}

/// Parses ORDER BY clauses. Ties are ordered newest first, then by id.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    let mut order = order_by::distinct(order_by, |clause| {
        let (name, ascending) = order_by::split(clause)?;
        let (field, key) = RunField::find(&name, &ATTRIBUTES[..IN_ORDERS])?;
        let column = match field {
            Metric => Column::Metric(key.to_owned()),
            Param => Column::Param(key.to_owned()),
            Tag => Column::Tag(key.to_owned()),
            Text(column) => Column::Text(column),
            Time(column) => Column::Time(column),
            Dataset(_) => return Err(Error::invalid("Invalid identifier type 'dataset'")),
        };
        Ok(OrderBy { column, ascending })
    })?;
    OrderBy::descending(Column::Time(TimeAttribute::StartTime)).append(&mut order);
    OrderBy::ascending(Column::Text(TextAttribute::RunId)).append(&mut order);
    Ok(order)
}

impl RunField {
    /// The field with a name, and its key.
    fn find<'a>(name: &'a str, attributes: &[(&str, Self)]) -> Result<(Self, &'a str), Error> {
        let (kind, key) = match name.split_once('.') {
            None => (Kind::Attribute, name),
            Some((kind, key)) => (Kind::parse(operand::without(kind, '`'))?, key),
        };
        let key = operand::unquoted(key);
        let field = match kind {
            Kind::Metric => Metric,
            Kind::Param => Param,
            Kind::Tag => Tag,
            Kind::Attribute => field::attribute(attributes, key)?,
            Kind::Dataset => field::find(&DATASETS, key).ok_or_else(|| {
                Error::invalid(format!(
                    "Invalid dataset key '{key}' specified. Valid keys are '{}'",
                    python::repr_set(DATASETS.map(|(name, _)| name))
                ))
            })?,
        };
        Ok((field, key))
    }

    /// The name of its kind in messages.
    const fn kind(self) -> &'static str {
        match self {
            Metric => "metric",
            Param => "parameter",
            Tag => "tag",
            Text(_) | Time(_) => "attribute",
            Dataset(_) => "dataset",
        }
    }
}

impl Kind {
    fn parse(name: &str) -> Result<Self, Error> {
        field::find(&KINDS, name).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid entity type '{name}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"
            ))
        })
    }
}

impl Field for RunField {
    type Condition = Condition;

    const QUOTES_ELEMENTS: bool = true;

    fn parse(text: &str) -> Result<(Self, &str), Error> {
        Self::find(text, &ATTRIBUTES)
    }

    fn operands(self) -> Operands {
        match self {
            Metric | Time(_) => Operands::NUMBERS,
            Text(TextAttribute::RunId) | Dataset(_) => Operands::TEXTS_AND_LISTS,
            Param | Tag | Text(_) => Operands::TEXTS,
        }
    }

    fn comparators(self) -> &'static [Comparator] {
        match self {
            Metric | Time(_) => Comparator::NUMBERS,
            Param | Tag => Comparator::OPTIONAL_TEXTS,
            Text(_) | Dataset(_) => Comparator::TEXTS,
        }
    }

    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        Ok(match self {
            Metric => {
                let value = match value {
                    #[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
                    Value::Int(int) => int as f64,
                    Value::Real(real) => real,
                    // An integer beyond 64 bits is a double as well.
                    Value::Huge(digits) => python::float(&digits).unwrap_or(f64::INFINITY),
                    _ => return Err(comparator.unusable()),
                };
                Condition::Metric { key: key.to_owned(), op: comparator.number()?, value }
            }
            Param => Condition::Param { key: key.to_owned(), test: PairTest::new(comparator, value)? },
            Tag => Condition::Tag { key: key.to_owned(), test: PairTest::new(comparator, value)? },
            Text(column) => Condition::Text { column, test: TextTest::new(comparator, value)? },
            Time(column) => {
                let value = match value {
                    Value::Int(int) => Number::Int(int),
                    Value::Real(real) => Number::Real(real),
                    Value::Huge(digits) => return Err(Value::huge_error(key, &digits)),
                    _ => return Err(comparator.unusable()),
                };
                Condition::Time { column, op: comparator.number()?, value }
            }
            Dataset(column) => Condition::Dataset { column, test: TextTest::new(comparator, value)? },
        })
    }

    fn no_null_test(self, key: &str) -> Option<Error> {
        Some(Error::invalid(format!(
            "IS NULL / IS NOT NULL is only supported for tags and params, not for '{}' '{key}'",
            self.kind()
        )))
    }

    fn wrong_operand(self, key: &str, right: Operand<'_>) -> Error {
        let found = right.text;
        match self {
            Metric => Error::invalid(format!("Expected numeric value type for metric. Found {found}")),
            Time(_) => {
                Error::invalid(format!("Expected numeric value type for numeric attribute: {key}. Found {found}"))
            }
            Param | Tag => operand::expected_quoted(self.kind(), found),
            Text(_) if right.kind == lexer::Kind::Parenthesis => operand::no_lists(&["run_id"]),
            Text(_) => Error::invalid(format!("Expected a quoted string value for attributes. Got value {found}")),
            Dataset(_) => {
                Error::invalid(format!("Expected a quoted string value for dataset attributes. Got value {found}"))
            }
        }
    }

    fn wrong_comparator(self, _key: &str, sign: &str) -> Error {
        // The reference omits the closing quote in some of these messages, and lists the comparators of texts for
        // timestamps.
        let (listed, end) = match self {
            Metric | Tag => (self.comparators(), ""),
            Time(_) | Dataset(_) => (Comparator::TEXTS, ""),
            Param | Text(_) => (self.comparators(), "'"),
        };
        Error::invalid(format!("Invalid comparator '{sign}' not one of '{}{end}", Comparator::repr_set(listed)))
    }
}
