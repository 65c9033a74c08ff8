//! Metrics of whole days from rollups. Days without, such as the first and the last one of a range, are read as without
//! rollups, and both are added up in one statement. Which queries rollups serve is the reference's rule.
//!
//! A first statement finds the days that rollups serve. The second one reads them and the gaps between them, and says how
//! many of these days rollups still serve: in one statement all of this is as of one moment.

use std::{collections::HashSet, fmt::Write as _};

use ferroflow_model::{
    Result,
    messages::service::{MetricDataPoint, MetricViewType},
};
use ferroflow_search::trace_metrics::{Aggregation, Dimension};

use super::{Reader, Source, TraceMetricsQuery, aggregation_sql, interval, value_sql};
use crate::{
    Scoped,
    db::{Conn, Row, Statement, Value, dialect::Dialect},
    query::{scope::Scope, select::Select},
    traces::{
        rollups::{ASSESSMENT_METRICS, COSTS, DAY_MS, Day, Family, TRACE_METRICS},
        trace_search::{search_error, visible_experiments},
    },
};

/// Maximum number of days in a range that rollups serve.
const MAX_DAYS: i64 = 1000;

/// Maximum number of gaps. With more, all is read as without rollups.
const MAX_GAPS: usize = 8;

const SECONDS_PER_DAY: i64 = 86_400;

/// A range of time in milliseconds, with both ends.
type Range = (i64, i64);

/// A query that rollups may serve.
struct Plan<'a> {
    query: &'a TraceMetricsQuery,
    experiment: i64,
    family: Family,
    /// The name of the grouping in the tables.
    grouping: &'static str,
    /// The columns of the dimensions in the tables, in the order of the query.
    dimensions: Vec<&'static str>,
    is_daily: bool,
    /// The whole days of the range.
    days: Vec<Day>,
    range: Range,
}

impl<'a> Plan<'a> {
    /// `None` if rollups do not have what the query asks for.
    fn of(query: &'a TraceMetricsQuery, experiments: &[i64], dialect: Dialect) -> Option<Self> {
        let [experiment] = experiments else { return None };
        let family = match query.view {
            MetricViewType::Traces => Family::TraceMetric,
            MetricViewType::Spans => Family::SpanCost,
            MetricViewType::Assessments => Family::Assessment,
        };
        let is_daily = match interval(query).ok()? {
            None => false,
            Some(SECONDS_PER_DAY) => true,
            Some(_) => return None,
        };
        let parsed = &query.query;
        if !is_summed(family, parsed.name) || parsed.aggregations.is_empty() || !parsed.filters.is_empty() {
            return None;
        }
        let range = (query.start_time_ms?, query.end_time_ms?);
        let (grouping, dimensions) = grouping(parsed.dimensions.iter().map(|(_, dimension)| *dimension))?;
        let percentiles = is_daily && family == Family::TraceMetric && dialect == Dialect::Postgres;
        let is_served = |aggregation: &Aggregation| match aggregation {
            Aggregation::Percentile(percentile) => percentiles && percentile_column(*percentile).is_some(),
            _ => true,
        };
        if !parsed.aggregations.iter().all(|(_, aggregation)| is_served(aggregation)) {
            return None;
        }
        let days = whole_days(range)?;
        Some(Self { query, experiment: *experiment, family, grouping, dimensions, is_daily, days, range })
    }

    /// The SQL of the days that rollups serve, out of a list: the sums are complete, and the day is not in the queue.
    /// `column` writes the column with the day.
    fn served(&self, select: &mut Select, days: &[Day], dialect: Dialect, column: &str) -> String {
        let place = select.bind(Value::Texts(days.iter().map(|day| day.text()).collect()));
        let list = dialect.pick("SELECT CAST(d AS DATE) FROM unnest({}::text[]) d", "SELECT value FROM json_each({})");
        let list = list.replace("{}", &place);
        let (experiment, metric) = (select.bind(self.experiment), select.bind(self.query.query.name));
        let (family, table) = (select.bind(self.family.name()), self.family.table());
        let within = select.within_workspace("r");
        let mut complete = Vec::new();
        for column in self.needed() {
            // A day without values has no sum.
            complete.push(format!("COUNT(r.{column}) = SUM(CASE WHEN r.sample_count > 0 THEN 1 ELSE 0 END)"));
        }
        match self.grouping {
            "global" => complete.push("COUNT(*) = 1".to_owned()),
            "status" => complete.push(format!(
                "COUNT(DISTINCT r.trace_status) = COUNT(*) AND SUM(r.sample_count) = \
                 (SELECT CASE WHEN COUNT(*) = 1 THEN MAX(g.sample_count) END FROM {table} g \
                 WHERE g.experiment_id = {experiment} AND g.rollup_day = r.rollup_day AND g.metric_name = {metric} \
                 AND g.grouping_set = 'global')"
            )),
            _ => complete.push("COUNT(*) > 0".to_owned()),
        }
        format!(
            "SELECT {column} FROM {table} r WHERE {within} AND r.experiment_id = {experiment} AND r.rollup_day IN ({list}) \
             AND r.metric_name = {metric} AND r.grouping_set = '{}' AND NOT EXISTS \
             (SELECT 1 FROM sql_trace_rollup_rebuild_queue q WHERE q.experiment_id = {experiment} \
             AND q.rollup_day = r.rollup_day AND q.rollup_family = {family}) GROUP BY r.rollup_day HAVING {}",
            self.grouping,
            complete.join(" AND ")
        )
    }

    /// The columns that the aggregations need, apart from the number of values.
    fn needed(&self) -> Vec<&'static str> {
        let mut columns: Vec<_> = self.query.query.aggregations.iter().filter_map(|(_, of)| column(*of)).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// What of the range rollups do not serve.
    fn gaps(&self, served: &[Day]) -> Vec<Range> {
        let mut gaps = Vec::new();
        let mut start = self.range.0;
        for day in served {
            if start < day.start_ms() {
                gaps.push((start, day.start_ms() - 1));
            }
            start = day.start_ms() + DAY_MS;
        }
        if start <= self.range.1 {
            gaps.push((start, self.range.1));
        }
        gaps
    }
}

impl Scoped<'_> {
    /// The groups of a query, if rollups serve a part of it.
    pub(super) async fn metrics_from_rollups(
        &self,
        conn: &Conn,
        scope: &Scope,
        query: &TraceMetricsQuery,
    ) -> Result<Option<Vec<MetricDataPoint>>> {
        let dialect = self.store.db.dialect();
        let experiments = visible_experiments(scope, &query.experiment_ids)?;
        let Some(plan) = Plan::of(query, &experiments, dialect) else { return Ok(None) };
        let served = self.served_days(conn, &plan).await?;
        let gaps = plan.gaps(&served);
        if served.is_empty() || gaps.len() > MAX_GAPS {
            return Ok(None);
        }
        let statement = self.mixed_statement(&plan, &served, &gaps);
        let reader = Reader::of(query, 2);
        let expected = i64::try_from(served.len()).unwrap_or(i64::MAX);
        let read = conn.fold_counted(vec![statement], (Vec::new(), false), move |(points, is_current), _, row| {
            *is_current = row.get::<i64>(0)? == expected;
            if row.get::<Option<i64>>(1)?.is_some() {
                points.extend(reader.point(row)?);
            }
            row.size()
        });
        let (points, is_current) = read.await.map_err(search_error)?;
        Ok(is_current.then_some(points))
    }

    /// The query plan of the statement that reads rollups, one line per step; empty if they do not serve the query.
    ///
    /// # Errors
    /// As for [`Scoped::query_trace_metrics`], or the database failed.
    pub async fn explain_rollups(&self, scope: &Scope, query: &TraceMetricsQuery) -> Result<Vec<String>> {
        let experiments = visible_experiments(scope, &query.experiment_ids)?;
        let Some(plan) = Plan::of(query, &experiments, self.store.db.dialect()) else { return Ok(Vec::new()) };
        let served = self.served_days(&self.store.db.reader().await?, &plan).await?;
        let statement = self.mixed_statement(&plan, &served, &plan.gaps(&served));
        Ok(self.store.db.explain(statement).await?)
    }

    async fn served_days(&self, conn: &Conn, plan: &Plan<'_>) -> Result<Vec<Day>> {
        let dialect = self.store.db.dialect();
        let mut select = Select::new(self.workspace, plan.family.table(), "r");
        let text = dialect.pick("to_char(r.rollup_day, 'YYYY-MM-DD')", "r.rollup_day");
        let served = plan.served(&mut select, &plan.days, dialect, text);
        let read = |row: &Row<'_>| row.get::<String>(0);
        let days: HashSet<String> = conn.query(select.statement(|_, _| served), read).await?.into_iter().collect();
        Ok(plan.days.iter().copied().filter(|day| days.contains(&day.text())).collect())
    }

    /// Rollups of the served days and sums of the gaps, added up: the number of days that are still served, whether there
    /// is a group, and the group.
    fn mixed_statement(&self, plan: &Plan<'_>, served: &[Day], gaps: &[Range]) -> Statement {
        let dialect = self.store.db.dialect();
        let query = plan.query;
        let source = Source::of(query, false);
        let mut select = source.select(self, dialect, vec![plan.experiment], &[]);
        let (time, unit) = (source.time(), if source == Source::Spans { 1_000_000 } else { 1 });
        // Of spans, every nanosecond of the last millisecond is within the range.
        let to = |ms: i64| ms.saturating_mul(unit).saturating_add(unit - 1);
        let from = gaps.iter().map(|gap| gap.0.saturating_mul(unit)).collect();
        let to = gaps.iter().map(|gap| to(gap.1)).collect();
        let (from, to) = (select.bind(Value::Ints(from)), select.bind(Value::Ints(to)));
        select.driven_by_list(&match dialect {
            Dialect::Postgres => format!("unnest({from}::bigint[], {to}::bigint[]) AS p(low, high)"),
            Dialect::Sqlite => format!(
                "(SELECT l.value AS low, h.value AS high FROM json_each({from}) l JOIN json_each({to}) h \
                 ON h.key = l.key) p"
            ),
        });
        select.filter(format!("{time} >= p.low AND {time} <= p.high"));
        let value = value_sql(query.query.metric);
        let mut columns = source.groups(&mut select, dialect, query, plan.is_daily.then_some(SECONDS_PER_DAY), &value);
        let groups = columns.len();
        let mut summed = plan.groups(dialect);
        let mut totals: Vec<String> = (1..=groups).map(|place| format!("c.g{place}")).collect();
        let grouped = totals.join(", ");

        let mut parts = vec![("n", Aggregation::Count)];
        parts.extend(plan.needed().into_iter().filter_map(|column| Some((column, part(column)?))));
        for (name, aggregation) in &parts {
            columns.push(aggregation_sql(&mut select, dialect, *aggregation, &value));
            summed.push(if *name == "n" { "r.sample_count".to_owned() } else { format!("r.{name}") });
        }
        let aliases: Vec<String> = (1..=groups)
            .map(|place| format!("g{place}"))
            .chain(parts.iter().map(|(name, _)| (*name).to_owned()))
            .collect();
        let list = |columns: &[String]| {
            let items = columns.iter().zip(&aliases).map(|(column, alias)| format!("{column} AS {alias}"));
            items.collect::<Vec<_>>().join(", ")
        };
        let (columns, summed) = (list(&columns), list(&summed));
        for (_, aggregation) in &query.query.aggregations {
            totals.push(total(*aggregation));
        }
        let by_place = (1..=groups).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        let group_by = if groups == 0 { String::new() } else { format!(" GROUP BY {by_place}") };
        let (group_all, order) = if groups == 0 {
            (String::new(), String::new())
        } else {
            let order = (3..groups + 3).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
            (format!(" GROUP BY {grouped} HAVING SUM(c.n) > 0 ORDER BY {grouped}"), format!(" ORDER BY {order}"))
        };
        let totals: Vec<String> =
            totals.iter().enumerate().map(|(place, total)| format!("{total} AS t{place}")).collect();
        let days = plan.served(&mut select, served, dialect, "r.rollup_day");
        let (experiment, metric) = (select.bind(plan.experiment), select.bind(query.query.name));
        let (within, limit) = (select.within_workspace("r"), select.bind(query.max_results));
        let (table, grouping, results) = (plan.family.table(), plan.grouping, totals.len());
        let mut outer = String::new();
        for place in 0..results {
            let _ = write!(outer, ", m.t{place}");
        }
        let totals = totals.join(", ");
        select.statement(|from, conditions| {
            format!(
                "WITH served AS ({days}) SELECT k.n, m.there{outer} FROM (SELECT COUNT(*) AS n FROM served) k \
                 LEFT JOIN (SELECT CAST(1 AS BIGINT) AS there, {totals} FROM \
                 (SELECT {columns} FROM {from} WHERE {conditions}{group_by} UNION ALL \
                 SELECT {summed} FROM {table} r WHERE r.experiment_id = {experiment} AND r.metric_name = {metric} \
                 AND r.grouping_set = '{grouping}' AND r.sample_count > 0 AND {within} \
                 AND r.rollup_day IN (SELECT rollup_day FROM served)) c{group_all} LIMIT {limit}) m ON TRUE{order}"
            )
        })
    }
}

impl Plan<'_> {
    /// The columns that rollups are grouped by.
    fn groups(&self, dialect: Dialect) -> Vec<String> {
        let start = dialect.pick(
            "CAST(r.rollup_day - DATE '1970-01-01' AS BIGINT) * 86400000",
            "CAST(strftime('%s', r.rollup_day) AS INTEGER) * 1000",
        );
        let bucket = self.is_daily.then(|| start.to_owned());
        bucket.into_iter().chain(self.dimensions.iter().map(|column| format!("r.{column}"))).collect()
    }
}

/// Whether a family has the sums of a metric.
fn is_summed(family: Family, metric: &str) -> bool {
    match family {
        Family::TraceMetric => TRACE_METRICS.contains(&metric),
        Family::SpanCost => COSTS.contains(&metric),
        Family::Assessment => ASSESSMENT_METRICS.contains(&metric),
    }
}

/// The name of the grouping by dimensions, and their columns. `None` if there is no such one.
fn grouping(dimensions: impl Iterator<Item = Dimension>) -> Option<(&'static str, Vec<&'static str>)> {
    let column = |dimension| match dimension {
        Dimension::TraceStatus => Some("trace_status"),
        Dimension::SpanModelName => Some("model_name"),
        Dimension::SpanModelProvider => Some("model_provider"),
        _ => None,
    };
    let columns: Vec<_> = dimensions.map(column).collect::<Option<_>>()?;
    let grouping = match columns.as_slice() {
        [] => "global",
        ["trace_status"] => "status",
        ["model_name"] => "model",
        ["model_provider"] => "provider",
        ["model_name", "model_provider"] | ["model_provider", "model_name"] => "model_provider",
        _ => return None,
    };
    Some((grouping, columns))
}

/// The whole days within a range; `None` if there are none or too many.
fn whole_days((start, end): Range) -> Option<Vec<Day>> {
    let first = start.checked_add(DAY_MS - 1)?.div_euclid(DAY_MS);
    let last = end.checked_add(1)?.div_euclid(DAY_MS) - 1;
    if first > last || last - first >= MAX_DAYS {
        return None;
    }
    (first..=last).map(|day| Day::of_ms(day * DAY_MS)).collect()
}

/// The column with a percentile.
fn percentile_column(percentile: f64) -> Option<&'static str> {
    [(50.0_f64, "p50_value"), (90.0, "p90_value"), (99.0, "p99_value")]
        .into_iter()
        .find_map(|(known, column)| (known.to_bits() == percentile.to_bits()).then_some(column))
}

/// The column that an aggregation needs, apart from the number of values.
fn column(aggregation: Aggregation) -> Option<&'static str> {
    match aggregation {
        Aggregation::Count => None,
        Aggregation::Sum | Aggregation::Avg => Some("sum_value"),
        Aggregation::Min => Some("min_value"),
        Aggregation::Max => Some("max_value"),
        Aggregation::Percentile(percentile) => percentile_column(percentile),
    }
}

/// The aggregation of the traces of a gap whose result is added to a column.
fn part(column: &str) -> Option<Aggregation> {
    Some(match column {
        "sum_value" => Aggregation::Sum,
        "min_value" => Aggregation::Min,
        "max_value" => Aggregation::Max,
        "p50_value" => Aggregation::Percentile(50.0),
        "p90_value" => Aggregation::Percentile(90.0),
        "p99_value" => Aggregation::Percentile(99.0),
        _ => return None,
    })
}

/// An aggregation of the parts `c`. A percentile is one of a day, which is either summed up or in a gap.
fn total(aggregation: Aggregation) -> String {
    match aggregation {
        Aggregation::Count => "CAST(SUM(c.n) AS BIGINT)".to_owned(),
        Aggregation::Sum => "SUM(c.sum_value)".to_owned(),
        Aggregation::Avg => "SUM(c.sum_value) / NULLIF(CAST(SUM(c.n) AS DOUBLE PRECISION), 0)".to_owned(),
        Aggregation::Min => "MIN(c.min_value)".to_owned(),
        Aggregation::Max | Aggregation::Percentile(_) => {
            format!("MAX(c.{})", column(aggregation).unwrap_or("max_value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_are_within_the_range() {
        let days = |start, end| whole_days((start, end)).map(|days| days.into_iter().map(|day| day.0).collect());
        assert_eq!(days(0, DAY_MS - 1), Some(vec![0]));
        assert_eq!(days(0, DAY_MS - 2), None);
        assert_eq!(days(1, DAY_MS - 1), None);
        assert_eq!(days(1, 3 * DAY_MS), Some(vec![1, 2]));
        assert_eq!(days(-DAY_MS, -1), Some(vec![-1]));
        assert_eq!(days(5, 4), None);
        assert_eq!(days(0, MAX_DAYS * DAY_MS - 1).map(|days: Vec<i64>| days.len()), Some(1000));
        assert_eq!(days(0, (MAX_DAYS + 1) * DAY_MS - 1), None);
        assert_eq!(days(i64::MIN, i64::MAX), None);
    }
}
