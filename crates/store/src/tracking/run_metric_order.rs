//! The first runs of a search in the order of a metric: by value, then those whose value is NaN, then those without one.
//!
//! `ff_latest_metrics_value` has the values of a metric in order, of all experiments. The index is read in parts, as far
//! as the page needs: an experiment that is a large part of the database is found soon, and a small one is read as a
//! whole instead.

use ferroflow_model::Result;
use ferroflow_search::{KeyValue, PageToken, runs::Column};

use super::{
    run_search::Query,
    run_window::{Part, Window},
};
use crate::{
    Store,
    db::{Child, Conn, Plan, Sql, Statement, Value, dialect::Dialect},
    query::{experiments::Experiments, select::Select},
    schema::own_indexes::OwnIndex,
    statements::statements,
};

statements! {
    /// The values at the distances `$3` and `$4` from `$2`.
    static DOWN: Child =
        "SELECT (SELECT l.value FROM latest_metrics l WHERE l.key = $1 AND l.is_nan = FALSE AND l.value <= $2 \
         ORDER BY l.value DESC LIMIT 1 OFFSET $3), \
         (SELECT l.value FROM latest_metrics l WHERE l.key = $1 AND l.is_nan = FALSE AND l.value <= $2 \
         ORDER BY l.value DESC LIMIT 1 OFFSET $4)";

    static UP: Child =
        "SELECT (SELECT l.value FROM latest_metrics l WHERE l.key = $1 AND l.is_nan = FALSE AND l.value >= $2 \
         ORDER BY l.value LIMIT 1 OFFSET $3), \
         (SELECT l.value FROM latest_metrics l WHERE l.key = $1 AND l.is_nan = FALSE AND l.value >= $2 \
         ORDER BY l.value LIMIT 1 OFFSET $4)";
}

/// The runs of a search that have not been looked at, in the order of a metric.
#[derive(Debug)]
pub(super) struct MetricOrder {
    key: String,
    descending: bool,
    place: Place,
}

/// Where they begin.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At a value.
    Value(f64),
    Nan,
    Missing(Window),
    /// At those without a value, in an order that no index has.
    Unordered,
    /// Nowhere.
    End,
}

/// Some of the runs in the order of a metric.
#[derive(Debug, Clone, Copy)]
pub(super) enum MetricPart {
    /// Those with values from `start` to `end`, or to the last one.
    Values { start: f64, end: Option<f64>, descending: bool },
    /// Those whose value is NaN.
    Nan,
    /// Some of those without a value.
    Missing(Part),
}

impl MetricOrder {
    /// All of a page and those behind it; `None` if the search has another order, or the index is missing.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn of(store: &Store, query: &Query) -> Result<Option<Self>> {
        let Some((Column::Metric(key), ascending)) =
            query.order.first().map(|clause| (&clause.column, clause.ascending))
        else {
            return Ok(None);
        };
        if !store.own_indexes.has(&store.db, OwnIndex::MetricValue).await? {
            return Ok(None);
        }
        let place = match &query.token {
            PageToken::Offset(0) => Some(Place::Value(if ascending { f64::NEG_INFINITY } else { f64::INFINITY })),
            PageToken::Offset(_) => None,
            PageToken::Key(values) => match values.as_slice() {
                [KeyValue::Int(0), KeyValue::Real(value), ..] => Some(Place::Value(*value)),
                [KeyValue::Int(1), ..] => Some(Place::Nan),
                [KeyValue::Int(2), ..] => Window::of_missing(query).map(Place::Missing),
                _ => None,
            },
        };
        Ok(place.map(|place| Self { key: key.clone(), descending: !ascending, place }))
    }

    /// Takes the next part, of about `rows` rows of the index or `runs` runs; `None` if too many have the same value, or
    /// the rest has no index.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn take(&mut self, conn: &Conn, query: &Query, runs: i64) -> Result<Option<MetricPart>> {
        match &mut self.place {
            Place::Value(start) => {
                let start = *start;
                let sql: &'static Sql<Child> = if self.descending { &DOWN } else { &UP };
                let params: Vec<Value> =
                    vec![self.key.as_str().into(), start.into(), runs.into(), runs.saturating_mul(2).into()];
                let statement = Statement::new(sql, params).planned(Plan::IndexScan);
                let ends = conn.query(statement, |row| Ok((row.get::<Option<f64>>(0)?, row.get::<Option<f64>>(1)?)));
                let (end, beyond) = ends.await?.into_iter().next().unwrap_or_default();
                if end.is_some() && end == beyond {
                    return Ok(None);
                }
                self.place = match end {
                    Some(end) if self.descending => Place::Value(end.next_down()),
                    Some(end) => Place::Value(end.next_up()),
                    None => Place::Nan,
                };
                Ok(Some(MetricPart::Values { start, end, descending: self.descending }))
            }
            Place::Nan => {
                self.place = Window::of_missing(query).map_or(Place::Unordered, Place::Missing);
                Ok(Some(MetricPart::Nan))
            }
            Place::Missing(window) => {
                let part = window.take(conn, query, runs).await?;
                if !part.has_end() {
                    self.place = Place::End;
                }
                Ok(Some(MetricPart::Missing(part)))
            }
            Place::Unordered | Place::End => Ok(None),
        }
    }

    /// Whether the parts that were taken are all runs.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.place, Place::End)
    }
}

impl MetricPart {
    /// Whether there may be more runs of the same kind behind it.
    pub(super) fn has_end(self) -> bool {
        match self {
            Self::Values { end, .. } => end.is_some(),
            Self::Nan => false,
            Self::Missing(part) => part.has_end(),
        }
    }

    /// Restricts a search to this part, and returns the alias of the metric, if its rows are read first.
    pub(super) fn restrict(
        self,
        select: &mut Select,
        dialect: Dialect,
        experiments: &Experiments,
        stages: &[&str],
        order: &Column,
    ) -> Option<&'static str> {
        let Column::Metric(key) = order else { return None };
        let key = select.bind(key);
        let test = match self {
            Self::Missing(part) => {
                part.restrict(select, dialect, experiments, stages, false);
                select.filter(format!(
                    "NOT EXISTS (SELECT 1 FROM latest_metrics WHERE run_uuid = r.run_uuid AND key = {key} \
                     LIMIT 1 OFFSET 0)"
                ));
                return None;
            }
            Self::Nan => "{l}.is_nan = TRUE".to_owned(),
            Self::Values { start, end, descending } => {
                let mut test = "{l}.is_nan = FALSE".to_owned();
                for (value, is_high) in [(Some(start), descending), (end, !descending)] {
                    if let Some(value) = value {
                        let sign = if is_high { "<=" } else { ">=" };
                        test.push_str(&format!(" AND {{l}}.value {sign} {}", select.bind(value)));
                    }
                }
                test
            }
        };
        let listed: Vec<String> = stages.iter().map(|stage| format!("'{stage}'")).collect();
        select.filter(format!("+{}", experiments.contain("r")));
        select.filter(format!("r.lifecycle_stage IN ({})", listed.join(", ")));
        match dialect {
            Dialect::Postgres => {
                let test = test.replace("{l}", "l");
                select.read_from(format!(
                    "(SELECT l.run_uuid, l.value, l.is_nan FROM latest_metrics l WHERE l.key = {key} AND {test} \
                     ORDER BY l.value OFFSET 0) o0 CROSS JOIN LATERAL (SELECT * FROM runs x WHERE x.run_uuid = o0.run_uuid OFFSET 0) r"
                ));
                select.plan(Plan::IndexScan);
            }
            Dialect::Sqlite => {
                select.read_from("latest_metrics o0 CROSS JOIN runs r".to_owned());
                select.filter(format!("o0.key = {key} AND {} AND r.run_uuid = o0.run_uuid", test.replace("{l}", "o0")));
            }
        }
        Some("o0")
    }
}
