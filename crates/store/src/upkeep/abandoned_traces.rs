//! Closes traces that were never ended: their client was killed, or never sent the root span. Such a trace would be
//! unfinished for ever, pages with it would refresh for ever, and its day would have no rollups.
//!
//! A closed trace has the state `ERROR`, and metadata that say why. A client that ends it later, or the root span, sets
//! the state as if it had not been closed, and removes the metadata.

use ferroflow_model::Result;

use crate::{
    Unscoped,
    db::{DbError, Row, Statement, Tx, upkeep::Closing},
    statements::statements,
    traces::{rollup_queue::Invalidation, trace_infos::ABANDONED},
};

/// Nanoseconds of a millisecond.
const MS_NS: i64 = 1_000_000;

/// Condition on a trace `t`: a span of it began or ended after `$2`, in nanoseconds.
const IS_ACTIVE: &str = "EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = t.request_id \
                         AND (s.start_time_unix_nano > $2 OR s.end_time_unix_nano > $2))";

statements! {
    /// The oldest traces behind a place, by the index of times, whatever their state.
    static OLDEST: Closing =
        "SELECT t.request_id, t.timestamp_ms, CASE WHEN t.status <> 'IN_PROGRESS' THEN 0 WHEN ", IS_ACTIVE,
        " THEN 1 ELSE 2 END FROM trace_info t WHERE t.timestamp_ms <= $1 AND t.timestamp_ms >= $3 \
         AND (t.timestamp_ms > $3 OR t.request_id > $4) ORDER BY t.timestamp_ms, t.request_id LIMIT $5";

    /// Locks traces that are not ended, in the order of their ids, as writers of spans do.
    static LOCK: Closing =
        "SELECT t.request_id, t.experiment_id, t.timestamp_ms FROM trace_info t \
         WHERE t.request_id {in $1} AND t.status = 'IN_PROGRESS' ORDER BY t.request_id {FOR NO KEY UPDATE}";

    /// Of locked traces, those without recent spans.
    static IDLE: Closing = "SELECT t.request_id FROM trace_info t WHERE t.request_id {in $1} AND NOT ", IS_ACTIVE;

    static CLOSE: Closing =
        "UPDATE trace_info SET status = 'ERROR', execution_time_ms = COALESCE(execution_time_ms, \
         (SELECT CASE WHEN MAX(s.end_time_unix_nano) / 1000000 > trace_info.timestamp_ms \
         THEN MAX(s.end_time_unix_nano) / 1000000 - trace_info.timestamp_ms END \
         FROM spans s WHERE s.trace_id = trace_info.request_id)) WHERE request_id {in $1}";

    static MARK: Closing =
        "INSERT INTO trace_request_metadata (key, value, request_id) \
         SELECT $2, 'true', t.request_id FROM trace_info t WHERE t.request_id {in $1} ORDER BY t.request_id \
         ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value";
}

/// A trace that is old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldTrace {
    /// Its id.
    pub trace_id: String,
    /// When it began, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its state.
    pub state: TraceState,
}

/// Whether an old trace is abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceState {
    /// It has ended.
    Ended,
    /// It has not ended, and spans of it are recent.
    Active,
    /// It has not ended, and nothing of it is recent.
    Abandoned,
}

impl Unscoped<'_> {
    /// Traces that began until `until_ms`, oldest first, behind a place in this order.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn old_traces(&self, until_ms: i64, after: (i64, &str), limit: i64) -> Result<Vec<OldTrace>> {
        let values = vec![until_ms.into(), nanoseconds(until_ms).into(), after.0.into(), after.1.into(), limit.into()];
        let read = |row: &Row<'_>| {
            let state = match row.get::<i64>(2)? {
                0 => TraceState::Ended,
                1 => TraceState::Active,
                _ => TraceState::Abandoned,
            };
            Ok(OldTrace { trace_id: row.get(0)?, timestamp_ms: row.get(1)?, state })
        };
        Ok(self.store.db.query(Statement::new(&OLDEST, values), read).await?)
    }

    /// Closes those of the traces that have not ended and of which nothing is later than `until_ms`. Returns how many.
    ///
    /// # Errors
    /// Database errors only; none is closed then.
    pub async fn close_traces(&self, trace_ids: &[String], until_ms: i64) -> Result<u64> {
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                Ok(close(&tx, trace_ids, until_ms, invalidation).await?)
            })
            .await
    }
}

async fn close(
    tx: &Tx,
    trace_ids: &[String],
    until_ms: i64,
    invalidation: &Invalidation,
) -> std::result::Result<u64, DbError> {
    let read = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?));
    let locked = tx.query(Statement::new(&LOCK, vec![trace_ids.into()]), read).await?;
    let ids: Vec<String> = locked.iter().map(|(id, ..)| id.clone()).collect();
    // A statement of its own sees the spans that were written while the lock was waited for.
    let idle = Statement::new(&IDLE, vec![ids.into(), nanoseconds(until_ms).into()]);
    let idle: Vec<String> = tx.query(idle, |row| row.get(0)).await?;
    if idle.is_empty() {
        return Ok(0);
    }
    let closed = locked.iter().filter(|(id, ..)| idle.contains(id));
    invalidation.add(tx, closed.filter_map(|(_, experiment, time)| invalidation.of_row(*experiment, *time))).await?;
    let closed = tx.execute(Statement::new(&CLOSE, vec![idle.as_slice().into()])).await?;
    tx.execute(Statement::new(&MARK, vec![idle.into(), ABANDONED.into()])).await?;
    Ok(closed)
}

fn nanoseconds(ms: i64) -> i64 {
    ms.saturating_mul(MS_NS)
}
