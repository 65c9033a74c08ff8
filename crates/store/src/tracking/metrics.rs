//! Metric histories.

use ferroflow_model::{Error, Result, messages::service::MetricWithRunId};
use ferroflow_search::{KeyValue, PageToken};

use crate::{
    Scoped,
    db::{DbError, Row, Statement, Value, dialect::Dialect},
    statements::statements,
    workspace::Workspace,
};

/// The columns of a point, and the condition on its run and key.
const POINTS: &str = "SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = $1 AND key = $2 \
                      AND {ws of run $1}";

statements! {
    static HISTORY: Workspace = POINTS, " ORDER BY timestamp, step, value, is_nan";
    static HISTORY_PAGE: Workspace = POINTS, " ORDER BY timestamp, step, value, is_nan LIMIT $3 OFFSET $4";
    static HISTORY_AFTER: Workspace = POINTS, " AND (timestamp, step, value, is_nan) > ($4, $5, $6, $7) \
         ORDER BY timestamp, step, value, is_nan LIMIT $3";

    /// The points of one run after the other, until there are enough. PostgreSQL without statistics would compare the
    /// points of all runs with the list of ids, and read one run at a time only behind fences. SQLite is told that a key has
    /// many points: it would scan those of all runs in the primary key.
    static BULK: Workspace =
        "{postgres:SELECT m.run_uuid, m.value, m.timestamp, m.step, m.is_nan FROM \
         (SELECT r.run_uuid FROM unnest($1::text[]) AS r(run_uuid) ORDER BY r.run_uuid OFFSET 0) w \
         CROSS JOIN LATERAL (SELECT run_uuid, value, timestamp, step, is_nan FROM metrics \
         WHERE run_uuid = w.run_uuid AND key = $2 AND {ws of run w.run_uuid} ORDER BY step OFFSET 0) m \
         ORDER BY w.run_uuid, m.timestamp, m.step, m.value, m.is_nan LIMIT $3}\
         {sqlite:SELECT m.run_uuid, m.value, m.timestamp, m.step, m.is_nan FROM json_each($1) AS w \
         CROSS JOIN metrics m ON m.run_uuid = w.value AND likely(m.key = $2) AND {ws of run m.run_uuid} \
         ORDER BY m.run_uuid, m.timestamp, m.step, m.value, m.is_nan LIMIT $3}";

    /// PostgreSQL only: at most $8 points of a run behind ($3, $4, $6, $7) among the next $5 points of the metric in all
    /// runs, which the primary key has in the order of a history. If these are fewer, a row tells whether there are more
    /// points than $5. If few runs logged the metric at the same time, this finds a page without sorting the run's whole
    /// history.
    static HISTORY_NEAR: Workspace =
        "{postgres:WITH page AS MATERIALIZED (SELECT n.value, n.timestamp, n.step, n.is_nan FROM \
         (SELECT value, timestamp, step, is_nan, run_uuid FROM metrics \
         WHERE key = $2 AND (timestamp, step) >= ($3, $4) \
         ORDER BY timestamp, step, run_uuid, value, is_nan LIMIT $5) n \
         WHERE n.run_uuid = $1 AND (n.timestamp, n.step, n.value, n.is_nan) > ($3, $4, $6, $7) AND {ws of run $1} \
         ORDER BY n.timestamp, n.step, n.run_uuid, n.value, n.is_nan LIMIT $8) \
         SELECT value, timestamp, step, is_nan, FALSE FROM page UNION ALL \
         (SELECT NULL, NULL, NULL, NULL, TRUE FROM metrics WHERE (SELECT count(*) FROM page) < $8 \
         AND key = $2 AND (timestamp, step) >= ($3, $4) ORDER BY timestamp, step LIMIT 1 OFFSET $5)}";
}

/// Maximum number of points that `get-history-bulk` returns.
pub const MAX_BULK_HISTORY: i64 = 25_000;

/// A point of a history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryPoint {
    /// NaN where NaN was logged; infinities are the largest finite doubles.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
}

impl HistoryPoint {
    /// Reads a point from its columns, of which the value is at `first`: then timestamp, step, `is_nan`.
    pub(super) fn at(row: &Row<'_>, first: usize) -> Result<Self, DbError> {
        let value = if row.get(first + 3)? { f64::NAN } else { row.get(first)? };
        Ok(Self { value, timestamp: row.get(first + 1)?, step: row.get(first + 2)? })
    }
}

/// Points of a metric of one run, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RunHistory {
    pub(super) run_id: String,
    pub(super) points: Vec<HistoryPoint>,
}

/// Points of a metric of several runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histories {
    runs: Vec<RunHistory>,
    /// The places of the runs in the order of the response, in which a run may be repeated.
    order: Vec<usize>,
}

impl Histories {
    /// Those of these runs, in this order.
    pub(super) fn of(runs: Vec<RunHistory>) -> Self {
        Self { order: (0..runs.len()).collect(), runs }
    }

    /// Those of the runs of a request, in its order. `runs` is sorted by id.
    pub(super) fn as_requested(runs: Vec<RunHistory>, requested: &[String]) -> Self {
        let place = |id: &String| runs.binary_search_by(|run| run.run_id.cmp(id)).ok();
        Self { order: requested.iter().filter_map(place).collect(), runs }
    }

    /// The points with the ids of their runs.
    pub fn points(&self) -> impl Iterator<Item = (&str, HistoryPoint)> {
        self.order
            .iter()
            .filter_map(|place| self.runs.get(*place))
            .flat_map(|run| run.points.iter().map(move |point| (run.run_id.as_str(), *point)))
    }

    /// The points as messages.
    #[must_use]
    pub fn messages(&self, key: &str) -> Vec<MetricWithRunId> {
        let message = |(run_id, point): (&str, HistoryPoint)| MetricWithRunId {
            key: Some(key.to_owned()),
            value: Some(point.value),
            timestamp: Some(point.timestamp),
            step: Some(point.step),
            run_id: Some(run_id.to_owned()),
        };
        self.points().map(message).collect()
    }
}

/// Points of all runs scanned per point of a page, and the maximum in total.
const NEAR: (i64, i64) = (10, 20_000);

/// The sort keys of a point.
type SortKeys = (i64, i64, f64, bool);

/// A page of a history while it is read.
struct Page<S> {
    state: S,
    /// Points missing from the page.
    left: i64,
    /// The last point of the page, or the cursor it starts after.
    last: Option<SortKeys>,
    /// Whether there is a next page.
    more: bool,
    /// Whether points may be missing: nothing was scanned yet, or the scan hit its limit.
    cut: bool,
}

impl<S> Page<S> {
    /// Adds the next point unless the page is full.
    fn push(&mut self, row: &Row<'_>, add: &mut impl FnMut(&mut S, HistoryPoint)) -> Result<(), DbError> {
        if self.left == 0 {
            self.more = true;
            return Ok(());
        }
        self.left -= 1;
        let (value, timestamp, step, is_nan) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        self.last = Some((timestamp, step, value, is_nan));
        add(&mut self.state, HistoryPoint { value: if is_nan { f64::NAN } else { value }, timestamp, step });
        Ok(())
    }
}

impl Scoped<'_> {
    /// Folds the history of a metric, by (timestamp, step, value), into a new `state` as it is read. Also returns the token
    /// of the next page. An unknown run or metric has an empty history.
    ///
    /// # Errors
    /// The page token is not valid.
    pub async fn fold_metric_history<S, F>(
        &self,
        run_id: &str,
        key: &str,
        max_results: Option<i64>,
        page_token: Option<&str>,
        state: impl Fn() -> S,
        add: F,
    ) -> Result<(S, Option<String>)>
    where
        S: Send + 'static,
        F: FnMut(&mut S, HistoryPoint) + Clone + Send + 'static,
    {
        let read = || self.read_metric_history(run_id, key, max_results, page_token, state(), add.clone());
        self.store.db.replicated(read).await
    }

    async fn read_metric_history<S, F>(
        &self,
        run_id: &str,
        key: &str,
        max_results: Option<i64>,
        page_token: Option<&str>,
        state: S,
        mut add: F,
    ) -> Result<(S, Option<String>)>
    where
        S: Send + 'static,
        F: FnMut(&mut S, HistoryPoint) + Send + 'static,
    {
        let query = self.workspace.list();
        let token = PageToken::decode_of(page_token.unwrap_or_default(), query)?;
        let (offset, last) = match token {
            PageToken::Offset(offset) => (i64::try_from(offset).unwrap_or(i64::MAX), None),
            PageToken::Key(key) => {
                let [KeyValue::Int(timestamp), KeyValue::Int(step), KeyValue::Real(value), KeyValue::Int(is_nan)] =
                    key[..]
                else {
                    return Err(Error::invalid("Invalid page token: it belongs to another search"));
                };
                (0, Some((timestamp, step, value, is_nan != 0)))
            }
        };
        let mut page = Page { state, left: max_results.unwrap_or(i64::MAX), last, more: false, cut: true };
        let conn = self.store.db.reader().await?;
        let near = page.left.saturating_add(1).saturating_mul(NEAR.0);
        if conn.dialect() == Dialect::Postgres && offset == 0 && near <= NEAR.1 {
            let (timestamp, step, value, is_nan) = last.unwrap_or((i64::MIN, i64::MIN, f64::NEG_INFINITY, false));
            let (run_id, key, rows) = (run_id.into(), key.into(), (page.left + 1).into());
            let place = [timestamp.into(), step.into(), near.into(), value.into(), is_nan.into()];
            let params = [run_id, key].into_iter().chain(place).chain([rows]).collect();
            page.cut = false;
            (page, add) = conn
                .fold(Statement::within(self.workspace, &HISTORY_NEAR, params), (page, add), |(page, add), row| {
                    let is_end: bool = row.get(4)?;
                    page.cut |= is_end;
                    if is_end { Ok(()) } else { page.push(row, add) }
                })
                .await?;
        }
        if page.cut && !page.more {
            let mut params: Vec<Value> = vec![run_id.into(), key.into()];
            // One row more than requested tells whether there is a next page.
            let limit = page.left.saturating_add(1);
            let sql = match page.last {
                Some((timestamp, step, value, is_nan)) => {
                    params.extend([limit.into(), timestamp.into(), step.into(), value.into(), is_nan.into()]);
                    &HISTORY_AFTER
                }
                None if offset == 0 && max_results.is_none() => &HISTORY,
                None => {
                    params.extend([limit.into(), offset.into()]);
                    &HISTORY_PAGE
                }
            };
            page = conn
                .fold(Statement::within(self.workspace, sql, params), page, move |page, row| page.push(row, &mut add))
                .await?;
        }
        let next = page.last.filter(|_| page.more).map(|(timestamp, step, value, is_nan)| {
            let keys =
                [KeyValue::Int(timestamp), KeyValue::Int(step), KeyValue::Real(value), KeyValue::Int(is_nan.into())];
            PageToken::Key(keys.to_vec()).encode_of(query)
        });
        Ok((page.state, next))
    }

    /// The histories of a metric in several runs, by (run, timestamp, step, value); at most `max_results` points in
    /// total.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn get_metric_history_bulk(
        &self,
        mut run_ids: Vec<String>,
        key: &str,
        max_results: i64,
    ) -> Result<Histories> {
        // A run that is requested twice is returned once.
        run_ids.sort_unstable();
        run_ids.dedup();
        let read = async || {
            let params = vec![run_ids.as_slice().into(), key.into(), max_results.min(MAX_BULK_HISTORY).into()];
            let statement = Statement::within(self.workspace, &BULK, params);
            let add = |runs: &mut Vec<RunHistory>, row: &Row<'_>| {
                let run_id = row.str(0)?;
                if runs.last().is_none_or(|last| last.run_id != run_id) {
                    runs.push(RunHistory { run_id: run_id.to_owned(), points: Vec::new() });
                }
                let point = HistoryPoint::at(row, 1)?;
                runs.last_mut().into_iter().for_each(|last| last.points.push(point));
                Ok(())
            };
            Ok(self.store.db.reader().await?.fold(statement, Vec::new(), add).await?)
        };
        self.store.db.replicated(read).await.map(Histories::of)
    }
}
