//! What hangs on runs: latest metrics, params, tags, inputs and outputs. One query for each kind,
//! for any number of runs, all sent at once.

use std::{collections::HashMap, sync::Arc};

use ferroflow_model::messages::service::{
    Dataset, DatasetInput, InputTag, Metric, ModelInput, ModelOutput, Param, Run, RunData, RunInfo, RunInputs,
    RunOutputs, RunTag,
};

use crate::{
    db::{Conn, DbError, Row, Statement},
    dialect::Dialect,
    runs::RUN_NAME_TAG,
};

/// How much is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For `runs/get`: model inputs too.
    OneRun,
    /// For `runs/search`, which leaves model inputs out.
    Page,
}

const METRICS: (&str, &str) = (
    "SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid = ANY($1)",
    "SELECT m.run_uuid, m.key, m.value, m.timestamp, m.step, m.is_nan FROM json_each($1) AS w \
     CROSS JOIN latest_metrics m ON m.run_uuid = w.value",
);
const PARAMS: (&str, &str) = (
    "SELECT run_uuid, key, value FROM params WHERE run_uuid = ANY($1)",
    "SELECT p.run_uuid, p.key, p.value FROM json_each($1) AS w CROSS JOIN params p ON p.run_uuid = w.value",
);
const TAGS: (&str, &str) = (
    "SELECT run_uuid, key, value FROM tags WHERE run_uuid = ANY($1)",
    "SELECT t.run_uuid, t.key, t.value FROM json_each($1) AS w CROSS JOIN tags t ON t.run_uuid = w.value",
);
const DATASETS: (&str, &str) = (
    "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, \
     d.dataset_schema, d.dataset_profile, t.name, t.value \
     FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id \
     LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid \
     WHERE i.destination_type = 'RUN' AND i.source_type = 'DATASET' AND i.destination_id = ANY($1) \
     ORDER BY i.destination_id, i.input_uuid, t.name",
    "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, \
     d.dataset_schema, d.dataset_profile, t.name, t.value \
     FROM json_each($1) AS w CROSS JOIN inputs i ON i.destination_type = 'RUN' AND i.source_type = 'DATASET' \
     AND i.destination_id = w.value \
     CROSS JOIN datasets d ON d.dataset_uuid = i.source_id \
     LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid \
     ORDER BY i.destination_id, i.input_uuid, t.name",
);
const MODELS: (&str, &str) = (
    "SELECT source_id, source_type, destination_id, step FROM inputs WHERE source_id = ANY($1) AND \
     ((source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT') OR \
      (source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'))",
    "SELECT i.source_id, i.source_type, i.destination_id, i.step FROM json_each($1) AS w CROSS JOIN inputs i \
     ON i.source_id = w.value AND i.source_type IN ('RUN_INPUT', 'RUN_OUTPUT') \
     AND i.destination_type IN ('MODEL_INPUT', 'MODEL_OUTPUT')",
);

/// What was found, by the position of the run in the list that was asked for.
pub(crate) struct Children {
    runs: Vec<Child>,
}

#[derive(Default)]
struct Child {
    data: RunData,
    inputs: RunInputs,
    outputs: Option<RunOutputs>,
}

/// Loads everything that hangs on the runs.
pub(crate) async fn load(
    conn: &Conn,
    dialect: Dialect,
    run_ids: Vec<String>,
    scope: Scope,
) -> Result<Children, DbError> {
    let mut runs: Vec<Child> = Vec::new();
    runs.resize_with(run_ids.len(), Child::default);
    if run_ids.is_empty() {
        return Ok(Children { runs });
    }
    let index: Index = Index(Arc::new(run_ids.iter().cloned().enumerate().map(|(at, id)| (id, at)).collect()));
    let statement =
        |sql: (&'static str, &'static str)| Statement::new(dialect.pick(sql.0, sql.1), vec![run_ids.as_slice().into()]);
    let (metrics, params, tags, datasets, models) = tokio::join!(
        conn.query(statement(METRICS), index.mapping(metric_from_row)),
        conn.query(statement(PARAMS), index.mapping(|row| Ok(Param { key: row.get(1)?, value: row.get(2)? }))),
        conn.query(statement(TAGS), index.mapping(|row| Ok(RunTag { key: row.get(1)?, value: row.get(2)? }))),
        conn.query(statement(DATASETS), index.mapping(dataset_from_row)),
        conn.query(
            statement(MODELS),
            index.mapping(|row| { Ok((row.str(1)? == "RUN_OUTPUT", row.get::<String>(2)?, row.get::<i64>(3)?)) })
        ),
    );
    for (at, metric) in metrics? {
        runs[at].data.metrics.push(metric);
    }
    for (at, param) in params? {
        runs[at].data.params.push(param);
    }
    for (at, tag) in tags? {
        runs[at].data.tags.push(tag);
    }
    let mut last = None;
    for (at, (input, dataset, tag)) in datasets? {
        let inputs = &mut runs[at].inputs.dataset_inputs;
        if last.as_ref() != Some(&input) {
            inputs.push(DatasetInput { dataset: Some(dataset), tags: Vec::new() });
            last = Some(input);
        }
        if let (Some(tag), Some(input)) = (tag, inputs.last_mut()) {
            input.tags.push(tag);
        }
    }
    for (at, (is_output, model_id, step)) in models? {
        let run = &mut runs[at];
        if is_output {
            let outputs = run.outputs.get_or_insert_default();
            outputs.model_outputs.push(ModelOutput { model_id: Some(model_id), step: Some(step) });
        } else if scope == Scope::OneRun {
            run.inputs.model_inputs.push(ModelInput { model_id: Some(model_id) });
        }
    }
    Ok(Children { runs })
}

/// Puts runs together. `infos` are in the order of the ids that were loaded.
pub(crate) fn attach(infos: Vec<RunInfo>, children: Children) -> Vec<Run> {
    infos
        .into_iter()
        .zip(children.runs)
        .map(|(mut info, child)| {
            // Runs logged by MLflow 1.29 and older have their name in the tag alone.
            if info.run_name.as_deref().is_none_or(str::is_empty)
                && let Some(tag) = child.data.tags.iter().find(|tag| tag.key() == RUN_NAME_TAG)
            {
                info.run_name.clone_from(&tag.value);
            }
            Run {
                info: Some(info),
                data: Some(child.data),
                inputs: Some(child.inputs),
                outputs: Some(child.outputs.unwrap_or_default()),
            }
        })
        .collect()
}

/// Where each run stands in the list that was asked for.
#[derive(Clone)]
struct Index(Arc<HashMap<String, usize>>);

impl Index {
    /// A mapping of rows that begin with the run's id to (position, what `map` makes of the row).
    fn mapping<T>(
        &self,
        map: impl Fn(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> impl FnMut(&Row<'_>) -> Result<(usize, T), DbError> + Send + 'static {
        let index = Arc::clone(&self.0);
        move |row| {
            let at = index
                .get(row.str(0)?)
                .copied()
                .ok_or_else(|| DbError::Other("a row of a run that was not asked for".into()))?;
            Ok((at, map(row)?))
        }
    }
}

fn metric_from_row(row: &Row<'_>) -> Result<Metric, DbError> {
    let is_nan: bool = row.get(5)?;
    Ok(Metric {
        key: row.get(1)?,
        value: Some(if is_nan { f64::NAN } else { row.get(2)? }),
        timestamp: row.get(3)?,
        step: row.get(4)?,
        ..Metric::default()
    })
}

fn dataset_from_row(row: &Row<'_>) -> Result<(String, Dataset, Option<InputTag>), DbError> {
    let dataset = Dataset {
        name: row.get(2)?,
        digest: row.get(3)?,
        source_type: row.get(4)?,
        source: row.get(5)?,
        schema: row.get::<Option<String>>(6)?.filter(|schema| !schema.is_empty()),
        profile: row.get::<Option<String>>(7)?.filter(|profile| !profile.is_empty()),
    };
    let tag = row.get::<Option<String>>(8)?;
    let tag =
        tag.map(|key| -> Result<_, DbError> { Ok(InputTag { key: Some(key), value: row.get(9)? }) }).transpose()?;
    Ok((row.get(1)?, dataset, tag))
}
