//! Metrics of traces, spans and assessments: one grouped statement. Whole days are read from rollups where these are in
//! use ([`from_rollups`]).

mod from_rollups;

use std::collections::BTreeMap;

use ferroflow_model::{
    Error, Result,
    messages::service::{MetricDataPoint, MetricViewType},
    wire::Timestamp,
};
use ferroflow_search::{
    trace_metrics::{Aggregation, Dimension, Filter, Metric, Query, Subject},
    traces::{Condition, TextAttribute},
};

use super::{
    trace_few::narrow,
    trace_filter::{Access, conditions_sql},
    trace_search::{search_error, visible_experiments},
};
use crate::{
    Scoped,
    db::{DbError, Plan, Row, Statement, Value, dialect::Dialect},
    query::{compare, scope::Scope, select::Select},
};

/// The name of the dimension with the start of a time interval.
const TIME_BUCKET: &str = "time_bucket";

const NANOSECONDS_PER_MILLISECOND: i64 = 1_000_000;

/// A query of metrics.
#[derive(Debug, Clone)]
pub struct TraceMetricsQuery {
    /// The experiments.
    pub experiment_ids: Vec<String>,
    /// What is measured, aggregated, grouped by and filtered.
    pub query: Query,
    /// Whether traces, spans or assessments are measured.
    pub view: MetricViewType,
    /// The length of the intervals that values are grouped by; `None` or 0 without.
    pub time_interval_seconds: Option<i64>,
    /// The first millisecond since 1970.
    pub start_time_ms: Option<i64>,
    /// The last millisecond since 1970.
    pub end_time_ms: Option<i64>,
    /// Maximum number of groups.
    pub max_results: i64,
}

impl Scoped<'_> {
    /// The values of each group, ordered by interval and then by the dimensions. Groups without a value, and values
    /// without a dimension, are left out.
    ///
    /// # Errors
    /// The interval, the number of results or an experiment's id is not valid.
    pub async fn query_trace_metrics(&self, scope: &Scope, query: &TraceMetricsQuery) -> Result<Vec<MetricDataPoint>> {
        self.store.db.replicated(|| self.read_trace_metrics(scope, query)).await
    }

    async fn read_trace_metrics(&self, scope: &Scope, query: &TraceMetricsQuery) -> Result<Vec<MetricDataPoint>> {
        let statement = self.metrics_statement(scope, query).await?;
        let conn = self.store.db.reader().await?;
        if self.store.rollups.is_enabled
            && let Some(points) = self.metrics_from_rollups(&conn, scope, query).await?
        {
            return Ok(points);
        }
        let reader = Reader::of(query, 0);
        let points = conn.fold_counted(vec![statement], Vec::new(), move |points, _, row| {
            points.extend(reader.point(row)?);
            row.size()
        });
        points.await.map_err(search_error)
    }

    /// The query plan of [`Self::query_trace_metrics`], one line per step.
    ///
    /// # Errors
    /// As there, or the database failed.
    pub async fn explain_trace_metrics(&self, scope: &Scope, query: &TraceMetricsQuery) -> Result<Vec<String>> {
        let statement = self.metrics_statement(scope, query).await?;
        Ok(self.store.db.explain(statement).await?)
    }

    async fn metrics_statement(&self, scope: &Scope, query: &TraceMetricsQuery) -> Result<Statement> {
        let interval = interval(query)?;
        if query.max_results < 0 {
            return Err(Error::invalid(format!(
                "Invalid value {} for parameter 'max_results' supplied. It must be a positive integer",
                query.max_results
            )));
        }
        let mut ids = visible_experiments(scope, &query.experiment_ids)?;
        let dialect = self.store.db.dialect();
        let (of_traces, of_others): (Vec<_>, Vec<_>) = query
            .query
            .filters
            .iter()
            .map(|filter| (filter, filter.trace_condition()))
            .partition(|(_, of)| of.is_some());
        let mut of_traces: Vec<Condition> = of_traces.into_iter().filter_map(|(_, condition)| condition).collect();
        if !of_traces.is_empty() {
            ids = self.own_experiments(ids).await?;
        }
        narrow(self.store, &ids, &mut of_traces).await?;

        let source = Source::of(query, !of_traces.is_empty());
        let mut select = source.select(self, dialect, ids, &of_traces);
        source.filter_time(&mut select, query, Access::of(&of_traces));
        for (filter, _) in of_others {
            filter_sql(&mut select, filter);
        }
        let value = value_sql(query.query.metric);
        let mut columns = source.groups(&mut select, dialect, query, interval, &value);
        let groups = columns.len();
        for (_, aggregation) in &query.query.aggregations {
            columns.push(aggregation_sql(&mut select, dialect, *aggregation, &value));
        }
        let columns = columns.join(", ");
        let grouped = (1..=groups).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        let grouped = if groups == 0 { String::new() } else { format!(" GROUP BY {grouped} ORDER BY {grouped}") };
        let limit = select.bind(query.max_results);
        Ok(select.statement(|from, conditions| {
            format!("SELECT {columns} FROM {from} WHERE {conditions}{grouped} LIMIT {limit}")
        }))
    }
}

/// The tables of a query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Traces,
    /// Spans alone, in the time of their own start.
    Spans,
    /// Spans of traces, in the time of the spans' start.
    SpansOfTraces,
    /// Spans of traces, in the time of the traces.
    SpansByTraceTime,
    Assessments,
}

impl Source {
    fn of(query: &TraceMetricsQuery, filters_traces: bool) -> Self {
        match (query.view, query.query.metric) {
            (MetricViewType::Traces, _) => Self::Traces,
            (MetricViewType::Assessments, _) => Self::Assessments,
            (MetricViewType::Spans, Metric::Cost(_)) if filters_traces => Self::SpansOfTraces,
            (MetricViewType::Spans, Metric::Cost(_)) => Self::Spans,
            (MetricViewType::Spans, _) => Self::SpansByTraceTime,
        }
    }

    /// Selects the rows in experiments whose trace meets conditions.
    fn select(self, store: &Scoped<'_>, dialect: Dialect, ids: Vec<i64>, of_traces: &[Condition]) -> Select {
        let (table, alias) = match self {
            Self::Traces | Self::SpansOfTraces | Self::SpansByTraceTime => ("trace_info", "t"),
            Self::Spans => ("spans", "s"),
            Self::Assessments => ("assessments", "a"),
        };
        let is_hidden = Access::of(of_traces) == Access::Id;
        let (mut select, experiments) = Select::of_experiments(store.workspace, table, alias, dialect, ids, is_hidden);
        if is_hidden {
            select.plan(Plan::NoTableScan);
        }
        if matches!(self, Self::SpansOfTraces | Self::SpansByTraceTime) {
            // SQLite never reorders CROSS JOIN: the index of traces by time is read first.
            select.join("CROSS JOIN spans s");
            select.filter("s.trace_id = t.request_id".to_owned());
            // In SQLite, a sign hides the experiment from indexes: spans are looked up by their trace.
            select.filter(format!("{}{}", dialect.pick("", "+"), experiments.contain_child("s")));
        }
        let conditions = conditions_sql(&mut select, dialect, &experiments, of_traces);
        if self == Self::Assessments {
            // Superseded ones are not counted.
            select.filter("a.valid".to_owned());
            for condition in of_traces {
                if let Condition::Text { column: TextAttribute::TraceId, test } = condition {
                    let test = compare::text(&mut select, dialect, "a.trace_id", test);
                    select.filter(test);
                }
            }
            if !conditions.is_empty() {
                let conditions = conditions.join(" AND ");
                select.filter(format!(
                    "EXISTS (SELECT 1 FROM trace_info t WHERE t.request_id = a.trace_id AND {conditions})"
                ));
            }
        } else {
            for condition in conditions {
                select.filter(condition);
            }
        }
        select
    }

    /// Leaves out rows without the value or a dimension, and returns the columns that values are grouped by.
    fn groups(
        self,
        select: &mut Select,
        dialect: Dialect,
        query: &TraceMetricsQuery,
        interval: Option<i64>,
        value: &str,
    ) -> Vec<String> {
        select.filter(match query.query.metric {
            Metric::SessionCount => "t.session_id IS NOT NULL".to_owned(),
            _ => format!("{value} IS NOT NULL"),
        });
        let mut columns = Vec::new();
        if let Some(interval) = interval {
            select.filter(format!("{} IS NOT NULL", self.time()));
            columns.push(bucket_sql(select, query.view, interval));
        }
        for (_, dimension) in &query.query.dimensions {
            let column = dimension_column(dialect, *dimension);
            select.filter(format!("{column} IS NOT NULL"));
            columns.push(column.to_owned());
        }
        columns
    }

    /// The column that the range of time is about.
    const fn time(self) -> &'static str {
        match self {
            Self::Traces | Self::SpansByTraceTime => "t.timestamp_ms",
            Self::Spans | Self::SpansOfTraces => "s.start_time_unix_nano",
            Self::Assessments => "a.trace_timestamp_ms",
        }
    }

    /// Restricts the time. Of spans, every nanosecond of the last millisecond is within it.
    fn filter_time(self, select: &mut Select, query: &TraceMetricsQuery, access: Access) {
        // A sign makes an expression of the column, which no index serves.
        let column = format!("{}{}", if access == Access::Id { "+" } else { "" }, self.time());
        let (start, end) = (query.start_time_ms.map(i128::from), query.end_time_ms.map(i128::from));
        let nanoseconds = i128::from(NANOSECONDS_PER_MILLISECOND);
        let (start, end) = match self {
            Self::Spans | Self::SpansOfTraces => {
                (start.map(|start| start * nanoseconds), end.map(|end| (end + 1) * nanoseconds - 1))
            }
            _ => (start, end),
        };
        if let Some(start) = start {
            // A bound beyond the range of the column is met by all rows or by none.
            let test = match i64::try_from(start) {
                Ok(start) => format!("{column} >= {}", select.bind(start)),
                Err(_) => (start < 0).to_string(),
            };
            select.filter(test);
        }
        if let Some(end) = end {
            let test = match i64::try_from(end) {
                Ok(end) => format!("{column} <= {}", select.bind(end)),
                Err(_) => (end > 0).to_string(),
            };
            select.filter(test);
        }
    }
}

/// The length of the intervals, in seconds.
fn interval(query: &TraceMetricsQuery) -> Result<Option<i64>> {
    let Some(interval) = query.time_interval_seconds.filter(|interval| *interval != 0) else { return Ok(None) };
    if query.start_time_ms.is_none() || query.end_time_ms.is_none() {
        return Err(Error::invalid("start_time_ms and end_time_ms are required if time_interval_seconds is set"));
    }
    if interval < 0 || interval.checked_mul(1000 * NANOSECONDS_PER_MILLISECOND).is_none() {
        return Err(Error::invalid(format!(
            "Invalid value {interval} for parameter 'time_interval_seconds' supplied. It must be a positive number of \
             seconds that a 64-bit integer holds in nanoseconds"
        )));
    }
    Ok(Some(interval))
}

/// A filter on spans or assessments.
fn filter_sql(select: &mut Select, filter: &Filter) {
    let column = match filter.subject {
        Subject::SpanName => "s.name",
        Subject::SpanStatus => "s.status",
        Subject::SpanType => "s.type",
        Subject::AssessmentName => "a.name",
        Subject::AssessmentType => "a.assessment_type",
        Subject::TraceStatus | Subject::TraceTag(_) | Subject::TraceMetadata(_) => return,
    };
    let value = select.bind(&filter.value);
    select.filter(format!("{column} = {value}"));
}

/// What is aggregated.
fn value_sql(metric: Metric) -> String {
    match metric {
        Metric::TraceCount => "t.request_id".to_owned(),
        Metric::SessionCount => "DISTINCT t.session_id".to_owned(),
        Metric::TraceLatency => "t.execution_time_ms".to_owned(),
        Metric::Tokens(column) => format!("t.{column}"),
        Metric::SpanCount => "s.span_id".to_owned(),
        Metric::SpanLatency => {
            format!("((s.end_time_unix_nano - s.start_time_unix_nano) / {NANOSECONDS_PER_MILLISECOND})")
        }
        Metric::Cost(column) => format!("s.{column}"),
        Metric::AssessmentCount => "a.assessment_id".to_owned(),
        Metric::AssessmentValue => "a.aggregate_value".to_owned(),
    }
}

/// The start of the interval, in milliseconds: the largest multiple of its length that is not later.
fn bucket_sql(select: &mut Select, view: MetricViewType, interval: i64) -> String {
    let (time, unit) = match view {
        MetricViewType::Traces => ("t.timestamp_ms", 1),
        MetricViewType::Spans => ("s.start_time_unix_nano", NANOSECONDS_PER_MILLISECOND),
        MetricViewType::Assessments => ("a.trace_timestamp_ms", 1),
    };
    let length = select.bind(interval * 1000 * unit);
    // The remainder of a negative number is negative.
    format!("({time} - (({time} % {length}) + {length}) % {length}) / {unit}")
}

fn dimension_column(dialect: Dialect, dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::TraceName => "t.trace_name",
        // With a sign, SQLite reads the index by time, and not one that is in the order of groups.
        Dimension::TraceStatus => dialect.pick("t.status", "+t.status"),
        Dimension::SpanName => "s.name",
        Dimension::SpanType => "s.type",
        Dimension::SpanStatus => "s.status",
        Dimension::SpanModelName => "s.model_name",
        Dimension::SpanModelProvider => "s.model_provider",
        Dimension::AssessmentName => "a.name",
        Dimension::AssessmentValue => "a.value",
    }
}

fn aggregation_sql(select: &mut Select, dialect: Dialect, aggregation: Aggregation, value: &str) -> String {
    let double = |sql: String| format!("CAST({sql} AS DOUBLE PRECISION)");
    match aggregation {
        Aggregation::Count => format!("COUNT({value})"),
        Aggregation::Sum => double(format!("SUM({value})")),
        Aggregation::Avg => double(format!("AVG({value})")),
        Aggregation::Min => double(format!("MIN({value})")),
        Aggregation::Max => double(format!("MAX({value})")),
        Aggregation::Percentile(percentile) => match dialect {
            Dialect::Postgres => {
                let fraction = select.bind(percentile / 100.0);
                format!("percentile_cont({fraction}) WITHIN GROUP (ORDER BY {value})")
            }
            Dialect::Sqlite => format!("percentile({value}, {})", select.bind(percentile)),
        },
    }
}

/// Reads the rows of a query.
struct Reader {
    /// The number of columns before those of the group.
    first: usize,
    has_bucket: bool,
    dimensions: Vec<&'static str>,
    aggregations: Vec<String>,
    metric: &'static str,
}

impl Reader {
    fn of(query: &TraceMetricsQuery, first: usize) -> Self {
        Self {
            first,
            has_bucket: query.time_interval_seconds.is_some_and(|interval| interval != 0),
            dimensions: query.query.dimensions.iter().map(|(name, _)| *name).collect(),
            aggregations: query.query.aggregations.iter().map(|(name, _)| name.clone()).collect(),
            metric: query.query.name,
        }
    }

    /// The values of a group; `None` if it has none.
    fn point(&self, row: &Row<'_>) -> Result<Option<MetricDataPoint>, DbError> {
        let mut dimensions = BTreeMap::new();
        let mut column = self.first;
        if self.has_bucket {
            dimensions.insert(TIME_BUCKET.to_owned(), time_text(row.get(column)?));
            column += 1;
        }
        for name in &self.dimensions {
            dimensions.insert((*name).to_owned(), row.get(column)?);
            column += 1;
        }
        let mut values = BTreeMap::new();
        for name in &self.aggregations {
            let value = match row.get::<Value>(column)? {
                #[expect(clippy::cast_precision_loss, reason = "values are doubles")]
                Value::Int(value) => Some(value as f64),
                Value::Real(value) => Some(value),
                _ => None,
            };
            values.extend(value.map(|value| (name.clone(), value)));
            column += 1;
        }
        let metric_name = Some(self.metric.to_owned());
        Ok((!values.is_empty()).then_some(MetricDataPoint { metric_name, dimensions, values }))
    }
}

/// A time as Python writes it.
fn time_text(ms: i64) -> String {
    format!("{}+00:00", Timestamp::from_millis(ms).to_string().trim_end_matches('Z'))
}
