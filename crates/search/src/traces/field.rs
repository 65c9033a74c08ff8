//! What a filter for traces may compare, and what an order may name.

use ferroflow_model::Error;

use super::{
    AssessmentKind, AssessmentTest, Column, Condition, NAME_TAG, OptionalAttribute, PROMPTS_TAG, RUN_METADATA,
    SESSION_METADATA, SpanColumn, SpanCondition, TextAttribute, TimeAttribute, Usage,
};
use crate::{
    bounds,
    comparator::Comparator,
    field::{self, Field, Operands},
    operand,
    syntax::{
        clauses::{self, Clause, Operand},
        lexer,
        python::{self, Int},
    },
    value::{Number, NumberOp, PairTest, TextTest, Value},
};

/// What the part before the first dot of a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Attribute,
    Tag,
    Metadata,
    Span,
    Assessment(AssessmentKind),
    Issue,
}

const FEEDBACK: Kind = Kind::Assessment(AssessmentKind::Feedback);
const EXPECTATION: Kind = Kind::Assessment(AssessmentKind::Expectation);

const KINDS: [(&str, Kind); 11] = [
    ("tag", Kind::Tag),
    ("tags", Kind::Tag),
    ("attribute", Kind::Attribute),
    ("attributes", Kind::Attribute),
    ("trace", Kind::Attribute),
    ("request_metadata", Kind::Metadata),
    ("metadata", Kind::Metadata),
    ("span", Kind::Span),
    ("feedback", FEEDBACK),
    ("expectation", EXPECTATION),
    ("issue", Kind::Issue),
];

/// The attributes of filters, and whether they are compared with lists.
const ATTRIBUTES: [(&str, bool); 13] = [
    ("request_id", true),
    ("timestamp", false),
    ("timestamp_ms", false),
    ("execution_time", false),
    ("execution_time_ms", false),
    ("end_time", false),
    ("end_time_ms", false),
    ("status", true),
    ("client_request_id", true),
    ("name", true),
    ("run_id", true),
    ("prompt", false),
    ("text", false),
];

/// The attributes of orders.
const ORDERS: [(&str, ()); 11] = [
    ("experiment_id", ()),
    ("timestamp", ()),
    ("timestamp_ms", ()),
    ("execution_time", ()),
    ("execution_time_ms", ()),
    ("end_time", ()),
    ("end_time_ms", ()),
    ("status", ()),
    ("request_id", ()),
    ("name", ()),
    ("run_id", ()),
];

const TIMES: [(&str, TimeAttribute); 6] = [
    ("timestamp_ms", TimeAttribute::Timestamp),
    ("timestamp", TimeAttribute::Timestamp),
    ("execution_time_ms", TimeAttribute::ExecutionTime),
    ("execution_time", TimeAttribute::ExecutionTime),
    ("end_time_ms", TimeAttribute::EndTime),
    ("end_time", TimeAttribute::EndTime),
];

/// Comparators of attributes and columns of spans.
const TEXTS: &[Comparator] = &[
    Comparator::EQUAL,
    Comparator::NOT_EQUAL,
    Comparator::In,
    Comparator::NotIn,
    Comparator::Like,
    Comparator::ILike,
    Comparator::RLike,
];

/// Comparators of tags and metadata.
const OPTIONAL_TEXTS: &[Comparator] = &[
    Comparator::EQUAL,
    Comparator::NOT_EQUAL,
    Comparator::Like,
    Comparator::ILike,
    Comparator::RLike,
    Comparator::IsNull,
    Comparator::IsNotNull,
];

/// Comparators of the content of spans.
const PATTERNS: &[Comparator] = &[Comparator::Like, Comparator::ILike];

/// Comparators of assessments.
const ASSESSMENTS: &[Comparator] = &[
    Comparator::EQUAL,
    Comparator::NOT_EQUAL,
    Comparator::Number(NumberOp::Less),
    Comparator::Number(NumberOp::LessOrEqual),
    Comparator::Number(NumberOp::Greater),
    Comparator::Number(NumberOp::GreaterOrEqual),
    Comparator::Like,
    Comparator::ILike,
    Comparator::RLike,
    Comparator::IsNull,
    Comparator::IsNotNull,
];

/// Where the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Text(TextAttribute),
    Time(TimeAttribute),
    Tag,
    Metadata,
    Column(SpanColumn),
    SpanAttribute,
    /// No such column.
    NoSpan,
    Assessment(AssessmentKind),
    /// The name is empty.
    NoAssessment,
    Issue,
    /// No such attribute.
    NoIssue,
}

/// What a filter may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceField {
    /// The kind as written: its operands are read by this one.
    written: Kind,
    /// Whether it is an attribute that is compared with lists.
    lists: bool,
    target: Target,
}

/// The kind and the key of a name, and whether attributes are among `attributes`.
fn split<'a, A: Copy>(name: &'a str, attributes: &[(&str, A)]) -> Result<(Kind, &'a str, Option<A>), Error> {
    let (kind, key) = match name.split_once('.') {
        None => (Kind::Attribute, name),
        Some((kind, key)) => (Kind::parse(operand::without(kind, '`'))?, key),
    };
    let key = operand::unquoted(key);
    let attribute = match kind {
        Kind::Attribute => Some(field::attribute(attributes, key)?),
        _ => None,
    };
    Ok((kind, key, attribute))
}

/// Some names stand for a tag, for metadata, or for the content of a span, whatever kind is before them.
fn resolved(kind: Kind, key: &str) -> (Kind, &str) {
    if kind == Kind::Span {
        return (kind, key);
    }
    match key.to_lowercase().as_str() {
        "name" => (Kind::Tag, NAME_TAG),
        "prompt" => (Kind::Tag, PROMPTS_TAG),
        "run_id" => (Kind::Metadata, RUN_METADATA),
        "text" => (Kind::Span, "content"),
        "timestamp" => (kind, "timestamp_ms"),
        "execution_time" => (kind, "execution_time_ms"),
        "end_time" => (kind, "end_time_ms"),
        _ => (kind, key),
    }
}

/// The column that an order names.
pub(super) fn column(name: &str) -> Result<Column, Error> {
    let (kind, key, _) = split(name, &ORDERS)?;
    let (kind, key) = resolved(kind, key);
    Ok(match (kind, key) {
        (Kind::Attribute, "experiment_id") => Column::ExperimentId,
        (Kind::Attribute, "status") => Column::Status,
        (Kind::Attribute, key) => field::find(&TIMES, key).map_or(Column::TraceId, Column::Time),
        (Kind::Tag, NAME_TAG) => Column::Optional(OptionalAttribute::Name),
        (Kind::Metadata, SESSION_METADATA) => Column::Optional(OptionalAttribute::Session),
        (Kind::Tag, key) => Column::Tag(key.to_owned()),
        (Kind::Metadata, key) if Usage::of(key).is_some() => {
            return Err(Error::invalid(format!(
                "Ordering by reserved metadata '{key}' is not supported because it is represented by multiple columns."
            )));
        }
        (Kind::Metadata, key) => Column::Metadata(key.to_owned()),
        (kind, _) => return Err(Error::invalid(format!("Invalid identifier type '{}'", kind.name()))),
    })
}

impl Kind {
    fn parse(name: &str) -> Result<Self, Error> {
        field::find(&KINDS, name).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid entity type '{name}'. Valid values are {}",
                python::repr_set(KINDS.map(|(name, _)| name))
            ))
        })
    }

    /// Its name in messages.
    const fn name(self) -> &'static str {
        match self {
            Self::Attribute => "attribute",
            Self::Tag => "tag",
            Self::Metadata => "request_metadata",
            Self::Span => "span",
            Self::Assessment(kind) => kind.name(),
            Self::Issue => "issue",
        }
    }
}

impl Target {
    fn new(kind: Kind, key: &str) -> Self {
        match kind {
            Kind::Attribute => match key {
                "status" => Self::Text(TextAttribute::Status),
                "client_request_id" => Self::Text(TextAttribute::ClientRequestId),
                _ => field::find(&TIMES, key).map_or(Self::Text(TextAttribute::TraceId), Self::Time),
            },
            Kind::Tag => Self::Tag,
            Kind::Metadata => Self::Metadata,
            Kind::Span => match key {
                "name" => Self::Column(SpanColumn::Name),
                "type" => Self::Column(SpanColumn::Type),
                "status" => Self::Column(SpanColumn::Status),
                "content" => Self::Column(SpanColumn::Content),
                _ if key.strip_prefix("attributes.").is_some_and(|name| !name.is_empty()) => Self::SpanAttribute,
                _ => Self::NoSpan,
            },
            Kind::Assessment(_) if key.is_empty() => Self::NoAssessment,
            Kind::Assessment(kind) => Self::Assessment(kind),
            Kind::Issue if key == "id" => Self::Issue,
            Kind::Issue => Self::NoIssue,
        }
    }
}

impl TraceField {
    /// The test of a prompt version.
    fn prompt(comparator: Comparator, value: Value) -> Result<Condition, Error> {
        if comparator != Comparator::EQUAL {
            return Err(Error::invalid(format!(
                "Invalid comparator '{}' for prompts filter. Only '=' is supported with format: prompt = \
                 \"name/version\"",
                comparator.text()
            )));
        }
        match value {
            Value::Text(text) if text.matches('/').count() == 1 => Ok(Condition::Prompt(text)),
            Value::Text(text) => Err(Error::invalid(format!(
                "Invalid prompts filter value '{text}'. Expected format: prompt = \"name/version\""
            ))),
            _ => Err(Value::list_error(comparator)),
        }
    }

    fn assessment_test(comparator: Comparator, value: Value) -> Result<AssessmentTest, Error> {
        #[expect(clippy::cast_precision_loss, reason = "values of assessments are doubles")]
        let number = match value {
            Value::Int(int) => Some(int as f64),
            Value::Real(real) => Some(real),
            // An integer beyond 64 bits is a double as well.
            Value::Huge(ref digits) => Some(python::float(digits).unwrap_or(f64::INFINITY)),
            _ => None,
        };
        Ok(match (comparator, number) {
            (Comparator::IsNull, _) => AssessmentTest::IsNull,
            (Comparator::IsNotNull, _) => AssessmentTest::IsNotNull,
            (Comparator::Number(op), Some(value)) => AssessmentTest::Number { op, value },
            _ => AssessmentTest::Text(TextTest::new(comparator, value)?),
        })
    }

    /// A number, or a text that is one.
    fn time(key: &str, comparator: Comparator, value: Value) -> Result<Number, Error> {
        match value {
            Value::Int(int) => Ok(Number::Int(int)),
            Value::Real(real) => Ok(Number::Real(real)),
            Value::Huge(digits) => Err(Value::huge_error(key, &digits)),
            Value::Text(text) => match (python::int(&text), python::float(&text)) {
                (Some(Int::Value(int)), _) => Ok(Number::Int(int)),
                (_, Some(real)) if !real.is_nan() => Ok(Number::Real(real)),
                _ => Err(Error::invalid(format!(
                    "Expected numeric value type for numeric attribute: {key}. Found '{text}'"
                ))),
            },
            Value::List(_) | Value::Missing => Err(comparator.unusable()),
        }
    }

    fn span(target: Target, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        let test = TextTest::new(comparator, value)?;
        if let Target::Column(column) = target {
            return Ok(Condition::Span(SpanCondition::Column { column, test }));
        }
        let key = operand::without(key.strip_prefix("attributes.").unwrap_or(key), '`').to_owned();
        bounds::check("characters in the key of a span attribute", key.chars().count(), bounds::PATTERN)?;
        Ok(Condition::Span(SpanCondition::Attribute { key, test }))
    }
}

impl Field for TraceField {
    type Condition = Condition;

    const TIMESTAMP_IS_FIELD: bool = true;
    const QUOTES_ELEMENTS: bool = true;

    fn parse(text: &str) -> Result<(Self, &str), Error> {
        let (written, key, lists) = split(text, &ATTRIBUTES)?;
        let (kind, key) = resolved(written, key);
        Ok((Self { written, lists: lists.unwrap_or(false), target: Target::new(kind, key) }, key))
    }

    fn operands(self) -> Operands {
        match self.written {
            Kind::Tag | Kind::Span => Operands::TEXTS_AND_LISTS,
            Kind::Assessment(_) => Operands::TEXTS_AND_NUMBERS,
            Kind::Attribute if self.lists => Operands::TEXTS_AND_LISTS,
            Kind::Attribute if matches!(self.target, Target::Time(_)) => Operands::TEXTS_AND_NUMBERS,
            Kind::Attribute | Kind::Metadata | Kind::Issue => Operands::TEXTS,
        }
    }

    fn comparators(self) -> &'static [Comparator] {
        match self.target {
            Target::Column(SpanColumn::Content) => PATTERNS,
            Target::Text(_) | Target::SpanAttribute | Target::Column(_) => TEXTS,
            Target::Time(_) => Comparator::NUMBERS,
            Target::Tag | Target::Metadata => OPTIONAL_TEXTS,
            Target::Assessment(_) => ASSESSMENTS,
            Target::Issue => &[Comparator::EQUAL],
            Target::NoSpan | Target::NoAssessment | Target::NoIssue => &[],
        }
    }

    fn value(self, key: &str, sign: &str, right: Operand<'_>) -> Result<Value, Error> {
        if let Kind::Assessment(kind) = self.written {
            let is_number = matches!(right.kind, lexer::Kind::Integer | lexer::Kind::Float);
            let is_text = matches!(right.kind, lexer::Kind::SingleQuoted | lexer::Kind::Identifier);
            let (kind, found) = (kind.name(), right.text);
            if matches!(sign, "<" | "<=" | ">" | ">=") {
                if !is_number {
                    return Err(Error::invalid(format!(
                        "Expected a numeric value for {kind} when using comparator '{sign}'. Got value {found}"
                    )));
                }
            } else if !is_text {
                return Err(operand::expected_quoted(kind, found));
            }
        }
        let Operands { texts, lists, numbers } = self.operands();
        let value = match right.kind {
            lexer::Kind::SingleQuoted | lexer::Kind::Identifier if texts => operand::quoted(right.text)?,
            lexer::Kind::Parenthesis if lists => operand::text_list(right.text)?,
            lexer::Kind::Integer | lexer::Kind::Float if numbers => {
                operand::number(right).ok_or_else(|| self.wrong_operand(key, right))?
            }
            _ => return Err(self.wrong_operand(key, right)),
        };
        // Comparators of spans are checked at once, as they are written.
        if self.written == Kind::Span && Comparator::parse(sign, self.comparators(), false).is_none() {
            return Err(self.wrong_comparator(key, sign));
        }
        Ok(value)
    }

    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        let optional =
            |column, value| PairTest::new(comparator, value).map(|test| Condition::Optional { column, test });
        match self.target {
            Target::Text(column) => Ok(Condition::Text { column, test: TextTest::new(comparator, value)? }),
            Target::Time(column) => {
                let value = Self::time(key, comparator, value)?;
                Ok(Condition::Time { column, op: comparator.number()?, value })
            }
            Target::Tag => match key {
                NAME_TAG => optional(OptionalAttribute::Name, value),
                PROMPTS_TAG => Self::prompt(comparator, value),
                _ => Ok(Condition::Tag { key: key.to_owned(), test: PairTest::new(comparator, value)? }),
            },
            Target::Metadata => {
                if key == SESSION_METADATA {
                    return optional(OptionalAttribute::Session, value);
                }
                if let Some(usage) = Usage::of(key) {
                    return Ok(Condition::Usage { usage, test: usage.test(comparator, value)? });
                }
                Ok(match (PairTest::new(comparator, value)?, key) {
                    (PairTest::Value(TextTest::Equal(run)), RUN_METADATA) => Condition::Run(run),
                    (test, key) => Condition::Metadata { key: key.to_owned(), test },
                })
            }
            target @ (Target::Column(_) | Target::SpanAttribute | Target::NoSpan) => {
                Self::span(target, key, comparator, value)
            }
            Target::Assessment(kind) => {
                let test = Self::assessment_test(comparator, value)?;
                Ok(Condition::Assessment { kind, name: key.to_owned(), test })
            }
            Target::Issue => match value {
                Value::Text(id) => Ok(Condition::Issue(id)),
                _ => Err(comparator.unusable()),
            },
            Target::NoAssessment | Target::NoIssue => Err(comparator.unusable()),
        }
    }

    fn wrong_operand(self, _key: &str, right: Operand<'_>) -> Error {
        let found = right.text;
        if self.written != Kind::Attribute {
            return operand::expected_quoted(self.written.name(), found);
        }
        Error::invalid(match right.kind {
            lexer::Kind::Parenthesis => format!(
                "Only attributes in {} supports comparison with a list of quoted string values.",
                python::repr_set(ATTRIBUTES.iter().filter(|(_, lists)| *lists).map(|(name, _)| *name))
            ),
            lexer::Kind::Integer | lexer::Kind::Float => format!(
                "Only the '{}' attributes support comparison with numeric values.",
                python::repr_set(TIMES.map(|(name, _)| name))
            ),
            _ => format!(
                "Expected a quoted string value or a list of quoted string values for attributes. Got value {found}"
            ),
        })
    }

    fn wrong_comparator(self, key: &str, sign: &str) -> Error {
        let listed = |comparators| Comparator::repr_set(comparators);
        // The reference omits the closing quote in some of these messages, and lists the comparators of texts for
        // numbers.
        Error::invalid(match self.target {
            Target::Text(_) => format!("Invalid comparator '{sign}' not one of '{}'", listed(TEXTS)),
            Target::Time(_) => format!("Invalid comparator '{sign}' not one of '{}", listed(TEXTS)),
            Target::Tag => format!("Invalid comparator '{sign}' not one of '{}", listed(OPTIONAL_TEXTS)),
            Target::Metadata => format!("Invalid comparator '{sign}' not one of '{}'", listed(OPTIONAL_TEXTS)),
            Target::Column(_) | Target::SpanAttribute => {
                format!("span.{key} comparator '{sign}' not one of '{}'", listed(self.comparators()))
            }
            Target::NoSpan if key == "attributes." => {
                "Span attribute name cannot be empty after 'attributes.'".to_owned()
            }
            Target::NoSpan => format!(
                "Invalid span attribute '{key}'. Supported attributes: name, status, type, attributes.<attribute_name>."
            ),
            Target::Assessment(_) => {
                format!("assessment.{key} comparator '{sign}' not one of '{}'", listed(ASSESSMENTS))
            }
            Target::NoAssessment => "Assessment field name cannot be empty".to_owned(),
            Target::Issue => format!("issue.{key} comparator '{sign}' not one of '{}'", listed(self.comparators())),
            Target::NoIssue => format!("Invalid issue attribute '{key}'. Supported attributes: id"),
        })
    }

    fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
        if clause.parts == 3 && clauses::is_timestamp(clause.left) {
            return Ok(());
        }
        field::check_shape(clause)
    }
}
