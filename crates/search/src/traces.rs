//! Searches for traces.

mod field;
mod tiers;
mod usage;

use ferroflow_model::Error;

use self::field::TraceField;
pub use self::{
    tiers::{Tiers, tiers},
    usage::{Usage, UsageTest},
};
use crate::{
    filter,
    order_by::{self, OrderBy},
    value::{Number, NumberOp, PairTest, TextTest},
};

/// The tag with the name of a trace, which is stored in a column.
pub const NAME_TAG: &str = "mlflow.traceName";
/// The tag with the prompts that a trace is linked to, which are stored as associations.
pub const PROMPTS_TAG: &str = "mlflow.linkedPrompts";
/// The metadata with the run that made a trace.
pub const RUN_METADATA: &str = "mlflow.sourceRun";
/// The metadata with the logged model that made a trace.
pub const MODEL_METADATA: &str = "mlflow.modelId";
/// The metadata with the session of a trace, which is stored in a column.
pub const SESSION_METADATA: &str = "mlflow.trace.session";

/// A condition on traces.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A text column. NULL does not match.
    Text {
        /// The column.
        column: TextAttribute,
        /// The test of the value.
        test: TextTest,
    },
    /// A text column that is a tag or metadata for clients; NULL is a missing one.
    Optional {
        /// The column.
        column: OptionalAttribute,
        /// The test of the value.
        test: PairTest,
    },
    /// A number column. NULL does not match.
    Time {
        /// The column.
        column: TimeAttribute,
        /// The operator.
        op: NumberOp,
        /// The operand, in milliseconds, since 1970 if it is a timestamp.
        value: Number,
    },
    /// Metadata that is stored in several columns.
    Usage {
        /// Which.
        usage: Usage,
        /// The test of the columns.
        test: UsageTest,
    },
    /// A tag.
    Tag {
        /// The key.
        key: String,
        /// The test of the value.
        test: PairTest,
    },
    /// Metadata of the trace.
    Metadata {
        /// The key.
        key: String,
        /// The test of the value.
        test: PairTest,
    },
    /// The run that made the trace or that the trace is linked to.
    Run(String),
    /// A prompt version that the trace is linked to, `name/version`.
    Prompt(String),
    /// A span. All conditions on spans in a filter are on the same one.
    Span(SpanCondition),
    /// An assessment of the trace or of its session.
    Assessment {
        /// Its type.
        kind: AssessmentKind,
        /// Its name.
        name: String,
        /// The test of its value.
        test: AssessmentTest,
    },
    /// The issue with this id refers to the trace.
    Issue(String),
}

/// Text columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextAttribute {
    /// The id.
    TraceId,
    /// The name of the state, such as `IN_PROGRESS`.
    Status,
    /// The id that the client chose.
    ClientRequestId,
}

/// Text columns that clients know as a tag or metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OptionalAttribute {
    /// The name.
    Name,
    /// The session.
    Session,
}

/// Number columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeAttribute {
    /// The start time.
    Timestamp,
    /// The duration.
    ExecutionTime,
    /// The start time plus the duration, which is 0 while it is unknown.
    EndTime,
}

/// A condition on a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanCondition {
    /// A column. NULL does not match.
    Column {
        /// The column.
        column: SpanColumn,
        /// The test of the value.
        test: TextTest,
    },
    /// An attribute.
    Attribute {
        /// Its key.
        key: String,
        /// The test of its value.
        test: TextTest,
    },
}

/// Columns of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpanColumn {
    /// The name.
    Name,
    /// The type, such as `LLM`.
    Type,
    /// The name of the status, such as `OK`.
    Status,
    /// The whole span as JSON.
    Content,
}

/// Types of assessments with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssessmentKind {
    /// A judgement of the quality.
    Feedback,
    /// The expected result.
    Expectation,
}

impl AssessmentKind {
    /// Its name in filters and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Expectation => "expectation",
        }
    }
}

/// A test of an assessment. Only valid assessments match.
#[derive(Debug, Clone, PartialEq)]
pub enum AssessmentTest {
    /// There is none.
    IsNull,
    /// There is one.
    IsNotNull,
    /// The value is a number for which this is true.
    Number {
        /// The operator.
        op: NumberOp,
        /// The operand; may be infinite.
        value: f64,
    },
    /// The value as JSON text. `=` and `!=` also compare the text with a JSON string; the others see its quotes.
    Text(TextTest),
}

/// Columns to order by. NULLs come last in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Column {
    /// The id of the experiment, an integer.
    ExperimentId,
    /// The id.
    TraceId,
    /// The name of the state.
    Status,
    /// A text column that clients know as a tag or metadata.
    Optional(OptionalAttribute),
    /// A number column.
    Time(TimeAttribute),
    /// The value of a tag.
    Tag(String),
    /// The value of metadata.
    Metadata(String),
}

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<TraceField>(filter)
}

/// Parses ORDER BY clauses. Ties are ordered newest first, then by id.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    let mut order = order_by::distinct(order_by, |clause| {
        let (name, ascending) = order_by::split(clause)?;
        Ok(OrderBy { column: field::column(&name)?, ascending })
    })?;
    OrderBy::descending(Column::Time(TimeAttribute::Timestamp)).append(&mut order);
    OrderBy::ascending(Column::TraceId).append(&mut order);
    Ok(order)
}
