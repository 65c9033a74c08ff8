//! Artifacts that a database refers to, for checking that they exist, for example after a recovery.

use std::collections::BTreeMap;

use crate::{
    db::{Access, BackendUri, DbError, Direct, Row, Statement, upkeep::Backup},
    statements::statements,
    upkeep::snapshot::SnapshotError,
};

statements! {
    static RUNS: Backup =
        "SELECT r.run_uuid, r.artifact_uri, t.value FROM \
         (SELECT run_uuid, artifact_uri, COALESCE(end_time, start_time, 0) AS at FROM runs \
         WHERE lifecycle_stage = 'active' AND artifact_uri <> '' ORDER BY 3 DESC, 1 LIMIT $1) r \
         LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'mlflow.loggedArtifacts' ORDER BY r.at DESC, 1";
    static LOGGED_MODELS: Backup =
        "SELECT m.model_id, m.artifact_location FROM logged_models m \
         WHERE m.lifecycle_stage = 'active' AND m.status = 2 AND NOT EXISTS (SELECT 1 FROM logged_model_tags t \
         WHERE t.model_id = m.model_id AND t.tag_key = 'mlflow.model.isExternal' \
         AND LOWER(t.tag_value) = 'true') ORDER BY m.creation_timestamp_ms DESC, 1 LIMIT $1";
}

/// An entity with artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRefs {
    /// The entity: `run abc`.
    pub owner: String,
    /// The location of its artifacts.
    pub location: String,
    /// Files that must exist.
    pub files: Vec<String>,
    /// Whether at least one file must exist.
    pub must_have_files: bool,
}

/// The newest `count` runs that are not deleted, with the files that their tags list, and the newest `count` logged
/// models that are ready and not external.
///
/// # Errors
/// The database cannot be read.
pub async fn artifacts(uri: &BackendUri, count: u32) -> Result<Vec<ArtifactRefs>, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let tables = crate::migrations::tables(&direct).await?;
    let count = i64::from(count);
    let mut found = direct.query(Statement::new(&RUNS, vec![count.into()]), run_from_row).await?;
    // This table exists since MLflow 3. External models have no artifacts here.
    if tables.iter().any(|table| table == "logged_models") {
        found.extend(direct.query(Statement::new(&LOGGED_MODELS, vec![count.into()]), model_from_row).await?);
    }
    Ok(found)
}

fn run_from_row(row: &Row<'_>) -> Result<ArtifactRefs, DbError> {
    let (id, location, tag): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    // `[{"path": "table.json", "type": "table"}]`; anything else lists no files.
    let listed: Vec<BTreeMap<String, serde_json::Value>> =
        tag.and_then(|tag| serde_json::from_str(&tag).ok()).unwrap_or_default();
    let files = listed.iter().filter_map(|file| file.get("path")?.as_str().map(str::to_owned)).collect();
    Ok(ArtifactRefs { owner: format!("run {id}"), location, files, must_have_files: false })
}

fn model_from_row(row: &Row<'_>) -> Result<ArtifactRefs, DbError> {
    let id: String = row.get(0)?;
    Ok(ArtifactRefs {
        owner: format!("logged model {id}"),
        location: row.get(1)?,
        files: Vec::new(),
        must_have_files: true,
    })
}
