//! The first logged models of a search in the order of a metric, from `ff_logged_model_metrics_value`.
//!
//! The index has the values of a metric in order, of all experiments and of all points. A page needs the first of them
//! whose point is the newest of its model. They are read up to a value that is some entries away: if the page is not full by
//! then, all points of the metric are read. Where the experiments have few models, each of them is looked at instead.

use ferroflow_search::{KeyValue, PageToken};

use crate::{
    db::{Plan, Statement, dialect::Dialect},
    query::{experiments::Experiments, select::Select},
};

/// Entries of the index that are read for each model of a page.
const REACH: i64 = 4;

/// Number of models in the experiments of a search up to which each of them is looked at.
const FEW: i64 = 1_000;

/// The statement that returns a row if some experiments have more models than that.
pub(super) fn are_many(mut select: Select, experiments: &Experiments) -> Statement {
    select.filter(experiments.contain("m"));
    let few = select.bind(FEW);
    select.plan(Plan::NoTableScan);
    select.statement(|from, conditions| format!("SELECT 1 FROM {from} WHERE {conditions} LIMIT 1 OFFSET {few}"))
}

/// The metric of the first clause of an order.
pub(super) struct First<'a> {
    /// The condition on the rows of the metric, with its name.
    pub(super) on: &'a str,
    /// Its name as a bound value.
    pub(super) name: &'a str,
    pub(super) descending: bool,
}

/// Reads the first models `m` of an order with their values `o0`. Returns false if the page begins behind all values.
pub(super) fn read_first(
    select: &mut Select,
    dialect: Dialect,
    first: &First<'_>,
    token: &PageToken,
    limit: i64,
) -> bool {
    let First { on, name, descending } = *first;
    // PostgreSQL orders NaN after all numbers.
    let (order, begin, end, last) = if descending {
        (" DESC", "<=", ">=", dialect.pick("'-Infinity'", "-9e999"))
    } else {
        ("", ">=", "<=", dialect.pick("'NaN'", "9e999"))
    };
    let cursor = match token {
        PageToken::Offset(0) => String::new(),
        PageToken::Key(values) => match values.as_slice() {
            [KeyValue::Int(0), KeyValue::Real(value), ..] => {
                format!(" AND metric_value {begin} {}", select.bind(*value))
            }
            _ => return false,
        },
        PageToken::Offset(_) => return false,
    };
    let rows = select.bind(limit.saturating_add(1).saturating_mul(REACH));
    let tests = format!(
        "{on}{cursor} AND metric_value {end} COALESCE((SELECT b.metric_value FROM logged_model_metrics b \
         WHERE b.metric_name = {name} AND b.metric_value IS NOT NULL{} ORDER BY b.metric_value{order} \
         LIMIT 1 OFFSET {rows}), {last})",
        cursor.replace("metric_value", "b.metric_value"),
    );
    let newer = |alias: &str| {
        format!(
            "NOT EXISTS (SELECT 1 FROM logged_model_metrics WHERE model_id = {alias}.model_id AND {on} \
             AND metric_timestamp_ms >= {alias}.metric_timestamp_ms \
             AND (metric_timestamp_ms > {alias}.metric_timestamp_ms OR metric_step > {alias}.metric_step \
             OR (metric_step = {alias}.metric_step AND run_id < {alias}.run_id)) LIMIT 1 OFFSET 0)"
        )
    };
    match dialect {
        Dialect::Postgres => {
            select.read_from(format!(
                "(SELECT l.model_id, l.metric_value FROM logged_model_metrics l WHERE {tests} AND {} \
                 ORDER BY l.metric_value OFFSET 0) o0 \
                 CROSS JOIN LATERAL (SELECT * FROM logged_models x WHERE x.model_id = o0.model_id OFFSET 0) m",
                newer("l")
            ));
            select.plan(Plan::IndexScan);
        }
        Dialect::Sqlite => {
            select.read_from(format!(
                "(SELECT l.model_id, l.metric_value FROM logged_model_metrics l WHERE {tests} AND {} LIMIT -1) o0 \
                 CROSS JOIN logged_models m",
                newer("l")
            ));
            select.filter("m.model_id = o0.model_id".to_owned());
        }
    }
    true
}
