//! The first traces of a search in the order of time.
//!
//! A page that ends within them needs no other trace. So a search of several experiments, which no index has in order,
//! sorts a few traces only, and one whose condition many traces meet ends before it reads all others.

use ferroflow_model::Result;
use ferroflow_search::{
    KeyValue, Number, NumberOp, PageToken,
    traces::{Column, Condition, TimeAttribute},
};

use super::{trace_filter::Experiments, trace_search::Query};
use crate::{
    Store,
    db::{Child, Plan, Sql, Statement, dialect::Dialect},
    query::select::Select,
    statements::statements,
};

statements! {
    /// The times of the trace at a distance of `$3` from `$2`, in the experiment that has the least of them behind it.
    static NEWEST: Child =
        "SELECT MAX((SELECT t.timestamp_ms FROM trace_info t WHERE t.experiment_id = e.id AND t.timestamp_ms <= $2 \
         ORDER BY t.timestamp_ms DESC LIMIT 1 OFFSET $3)) FROM ", EXPERIMENTS;

    static OLDEST: Child =
        "SELECT MIN((SELECT t.timestamp_ms FROM trace_info t WHERE t.experiment_id = e.id AND t.timestamp_ms >= $2 \
         ORDER BY t.timestamp_ms LIMIT 1 OFFSET $3)) FROM ", EXPERIMENTS;
}

const EXPERIMENTS: &str = "{postgres:unnest($1::bigint[]) AS e(id)}{sqlite:(SELECT value AS id FROM json_each($1)) e}";

/// A search in the order of time.
pub(super) struct Window<'a> {
    store: &'a Store,
    experiments: &'a [i64],
    /// Where its page begins.
    start: i64,
    newest: bool,
}

impl<'a> Window<'a> {
    /// `None` if the search has another order.
    pub(super) fn of(store: &'a Store, query: &'a Query) -> Option<Self> {
        let Query { experiments, order, conditions, token, .. } = query;
        let first = order.first().filter(|clause| clause.column == Column::Time(TimeAttribute::Timestamp))?;
        let newest = !first.ascending;
        let cursor = match token {
            PageToken::Key(values) => match values.first()? {
                KeyValue::Int(time) => Some(*time),
                _ => return None,
            },
            PageToken::Offset(_) => None,
        };
        let bounds = conditions.iter().filter_map(|condition| bound(condition, newest)).chain(cursor);
        let start = if newest { bounds.min().unwrap_or(i64::MAX) } else { bounds.max().unwrap_or(i64::MIN) };
        Some(Self { store, experiments, start, newest })
    }

    /// The part of time with about the first `traces` traces of each experiment; `None` if there are no more than those.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn first(&self, traces: i64) -> Result<Option<Part>> {
        let (sql, op): (&'static Sql<Child>, _) = if self.newest { (&NEWEST, ">=") } else { (&OLDEST, "<=") };
        let values = vec![self.experiments.to_vec().into(), self.start.into(), traces.into()];
        let statement = Statement::new(sql, values).planned(Plan::IndexOrder);
        let time = self.store.db.query(statement, |row| row.get::<Option<i64>>(0)).await?;
        let time = time.into_iter().next().flatten();
        Ok(time.map(|time| Part { time, op }))
    }
}

/// A part of time: from now back to a time, or up to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    time: i64,
    op: &'static str,
}

impl Part {
    /// Restricts a search to this part, which is read from the index of experiments and times. A comparison of rows leaves
    /// PostgreSQL no other index, such as that of times, which has the traces of all experiments, and a subquery that
    /// stays one leaves it no other order of the join.
    pub(super) fn restrict(self, select: &mut Select, dialect: Dialect, experiments: &Experiments) {
        let (op, time) = (self.op, select.bind(self.time));
        let within = |row: &str, experiment: &str| match dialect {
            Dialect::Postgres => format!(
                "{row}.experiment_id = {experiment} \
                 AND ({row}.experiment_id, {row}.timestamp_ms) {op} ({experiment}, {time})"
            ),
            Dialect::Sqlite => format!("{row}.experiment_id = {experiment} AND {row}.timestamp_ms {op} {time}"),
        };
        let each = experiments.rows();
        match (experiments.one(), dialect) {
            (Some(one), _) => select.filter(within("t", one)),
            (None, Dialect::Postgres) => select.read_from(format!(
                "{each} CROSS JOIN LATERAL (SELECT * FROM trace_info x WHERE {} OFFSET 0) t",
                within("x", "e.id")
            )),
            (None, Dialect::Sqlite) => {
                select.driven_by_list(&each);
                select.filter(within("t", "e.id"));
            }
        }
    }
}

/// The latest time that a condition allows, or the earliest one.
fn bound(condition: &Condition, latest: bool) -> Option<i64> {
    let Condition::Time { column: TimeAttribute::Timestamp, op, value } = condition else { return None };
    let is_bound = match op {
        NumberOp::Equal => true,
        NumberOp::Less | NumberOp::LessOrEqual => latest,
        NumberOp::Greater | NumberOp::GreaterOrEqual => !latest,
        NumberOp::NotEqual => false,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    let time = match value {
        Number::Int(value) => *value,
        Number::Real(value) if latest => value.ceil() as i64,
        Number::Real(value) => value.floor() as i64,
    };
    is_bound.then_some(time)
}
