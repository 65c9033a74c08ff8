//! Builds the rollups of traces: which days are to be summed up, and the transaction that does one.
//!
//! The rows and the rules are the reference's, so that its servers read what this one builds and the other way round. The
//! row of the day in the queue is locked first (`crate::traces::rollup_queue`): of two builders of a day one waits.

pub(crate) mod sums;

use ferroflow_model::Result;

use crate::{
    Unscoped,
    db::{DbError, Row, Sql, Statement, Tx, Value, upkeep::Rollups},
    statements::statements,
    traces::{
        rollup_queue::enqueue,
        rollups::{DAY_MS, Day, Family, Partition, last_settled_ms},
    },
};

/// Nanoseconds of a millisecond.
const MS_NS: i64 = 1_000_000;

/// The traces, assessments and spans of a day: those of the experiment `$1` from `$2` on and before `$3`.
const TRACES: &str = "FROM trace_info x WHERE x.experiment_id = $1 AND x.timestamp_ms >= $2 AND x.timestamp_ms < $3";
const ASSESSMENTS: &str = "FROM assessments x WHERE x.experiment_id = $1 AND x.valid \
                           AND x.trace_timestamp_ms >= $2 AND x.trace_timestamp_ms < $3";
const SPANS: &str = "FROM spans x WHERE x.experiment_id = $1 AND x.start_time_unix_nano >= $2 \
                     AND x.start_time_unix_nano < $3";

/// A span `x` adds to a sum.
const HAS_COST: &str = "(x.input_cost IS NOT NULL OR x.output_cost IS NOT NULL OR x.total_cost IS NOT NULL)";

/// The states of traces that have ended, as the reference lists them.
const ENDED: &str = "('ERROR', 'OK', 'STATE_UNSPECIFIED', 'TRACE_STATUS_UNSPECIFIED')";

/// The end of a lookup of a span that is not over, or ended after `$5`. With the LIMIT, PostgreSQL looks up the spans of
/// one trace after the other, instead of reading all spans.
const ACTIVE: &str = " AND (s.end_time_unix_nano IS NULL OR s.end_time_unix_nano > $5) LIMIT 1) IS NOT NULL) LIMIT 1";

statements! {
    static QUEUED: Rollups =
        "SELECT q.experiment_id, {postgres:q.rollup_day - DATE '1970-01-01'}\
         {sqlite:CAST(strftime('%s', q.rollup_day) AS INTEGER) / 86400}, q.rollup_family \
         FROM sql_trace_rollup_rebuild_queue q WHERE q.experiment_id >= $1 AND (q.experiment_id > $1 OR \
         {postgres:q.rollup_day > CAST(CAST($2 AS TEXT) AS DATE) OR (q.rollup_day = CAST(CAST($2 AS TEXT) AS DATE)}\
         {sqlite:q.rollup_day > $2 OR (q.rollup_day = $2} AND q.rollup_family > $3)) \
         ORDER BY q.experiment_id, q.rollup_day, q.rollup_family LIMIT $4";

    /// The experiments with content on days behind the last one that is summed up, and before `$1`.
    static NEW_TRACES: Rollups = "SELECT e.experiment_id FROM experiments e WHERE EXISTS \
         (SELECT 1 FROM trace_info x WHERE x.experiment_id = e.experiment_id AND x.timestamp_ms < $1 \
         AND x.timestamp_ms >= COALESCE((SELECT {postgres:CAST(MAX(r.rollup_day) + 1 - DATE '1970-01-01' AS BIGINT)}\
         {sqlite:(CAST(strftime('%s', MAX(r.rollup_day)) AS INTEGER) / 86400 + 1)} * 86400000 \
         FROM sql_trace_metric_daily_rollups r WHERE r.experiment_id = e.experiment_id), $2)) ORDER BY 1";
    static NEW_ASSESSMENTS: Rollups = "SELECT e.experiment_id FROM experiments e WHERE EXISTS \
         (SELECT 1 FROM assessments x WHERE x.experiment_id = e.experiment_id AND x.valid AND x.trace_timestamp_ms < $1 \
         AND x.trace_timestamp_ms >= COALESCE((SELECT \
         {postgres:CAST(MAX(r.rollup_day) + 1 - DATE '1970-01-01' AS BIGINT)}\
         {sqlite:(CAST(strftime('%s', MAX(r.rollup_day)) AS INTEGER) / 86400 + 1)} * 86400000 \
         FROM sql_assessment_daily_rollups r WHERE r.experiment_id = e.experiment_id), $2)) ORDER BY 1";
    static NEW_SPANS: Rollups = "SELECT e.experiment_id FROM experiments e WHERE EXISTS \
         (SELECT 1 FROM spans x WHERE x.experiment_id = e.experiment_id AND x.start_time_unix_nano < $1 AND ", HAS_COST,
        " AND x.start_time_unix_nano >= COALESCE((SELECT \
         {postgres:CAST(MAX(r.rollup_day) + 1 - DATE '1970-01-01' AS BIGINT)}\
         {sqlite:(CAST(strftime('%s', MAX(r.rollup_day)) AS INTEGER) / 86400 + 1)} * 86400000000000 \
         FROM sql_span_cost_daily_rollups r WHERE r.experiment_id = e.experiment_id), $2)) ORDER BY 1";

    /// The day behind the last one that is summed up.
    static NEXT_OF_TRACES: Rollups = "SELECT {postgres:MAX(r.rollup_day) + 1 - DATE '1970-01-01'}\
         {sqlite:CAST(strftime('%s', MAX(r.rollup_day)) AS INTEGER) / 86400 + 1} \
         FROM sql_trace_metric_daily_rollups r WHERE r.experiment_id = $1";
    static NEXT_OF_ASSESSMENTS: Rollups = "SELECT {postgres:MAX(r.rollup_day) + 1 - DATE '1970-01-01'}\
         {sqlite:CAST(strftime('%s', MAX(r.rollup_day)) AS INTEGER) / 86400 + 1} \
         FROM sql_assessment_daily_rollups r WHERE r.experiment_id = $1";
    static NEXT_OF_SPANS: Rollups = "SELECT {postgres:MAX(r.rollup_day) + 1 - DATE '1970-01-01'}\
         {sqlite:CAST(strftime('%s', MAX(r.rollup_day)) AS INTEGER) / 86400 + 1} \
         FROM sql_span_cost_daily_rollups r WHERE r.experiment_id = $1";

    /// The first time of content, by the index of times.
    static FIRST_TRACE: Rollups = "SELECT x.timestamp_ms ", TRACES, " ORDER BY x.timestamp_ms LIMIT 1";
    static FIRST_ASSESSMENT: Rollups =
        "SELECT x.trace_timestamp_ms ", ASSESSMENTS, " ORDER BY x.trace_timestamp_ms LIMIT 1";
    static FIRST_SPAN: Rollups =
        "SELECT x.start_time_unix_nano / 1000000 ", SPANS, " AND ", HAS_COST, " ORDER BY x.start_time_unix_nano LIMIT 1";
    static IS_QUEUED: Rollups =
        "SELECT 1 FROM sql_trace_rollup_rebuild_queue q WHERE q.experiment_id = $1 \
         AND q.rollup_day = {postgres:CAST(CAST($2 AS TEXT) AS DATE)}{sqlite:$2} AND q.rollup_family = $3";

    /// Whether a trace of the day has not ended, is later than `$4`, or has a span that is not over or ended after `$5`.
    static UNSETTLED_TRACES: Rollups = "SELECT 1 ", TRACES, " AND (x.status IS NULL OR x.status NOT IN ", ENDED,
        " OR x.timestamp_ms > $4 OR (SELECT 1 FROM spans s WHERE s.trace_id = x.request_id", ACTIVE;
    static UNSETTLED_ASSESSMENTS: Rollups = "SELECT 1 ", ASSESSMENTS, " AND ((SELECT 1 FROM trace_info t \
         WHERE t.request_id = x.trace_id AND t.timestamp_ms <= $4 AND t.status IN ", ENDED, " LIMIT 1) IS NULL \
         OR (SELECT 1 FROM spans s WHERE s.trace_id = x.trace_id", ACTIVE;
    static UNSETTLED_SPANS: Rollups = "SELECT 1 ", SPANS, " AND ((SELECT 1 FROM trace_info t \
         WHERE t.request_id = x.trace_id AND t.timestamp_ms <= $4 AND t.status IN ", ENDED, " LIMIT 1) IS NULL \
         OR (SELECT 1 FROM spans s WHERE s.trace_id = x.trace_id", ACTIVE;

    static CLEAR_TRACES: Rollups = "DELETE FROM sql_trace_metric_daily_rollups WHERE experiment_id = $1 \
         AND rollup_day = {postgres:CAST(CAST($2 AS TEXT) AS DATE)}{sqlite:$2}";
    static CLEAR_ASSESSMENTS: Rollups = "DELETE FROM sql_assessment_daily_rollups WHERE experiment_id = $1 \
         AND rollup_day = {postgres:CAST(CAST($2 AS TEXT) AS DATE)}{sqlite:$2}";
    static CLEAR_SPANS: Rollups = "DELETE FROM sql_span_cost_daily_rollups WHERE experiment_id = $1 \
         AND rollup_day = {postgres:CAST(CAST($2 AS TEXT) AS DATE)}{sqlite:$2}";
    static DEQUEUE: Rollups = "DELETE FROM sql_trace_rollup_rebuild_queue WHERE experiment_id = $1 \
         AND rollup_day = {postgres:CAST(CAST($2 AS TEXT) AS DATE)}{sqlite:$2} AND rollup_family = $3";

    static QUEUE_LENGTH: Rollups =
        "SELECT COUNT(*) FROM (SELECT 1 FROM sql_trace_rollup_rebuild_queue LIMIT 10000) q";
    static ANY: Rollups = "SELECT 1 WHERE EXISTS (SELECT 1 FROM sql_trace_metric_daily_rollups) \
         OR EXISTS (SELECT 1 FROM sql_span_cost_daily_rollups) OR EXISTS (SELECT 1 FROM sql_assessment_daily_rollups)";

    static DELETE_TRACES: Rollups = "DELETE FROM sql_trace_metric_daily_rollups";
    static DELETE_SPANS: Rollups = "DELETE FROM sql_span_cost_daily_rollups";
    static DELETE_ASSESSMENTS: Rollups = "DELETE FROM sql_assessment_daily_rollups";
    static DELETE_QUEUE: Rollups = "DELETE FROM sql_trace_rollup_rebuild_queue";
}

/// What building the rollups of a day has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionOutcome {
    /// They are built.
    Built,
    /// There is nothing to sum up.
    Emptied,
    /// The day is not over for long enough, or a trace is unfinished: it stays in the queue.
    Deferred,
}

/// The number of rows of rollups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RollupRows {
    /// Of traces.
    pub traces: u64,
    /// Of the costs of spans.
    pub span_costs: u64,
    /// Of assessments.
    pub assessments: u64,
    /// Of the queue.
    pub queue: u64,
}

/// The statements of a family.
struct OfFamily {
    new: &'static Sql<Rollups>,
    next: &'static Sql<Rollups>,
    first: &'static Sql<Rollups>,
    unsettled: &'static Sql<Rollups>,
    clear: &'static Sql<Rollups>,
    /// Units of its times in a millisecond.
    unit: i64,
}

static OF_TRACES: OfFamily = OfFamily {
    new: &NEW_TRACES,
    next: &NEXT_OF_TRACES,
    first: &FIRST_TRACE,
    unsettled: &UNSETTLED_TRACES,
    clear: &CLEAR_TRACES,
    unit: 1,
};

static OF_ASSESSMENTS: OfFamily = OfFamily {
    new: &NEW_ASSESSMENTS,
    next: &NEXT_OF_ASSESSMENTS,
    first: &FIRST_ASSESSMENT,
    unsettled: &UNSETTLED_ASSESSMENTS,
    clear: &CLEAR_ASSESSMENTS,
    unit: 1,
};

static OF_SPANS: OfFamily = OfFamily {
    new: &NEW_SPANS,
    next: &NEXT_OF_SPANS,
    first: &FIRST_SPAN,
    unsettled: &UNSETTLED_SPANS,
    clear: &CLEAR_SPANS,
    unit: MS_NS,
};

fn statements_of(family: Family) -> &'static OfFamily {
    match family {
        Family::TraceMetric => &OF_TRACES,
        Family::SpanCost => &OF_SPANS,
        Family::Assessment => &OF_ASSESSMENTS,
    }
}

/// The first day that may not be summed up yet, and all later ones.
fn first_open_day() -> i64 {
    last_settled_ms().div_euclid(DAY_MS)
}

impl Unscoped<'_> {
    /// A page of the queue behind a place in its order.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn queued_rollups(&self, after: Option<Partition>, limit: usize) -> Result<Vec<Partition>> {
        let (experiment, day, family) = match after {
            Some(after) => (after.experiment, after.day.text(), after.family.name()),
            None => (i64::from(i32::MIN), "0001-01-01".to_owned(), ""),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![experiment.into(), day.into(), family.into(), limit.into()];
        let read = |row: &Row<'_>| {
            let Some(family) = Family::of_name(row.str(2)?) else { return Ok(None) };
            Ok(Some(Partition { experiment: row.get(0)?, day: Day(row.get(1)?), family }))
        };
        let found = self.store.db.query(Statement::new(&QUEUED, values), read).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The experiments of which a family has days to sum up for the first time.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn experiments_without_rollups(&self, family: Family) -> Result<Vec<i64>> {
        let of = statements_of(family);
        let before = first_open_day() * DAY_MS * of.unit;
        let statement = Statement::new(of.new, vec![before.into(), i64::MIN.into()]);
        Ok(self.store.db.query(statement, |row| row.get(0)).await?)
    }

    /// The next days of an experiment that are summed up for the first time, at most `limit`.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn days_without_rollups(&self, family: Family, experiment: i64, limit: usize) -> Result<Vec<Partition>> {
        let of = statements_of(family);
        let before = first_open_day() * DAY_MS * of.unit;
        let conn = self.store.db.reader().await?;
        let next = Statement::new(of.next, vec![experiment.into()]);
        let next = conn.query_opt(next, |row| row.get::<Option<i64>>(0)).await?.flatten();
        let mut from = next.map_or(i64::MIN, |day| day * DAY_MS * of.unit);
        let mut found = Vec::new();
        while found.len() < limit {
            let first = Statement::new(of.first, vec![experiment.into(), from.into(), before.into()]);
            let Some(first) = conn.query_opt(first, |row| row.get::<i64>(0)).await? else { break };
            from = (first.div_euclid(DAY_MS) + 1) * DAY_MS * of.unit;
            let Some(day) = Day::of_ms(first) else { continue };
            let values = vec![experiment.into(), day.text().into(), family.name().into()];
            if conn.query_opt(Statement::new(&IS_QUEUED, values), |_| Ok(())).await?.is_none() {
                found.push(Partition { experiment, day, family });
            }
        }
        Ok(found)
    }

    /// Sums up a day, in place of what was there, and takes it out of the queue.
    ///
    /// # Errors
    /// Database errors only; nothing has changed.
    pub async fn build_rollups(&self, partition: Partition) -> Result<PartitionOutcome> {
        self.store.db.transaction(|tx| async move { Ok(build(&tx, partition).await?) }).await
    }

    /// Puts a day into the queue, so that a later pass builds it.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn queue_rollups(&self, partition: Partition) -> Result<()> {
        self.store.db.transaction(|tx| async move { Ok(enqueue(&tx, &[partition]).await?) }).await
    }

    /// The number of days in the queue, counted up to 10,000.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn queued_rollup_count(&self) -> Result<i64> {
        let counted = self.store.db.query(Statement::new(&QUEUE_LENGTH, Vec::new()), |row| row.get::<i64>(0)).await?;
        Ok(counted.into_iter().sum())
    }

    /// Whether there are any rollups.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn has_rollups(&self) -> Result<bool> {
        Ok(!self.store.db.query(Statement::new(&ANY, Vec::new()), |_| Ok(())).await?.is_empty())
    }

    /// Deletes all rollups and the queue. No server may use them meanwhile.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_rollups(&self) -> Result<RollupRows> {
        self.store
            .db
            .transaction(|tx| async move {
                Ok(RollupRows {
                    traces: tx.execute(Statement::new(&DELETE_TRACES, Vec::new())).await?,
                    span_costs: tx.execute(Statement::new(&DELETE_SPANS, Vec::new())).await?,
                    assessments: tx.execute(Statement::new(&DELETE_ASSESSMENTS, Vec::new())).await?,
                    queue: tx.execute(Statement::new(&DELETE_QUEUE, Vec::new())).await?,
                })
            })
            .await
    }
}

async fn build(tx: &Tx, partition: Partition) -> Result<PartitionOutcome, DbError> {
    let Partition { experiment, day, family } = partition;
    let of = statements_of(family);
    // A day that could not be summed up stays in the queue.
    enqueue(tx, &[partition]).await?;
    let until = last_settled_ms();
    if day.0 >= first_open_day() {
        return Ok(PartitionOutcome::Deferred);
    }
    let range: Vec<Value> =
        vec![experiment.into(), (day.start_ms() * of.unit).into(), ((day.start_ms() + DAY_MS) * of.unit).into()];
    let settled = vec![until.into(), (until * MS_NS).into()];
    let unsettled = Statement::new(of.unsettled, [range.clone(), settled].concat());
    if tx.query_opt(unsettled, |_| Ok(())).await?.is_some() {
        return Ok(PartitionOutcome::Deferred);
    }
    let key: Vec<Value> = vec![experiment.into(), day.text().into()];
    tx.execute(Statement::new(of.clear, key.clone())).await?;
    let has_content = tx.query_opt(Statement::new(of.first, range.clone()), |_| Ok(())).await?.is_some();
    if has_content {
        tx.insert(sums::of(tx, partition, range).await?).await?;
    }
    tx.execute(Statement::new(&DEQUEUE, [key, vec![family.name().into()]].concat())).await?;
    Ok(if has_content { PartitionOutcome::Built } else { PartitionOutcome::Emptied })
}
