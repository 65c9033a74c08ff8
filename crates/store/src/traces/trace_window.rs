//! The first traces of a search in the order of time.
//!
//! A page that ends within them needs no other trace. So a search of several experiments, which no index has in order,
//! sorts a few traces only, and one whose condition many traces meet ends before it reads all others.

use ferroflow_model::Result;
use ferroflow_search::{
    KeyValue, PageToken,
    traces::{Column, Condition, TimeAttribute},
};

use super::trace_search::Query;
use crate::{
    Store,
    db::{Child, Plan, Sql, Statement, dialect::Dialect},
    query::{bound::bound, experiments::Experiments, select::Select},
    statements::statements,
};

statements! {
    /// The time of the trace at a distance of `$3` from `$2`, of all experiments the nearest one.
    static NEWEST: Child =
        "SELECT MAX((SELECT t.timestamp_ms FROM trace_info t WHERE t.experiment_id = e.id AND t.timestamp_ms <= $2 \
         ORDER BY t.timestamp_ms DESC LIMIT 1 OFFSET $3)) FROM ", EXPERIMENTS;

    static OLDEST: Child =
        "SELECT MIN((SELECT t.timestamp_ms FROM trace_info t WHERE t.experiment_id = e.id AND t.timestamp_ms >= $2 \
         ORDER BY t.timestamp_ms LIMIT 1 OFFSET $3)) FROM ", EXPERIMENTS;
}

const EXPERIMENTS: &str = "{postgres:unnest($1::bigint[]) AS e(id)}{sqlite:(SELECT value AS id FROM json_each($1)) e}";

/// The traces of a search that have not been looked at, in the order of time.
pub(super) struct Window<'a> {
    store: &'a Store,
    experiments: &'a [i64],
    /// Where they begin.
    start: i64,
    newest: bool,
}

impl<'a> Window<'a> {
    /// All of a page and those behind it; `None` if the search has another order.
    pub(super) fn of(store: &'a Store, query: &'a Query) -> Option<Self> {
        let Query { experiments, order, conditions, token, .. } = query;
        let first = order.first().filter(|clause| clause.column == Column::Time(TimeAttribute::Timestamp))?;
        let newest = !first.ascending;
        let cursor = match token {
            PageToken::Key(values) => match values.first()? {
                KeyValue::Int(time) => Some(*time),
                _ => return None,
            },
            PageToken::Offset(0) => None,
            PageToken::Offset(_) => return None,
        };
        let bounds = conditions.iter().filter_map(|condition| bound_of(condition, newest)).chain(cursor);
        let start = if newest { bounds.min().unwrap_or(i64::MAX) } else { bounds.max().unwrap_or(i64::MIN) };
        Some(Self { store, experiments, start, newest })
    }

    /// Takes the part of time with about the first `traces` traces of each experiment.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn take(&mut self, traces: i64) -> Result<Part> {
        let sql: &'static Sql<Child> = if self.newest { &NEWEST } else { &OLDEST };
        let values = vec![self.experiments.to_vec().into(), self.start.into(), traces.into()];
        let statement = Statement::new(sql, values).planned(Plan::IndexOrder);
        let end = self.store.db.query(statement, |row| row.get::<Option<i64>>(0)).await?;
        let part = Part { end: end.into_iter().next().flatten(), ..self.rest() };
        if let Some(end) = part.end {
            self.start = if self.newest { end.saturating_sub(1) } else { end.saturating_add(1) };
        }
        Ok(part)
    }

    /// The part of time with all others.
    pub(super) fn rest(&self) -> Part {
        Part { start: self.start, end: None, newest: self.newest }
    }
}

/// A part of time, from the first trace to the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    start: i64,
    /// `None` if no trace is behind it.
    end: Option<i64>,
    newest: bool,
}

impl Part {
    /// Whether there may be traces behind it.
    pub(super) fn has_end(self) -> bool {
        self.end.is_some()
    }

    /// Restricts a search to this part. One with an end is read from the index of experiments and times. A comparison of
    /// rows keeps PostgreSQL from the index of times, which has the traces of all experiments; the order in the subquery,
    /// with the settings of [`Plan::IndexScan`], keeps it from the other indexes of the experiment, and from a sort.
    pub(super) fn restrict(self, select: &mut Select, dialect: Dialect, experiments: &Experiments) {
        let (behind, before, order) = if self.newest { (">=", "<=", " DESC") } else { ("<=", ">=", "") };
        let start = select.bind(self.start);
        let Some(end) = self.end else {
            select.filter(experiments.contain("t"));
            return select.filter(format!("t.timestamp_ms {before} {start}"));
        };
        let end = select.bind(end);
        let within = |row: &str, experiment: &str| match dialect {
            Dialect::Postgres => format!(
                "{row}.experiment_id = {experiment} \
                 AND ({row}.experiment_id, {row}.timestamp_ms) {behind} ({experiment}, {end}) \
                 AND ({row}.experiment_id, {row}.timestamp_ms) {before} ({experiment}, {start})"
            ),
            Dialect::Sqlite => format!(
                "{row}.experiment_id = {experiment} AND {row}.timestamp_ms {behind} {end} \
                 AND {row}.timestamp_ms {before} {start}"
            ),
        };
        let each = experiments.rows();
        match (experiments.one(), dialect) {
            (Some(one), _) => select.filter(within("t", &one)),
            (None, Dialect::Postgres) => {
                select.read_from(format!(
                    "{each} CROSS JOIN LATERAL (SELECT * FROM trace_info x WHERE {} ORDER BY x.timestamp_ms{order} \
                     OFFSET 0) t",
                    within("x", "e.id")
                ));
                select.plan(Plan::IndexScan);
            }
            (None, Dialect::Sqlite) => {
                select.driven_by_list(&each);
                select.filter(within("t", "e.id"));
            }
        }
    }
}

/// The latest time that a condition allows, or the earliest one.
fn bound_of(condition: &Condition, latest: bool) -> Option<i64> {
    let Condition::Time { column: TimeAttribute::Timestamp, op, value } = condition else { return None };
    bound(*op, *value, latest)
}
