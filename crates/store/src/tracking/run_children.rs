//! Children of runs: latest metrics, params, tags, inputs and outputs. One query per kind for any number of runs, all
//! pipelined.

use std::collections::HashMap;

use ferroflow_model::messages::service::{
    Dataset, DatasetInput, InputTag, Metric, ModelInput, ModelOutput, Param, Run, RunData, RunInfo, RunInputs,
    RunOutputs, RunTag,
};

use crate::{
    db::{self, Conn, DbError, Row, Statement},
    statements::statements,
    tracking::runs::RUN_NAME_TAG,
};

// Both databases read the children of one run after the other, from an index: SQLite never reorders a CROSS JOIN, and in
// PostgreSQL `OFFSET 0` is an optimization fence. With `= ANY`, PostgreSQL would read the whole table for a page of runs
// until it has statistics of it.
statements! {
    static METRICS: db::Child =
        "SELECT m.run_uuid, m.key, m.value, m.timestamp, m.step, m.is_nan {postgres:FROM unnest($1::text[]) AS w(run_uuid) \
         CROSS JOIN LATERAL (SELECT * FROM latest_metrics WHERE run_uuid = w.run_uuid OFFSET 0) m}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN latest_metrics m ON m.run_uuid = w.value}";
    static PARAMS: db::Child =
        "SELECT p.run_uuid, p.key, p.value {postgres:FROM unnest($1::text[]) AS w(run_uuid) \
         CROSS JOIN LATERAL (SELECT * FROM params WHERE run_uuid = w.run_uuid OFFSET 0) p}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN params p ON p.run_uuid = w.value}";
    static TAGS: db::Child =
        "SELECT t.run_uuid, t.key, t.value {postgres:FROM unnest($1::text[]) AS w(run_uuid) \
         CROSS JOIN LATERAL (SELECT * FROM tags WHERE run_uuid = w.run_uuid OFFSET 0) t}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN tags t ON t.run_uuid = w.value}";

    /// Inputs of a run have no stored order. They are returned in physical order, which is the order of logging until
    /// deleted rows are reused (docs/differences.md); the reference leaves the order undefined.
    static DATASETS: db::Child =
        "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, \
         d.dataset_schema, d.dataset_profile, t.name, t.value \
         {postgres:FROM unnest($1::text[]) AS w(run_uuid) CROSS JOIN LATERAL (SELECT *, ctid AS place FROM inputs \
         WHERE destination_type = 'RUN' AND source_type = 'DATASET' AND destination_id = w.run_uuid OFFSET 0) i \
         JOIN datasets d ON d.dataset_uuid = i.source_id LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid \
         ORDER BY i.destination_id, i.place, t.name}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN inputs i ON i.destination_type = 'RUN' \
         AND i.source_type = 'DATASET' AND i.destination_id = w.value \
         CROSS JOIN datasets d ON d.dataset_uuid = i.source_id \
         LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid \
         ORDER BY i.destination_id, i.rowid, t.name}";
    static MODELS: db::Child =
        "SELECT i.source_id, i.source_type, i.destination_id, i.step {postgres:FROM unnest($1::text[]) AS w(run_uuid) \
         CROSS JOIN LATERAL (SELECT * FROM inputs WHERE source_id = w.run_uuid AND \
         ((source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT') OR \
         (source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT')) OFFSET 0) i}\
         {sqlite:FROM json_each($1) AS w \
         CROSS JOIN inputs i ON i.source_id = w.value AND i.source_type IN ('RUN_INPUT', 'RUN_OUTPUT') \
         AND i.destination_type IN ('MODEL_INPUT', 'MODEL_OUTPUT')}";
}

/// Which children are loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// For `runs/get`: includes model inputs.
    OneRun,
    /// For `runs/search`: omits model inputs.
    Page,
}

/// The children of runs, in the order of the requested ids.
pub(crate) struct Children {
    runs: Vec<Child>,
    extent: Extent,
    /// The input of the last row of [`DATASETS`].
    last_input: String,
}

#[derive(Default)]
struct Child {
    data: RunData,
    inputs: RunInputs,
    outputs: Option<RunOutputs>,
}

/// Loads the children of runs.
pub(crate) async fn load(conn: &Conn, run_ids: Vec<String>, extent: Extent) -> Result<Children, DbError> {
    let mut children = Children { runs: Vec::new(), extent, last_input: String::new() };
    children.runs.resize_with(run_ids.len(), Child::default);
    if run_ids.is_empty() {
        return Ok(children);
    }
    let add =
        [Children::add_metric, Children::add_param, Children::add_tag, Children::add_dataset, Children::add_model];
    let statements = [&METRICS, &PARAMS, &TAGS, &DATASETS, &MODELS]
        .map(|sql| Statement::new(sql, vec![run_ids.as_slice().into()]))
        .to_vec();
    let mut places = RunIndex::new(run_ids);
    conn.fold_all(statements, children, move |children, which, row| {
        let at = places.of(row.str(0)?)?;
        add[which](children, at, row)
    })
    .await
}

impl Children {
    fn add_metric(&mut self, at: usize, row: &Row<'_>) -> Result<(), DbError> {
        let is_nan: bool = row.get(5)?;
        self.runs[at].data.metrics.push(Metric {
            key: row.get(1)?,
            value: Some(if is_nan { f64::NAN } else { row.get(2)? }),
            timestamp: row.get(3)?,
            step: row.get(4)?,
            ..Metric::default()
        });
        Ok(())
    }

    fn add_param(&mut self, at: usize, row: &Row<'_>) -> Result<(), DbError> {
        self.runs[at].data.params.push(Param { key: row.get(1)?, value: row.get(2)? });
        Ok(())
    }

    fn add_tag(&mut self, at: usize, row: &Row<'_>) -> Result<(), DbError> {
        self.runs[at].data.tags.push(RunTag { key: row.get(1)?, value: row.get(2)? });
        Ok(())
    }

    /// A row per tag of an input, or one row if it has no tags.
    fn add_dataset(&mut self, at: usize, row: &Row<'_>) -> Result<(), DbError> {
        let inputs = &mut self.runs[at].inputs.dataset_inputs;
        let input = row.str(1)?;
        if self.last_input != input {
            input.clone_into(&mut self.last_input);
            inputs.push(DatasetInput { dataset: Some(dataset_from_row(row)?), tags: Vec::new() });
        }
        if let (Some(key), Some(input)) = (row.get::<Option<String>>(8)?, inputs.last_mut()) {
            input.tags.push(InputTag { key: Some(key), value: row.get(9)? });
        }
        Ok(())
    }

    fn add_model(&mut self, at: usize, row: &Row<'_>) -> Result<(), DbError> {
        let run = &mut self.runs[at];
        let model_id = row.get(2)?;
        if row.str(1)? == "RUN_OUTPUT" {
            let outputs = run.outputs.get_or_insert_default();
            outputs.model_outputs.push(ModelOutput { model_id, step: row.get(3)? });
        } else if self.extent == Extent::OneRun {
            run.inputs.model_inputs.push(ModelInput { model_id });
        }
        Ok(())
    }
}

/// Attaches the loaded children. `infos` are in the order of the loaded ids.
pub(crate) fn attach(infos: Vec<RunInfo>, children: Vec<Children>) -> Vec<Run> {
    infos
        .into_iter()
        .zip(children.into_iter().flat_map(|part| part.runs))
        .map(|(mut info, child)| {
            // Runs logged by MLflow 1.29 and older have their name only in the tag.
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

/// The index of each run in the list of requested ids.
struct RunIndex {
    run_ids: Vec<String>,
    index: HashMap<String, usize>,
    last: usize,
}

impl RunIndex {
    fn new(run_ids: Vec<String>) -> Self {
        let index = run_ids.iter().cloned().enumerate().map(|(at, id)| (id, at)).collect();
        Self { run_ids, index, last: 0 }
    }

    fn of(&mut self, run_id: &str) -> Result<usize, DbError> {
        // Rows of the same run are usually adjacent.
        if self.run_ids[self.last] != run_id {
            let place = self.index.get(run_id).copied();
            self.last = place.ok_or_else(|| DbError::Other("a row of a run that was not requested".into()))?;
        }
        Ok(self.last)
    }
}

fn dataset_from_row(row: &Row<'_>) -> Result<Dataset, DbError> {
    Ok(Dataset {
        name: row.get(2)?,
        digest: row.get(3)?,
        source_type: row.get(4)?,
        source: row.get(5)?,
        schema: row.get::<Option<String>>(6)?.filter(|schema| !schema.is_empty()),
        profile: row.get::<Option<String>>(7)?.filter(|profile| !profile.is_empty()),
    })
}
