//! Metrics of traces, spans and assessments: what can be measured, how it is aggregated and grouped, and the filters.

use ferroflow_model::{
    Error,
    messages::service::{AggregationType, MetricAggregation, MetricViewType},
    wire::Enum as _,
};

use crate::{
    bounds,
    field::{check_shape, find},
    operand,
    syntax::{
        clauses::{self, Clause, Piece, Unparsable},
        lexer::Kind,
        python,
    },
    traces::{self, Condition, OptionalAttribute, TextAttribute, Usage},
    value::{PairTest, TextTest, Value},
};

use AggregationType::{Avg, Count, Max, Min, Percentile, Sum};

/// What is measured. Numbers of tokens and costs have the names of their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Traces.
    TraceCount,
    /// Distinct sessions of traces.
    SessionCount,
    /// The duration of traces, in milliseconds.
    TraceLatency,
    /// A number of tokens of traces.
    Tokens(&'static str),
    /// Spans.
    SpanCount,
    /// The duration of spans, in whole milliseconds.
    SpanLatency,
    /// A cost of spans.
    Cost(&'static str),
    /// Assessments.
    AssessmentCount,
    /// The values of assessments that are numbers, booleans, `yes` or `no`.
    AssessmentValue,
}

/// What values are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The name of the trace.
    TraceName,
    /// The state of the trace.
    TraceStatus,
    /// The name of the span.
    SpanName,
    /// The type of the span.
    SpanType,
    /// The status of the span.
    SpanStatus,
    /// The model that the span called.
    SpanModelName,
    /// The provider of that model.
    SpanModelProvider,
    /// The name of the assessment.
    AssessmentName,
    /// The value of the assessment, as JSON.
    AssessmentValue,
}

/// How values are aggregated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    /// Their number.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The smallest one.
    Min,
    /// The largest one.
    Max,
    /// A percentile, 0 to 100, with linear interpolation.
    Percentile(f64),
}

/// A query that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The name of what is measured.
    pub name: &'static str,
    /// What is measured.
    pub metric: Metric,
    /// The aggregations with their names in the response.
    pub aggregations: Vec<(String, Aggregation)>,
    /// The dimensions with their names in the response.
    pub dimensions: Vec<(&'static str, Dimension)>,
    /// The filters; all must be met.
    pub filters: Vec<Filter>,
}

/// A filter: equality with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What is compared.
    pub subject: Subject,
    /// The text.
    pub value: String,
}

impl Filter {
    /// The filter as a condition on traces; `None` if it is on spans or assessments.
    #[must_use]
    pub fn trace_condition(&self) -> Option<Condition> {
        let (test, value) = (TextTest::Equal(self.value.clone()), self.value.clone());
        let pair = PairTest::Value(test.clone());
        let optional = |column, test| Condition::Optional { column, test };
        Some(match &self.subject {
            Subject::TraceStatus => Condition::Text { column: TextAttribute::Status, test },
            Subject::TraceTag(key) if key == traces::NAME_TAG => optional(OptionalAttribute::Name, pair),
            Subject::TraceTag(key) => Condition::Tag { key: key.clone(), test: pair },
            Subject::TraceMetadata(key) => match Usage::of(key) {
                Some(usage) => usage.equal(&value),
                None if key == traces::SESSION_METADATA => optional(OptionalAttribute::Session, pair),
                None if key == traces::RUN_METADATA => Condition::Run(value),
                None => Condition::Metadata { key: key.clone(), test: pair },
            },
            _ => return None,
        })
    }
}

/// What a filter compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The state of the trace.
    TraceStatus,
    /// A tag of the trace.
    TraceTag(String),
    /// Metadata of the trace.
    TraceMetadata(String),
    /// The name of the span.
    SpanName,
    /// The status of the span.
    SpanStatus,
    /// The type of the span.
    SpanType,
    /// The name of the assessment.
    AssessmentName,
    /// The type of the assessment.
    AssessmentType,
}

/// A metric of a view, with the aggregations and dimensions that it has.
struct Definition {
    name: &'static str,
    metric: Metric,
    aggregations: &'static [AggregationType],
    dimensions: &'static [(&'static str, Dimension)],
}

const fn defined(
    name: &'static str,
    metric: Metric,
    aggregations: &'static [AggregationType],
    dimensions: &'static [(&'static str, Dimension)],
) -> Definition {
    Definition { name, metric, aggregations, dimensions }
}

const fn tokens(name: &'static str) -> Definition {
    defined(name, Metric::Tokens(name), SUMS, TRACE_NAMES)
}

const fn cost(name: &'static str) -> Definition {
    defined(name, Metric::Cost(name), SUMS, MODELS)
}

const COUNTS: &[AggregationType] = &[Count];
const VALUES: &[AggregationType] = &[Avg, Max, Min, Percentile];
const SUMS: &[AggregationType] = &[Avg, Max, Min, Percentile, Sum];

const TRACE_NAMES: &[(&str, Dimension)] = &[("trace_name", Dimension::TraceName)];
const MODELS: &[(&str, Dimension)] =
    &[("span_model_name", Dimension::SpanModelName), ("span_model_provider", Dimension::SpanModelProvider)];
const ASSESSMENT_NAMES: &[(&str, Dimension)] = &[("assessment_name", Dimension::AssessmentName)];

const TRACES: &[Definition] = &[
    defined(
        "trace_count",
        Metric::TraceCount,
        COUNTS,
        &[("trace_name", Dimension::TraceName), ("trace_status", Dimension::TraceStatus)],
    ),
    defined("session_count", Metric::SessionCount, COUNTS, &[]),
    defined("latency", Metric::TraceLatency, VALUES, TRACE_NAMES),
    tokens("input_tokens"),
    tokens("output_tokens"),
    tokens("total_tokens"),
    tokens("cache_read_input_tokens"),
    tokens("cache_creation_input_tokens"),
];

const SPANS: &[Definition] = &[
    defined(
        "span_count",
        Metric::SpanCount,
        COUNTS,
        &[
            ("span_model_name", Dimension::SpanModelName),
            ("span_model_provider", Dimension::SpanModelProvider),
            ("span_name", Dimension::SpanName),
            ("span_status", Dimension::SpanStatus),
            ("span_type", Dimension::SpanType),
        ],
    ),
    defined(
        "latency",
        Metric::SpanLatency,
        VALUES,
        &[("span_name", Dimension::SpanName), ("span_status", Dimension::SpanStatus)],
    ),
    cost("input_cost"),
    cost("output_cost"),
    cost("total_cost"),
];

const ASSESSMENTS: &[Definition] = &[
    defined(
        "assessment_count",
        Metric::AssessmentCount,
        COUNTS,
        &[("assessment_name", Dimension::AssessmentName), ("assessment_value", Dimension::AssessmentValue)],
    ),
    defined("assessment_value", Metric::AssessmentValue, VALUES, ASSESSMENT_NAMES),
];

const fn definitions(view: MetricViewType) -> &'static [Definition] {
    match view {
        MetricViewType::Traces => TRACES,
        MetricViewType::Spans => SPANS,
        MetricViewType::Assessments => ASSESSMENTS,
    }
}

/// Checks the parts of a query.
pub fn parse(
    view: MetricViewType,
    metric: &str,
    aggregations: &[MetricAggregation],
    dimensions: &[String],
    filters: &[String],
) -> Result<Query, Error> {
    bounds::check("aggregations", aggregations.len(), bounds::AGGREGATIONS)?;
    bounds::check("dimensions", dimensions.len(), bounds::AGGREGATIONS)?;
    bounds::check("filters", filters.len(), bounds::CONDITIONS)?;
    let parsed: Vec<(String, Aggregation)> = aggregations.iter().map(aggregation).collect::<Result<_, _>>()?;
    let known = definitions(view);
    let definition = known.iter().find(|definition| definition.name == metric).ok_or_else(|| {
        Error::invalid(format!(
            "metric_name must be one of {}, got '{metric}'",
            python::repr_list(known.iter().map(|definition| python::repr(definition.name)))
        ))
    })?;
    let names = |kinds: &mut Vec<AggregationType>| {
        kinds.sort_unstable_by_key(|kind| kind.name());
        kinds.dedup();
        python::repr_list(kinds.iter().map(|kind| python::repr(kind.name())))
    };
    let mut invalid: Vec<AggregationType> = aggregations.iter().map(kind).collect();
    invalid.retain(|kind| !definition.aggregations.contains(kind));
    if !invalid.is_empty() {
        return Err(Error::invalid(format!(
            "Found invalid aggregation_type(s): {}. Supported aggregation types: {}",
            names(&mut invalid),
            names(&mut definition.aggregations.to_vec())
        )));
    }
    let mut unknown: Vec<&str> = dimensions.iter().map(String::as_str).collect();
    unknown.retain(|name| find(definition.dimensions, name).is_none());
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        return Err(Error::invalid(format!(
            "Found invalid dimension(s): {}. Supported dimensions: {}",
            python::repr_list(unknown.into_iter().map(python::repr)),
            python::repr_list(definition.dimensions.iter().map(|(name, _)| python::repr(name)))
        )));
    }
    if parsed.is_empty() {
        return Err(Error::invalid(
            "Missing value for required parameter 'aggregations'. See the API docs for more information about request \
             parameters.",
        ));
    }
    let of_name = |name: &String| definition.dimensions.iter().copied().find(|(known, _)| known == name);
    let dimensions = dimensions.iter().filter_map(of_name).collect();
    let filters = filters.iter().map(|text| check_view(view, parse_filter(text)?)).collect::<Result<_, _>>()?;
    Ok(Query { name: definition.name, metric: definition.metric, aggregations: parsed, dimensions, filters })
}

/// The type of an aggregation; the message's default is the first one.
fn kind(aggregation: &MetricAggregation) -> AggregationType {
    aggregation.aggregation_type.unwrap_or(Count)
}

fn aggregation(aggregation: &MetricAggregation) -> Result<(String, Aggregation), Error> {
    let kind = kind(aggregation);
    let parsed = match (kind, aggregation.percentile_value) {
        (Percentile, None) => return Err(Error::invalid("Percentile value is required for PERCENTILE aggregation")),
        (Percentile, Some(value)) if (0.0..=100.0).contains(&value) => Aggregation::Percentile(value),
        (Percentile, Some(value)) => {
            return Err(Error::invalid(format!(
                "Percentile value must be between 0 and 100, got {}",
                python::repr_f64(value)
            )));
        }
        (_, Some(_)) => {
            return Err(Error::invalid(format!(
                "Percentile value is only allowed for PERCENTILE aggregation type, got {}",
                kind.name()
            )));
        }
        (Count, None) => Aggregation::Count,
        (Sum, None) => Aggregation::Sum,
        (Avg, None) => Aggregation::Avg,
        (Min, None) => Aggregation::Min,
        (Max, None) => Aggregation::Max,
    };
    let name = match parsed {
        Aggregation::Percentile(value) => format!("P{}", python::repr_f64(value)),
        _ => kind.name().to_owned(),
    };
    Ok((name, parsed))
}

/// Parses a filter: one comparison.
pub fn parse_filter(text: &str) -> Result<Filter, Error> {
    bounds::check("bytes in its filter", text.len(), bounds::TEXT)?;
    let not_one = || Error::invalid(format!("Invalid filter: '{text}'. Expected one filter clause."));
    if text.is_empty() {
        return Err(not_one());
    }
    let pieces = clauses::plain_pieces(text).map_err(|reason| unparsable(text, reason))?;
    let others: Vec<&str> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Clause(_) => None,
            Piece::And(text) | Piece::Other(text) => Some(*text),
        })
        .collect();
    if !others.is_empty() {
        return Err(Error::invalid(format!("Invalid clause(s) in filter string: {}", others.join(", "))));
    }
    let mut filters = Vec::new();
    for piece in &pieces {
        if let Piece::Clause(clause) = piece {
            filters.push(comparison(clause)?);
        }
    }
    let [filter] = <[Filter; 1]>::try_from(filters).map_err(|_| not_one())?;
    Ok(filter)
}

/// Refuses a filter on what a view does not have.
fn check_view(view: MetricViewType, filter: Filter) -> Result<Filter, Error> {
    let of = |kind: &str, only: &str| {
        Error::invalid(format!("Filtering by {kind} is only supported for {only} view type, got {}", view.name()))
    };
    match filter.subject {
        Subject::SpanName | Subject::SpanStatus | Subject::SpanType if view != MetricViewType::Spans => {
            Err(of("span", "SPANS"))
        }
        Subject::AssessmentName | Subject::AssessmentType if view != MetricViewType::Assessments => {
            Err(of("assessment", "ASSESSMENTS"))
        }
        _ => Ok(filter),
    }
}

fn unparsable(filter: &str, reason: Unparsable) -> Error {
    Error::invalid(match reason {
        Unparsable::TooLarge(_) => format!("Error on parsing filter '{filter}'"),
        Unparsable::Empty => format!("Invalid filter '{filter}'. Could not be parsed."),
        Unparsable::Several => format!(
            "Search filter contained multiple expression {}. Provide AND-ed expression list.",
            python::repr(filter)
        ),
    })
}

fn comparison(clause: &Clause<'_>) -> Result<Filter, Error> {
    if clause.parts != 3 || !clauses::is_timestamp(clause.left) {
        check_shape(clause)?;
    }
    let name = clause.left.text;
    let mut parts = name.splitn(3, '.');
    let (Some(view), Some(entity)) = (parts.next(), parts.next()) else {
        return Err(Error::invalid(format!(
            "Invalid identifier {}. Columns should be specified as 'trace.<key>', 'span.<key>', 'assessment.<key>'.",
            python::repr(name)
        )));
    };
    let subject = subject(operand::without(view, '`'), entity, parts.next())?;
    if clause.sign != "=" {
        return Err(Error::invalid(format!("Invalid comparator: '{}', only '=' operator is supported", clause.sign)));
    }
    let wrong = |found| {
        Error::invalid(format!(
            "Expected a quoted string value for {entity} value (e.g. 'my-value'). Got value {found}"
        ))
    };
    let right = clause.right.ok_or_else(|| wrong(""))?;
    if !matches!(right.kind, Kind::SingleQuoted | Kind::Identifier) {
        return Err(wrong(right.text));
    }
    match operand::quoted(right.text)? {
        Value::Text(value) => Ok(Filter { subject, value }),
        _ => Err(wrong(right.text)),
    }
}

fn subject(view: &str, entity: &str, key: Option<&str>) -> Result<Subject, Error> {
    let entities: &[(&str, bool)] = match view {
        "trace" => &[("status", false), ("tag", true), ("metadata", true)],
        "span" => &[("name", false), ("status", false), ("type", false)],
        "assessment" => &[("name", false), ("type", false)],
        _ => {
            return Err(Error::invalid(format!(
                "Invalid view type '{view}'. Valid values are dict_keys(['trace', 'span', 'assessment'])"
            )));
        }
    };
    let needs_key = find(entities, entity).ok_or_else(|| {
        Error::invalid(format!(
            "Invalid entity '{entity}' specified for view type '{view}'. Valid entities are {}",
            python::repr_list(entities.iter().map(|(name, _)| python::repr(name)))
        ))
    })?;
    if needs_key && key.is_none() {
        return Err(Error::invalid(format!(
            "Filtering by {entity} requires a key, e.g. '{view}.{entity}.<key> = <value>'"
        )));
    }
    if !needs_key && key.is_some() {
        return Err(Error::invalid(format!(
            "Filtering by {entity} does not require a key, use '{view}.{entity}' instead"
        )));
    }
    let key = operand::unquoted(key.unwrap_or_default()).to_owned();
    Ok(match (view, entity) {
        ("trace", "status") => Subject::TraceStatus,
        ("trace", "tag") => Subject::TraceTag(key),
        ("trace", _) => Subject::TraceMetadata(key),
        ("span", "name") => Subject::SpanName,
        ("span", "status") => Subject::SpanStatus,
        ("span", _) => Subject::SpanType,
        (_, "name") => Subject::AssessmentName,
        _ => Subject::AssessmentType,
    })
}
