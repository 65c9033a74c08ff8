//! Conditions and orders of a search for runs, as SQL on a row `r` of `runs`.

use ferroflow_search::{
    Number, PairTest, TextTest,
    runs::{Column, Condition, DatasetAttribute, TextAttribute, TimeAttribute},
};

use super::{
    run_window::{bound_of, key},
    runs::RUN_NAME_TAG,
};
use crate::{
    db::dialect::Dialect,
    query::{
        compare::{self, Approach, Pairs},
        select::{KeyKind, Select},
    },
    schema::own_indexes::{NEWEST, RUN_TAGS, is_run_tag},
};

const TAGS: Pairs = Pairs { table: "tags", owner: "run_uuid", key: "key", value: "value" };
const PARAMS: Pairs = Pairs { table: "params", owner: "run_uuid", key: "key", value: "value" };

/// The index of the condition on metrics, params or tags that drives the query: the most selective one, by kind.
/// Equality with a text comes first.
pub(super) fn driving_condition(conditions: &[Condition]) -> Option<usize> {
    let cost = |condition: &Condition| match condition {
        Condition::Param { test: PairTest::Value(TextTest::Equal(_) | TextTest::In(_)), .. }
        | Condition::Tag { test: PairTest::Value(TextTest::Equal(_) | TextTest::In(_)), .. } => Some(0),
        Condition::Metric { .. } => Some(1),
        Condition::Param { test: PairTest::Value(_) | PairTest::IsNotNull, .. }
        | Condition::Tag { test: PairTest::Value(_) | PairTest::IsNotNull, .. }
        | Condition::Text { column: TextAttribute::RunName, .. } => Some(2),
        _ => None,
    };
    let candidates = conditions.iter().enumerate().filter_map(|(index, condition)| Some((cost(condition)?, index)));
    candidates.min().map(|(_, index)| index)
}

/// A condition on a metric as SQL, on the row that is joined for the first clause of an order, so that it is read once.
pub(super) fn condition_of_order(select: &mut Select, condition: &Condition) -> String {
    let Condition::Metric { op, value, .. } = condition else { return "FALSE".to_owned() };
    compare::metric(select, *op, *value).replace("value", "o0.value").replace("is_nan", "o0.is_nan")
}

/// A condition as SQL.
pub(super) fn condition_sql(
    select: &mut Select,
    dialect: Dialect,
    condition: &Condition,
    approach: Approach,
    is_indexed: bool,
) -> String {
    match condition {
        Condition::Metric { key, op, value } => {
            let key = select.bind(key);
            let test = format!("key = {key} AND {}", compare::metric(select, *op, *value));
            approach.condition("latest_metrics", "run_uuid", "r.run_uuid", &test)
        }
        Condition::Param { key, test } => pair(select, dialect, &PARAMS, key, test, approach, is_indexed),
        Condition::Tag { key, test } => {
            pair(select, dialect, &TAGS, key, test, approach, is_indexed && is_run_tag(key))
        }
        // Runs logged by MLflow 1.29 and older have their name only in the tag.
        Condition::Text { column: TextAttribute::RunName, test } => {
            let test = PairTest::Value(test.clone());
            pair(select, dialect, &TAGS, RUN_NAME_TAG, &test, approach, is_indexed)
        }
        Condition::Text { column, test } => compare::text(select, dialect, text_column(*column), test),
        Condition::Time { column, op, value } => {
            let column = time_column(*column);
            let mut test = match value {
                Number::Int(value) => compare::number(select, column, *op, *value),
                Number::Real(value) => compare::number(select, column, *op, *value),
            };
            // The same for the key of the index, whose scan then ends there.
            for (latest, sign) in [(true, "<="), (false, ">=")] {
                if let Some(bound) = bound_of(condition, latest) {
                    test.push_str(&format!(" AND {} {sign} {}", key("r"), select.bind(bound)));
                }
            }
            test
        }
        Condition::Dataset { column, test } => {
            let (join, column) = match column {
                DatasetAttribute::Name => ("", "d.name"),
                DatasetAttribute::Digest => ("", "d.digest"),
                DatasetAttribute::Context => {
                    (" JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context'", "t.value")
                }
            };
            let test = compare::text(select, dialect, column, test);
            let of = format!("datasets d JOIN inputs i ON i.source_id = d.dataset_uuid{join}");
            if approach == Approach::FencedLookUp {
                let test = format!("i.destination_type = 'RUN' AND {test}");
                return approach.condition(&of, "i.destination_id", "r.run_uuid", &test);
            }
            Approach::Drive.condition(&of, "i.destination_id", "r.run_uuid", &test)
        }
    }
}

/// A condition on a tag or param. `is_indexed` says that an index of ferroflow's own has its value.
fn pair(
    select: &mut Select,
    dialect: Dialect,
    pairs: &Pairs,
    key: &str,
    test: &PairTest,
    approach: Approach,
    is_indexed: bool,
) -> String {
    let PairTest::Value(TextTest::Equal(value)) = test else {
        return compare::pair(select, dialect, "r.run_uuid", pairs, key, test, approach);
    };
    if !matches!(approach, Approach::Drive | Approach::Owners) || !is_indexed {
        return compare::pair(select, dialect, "r.run_uuid", pairs, key, test, approach);
    }
    let only = if pairs.table == TAGS.table { RUN_TAGS } else { "TRUE" };
    let test = format!("{} AND {only}", compare::indexed_pair(select, dialect, pairs, key, value));
    approach.condition(pairs.table, pairs.owner, "r.run_uuid", &test)
}

/// How the values of an order are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// As the planner chooses.
    Free,
    /// Run by run, by primary key.
    ByRun,
    /// The same, and those of the first clause are rows of the query, called so.
    FirstAs(&'static str),
}

/// Adds a clause of an order. Runs without a value come last in both directions, preceded by those whose metric is NaN.
pub(super) fn order_by(
    select: &mut Select,
    dialect: Dialect,
    index: usize,
    column: &Column,
    descending: bool,
    joined: Joined,
) {
    match column {
        // The id is unique, so it is the last key of every order.
        Column::Text(TextAttribute::RunId) => select.order_by("r.run_uuid", descending, KeyKind::Text),
        Column::Text(column) => {
            select.nulls_last(text_column(*column));
            select.order_by(text_column(*column), descending, KeyKind::Text);
        }
        Column::Time(TimeAttribute::StartTime) if descending => {
            select.order_by(NEWEST.replace("start_time", "r.start_time"), true, KeyKind::Int);
        }
        Column::Time(column) => {
            select.nulls_last(time_column(*column));
            select.order_by(time_column(*column), descending, KeyKind::Int);
        }
        Column::Metric(key) => {
            let value = joined_value(select, dialect, index, "latest_metrics", "value, is_nan", key, joined);
            let rank = format!("CASE WHEN o{index}.is_nan THEN 1 WHEN {value} IS NULL THEN 2 ELSE 0 END");
            select.order_by(rank, false, KeyKind::Int);
            select.order_by(value, descending, KeyKind::Real);
        }
        Column::Param(key) => {
            let value = joined_value(select, dialect, index, "params", "value", key, joined);
            select.nulls_last(&value);
            select.order_by(value, descending, KeyKind::Text);
        }
        Column::Tag(key) => {
            let value = joined_value(select, dialect, index, "tags", "value", key, joined);
            select.nulls_last(&value);
            select.order_by(value, descending, KeyKind::Text);
        }
    }
}

/// Joins the value of one key per run, unless it is there already, and returns its column.
fn joined_value(
    select: &mut Select,
    dialect: Dialect,
    index: usize,
    table: &str,
    columns: &str,
    key: &str,
    joined: Joined,
) -> String {
    if let (Joined::FirstAs(alias), 0) = (joined, index) {
        return format!("{alias}.value");
    }
    let (alias, key) = (format!("o{index}"), select.bind(key));
    select.join(&if joined != Joined::Free && dialect == Dialect::Postgres {
        format!(
            "LEFT JOIN LATERAL (SELECT {columns} FROM {table} x WHERE x.key = {key} AND x.run_uuid = r.run_uuid \
             OFFSET 0) {alias} ON TRUE"
        )
    } else {
        format!("LEFT JOIN {table} {alias} ON {alias}.key = {key} AND {alias}.run_uuid = r.run_uuid")
    });
    format!("{alias}.value")
}

fn text_column(column: TextAttribute) -> &'static str {
    match column {
        TextAttribute::RunId => "r.run_uuid",
        TextAttribute::RunName => "r.name",
        TextAttribute::UserId => "r.user_id",
        TextAttribute::Status => "r.status",
        TextAttribute::ArtifactUri => "r.artifact_uri",
    }
}

fn time_column(column: TimeAttribute) -> &'static str {
    match column {
        TimeAttribute::StartTime => "r.start_time",
        TimeAttribute::EndTime => "r.end_time",
    }
}
