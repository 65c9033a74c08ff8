//! Searches for logged models. Their filter has its own rules: values need no quotes, and keys keep theirs.

use ferroflow_model::{Error, error::ErrorClass};

use crate::{
    bounds,
    comparator::Comparator,
    field::{self, Field, Operands},
    filter,
    order_by::OrderBy,
    syntax::{
        clauses::{Clause, Operand, Unparsable},
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

/// What a filter may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModelField {
    /// `None` is an attribute that does not exist, which is the last error to be found.
    Attribute(Option<Attribute>),
    Metric,
    Param,
    Tag,
}

const KINDS: [(&str, Option<ModelField>); 4] = [
    ("attributes", None),
    ("metrics", Some(ModelField::Metric)),
    ("params", Some(ModelField::Param)),
    ("tags", Some(ModelField::Tag)),
];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<ModelField>(filter)
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

impl ModelField {
    fn is_number(self) -> bool {
        self.operands() == Operands::NUMBERS
    }

    /// The name of its kind in filters.
    const fn kind(self) -> &'static str {
        match self {
            Self::Attribute(_) => "attributes",
            Self::Metric => "metrics",
            Self::Param => "params",
            Self::Tag => "tags",
        }
    }

    fn invalid_filter(filter: &str, reason: &str) -> Error {
        Error::invalid(format!("Invalid filter string: {}. {reason}", python::repr(filter)))
    }
}

impl Field for ModelField {
    type Condition = Condition;

    const IN_ORDER: bool = true;

    /// Splits `metrics.a`: the kind is lower-case ASCII letters; the key is not empty and on one line.
    fn parse(text: &str) -> Result<(Self, &str), Error> {
        let attribute = |name| (Self::Attribute(Attribute::parse(name)), name);
        let split = text.split_once('.').filter(|(kind, key)| {
            let key = key.strip_suffix('\n').unwrap_or(key);
            !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase()) && !key.is_empty() && !key.contains('\n')
        });
        let Some((kind, key)) = split else { return Ok(attribute(full_name(text).trim_matches('`'))) };
        let field = field::find(&KINDS, kind).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid entity type: {}. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
                python::repr(kind)
            ))
        })?;
        let key = key.strip_suffix('\n').unwrap_or(key).trim_matches('`');
        Ok(field.map_or_else(|| attribute(key), |field| (field, key)))
    }

    fn operands(self) -> Operands {
        match self {
            Self::Attribute(Some(attribute)) if attribute.is_time() => Operands::NUMBERS,
            Self::Metric => Operands::NUMBERS,
            Self::Attribute(_) | Self::Param | Self::Tag => Operands::TEXTS_AND_LISTS,
        }
    }

    fn comparators(self) -> &'static [Comparator] {
        if self.is_number() { Comparator::NUMBERS } else { Comparator::TEXTS }
    }

    /// A number or text in any form, see [`text_value`].
    fn value(self, key: &str, _sign: &str, right: Operand<'_>) -> Result<Value, Error> {
        if !self.is_number() {
            return text_value(right.text);
        }
        python::float(right.text).map(Value::Real).ok_or_else(|| self.wrong_operand(key, right))
    }

    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        Ok(match (self, value) {
            (Self::Attribute(Some(column)), Value::Real(value)) => {
                Condition::Time { column, op: comparator.number()?, value }
            }
            (Self::Metric, Value::Real(value)) => {
                Condition::Metric { key: key.to_owned(), op: comparator.number()?, value }
            }
            (Self::Metric, _) => return Err(comparator.unusable()),
            (Self::Attribute(column), value) => {
                let test = TextTest::new(comparator, value)?;
                let column = column.ok_or_else(|| Error::invalid(format!("Invalid attribute: {key}")))?;
                Condition::Text { column, test }
            }
            (Self::Param, value) => Condition::Param { key: key.to_owned(), test: TextTest::new(comparator, value)? },
            (Self::Tag, value) => Condition::Tag { key: key.to_owned(), test: TextTest::new(comparator, value)? },
        })
    }

    fn wrong_operand(self, key: &str, right: Operand<'_>) -> Error {
        Error::invalid(format!("Invalid value for {}.{key}: {}. Expected a number.", self.kind(), right.text))
    }

    fn wrong_comparator(self, key: &str, sign: &str) -> Error {
        let listed = self.comparators().iter().map(|comparator| python::repr(comparator.text()));
        Error::invalid(format!(
            "Invalid comparison operator for {}.{key}: {}. Expected one of {}.",
            self.kind(),
            python::repr(sign),
            python::repr_tuple(listed)
        ))
    }

    fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
        if clause.right.is_some() && clause.parts == 3 {
            return Ok(());
        }
        Err(Error::invalid(format!("Invalid comparison: {}. Expected a comparison with 3 tokens.", clause.text())))
    }

    fn unparsable(filter: &str, reason: Unparsable) -> Error {
        match reason {
            Unparsable::TooLarge(limit) => {
                Self::invalid_filter(filter, &format!("SQLParseError('{}')", limit.message()))
            }
            Unparsable::Empty | Unparsable::Several => {
                Self::invalid_filter(filter, "Expected a single SQL expression.")
            }
        }
    }

    fn no_comparisons(filter: &str, _elements: &[&str]) -> Error {
        Self::invalid_filter(
            filter,
            "Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').",
        )
    }
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
