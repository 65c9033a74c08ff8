//! Evaluation datasets: their tags, and the experiments that they belong to.

use std::collections::{HashMap, HashSet};

use ferroflow_model::{
    Error, Result,
    evaluation::{NAME, dataset_digest, dataset_tags},
    messages::datasets::Dataset,
    python_json::{Json, Text},
    validation::exceeds_maximum_length,
};

use crate::{
    Scoped,
    db::{Child, Column, Conn, DbError, Insert, Op, Row, Statement, Tx, clock::now_ms, int, text},
    evaluation::keys::DatasetKey,
    statements::statements,
    workspace::Workspace,
};

/// The columns of a dataset, in the order [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "d.dataset_id, d.name, d.schema, d.profile, d.digest, d.created_time, \
                                  d.last_update_time, d.created_by, d.last_updated_by";

/// The number of columns in [`COLUMNS`].
pub(crate) const COLUMN_COUNT: usize = 9;

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM evaluation_datasets d WHERE d.dataset_id = $1 AND {ws:d}";
    static NAMES: Workspace =
        "SELECT d.dataset_id, d.name FROM evaluation_datasets d WHERE d.dataset_id {in $1} AND {ws:d}";
    static INSERT: Workspace =
        "INSERT INTO evaluation_datasets (dataset_id, name, digest, created_time, last_update_time, created_by, \
         last_updated_by, workspace) VALUES ($1, $2, $3, $4, $4, $5, $5, {ws})";
    static TOUCH: Workspace =
        "UPDATE evaluation_datasets AS d SET last_update_time = $2 WHERE d.dataset_id = $1 AND {ws:d}";
    static DELETE: Workspace =
        "DELETE FROM evaluation_datasets WHERE dataset_id = $1 AND {ws:evaluation_datasets}";

    static TAGS: Child = "SELECT dataset_id, key, value FROM evaluation_dataset_tags WHERE dataset_id {in $1} \
         ORDER BY dataset_id, key";
    static DELETE_TAG: DatasetKey = "DELETE FROM evaluation_dataset_tags WHERE dataset_id = $1 AND key = $2";
    static DELETE_TAGS: DatasetKey = "DELETE FROM evaluation_dataset_tags WHERE dataset_id = $1";
    static DELETE_RECORDS: DatasetKey = "DELETE FROM evaluation_dataset_records WHERE dataset_id = $1";

    static EXPERIMENTS: Workspace =
        "SELECT e.experiment_id FROM experiments e WHERE e.experiment_id {in $1} AND {ws of e}";
    static OF_DATASETS: Workspace =
        "SELECT a.source_id, a.destination_id FROM entity_associations a \
         JOIN evaluation_datasets d ON d.dataset_id = a.source_id \
         WHERE a.source_type = 'evaluation_dataset' AND a.source_id {in $1} AND a.destination_type = 'experiment' \
         AND {ws:d} ORDER BY a.created_time, a.destination_id";
    static REMOVE_EXPERIMENTS: DatasetKey =
        "DELETE FROM entity_associations WHERE source_type = 'evaluation_dataset' AND source_id = $1 \
         AND destination_type = 'experiment' AND destination_id {in $2}";
    static DELETE_FROM: DatasetKey =
        "DELETE FROM entity_associations WHERE source_type = 'evaluation_dataset' AND source_id = $1";
    static DELETE_TO: DatasetKey =
        "DELETE FROM entity_associations WHERE destination_type = 'evaluation_dataset' AND destination_id = $1";
}

const TAG_COLUMNS: &[Column] = &[text("dataset_id"), text("key"), text("value")];
const ASSOCIATION_COLUMNS: &[Column] = &[
    text("association_id"),
    text("source_type"),
    text("source_id"),
    text("destination_type"),
    text("destination_id"),
    int("created_time"),
];

/// The fields of a new dataset.
#[derive(Debug, Clone, Default)]
pub struct NewDataset {
    /// The name, which several may have.
    pub name: String,
    /// The tags as a JSON object; empty for none.
    pub tags: String,
    /// The experiments that it belongs to.
    pub experiment_ids: Vec<String>,
}

/// A tag, with the id of its dataset.
type Tag = (String, String, Option<String>);

impl Scoped<'_> {
    /// Creates a dataset without records.
    ///
    /// # Errors
    /// The name or a tag is not valid, or an experiment does not exist.
    pub async fn create_dataset(&self, new: &NewDataset) -> Result<Dataset> {
        if new.name.chars().count() > NAME {
            return Err(Error::invalid(exceeds_maximum_length("name", NAME)));
        }
        let tags = if new.tags.is_empty() { Vec::new() } else { dataset_tags::parse(&new.tags)? };
        let user = dataset_tags::user(&tags)?;
        let experiment_ids = distinct(&new.experiment_ids);
        let dataset_id = format!("d-{}", uuid::Uuid::new_v4().simple());
        let (now, dataset_id, user) = (now_ms(), &dataset_id, &user);
        let digest = &dataset_digest(&new.name, now);
        let (tags, experiment_ids) = (&tags, &experiment_ids);
        self.creating(|tx, _| async move {
            check_experiments(self.workspace, &tx, experiment_ids).await?;
            let values = vec![dataset_id.into(), (&new.name).into(), digest.into(), now.into(), user.clone().into()];
            tx.run(vec![
                Op::Execute(Statement::within(self.workspace, &INSERT, values)),
                Op::Insert(tags_insert(dataset_id, tags)),
                Op::Insert(associations(dataset_id, experiment_ids, "a-", now)),
            ])
            .await?;
            Ok(())
        })
        .await?;
        Ok(Dataset {
            dataset_id: Some(dataset_id.clone()),
            name: Some(new.name.clone()),
            tags: Some(tags_json(tags.iter().map(|(key, value)| (key.as_str(), value.as_deref())))),
            digest: Some(digest.clone()),
            created_time: Some(now),
            last_update_time: Some(now),
            created_by: user.clone(),
            last_updated_by: user.clone(),
            experiment_ids: experiment_ids.clone(),
            ..Dataset::default()
        })
    }

    /// A dataset, without its experiments.
    ///
    /// # Errors
    /// No dataset has the id.
    pub async fn get_dataset(&self, dataset_id: &str) -> Result<Dataset> {
        let conn = self.store.db.reader().await?;
        let found = self.read_dataset(&conn, dataset_id).await?;
        found.ok_or_else(|| Error::not_found(format!("Evaluation dataset with id '{dataset_id}' not found")))
    }

    async fn read_dataset(&self, conn: &Conn, dataset_id: &str) -> Result<Option<Dataset>, DbError> {
        let (found, tags) = tokio::join!(
            conn.query_opt(Statement::within(self.workspace, &BY_ID, vec![dataset_id.into()]), from_row),
            tags_of(conn, vec![dataset_id.to_owned()]),
        );
        let (Some(mut dataset), tags) = (found?, tags?) else { return Ok(None) };
        dataset.tags = Some(tags_json(tags.iter().map(|(_, key, value)| (key.as_str(), value.as_deref()))));
        Ok(Some(dataset))
    }

    /// Deletes a dataset with its records, if it exists.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_dataset(&self, dataset_id: &str) -> Result<()> {
        self.store
            .db
            .transaction(|tx| async move {
                let Some((key, _)) = DatasetKey::lock(self.workspace, &tx, dataset_id).await? else { return Ok(()) };
                let of_key = [&DELETE_FROM, &DELETE_TO, &DELETE_TAGS, &DELETE_RECORDS];
                let mut steps: Vec<Op> =
                    of_key.into_iter().map(|sql| Op::Execute(Statement::of(&key, sql, Vec::new()))).collect();
                steps.push(Op::Execute(Statement::within(self.workspace, &DELETE, vec![dataset_id.into()])));
                tx.run(steps).await?;
                Ok(())
            })
            .await
    }

    /// Sets tags, given as a JSON object; those without a value are left as they are.
    ///
    /// # Errors
    /// No dataset has the id, or a tag is not valid.
    pub async fn set_dataset_tags(&self, dataset_id: &str, tags: &str) -> Result<()> {
        let mut tags = dataset_tags::parse(tags)?;
        tags.retain(|(_, value)| value.is_some());
        let tags = &tags;
        self.store
            .db
            .transaction(|tx| async move {
                if DatasetKey::find(self.workspace, &tx, dataset_id).await?.is_none() {
                    let text = format!("Could not find evaluation dataset with ID {dataset_id}");
                    return Err(Error::not_found(text));
                }
                tx.insert(tags_insert(dataset_id, tags)).await?;
                Ok(())
            })
            .await
    }

    /// Deletes a tag, if it exists.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_dataset_tag(&self, dataset_id: &str, key: &str) -> Result<()> {
        self.store
            .db
            .transaction(|tx| async move {
                if let Some((dataset, _)) = DatasetKey::find(self.workspace, &tx, dataset_id).await? {
                    tx.execute(Statement::of(&dataset, &DELETE_TAG, vec![key.into()])).await?;
                }
                Ok(())
            })
            .await
    }

    /// The experiments of a dataset, in the order in which it was added to them; none for an unknown dataset.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn dataset_experiment_ids(&self, dataset_id: &str) -> Result<Vec<String>> {
        let mut found = self.experiments_of_datasets(vec![dataset_id.to_owned()]).await?;
        Ok(found.remove(dataset_id).unwrap_or_default())
    }

    /// The names of datasets, by id. Those that are unknown are omitted.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn dataset_names(&self, dataset_ids: Vec<String>) -> Result<HashMap<String, String>> {
        let statement = Statement::within(self.workspace, &NAMES, vec![dataset_ids.into()]);
        let found = self.store.db.query(statement, |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?))).await?;
        Ok(found.into_iter().collect())
    }

    /// The experiments of datasets, by the id of the dataset. Those that are unknown or in no experiment are omitted.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn experiments_of_datasets(&self, dataset_ids: Vec<String>) -> Result<HashMap<String, Vec<String>>> {
        let statement = Statement::within(self.workspace, &OF_DATASETS, vec![dataset_ids.into()]);
        let rows = self.store.db.query(statement, |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?))).await?;
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        for (dataset, experiment) in rows {
            found.entry(dataset).or_default().push(experiment);
        }
        Ok(found)
    }

    /// Adds a dataset to experiments.
    ///
    /// # Errors
    /// There is no such dataset or experiment.
    pub async fn add_dataset_to_experiments(&self, dataset_id: &str, experiment_ids: &[String]) -> Result<Dataset> {
        let experiment_ids = &distinct(experiment_ids);
        self.store
            .db
            .transaction(|tx| async move {
                if DatasetKey::lock(self.workspace, &tx, dataset_id).await?.is_none() {
                    return Err(not_found(dataset_id, ""));
                }
                check_experiments(self.workspace, &tx, experiment_ids).await?;
                let now = now_ms();
                let values = vec![dataset_id.into(), now.into()];
                tx.run(vec![
                    Op::Insert(associations(dataset_id, experiment_ids, "", now)),
                    Op::Execute(Statement::within(self.workspace, &TOUCH, values)),
                ])
                .await?;
                self.read_dataset(tx.conn()?, dataset_id).await?.ok_or_else(|| not_found(dataset_id, ""))
            })
            .await
    }

    /// Removes a dataset from those of the experiments that it belongs to.
    ///
    /// # Errors
    /// No dataset has the id.
    pub async fn remove_dataset_from_experiments(
        &self,
        dataset_id: &str,
        experiment_ids: &[String],
    ) -> Result<Dataset> {
        self.store
            .db
            .transaction(|tx| async move {
                let found = DatasetKey::lock(self.workspace, &tx, dataset_id).await?;
                let (key, _) = found.ok_or_else(|| not_found(dataset_id, ""))?;
                let remove = Statement::of(&key, &REMOVE_EXPERIMENTS, vec![experiment_ids.into()]);
                if tx.execute(remove).await? > 0 {
                    let values = vec![dataset_id.into(), now_ms().into()];
                    tx.execute(Statement::within(self.workspace, &TOUCH, values)).await?;
                }
                self.read_dataset(tx.conn()?, dataset_id).await?.ok_or_else(|| not_found(dataset_id, ""))
            })
            .await
    }
}

/// Reads [`COLUMNS`].
pub(crate) fn from_row(row: &Row<'_>) -> Result<Dataset, DbError> {
    Ok(Dataset {
        dataset_id: row.get(0)?,
        name: row.get(1)?,
        schema: row.get(2)?,
        profile: row.get(3)?,
        digest: row.get(4)?,
        created_time: row.get(5)?,
        last_update_time: row.get(6)?,
        created_by: row.get(7)?,
        last_updated_by: row.get(8)?,
        ..Dataset::default()
    })
}

/// The tags of datasets, by dataset and key.
pub(crate) async fn tags_of(conn: &Conn, dataset_ids: Vec<String>) -> Result<Vec<Tag>, DbError> {
    let statement = Statement::new(&TAGS, vec![dataset_ids.into()]);
    conn.query(statement, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).await
}

/// Tags as a JSON object.
pub(crate) fn tags_json<'a>(tags: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let value = |value: Option<&str>| value.map_or(Json::Null, |value| Json::Text(Text::new(value)));
    Json::Object(tags.map(|(key, of_key)| (Text::new(key), value(of_key))).collect()).dumps()
}

/// The error for a dataset that does not exist. The reference ends some of its messages with a full stop.
pub(crate) fn not_found(dataset_id: &str, stop: &str) -> Error {
    Error::not_found(format!("Dataset '{dataset_id}' not found{stop}"))
}

/// The first of each id, in their order.
fn distinct(ids: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.iter().filter(|id| seen.insert(id.as_str())).cloned().collect()
}

/// Refuses experiments that do not exist in the workspace.
async fn check_experiments(workspace: &Workspace, tx: &Tx, ids: &[String]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let statement = Statement::within(workspace, &EXPERIMENTS, vec![numbers.into()]);
    let found: HashSet<String> =
        tx.query(statement, |row| Ok(row.get::<i64>(0)?.to_string())).await?.into_iter().collect();
    match ids.iter().find(|id| !found.contains(*id)) {
        Some(id) => Err(Error::not_found(format!("No Experiment with id={id}"))),
        None => Ok(()),
    }
}

fn tags_insert(dataset_id: &str, tags: &[(String, Option<String>)]) -> Insert {
    let rows = tags.iter().map(|(key, value)| vec![dataset_id.into(), key.into(), value.clone().into()]).collect();
    Insert {
        table: "evaluation_dataset_tags",
        columns: TAG_COLUMNS,
        only_if: None,
        on_conflict: "ON CONFLICT (dataset_id, key) DO UPDATE SET value = excluded.value",
        rows,
    }
}

fn associations(dataset_id: &str, experiment_ids: &[String], prefix: &str, now: i64) -> Insert {
    let row = |experiment_id: &String| {
        let id = format!("{prefix}{}", uuid::Uuid::new_v4().simple());
        vec![
            id.into(),
            "evaluation_dataset".into(),
            dataset_id.into(),
            "experiment".into(),
            experiment_id.into(),
            now.into(),
        ]
    };
    let mut sorted: Vec<&String> = experiment_ids.iter().collect();
    sorted.sort();
    Insert {
        table: "entity_associations",
        columns: ASSOCIATION_COLUMNS,
        only_if: None,
        on_conflict: "ON CONFLICT (source_type, source_id, destination_type, destination_id) DO NOTHING",
        rows: sorted.into_iter().map(row).collect(),
    }
}
