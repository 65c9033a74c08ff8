//! Conditions and orders of a search for logged models as SQL.

use ferroflow_model::messages::service::SearchLoggedModelsDataset;
use ferroflow_search::{
    PairTest, TextTest,
    logged_models::{Attribute, Column, Condition},
};

use crate::{
    db::{Plan, dialect::Dialect},
    query::{
        compare::{self, Approach, Pairs},
        select::{KeyKind, Select},
    },
};

const TAGS: Pairs = Pairs { table: "logged_model_tags", owner: "model_id", key: "tag_key", value: "tag_value" };
const PARAMS: Pairs = Pairs { table: "logged_model_params", owner: "model_id", key: "param_key", value: "param_value" };

/// Reads the models with the value of a param or tag, from an index of values.
pub(super) fn drive(select: &mut Select, dialect: Dialect, condition: &Condition) {
    let (pairs, key, value) = match condition {
        Condition::Param { key, test: TextTest::Equal(value) } => (PARAMS, key, value),
        Condition::Tag { key, test: TextTest::Equal(value) } => (TAGS, key, value),
        _ => return,
    };
    let test = compare::indexed_pair(select, dialect, &pairs, key, value);
    let Pairs { table, owner, .. } = pairs;
    let owners = format!("SELECT {owner} FROM {table} WHERE {test}");
    match dialect {
        Dialect::Postgres => {
            select.read_from(format!(
                "({owners} OFFSET 0) d CROSS JOIN LATERAL (SELECT * FROM logged_models x WHERE x.model_id = d.{owner} \
                 OFFSET 0) m"
            ));
            select.plan(Plan::IndexScan);
        }
        Dialect::Sqlite => select.filter(format!("m.model_id IN ({owners})")),
    }
}

/// A condition of a filter.
pub(super) fn condition_sql(
    select: &mut Select,
    dialect: Dialect,
    condition: &Condition,
    on: &str,
    approach: Approach,
) -> String {
    match condition {
        Condition::Text { column, test } => {
            let name = column.column();
            let column = match column {
                Attribute::ExperimentId | Attribute::Status => format!("CAST(m.{name} AS TEXT)"),
                _ => format!("m.{name}"),
            };
            compare::text(select, dialect, &column, test)
        }
        Condition::Time { column, op, value } => {
            compare::number(select, &format!("m.{}", column.column()), *op, *value)
        }
        Condition::Metric { key, op, value } => {
            let key = select.bind(key);
            let test = compare::number(select, "metric_value", *op, *value);
            let test = format!("metric_name = {key} AND {test} AND {on}");
            approach.condition("logged_model_metrics", "model_id", "m.model_id", &test)
        }
        Condition::Param { key, test } => {
            compare::pair(select, dialect, "m.model_id", &PARAMS, key, &PairTest::Value(test.clone()), approach)
        }
        Condition::Tag { key, test } => {
            compare::pair(select, dialect, "m.model_id", &TAGS, key, &PairTest::Value(test.clone()), approach)
        }
    }
}

/// The condition that a metric row is on one of the datasets; one without a digest matches all versions.
pub(super) fn on_datasets(select: &mut Select, datasets: &[SearchLoggedModelsDataset]) -> String {
    let any: Vec<String> = datasets
        .iter()
        .map(|dataset| {
            let name = format!("dataset_name = {}", select.bind(dataset.dataset_name()));
            match dataset.dataset_digest() {
                "" => name,
                digest => format!("({name} AND dataset_digest = {})", select.bind(digest)),
            }
        })
        .collect();
    format!("({})", any.join(" OR "))
}

/// How the values of a metric are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Those of all models, together, in PostgreSQL; otherwise as [`Values::Each`].
    All,
    /// Those of each model, by primary key.
    Each,
    /// Those of the first clause are rows of the query, the others as for [`Values::Each`].
    Read,
}

/// The order of the points of a model from the newest to the oldest.
const NEWEST: &str = "ORDER BY metric_timestamp_ms DESC, metric_step DESC, run_id";

/// Adds a clause of an order. Models without a value come last in both directions.
pub(super) fn order_by(
    select: &mut Select,
    dialect: Dialect,
    index: usize,
    column: &Column,
    descending: bool,
    values: Values,
) {
    let (value, kind) = match column {
        Column::Attribute(Attribute::ModelId) => {
            select.order_by("m.model_id", descending, KeyKind::Text);
            return;
        }
        // Never NULL, and in this order a key of ferroflow's own index.
        Column::Attribute(Attribute::CreationTimestamp) => {
            select.order_by("m.creation_timestamp_ms", descending, KeyKind::Int);
            return;
        }
        Column::Attribute(column) => (format!("m.{}", column.column()), attribute_kind(*column)),
        Column::Metric { .. } if values == Values::Read && index == 0 => {
            (format!("o{index}.metric_value"), KeyKind::Real)
        }
        Column::Metric { key, dataset_name, dataset_digest } => {
            let (_, on) = of_metric(select, key, dataset_name.as_deref(), dataset_digest.as_deref());
            let of_each = format!("FROM logged_model_metrics WHERE model_id = m.model_id AND {on} {NEWEST} LIMIT 1");
            select.join(&match (values, dialect) {
                // It would join the points of all models without an index.
                (_, Dialect::Sqlite) => {
                    format!("LEFT JOIN logged_model_metrics o{index} ON o{index}.rowid = (SELECT rowid {of_each})")
                }
                (Values::All, Dialect::Postgres) => format!(
                    "LEFT JOIN (SELECT model_id, metric_value, row_number() OVER (PARTITION BY model_id {NEWEST}) AS place \
                     FROM logged_model_metrics WHERE {on}) o{index} ON o{index}.model_id = m.model_id AND o{index}.place = 1"
                ),
                (_, Dialect::Postgres) => {
                    format!("LEFT JOIN LATERAL (SELECT metric_value {of_each}) o{index} ON TRUE")
                }
            });
            (format!("o{index}.metric_value"), KeyKind::Real)
        }
    };
    select.nulls_last(&value);
    select.order_by(value, descending, kind);
}

/// The name of a metric as a bound value, and the condition on its rows.
pub(super) fn of_metric(
    select: &mut Select,
    key: &str,
    dataset_name: Option<&str>,
    dataset_digest: Option<&str>,
) -> (String, String) {
    let name = select.bind(key);
    let mut on = format!("metric_name = {name}");
    if let Some(dataset) = dataset_name {
        on.push_str(&format!(" AND dataset_name = {}", select.bind(dataset)));
    }
    if let Some(digest) = dataset_digest {
        on.push_str(&format!(" AND dataset_digest = {}", select.bind(digest)));
    }
    (name, on)
}

fn attribute_kind(column: Attribute) -> KeyKind {
    match column {
        Attribute::ExperimentId
        | Attribute::Status
        | Attribute::CreationTimestamp
        | Attribute::LastUpdatedTimestamp => KeyKind::Int,
        _ => KeyKind::Text,
    }
}
