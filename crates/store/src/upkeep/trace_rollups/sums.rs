//! The sums of a day, as the rows of its rollups.

use std::collections::BTreeMap;

use crate::{
    db::{Column, DbError, Insert, Row, Statement, Tx, Value, date, int, real, text, upkeep::Rollups},
    statements::statements,
    traces::rollups::{ASSESSMENT_METRICS, COSTS, Family, Partition, TRACE_METRICS},
};

/// The number of values of a column, their sum, the smallest and the largest one.
macro_rules! sums {
    ($($column:literal),+) => {
        concat!($(
            ", COUNT(", $column, "), CAST(SUM(", $column, ") AS DOUBLE PRECISION), CAST(MIN(", $column,
            ") AS DOUBLE PRECISION), CAST(MAX(", $column, ") AS DOUBLE PRECISION)"
        ),+)
    };
}

/// [`sums!`] and the percentiles of a column; SQLite has none in rollups.
macro_rules! sums_and_percentiles {
    ($($column:literal),+) => {
        concat!($(
            sums!($column), "{postgres:, percentile_cont(0.5) WITHIN GROUP (ORDER BY ", $column,
            "), percentile_cont(0.9) WITHIN GROUP (ORDER BY ", $column,
            "), percentile_cont(0.99) WITHIN GROUP (ORDER BY ", $column, ")}{sqlite:, NULL, NULL, NULL}"
        ),+)
    };
}

const TRACE_SUMS: &str = concat!(
    ", COUNT(*)",
    sums_and_percentiles!(
        "t.execution_time_ms",
        "t.input_tokens",
        "t.output_tokens",
        "t.total_tokens",
        "t.cache_read_input_tokens",
        "t.cache_creation_input_tokens"
    )
);

const OF_DAY: &str = " FROM trace_info t WHERE t.experiment_id = $1 AND t.timestamp_ms >= $2 AND t.timestamp_ms < $3";

statements! {
    static TRACES: Rollups = "SELECT CAST(NULL AS VARCHAR)", TRACE_SUMS, OF_DAY;
    static TRACES_BY_STATUS: Rollups =
        "SELECT t.status", TRACE_SUMS, OF_DAY, " AND t.status IS NOT NULL GROUP BY t.status ORDER BY t.status";

    /// By model and provider; the other groupings are added up from these.
    static COSTS_BY_MODEL: Rollups =
        "SELECT s.model_name, s.model_provider", sums!("s.input_cost", "s.output_cost", "s.total_cost"),
        " FROM spans s WHERE s.experiment_id = $1 AND s.start_time_unix_nano >= $2 AND s.start_time_unix_nano < $3 \
         AND (s.input_cost IS NOT NULL OR s.output_cost IS NOT NULL OR s.total_cost IS NOT NULL) \
         GROUP BY s.model_name, s.model_provider";

    static ASSESSMENTS: Rollups =
        "SELECT COUNT(*)", sums!("a.aggregate_value"), " FROM assessments a WHERE a.experiment_id = $1 AND a.valid \
         AND a.trace_timestamp_ms >= $2 AND a.trace_timestamp_ms < $3";
}

const TRACE_COLUMNS: &[Column] = &[
    int("experiment_id"),
    date("rollup_day"),
    text("metric_name"),
    text("grouping_set"),
    text("trace_status"),
    int("sample_count"),
    real("sum_value"),
    real("min_value"),
    real("max_value"),
    real("p50_value"),
    real("p90_value"),
    real("p99_value"),
];

const COST_COLUMNS: &[Column] = &[
    int("experiment_id"),
    date("rollup_day"),
    text("metric_name"),
    text("grouping_set"),
    text("model_name"),
    text("model_provider"),
    int("sample_count"),
    real("sum_value"),
    real("min_value"),
    real("max_value"),
];

const ASSESSMENT_COLUMNS: &[Column] = &[
    int("experiment_id"),
    date("rollup_day"),
    text("metric_name"),
    text("grouping_set"),
    int("sample_count"),
    real("sum_value"),
    real("min_value"),
    real("max_value"),
];

/// The sums of the values of a metric. `None` if there are no values, or the metric only counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    count: i64,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

impl Sums {
    fn from_row(row: &Row<'_>, first: usize) -> Result<Self, DbError> {
        Ok(Self {
            count: row.get(first)?,
            sum: row.get(first + 1)?,
            min: row.get(first + 2)?,
            max: row.get(first + 3)?,
        })
    }

    fn add(&mut self, other: Self) {
        let merge = |a: Option<f64>, b: Option<f64>, by: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(by(a, b)),
            (a, b) => a.or(b),
        };
        self.count += other.count;
        self.sum = merge(self.sum, other.sum, |a, b| a + b);
        self.min = merge(self.min, other.min, f64::min);
        self.max = merge(self.max, other.max, f64::max);
    }

    fn values(self) -> [Value; 4] {
        [self.count.into(), self.sum.into(), self.min.into(), self.max.into()]
    }
}

/// The rows of a day.
pub(super) async fn of(tx: &Tx, partition: Partition, range: Vec<Value>) -> Result<Insert, DbError> {
    let (columns, rows) = match partition.family {
        Family::TraceMetric => (TRACE_COLUMNS, traces(tx, range).await?),
        Family::SpanCost => (COST_COLUMNS, costs(tx, range).await?),
        Family::Assessment => (ASSESSMENT_COLUMNS, assessments(tx, range).await?),
    };
    let first: [Value; 2] = [partition.experiment.into(), partition.day.text().into()];
    let rows = rows.into_iter().map(|row| [first.as_slice(), &row].concat()).collect();
    Ok(Insert { table: partition.family.table(), columns, only_if: None, on_conflict: "", rows })
}

/// The rows of traces, behind experiment and day.
async fn traces(tx: &Tx, range: Vec<Value>) -> Result<Vec<Vec<Value>>, DbError> {
    let mut rows = Vec::new();
    for (statement, grouping) in [(&TRACES, "global"), (&TRACES_BY_STATUS, "status")] {
        let read = move |row: &Row<'_>| {
            let status: Value = row.get::<Option<String>>(0)?.into();
            let mut rows = Vec::new();
            for (place, metric) in TRACE_METRICS.iter().enumerate() {
                let mut values: Vec<Value> = vec![(*metric).into(), grouping.into(), status.clone()];
                if place == 0 {
                    values.extend(Sums { count: row.get(1)?, ..Sums::default() }.values());
                    values.extend([Value::Null, Value::Null, Value::Null]);
                } else {
                    let first = 2 + 7 * (place - 1);
                    values.extend(Sums::from_row(row, first)?.values());
                    for percentile in first + 4..first + 7 {
                        values.push(row.get::<Option<f64>>(percentile)?.into());
                    }
                }
                rows.push(values);
            }
            Ok(rows)
        };
        rows.extend(tx.query(Statement::new(statement, range.clone()), read).await?.into_iter().flatten());
    }
    Ok(rows)
}

/// A grouping of costs, with model and provider.
type Group = (&'static str, Option<String>, Option<String>);

/// The rows of costs, behind experiment and day.
async fn costs(tx: &Tx, range: Vec<Value>) -> Result<Vec<Vec<Value>>, DbError> {
    let read = |row: &Row<'_>| {
        let sums = [Sums::from_row(row, 2)?, Sums::from_row(row, 6)?, Sums::from_row(row, 10)?];
        Ok((row.get::<Option<String>>(0)?, row.get::<Option<String>>(1)?, sums))
    };
    let mut groups: BTreeMap<Group, [Sums; 3]> = BTreeMap::new();
    for (model, provider, sums) in tx.query(Statement::new(&COSTS_BY_MODEL, range), read).await? {
        let mut of = vec![("global", None, None)];
        of.extend(model.clone().map(|model| ("model", Some(model), None)));
        of.extend(provider.clone().map(|provider| ("provider", None, Some(provider))));
        if model.is_some() && provider.is_some() {
            of.push(("model_provider", model, provider));
        }
        for group in of {
            for (total, sums) in groups.entry(group).or_default().iter_mut().zip(sums) {
                total.add(sums);
            }
        }
    }
    let mut rows = Vec::new();
    for ((grouping, model, provider), sums) in groups {
        for (metric, sums) in COSTS.iter().zip(sums).filter(|(_, sums)| sums.count > 0) {
            let mut values: Vec<Value> = vec![(*metric).into(), grouping.into()];
            values.extend([model.as_ref().into(), provider.as_ref().into()]);
            values.extend(sums.values());
            rows.push(values);
        }
    }
    Ok(rows)
}

/// The rows of assessments, behind experiment and day.
async fn assessments(tx: &Tx, range: Vec<Value>) -> Result<Vec<Vec<Value>>, DbError> {
    let read = |row: &Row<'_>| Ok([Sums { count: row.get(0)?, ..Sums::default() }, Sums::from_row(row, 1)?]);
    let found = tx.query(Statement::new(&ASSESSMENTS, range), read).await?;
    let rows = found.into_iter().flat_map(|sums| ASSESSMENT_METRICS.iter().zip(sums));
    Ok(rows.map(|(metric, sums)| [&[(*metric).into(), "global".into()][..], &sums.values()].concat()).collect())
}
