//! The queue of days whose rollups are no longer right, in which writers of traces put what they change.
//!
//! A builder of rollups locks the row of a day in the queue, sums the day up, and deletes the row in the same transaction.
//! A writer inserts or locks that row in the transaction of its change: either the builder sees the change, or the day is
//! in the queue again. The reference's writers lock the queue before the rows of traces. To have one order with them, a
//! writer that finds out about a day when it has locked traces already is rolled back, and locks the queue first when it
//! is retried.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    db::{Child, DbError, Row, Statement, Tx, Value, dialect::Dialect},
    statements::statements,
    traces::rollups::{Day, Family, Partition, last_settled_ms},
};

/// Nanoseconds of a millisecond.
const MS_NS: i64 = 1_000_000;

/// The traces with ids in `$1`, their spans and assessments, by experiment and time in milliseconds, if that is not later
/// than `$2`.
const CONTENT: &str = "SELECT 'trace_metric', t.experiment_id, t.timestamp_ms FROM trace_info t \
                       WHERE t.request_id {in $1} AND t.timestamp_ms <= $2 \
                       UNION SELECT 'assessment', a.experiment_id, a.trace_timestamp_ms FROM assessments a \
                       WHERE a.trace_id {in $1} AND a.trace_timestamp_ms <= $2 UNION ";

/// The spans of the traces with ids in `$1`, in the same form.
const SPANS: &str = "SELECT 'span_cost', s.experiment_id, s.start_time_unix_nano / 1000000 FROM spans s \
                     WHERE s.trace_id {in $1} AND s.start_time_unix_nano / 1000000 <= $2";

statements! {
    /// Inserts rows, or locks those that exist until the end of the transaction.
    static ENQUEUE: Child =
        "INSERT INTO sql_trace_rollup_rebuild_queue (experiment_id, rollup_day, rollup_family) \
         SELECT p.experiment, {postgres:CAST(p.day AS DATE), p.family \
         FROM unnest($1::bigint[], $2::text[], $3::text[]) AS p(experiment, day, family)}\
         {sqlite:p.day, p.family FROM (SELECT e.value AS experiment, d.value AS day, f.value AS family \
         FROM json_each($1) e JOIN json_each($2) d ON d.key = e.key JOIN json_each($3) f ON f.key = e.key) p} \
         WHERE TRUE ORDER BY 1, 2, 3 ON CONFLICT (experiment_id, rollup_day, rollup_family) \
         DO UPDATE SET rollup_family = excluded.rollup_family";

    static OF_TRACES: Child = CONTENT, SPANS;
    static OF_SPANS: Child = SPANS;
    static OF_SOME_SPANS: Child = SPANS, " AND s.span_id {in $3}";
}

/// Whether rollups are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rollups {
    pub(crate) is_enabled: bool,
}

impl Rollups {
    /// The rollups that a transaction makes wrong; none yet. It is kept for the retries of the transaction.
    pub(crate) fn invalidation(self) -> Invalidation {
        Invalidation { is_enabled: self.is_enabled, until_ms: last_settled_ms(), days: Mutex::default() }
    }
}

/// The rollups that a transaction makes wrong.
pub(crate) struct Invalidation {
    is_enabled: bool,
    /// Days of later times have no rollups yet.
    until_ms: i64,
    days: Mutex<BTreeSet<Partition>>,
}

impl Invalidation {
    /// Whether a time is that of a day that may have rollups.
    pub(crate) fn concerns(&self, ms: i64) -> bool {
        self.is_enabled && ms <= self.until_ms
    }

    /// The day of a time, if it may have rollups.
    fn partition(&self, family: Family, experiment: i64, ms: i64) -> Option<Partition> {
        let day = Day::of_ms(ms).filter(|_| self.concerns(ms))?;
        Some(Partition { experiment, day, family })
    }

    /// The days of a trace that began at a time, and of its assessments.
    pub(crate) fn of_trace(&self, experiment: i64, ms: i64) -> impl Iterator<Item = Partition> {
        [Family::TraceMetric, Family::Assessment]
            .into_iter()
            .filter_map(move |family| self.partition(family, experiment, ms))
    }

    /// The day of a trace that began at a time, without its assessments.
    pub(crate) fn of_row(&self, experiment: i64, ms: i64) -> Option<Partition> {
        self.partition(Family::TraceMetric, experiment, ms)
    }

    /// The day of an assessment of a trace that began at a time.
    pub(crate) fn of_assessment(&self, experiment: i64, trace_ms: i64) -> Option<Partition> {
        self.partition(Family::Assessment, experiment, trace_ms)
    }

    /// The day of a span.
    pub(crate) fn of_span(&self, experiment: i64, start_ns: i64) -> Option<Partition> {
        self.partition(Family::SpanCost, experiment, start_ns.div_euclid(MS_NS))
    }

    /// The days of traces with their spans and assessments.
    pub(crate) async fn of_traces(&self, tx: &Tx, ids: &[String]) -> Result<Vec<Partition>, DbError> {
        self.read(tx, Statement::new(&OF_TRACES, vec![ids.into(), self.until_ms.into()]), !ids.is_empty()).await
    }

    /// The days of the spans of traces.
    pub(crate) async fn of_spans(&self, tx: &Tx, trace_ids: &[String]) -> Result<Vec<Partition>, DbError> {
        let values = vec![trace_ids.into(), self.until_ms.into()];
        self.read(tx, Statement::new(&OF_SPANS, values), !trace_ids.is_empty()).await
    }

    /// The days of those spans of traces that have certain ids.
    pub(crate) async fn of_some_spans(
        &self,
        tx: &Tx,
        trace_ids: Vec<String>,
        span_ids: Vec<String>,
    ) -> Result<Vec<Partition>, DbError> {
        let is_some = !trace_ids.is_empty() && !span_ids.is_empty();
        let values = vec![trace_ids.into(), self.until_ms.into(), span_ids.into()];
        self.read(tx, Statement::new(&OF_SOME_SPANS, values), is_some).await
    }

    async fn read(&self, tx: &Tx, statement: Statement, is_some: bool) -> Result<Vec<Partition>, DbError> {
        if !self.is_enabled || !is_some {
            return Ok(Vec::new());
        }
        let read = |row: &Row<'_>| {
            let (experiment, ms) = (row.get::<Option<i64>>(1)?, row.get::<Option<i64>>(2)?);
            Ok((Family::of_name(row.str(0)?), experiment, ms))
        };
        let found = tx.query(statement, read).await?;
        Ok(found.into_iter().filter_map(|(family, experiment, ms)| self.partition(family?, experiment?, ms?)).collect())
    }

    /// Locks the days that are known from an earlier attempt. A transaction calls this before it locks anything else.
    pub(crate) async fn begin(&self, tx: &Tx) -> Result<(), DbError> {
        let days: Vec<Partition> = self.days().iter().copied().collect();
        enqueue(tx, &days).await
    }

    /// Puts days into the queue. If other rows are locked already, the transaction is retried and begins with them.
    ///
    /// # Errors
    /// The error with which the transaction has to end, so that it is retried.
    pub(crate) async fn add(&self, tx: &Tx, days: impl IntoIterator<Item = Partition>) -> Result<(), DbError> {
        let new = self.note(days);
        match tx.conn()?.dialect() {
            _ if new.is_empty() => Ok(()),
            Dialect::Postgres => Err(tx.conflict("the queue of rollups is locked before the traces".into())),
            // A transaction has locked everything.
            Dialect::Sqlite => enqueue(tx, &new).await,
        }
    }

    /// Puts days into the queue when the transaction begins.
    pub(crate) async fn begin_with(&self, tx: &Tx, days: impl IntoIterator<Item = Partition>) -> Result<(), DbError> {
        self.note(days);
        self.begin(tx).await
    }

    /// Puts days into the queue, in a transaction that cannot be retried.
    pub(crate) async fn add_at_once(&self, tx: &Tx, days: impl IntoIterator<Item = Partition>) -> Result<(), DbError> {
        let new = self.note(days);
        enqueue(tx, &new).await
    }

    /// Adds days, and returns those that are new, sorted.
    fn note(&self, days: impl IntoIterator<Item = Partition>) -> Vec<Partition> {
        let mut known = self.days();
        let new: BTreeSet<Partition> = days.into_iter().filter(|day| !known.contains(day)).collect();
        known.extend(&new);
        new.into_iter().collect()
    }

    fn days(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Inserts or locks the rows of days.
pub(crate) async fn enqueue(tx: &Tx, days: &[Partition]) -> Result<(), DbError> {
    if days.is_empty() {
        return Ok(());
    }
    let values = vec![
        Value::Ints(days.iter().map(|day| day.experiment).collect()),
        Value::Texts(days.iter().map(|day| day.day.text()).collect()),
        Value::Texts(days.iter().map(|day| day.family.name().to_owned()).collect()),
    ];
    tx.execute(Statement::new(&ENQUEUE, values)).await?;
    Ok(())
}
