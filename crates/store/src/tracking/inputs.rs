//! Inputs and outputs of runs: datasets and logged models.

use std::collections::{BTreeMap, HashMap, HashSet};

use ferroflow_model::{
    Result,
    messages::service::{DatasetInput, DatasetSummary, ModelInput, ModelOutput},
    validation,
};

use crate::{
    Scoped,
    db::{Column, DbError, Insert, Key as _, Statement, Tx, Value, int, text},
    statements::statements,
    tracking::{
        keys::{ExperimentKey, RunKey},
        runs::active_run,
    },
    workspace::Workspace,
};

statements! {
    static STORED_DATASETS: ExperimentKey =
        "SELECT dataset_uuid, name, digest FROM datasets WHERE experiment_id = $1 AND name {in $2} AND digest {in $3}";
    static STORED_INPUTS: RunKey =
        "SELECT source_id FROM inputs WHERE source_type = 'DATASET' AND destination_type = 'RUN' \
         AND destination_id = $1 AND source_id {in $2}";
    static SUMMARIES: Workspace =
        "SELECT DISTINCT d.experiment_id, d.name, d.digest, t.value FROM datasets d \
         JOIN inputs i ON i.source_id = d.dataset_uuid{sqlite: AND i.source_type = 'DATASET'} \
         LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context' \
         WHERE d.experiment_id {in $1} AND {ws of d} LIMIT 1000";
}

const DATASET_COLUMNS: &[Column] = &[
    text("dataset_uuid"),
    int("experiment_id"),
    text("name"),
    text("digest"),
    text("dataset_source_type"),
    text("dataset_source"),
    text("dataset_schema"),
    text("dataset_profile"),
];
const INPUT_COLUMNS: &[Column] = &[
    text("input_uuid"),
    text("source_type"),
    text("source_id"),
    text("destination_type"),
    text("destination_id"),
    int("step"),
];
const INPUT_TAG_COLUMNS: &[Column] = &[text("input_uuid"), text("name"), text("value")];

/// A dataset's key within its experiment: name and digest.
type Key = (String, String);

impl Scoped<'_> {
    /// Records datasets and models that a run used. A dataset is stored once per experiment, name and digest; recording
    /// an input again has no effect.
    ///
    /// # Errors
    /// A dataset or tag is not valid, or the run is missing or deleted.
    pub async fn log_inputs(&self, run_id: &str, datasets: Vec<DatasetInput>, models: Vec<ModelInput>) -> Result<()> {
        validation::run_id(run_id)?;
        validation::dataset_inputs(&datasets)?;
        let mut seen = HashSet::new();
        let unique: Vec<(Key, DatasetInput)> = datasets
            .into_iter()
            .map(|mut input| {
                let dataset = input.dataset.get_or_insert_default();
                ((dataset.name().to_owned(), dataset.digest().to_owned()), input)
            })
            .filter(|(key, _)| seen.insert(key.clone()))
            .collect();
        let (unique, models) = (&unique, &models);
        self.store
            .db
            .transaction(|tx| async move {
                let run = active_run(run_id, RunKey::lock(self.workspace, &tx, run_id).await?)?;
                if !unique.is_empty() {
                    link_datasets(&tx, run_id, &run, unique).await?;
                }
                if !models.is_empty() {
                    let ids: HashSet<&str> = models.iter().map(ModelInput::model_id).collect();
                    let rows = ids.into_iter().map(|id| edge("RUN_INPUT", run_id, "MODEL_INPUT", id, 0)).collect();
                    tx.insert(inputs(rows, "ON CONFLICT DO NOTHING")).await?;
                }
                Ok(())
            })
            .await
    }

    /// Records models that a run produced.
    ///
    /// # Errors
    /// The run is missing or deleted, or a model is already recorded.
    pub async fn log_outputs(&self, run_id: &str, models: Vec<ModelOutput>) -> Result<()> {
        let row = |model: &ModelOutput| {
            edge("RUN_OUTPUT", run_id, "MODEL_OUTPUT", model.model_id(), model.step.unwrap_or_default())
        };
        let (models, row) = (&models, &row);
        self.store
            .db
            .transaction(|tx| async move {
                active_run(run_id, RunKey::lock(self.workspace, &tx, run_id).await?)?;
                tx.insert(inputs(models.iter().map(row).collect(), "")).await?;
                Ok(())
            })
            .await
    }

    /// Datasets that runs of the experiments used, with the context of their use; at most 1,000.
    ///
    /// # Errors
    /// An id is not an integer.
    pub async fn search_datasets(&self, experiment_ids: &[String]) -> Result<Vec<DatasetSummary>> {
        let ids = experiment_ids.iter().map(|id| validation::parse_experiment_id(id)).collect::<Result<Vec<_>>>()?;
        let statement = Statement::within(self.workspace, &SUMMARIES, vec![ids.into()]);
        Ok(self
            .store
            .db
            .query(statement, |row| {
                Ok(DatasetSummary {
                    experiment_id: Some(row.get::<i64>(0)?.to_string()),
                    name: row.get(1)?,
                    digest: row.get(2)?,
                    context: row.get(3)?,
                })
            })
            .await?)
    }
}

async fn link_datasets(tx: &Tx, run_id: &str, run: &RunKey, datasets: &[(Key, DatasetInput)]) -> Result<(), DbError> {
    let mut uuids = stored_datasets(tx, run.experiment(), datasets).await?;
    // Runs of an experiment share datasets: inserts in key order, so that concurrent writers do not deadlock.
    let mut new_datasets = BTreeMap::new();
    for (key, input) in datasets {
        if uuids.contains_key(key) {
            continue;
        }
        let Some(dataset) = &input.dataset else { continue };
        let uuid = new_uuid();
        let row = vec![
            uuid.as_str().into(),
            run.experiment().value(),
            dataset.name().into(),
            dataset.digest().into(),
            dataset.source_type().into(),
            dataset.source().into(),
            dataset.schema.clone().into(),
            dataset.profile.clone().into(),
        ];
        new_datasets.insert(key, row);
        uuids.insert(key.clone(), uuid);
    }
    insert_all(tx, "datasets", DATASET_COLUMNS, new_datasets.into_values().collect()).await?;

    let sources: Vec<String> = uuids.values().cloned().collect();
    let stored: HashSet<String> = tx
        .query(Statement::of(run, &STORED_INPUTS, vec![sources.into()]), |row| row.get(0))
        .await?
        .into_iter()
        .collect();
    let mut edges = Vec::new();
    let mut tags = Vec::new();
    for (key, input) in datasets {
        let Some(source) = uuids.get(key).filter(|uuid| !stored.contains(*uuid)) else { continue };
        let row = edge("DATASET", source, "RUN", run_id, 0);
        tags.extend(input.tags.iter().map(|tag| vec![row[0].clone(), tag.key().into(), tag.value().into()]));
        edges.push(row);
    }
    insert_all(tx, "inputs", INPUT_COLUMNS, edges).await?;
    let insert = Insert { table: "input_tags", columns: INPUT_TAG_COLUMNS, only_if: None, on_conflict: "", rows: tags };
    tx.insert(insert).await?;
    Ok(())
}

/// Inserts rows that did not exist when they were looked up; a conflict if another transaction has inserted them since.
async fn insert_all(
    tx: &Tx,
    table: &'static str,
    columns: &'static [Column],
    rows: Vec<Vec<Value>>,
) -> Result<(), DbError> {
    let expected = rows.len() as u64;
    let insert = Insert { table, columns, only_if: None, on_conflict: "ON CONFLICT DO NOTHING", rows };
    if tx.insert(insert).await? < expected {
        return Err(tx.conflict(format!("another client wrote the same rows of {table}")));
    }
    Ok(())
}

async fn stored_datasets(
    tx: &Tx,
    experiment: ExperimentKey,
    datasets: &[(Key, DatasetInput)],
) -> Result<HashMap<Key, String>, DbError> {
    let (names, digests): (Vec<String>, Vec<String>) = datasets.iter().map(|(key, _)| key.clone()).unzip();
    let statement = Statement::of(&experiment, &STORED_DATASETS, vec![names.into(), digests.into()]);
    let rows = tx.query(statement, |row| Ok(((row.get(1)?, row.get(2)?), row.get(0)?))).await?;
    Ok(rows.into_iter().collect())
}

fn new_uuid() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn edge(source_type: &str, source: &str, destination_type: &str, destination: &str, step: i64) -> Vec<Value> {
    vec![new_uuid().into(), source_type.into(), source.into(), destination_type.into(), destination.into(), step.into()]
}

fn inputs(rows: Vec<Vec<Value>>, on_conflict: &'static str) -> Insert {
    Insert { table: "inputs", columns: INPUT_COLUMNS, only_if: None, on_conflict, rows }
}
