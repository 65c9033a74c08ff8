//! The rows of a batch: deduplicated, and sorted so that concurrent transactions lock rows in the same order (no
//! deadlocks).

use std::collections::BTreeMap;

use super::{MetricPoint, ModelMetricPoint, RunWrite, apply::RUN_NAME_TAG};
use crate::{
    db::{Column, Guard, Insert, Value, bool, dialect::Dialect, int, real, text},
    statements::statements,
    workspace::Workspace,
};

/// One value per run and key, with the position at which the key was first seen.
pub(super) type Keyed<'a, T> = BTreeMap<(&'a str, &'a str), (usize, T)>;

/// The order of new rows: by run and key. On SQLite, which has a single writer and returns the rows of a run in
/// insertion order, by run and position.
fn in_order<T>(keyed: Keyed<'_, T>, dialect: Dialect) -> impl Iterator<Item = (&str, &str, T)> {
    let mut rows: Vec<_> = keyed.into_iter().collect();
    if dialect == Dialect::Sqlite {
        rows.sort_unstable_by_key(|((run_id, _), (came, _))| (*run_id, *came));
    }
    rows.into_iter().map(|((run_id, key), (_, value))| (run_id, key, value))
}

statements! {
    /// The guard of inserts in SQLite, which looks up each run once.
    static IS_ACTIVE: Workspace =
        "SELECT 1 FROM runs o WHERE o.run_uuid = $1 AND o.lifecycle_stage = 'active' AND {ws of o}";
}

/// Inserts only rows whose run is active.
fn active_runs(workspace: &Workspace, run_ids: &[String]) -> Guard {
    Guard {
        workspace: workspace.clone(),
        postgres: "r.run_uuid IN (SELECT run_uuid FROM runs o WHERE run_uuid = ANY({list}) \
                   AND lifecycle_stage = 'active' AND {ws of o})",
        sqlite: &IS_ACTIVE,
        key: "run_uuid",
        list: run_ids.to_vec(),
    }
}

const METRIC_COLUMNS: &[Column] =
    &[text("key"), real("value"), int("timestamp"), text("run_uuid"), int("step"), bool("is_nan")];

const MODEL_METRIC_COLUMNS: &[Column] = &[
    text("model_id"),
    text("metric_name"),
    int("metric_timestamp_ms"),
    int("metric_step"),
    real("metric_value"),
    int("experiment_id"),
    text("run_id"),
    text("dataset_name"),
    text("dataset_digest"),
];

const PAIR_COLUMNS: &[Column] = &[text("key"), text("value"), text("run_uuid")];

fn metric_row(run_id: &str, point: &MetricPoint) -> Vec<Value> {
    vec![
        point.key.as_str().into(),
        point.value.into(),
        point.timestamp.into(),
        run_id.into(),
        point.step.into(),
        point.is_nan.into(),
    ]
}

/// Metric points. A duplicate of a stored point is the same point logged again and is skipped.
pub(super) fn metrics(workspace: &Workspace, writes: &[&RunWrite], run_ids: &[String]) -> Insert {
    let mut points: Vec<(&str, &MetricPoint)> =
        writes.iter().flat_map(|write| write.metrics.iter().map(|point| (write.run_id.as_str(), point))).collect();
    points.sort_by(|(a_run, a), (b_run, b)| {
        (*a_run, &a.key, a.timestamp, a.step)
            .cmp(&(*b_run, &b.key, b.timestamp, b.step))
            .then(a.value.total_cmp(&b.value))
            .then(a.is_nan.cmp(&b.is_nan))
    });
    points.dedup();
    Insert {
        table: "metrics",
        columns: METRIC_COLUMNS,
        only_if: Some(active_runs(workspace, run_ids)),
        on_conflict: "ON CONFLICT DO NOTHING",
        rows: points.into_iter().map(|(run_id, point)| metric_row(run_id, point)).collect(),
    }
}

/// The latest point of every metric by (step, timestamp, value). The upsert compares with the stored point in the same
/// order.
pub(super) fn latest_metrics(
    workspace: &Workspace,
    writes: &[&RunWrite],
    run_ids: &[String],
    dialect: Dialect,
) -> Insert {
    let mut latest: Keyed<'_, &MetricPoint> = BTreeMap::new();
    for write in writes {
        for point in &write.metrics {
            let came = latest.len();
            latest
                .entry((&write.run_id, &point.key))
                .and_modify(|(_, newest)| {
                    if is_newer(point, newest) {
                        *newest = point;
                    }
                })
                .or_insert((came, point));
        }
    }
    Insert {
        table: "latest_metrics",
        columns: METRIC_COLUMNS,
        only_if: Some(active_runs(workspace, run_ids)),
        on_conflict: "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, \
                      step = excluded.step, is_nan = excluded.is_nan \
                      WHERE (excluded.step, excluded.timestamp, excluded.value) > \
                      (latest_metrics.step, COALESCE(latest_metrics.timestamp, 0), latest_metrics.value)",
        rows: in_order(latest, dialect).map(|(run_id, _, point)| metric_row(run_id, point)).collect(),
    }
}

fn is_newer(a: &MetricPoint, b: &MetricPoint) -> bool {
    (a.step, a.timestamp).cmp(&(b.step, b.timestamp)).then(a.value.total_cmp(&b.value)).is_gt()
}

/// Metric points of logged models.
pub(super) fn model_metrics<'a>(writes: impl Iterator<Item = (&'a RunWrite, i64)>) -> Insert {
    let mut points: Vec<(&str, i64, &ModelMetricPoint)> = writes
        .flat_map(|(write, experiment)| {
            write.model_metrics.iter().map(move |point| (write.run_id.as_str(), experiment, point))
        })
        .collect();
    points.sort_by(|(a_run, _, a), (b_run, _, b)| {
        (&a.model_id, &a.point.key, a.point.timestamp, a.point.step, *a_run).cmp(&(
            &b.model_id,
            &b.point.key,
            b.point.timestamp,
            b.point.step,
            *b_run,
        ))
    });
    Insert {
        table: "logged_model_metrics",
        columns: MODEL_METRIC_COLUMNS,
        only_if: None,
        on_conflict: "ON CONFLICT DO NOTHING",
        rows: points
            .into_iter()
            .map(|(run_id, experiment, model)| {
                vec![
                    model.model_id.as_str().into(),
                    model.point.key.as_str().into(),
                    model.point.timestamp.into(),
                    model.point.step.into(),
                    model.point.value.into(),
                    experiment.into(),
                    run_id.into(),
                    model.dataset_name.clone().into(),
                    model.dataset_digest.clone().into(),
                ]
            })
            .collect(),
    }
}

/// New params. If another transaction inserted one meanwhile, fewer rows are inserted than given.
pub(super) fn params(params: Keyed<'_, &str>, dialect: Dialect) -> Insert {
    Insert {
        table: "params",
        columns: PAIR_COLUMNS,
        only_if: None,
        on_conflict: "ON CONFLICT DO NOTHING",
        rows: pair_rows(params, dialect),
    }
}

/// Tags; the last one of a key wins.
pub(super) fn tags(workspace: &Workspace, writes: &[&RunWrite], run_ids: &[String], dialect: Dialect) -> Insert {
    let mut last: Keyed<'_, &str> = BTreeMap::new();
    for write in writes {
        for tag in write.tags.iter().filter(|tag| tag.key != RUN_NAME_TAG || !tag.value.is_empty()) {
            let came = last.len();
            last.entry((&write.run_id, &tag.key)).or_insert((came, "")).1 = &tag.value;
        }
    }
    Insert {
        table: "tags",
        columns: PAIR_COLUMNS,
        only_if: Some(active_runs(workspace, run_ids)),
        on_conflict: "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value",
        rows: pair_rows(last, dialect),
    }
}

fn pair_rows(pairs: Keyed<'_, &str>, dialect: Dialect) -> Vec<Vec<Value>> {
    in_order(pairs, dialect).map(|(run_id, key, value)| vec![key.into(), value.into(), run_id.into()]).collect()
}
