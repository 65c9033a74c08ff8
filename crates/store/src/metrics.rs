//! Histories of metrics.

use ferroflow_model::{Error, Result, messages::service::MetricWithRunId};
use ferroflow_search::{KeyValue, PageToken};

use crate::{
    Store,
    db::{DbError, Row, Statement, Value},
};

const HISTORY: &str = "SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = $1 AND key = $2 \
                       ORDER BY timestamp, step, value, is_nan";
const HISTORY_PAGE: &str = "SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = $1 AND key = $2 \
                            ORDER BY timestamp, step, value, is_nan LIMIT $3 OFFSET $4";
const HISTORY_AFTER: &str = "SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = $1 AND key = $2 \
                             AND (timestamp, step, value, is_nan) > ($4, $5, $6, $7) \
                             ORDER BY timestamp, step, value, is_nan LIMIT $3";
const BULK: (&str, &str) = (
    "SELECT run_uuid, value, timestamp, step, is_nan FROM metrics WHERE key = $2 AND run_uuid = ANY($1) \
     ORDER BY run_uuid, timestamp, step, value, is_nan LIMIT $3",
    "SELECT m.run_uuid, m.value, m.timestamp, m.step, m.is_nan FROM json_each($1) AS w CROSS JOIN metrics m \
     ON m.run_uuid = w.value AND m.key = $2 \
     ORDER BY m.run_uuid, m.timestamp, m.step, m.value, m.is_nan LIMIT $3",
);

// The sample of each run: the first point of each of `n` equal buckets in the order of (step,
// timestamp, value, is_nan), then the last point; where that makes `n` + 1, it takes the place of
// the last sampled one. `at` is the 0-based position of a point. The first `rest` buckets of NTILE
// have one point more than the others: bucket starts are 0, q+1, 2(q+1), … and then every q.
const SAMPLE_TAIL: &str = ", bounds AS (SELECT *, total / $3 AS q, total % $3 AS rest FROM points) \
     SELECT run_uuid, value, timestamp, step, is_nan FROM bounds WHERE \
     (at = total - 1 OR (CASE WHEN total <= $3 THEN TRUE \
      WHEN at < rest * (q + 1) THEN at % (q + 1) = 0 ELSE (at - rest * (q + 1)) % q = 0 END \
      AND NOT (total > $3 AND total - at <= q))) \
     ORDER BY run_uuid, step, timestamp, value, is_nan";

/// The longest history that `get-history-bulk` answers, in points.
pub const MAX_BULK_HISTORY: i64 = 25_000;

/// A point of a history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryPoint {
    /// NaN where NaN was logged; infinities are the largest doubles.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
}

/// A page of a history while it is read.
struct Page<S> {
    state: S,
    /// Points that still belong to the page.
    left: i64,
    /// The sort keys of its last point.
    last: Option<Vec<KeyValue>>,
    /// The token of the next page.
    next: Option<String>,
}

impl Store {
    /// The history of a metric by (timestamp, step, value): what becomes of `state` when every point has been
    /// added to it as it is read, and the token of the next page. An unknown run or metric has an empty history.
    ///
    /// # Errors
    /// The page token is not valid.
    pub async fn fold_metric_history<S, F>(
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
        let token = PageToken::decode(page_token.unwrap_or_default())?;
        let mut params: Vec<Value> = vec![run_id.into(), key.into()];
        // One row more than asked for tells whether there is a next page.
        let limit = max_results.map_or(i64::MAX, |max| max.saturating_add(1));
        let sql = match token {
            PageToken::Offset(0) if max_results.is_none() => HISTORY,
            PageToken::Offset(offset) => {
                params.extend([limit.into(), i64::try_from(offset).unwrap_or(i64::MAX).into()]);
                HISTORY_PAGE
            }
            PageToken::Key(key) => {
                let [KeyValue::Int(timestamp), KeyValue::Int(step), KeyValue::Real(value), KeyValue::Int(is_nan)] =
                    key[..]
                else {
                    return Err(Error::invalid("Invalid page token: it belongs to another search"));
                };
                params.extend([limit.into(), timestamp.into(), step.into(), value.into(), (is_nan != 0).into()]);
                HISTORY_AFTER
            }
        };
        let page = Page { state, left: max_results.unwrap_or(i64::MAX), last: None, next: None };
        let conn = self.db.reader().await?;
        let page = conn
            .fold(Statement::new(sql, params), page, move |page, row| {
                if page.left == 0 {
                    page.next = page.last.take().map(|last| PageToken::Key(last).encode());
                    return Ok(());
                }
                page.left -= 1;
                let (stored, is_nan): (f64, bool) = (row.get(0)?, row.get(3)?);
                let point = HistoryPoint {
                    value: if is_nan { f64::NAN } else { stored },
                    timestamp: row.get(1)?,
                    step: row.get(2)?,
                };
                if page.left == 0 {
                    page.last = Some(vec![
                        KeyValue::Int(point.timestamp),
                        KeyValue::Int(point.step),
                        KeyValue::Real(stored),
                        KeyValue::Int(is_nan.into()),
                    ]);
                }
                add(&mut page.state, point);
                Ok(())
            })
            .await?;
        Ok((page.state, page.next))
    }

    /// The histories of one metric in several runs, by (run, timestamp, step, value), cut at
    /// `max_results` points in all.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn get_metric_history_bulk(
        &self,
        mut run_ids: Vec<String>,
        key: &str,
        max_results: i64,
    ) -> Result<Vec<MetricWithRunId>> {
        // A run that is named twice is answered once.
        run_ids.sort_unstable();
        run_ids.dedup();
        let params = vec![run_ids.into(), key.into(), max_results.min(MAX_BULK_HISTORY).into()];
        let statement = Statement::new(self.db.dialect().pick(BULK.0, BULK.1), params);
        let name = key.to_owned();
        Ok(self.db.query(statement, move |row| metric_of_run(&name, row)).await?)
    }

    /// At most `max_results` points of a metric for each run, evenly taken from its history
    /// (between two steps, both included), always with its last point.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn sample_metric_history(
        &self,
        run_ids: &[String],
        key: &str,
        max_results: i64,
        steps: Option<(i64, i64)>,
    ) -> Result<Vec<MetricWithRunId>> {
        let max_results = max_results.max(1);
        let (first, last) = steps.unwrap_or((i64::MIN, i64::MAX));
        let dialect = self.db.dialect();
        let source = dialect.pick(
            "metrics m WHERE m.run_uuid = ANY($1) AND",
            "json_each($1) AS w CROSS JOIN metrics m WHERE m.run_uuid = w.value AND",
        );
        let sql = format!(
            "WITH points AS (SELECT m.run_uuid, m.value, m.timestamp, m.step, m.is_nan, \
             row_number() OVER (PARTITION BY m.run_uuid ORDER BY m.step, m.timestamp, m.value, m.is_nan) - 1 AS at, \
             count(*) OVER (PARTITION BY m.run_uuid) AS total \
             FROM {source} m.key = $2 AND m.step >= $4 AND m.step <= $5){SAMPLE_TAIL}"
        );
        let mut unique = run_ids.to_vec();
        unique.sort_unstable();
        unique.dedup();
        let params = vec![unique.into(), key.into(), max_results.into(), first.into(), last.into()];
        let name = key.to_owned();
        let points = self.db.query(Statement::dynamic(sql, params), move |row| metric_of_run(&name, row)).await?;
        // The answer follows the order of the request, and repeats a run that is asked for twice.
        let mut out = Vec::with_capacity(points.len());
        for run_id in run_ids {
            let start = points.partition_point(|point| point.run_id.as_deref() < Some(run_id));
            out.extend(points[start..].iter().take_while(|point| point.run_id.as_deref() == Some(run_id)).cloned());
        }
        Ok(out)
    }
}

fn metric_of_run(key: &str, row: &Row<'_>) -> Result<MetricWithRunId, DbError> {
    Ok(MetricWithRunId {
        key: Some(key.to_owned()),
        value: Some(if row.get(4)? { f64::NAN } else { row.get(1)? }),
        timestamp: row.get(2)?,
        step: row.get(3)?,
        run_id: row.get(0)?,
    })
}
