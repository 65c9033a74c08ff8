//! The first traces of a search in the order of time.
//!
//! A page that ends within them needs no other trace. So a search of several experiments, which no index has in order,
//! sorts a few traces only, and one whose condition many traces meet ends before it reads all others.

use ferroflow_model::Result;
use ferroflow_search::{
    KeyValue, Number, NumberOp, PageToken,
    traces::{Column, Condition, TimeAttribute},
};

use super::trace_search::Query;
use crate::{
    Store,
    db::{Child, Plan, Sql, Statement},
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

    /// A condition that about the first `traces` traces of each experiment meet; `None` if there are no more than those.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn first(&self, traces: i64) -> Result<Option<Condition>> {
        let (sql, op): (&'static Sql<Child>, _) =
            if self.newest { (&NEWEST, NumberOp::GreaterOrEqual) } else { (&OLDEST, NumberOp::LessOrEqual) };
        let values = vec![self.experiments.to_vec().into(), self.start.into(), traces.into()];
        let statement = Statement::new(sql, values).planned(Plan::IndexOrder);
        let time = self.store.db.query(statement, |row| row.get::<Option<i64>>(0)).await?;
        let time = time.into_iter().next().flatten();
        Ok(time.map(|time| Condition::Time { column: TimeAttribute::Timestamp, op, value: Number::Int(time) }))
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
