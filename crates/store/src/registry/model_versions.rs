//! Model versions: lifecycle, stages and tags. Creating them is in `new_model_version`, searching them in
//! `model_version_search`.

use std::collections::HashMap;

use ferroflow_model::{
    Error, Result,
    messages::model_registry::{ModelVersion, ModelVersionStatus, ModelVersionTag},
    validation,
    validation::Stage,
    webhook::Event,
    wire::Enum as _,
};

use crate::{
    Scoped,
    db::{Conn, DbError, Op, Row, Statement, Value, clock::now_ms, count, dialect::Dialect},
    registry::registered_models::{locked, not_found, touch},
    statements::statements,
    workspace::Workspace,
};

/// The columns of a model version, in the order [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, \
                                  v.current_stage, v.source, v.run_id, v.status, v.status_message, v.run_link";

/// The number of columns in [`COLUMNS`].
pub(crate) const COLUMN_COUNT: usize = 12;

/// A version `v` by its number.
const NUMBERED: &str = " WHERE {ws:v} AND v.name = $1 AND v.version = $2 AND v.current_stage <> 'Deleted_Internal'";

statements! {
    static BY_NUMBER: Workspace = "SELECT ", COLUMNS, " FROM model_versions v", NUMBERED;
    static BY_ALIAS: Workspace = "SELECT ", COLUMNS, " FROM registered_model_aliases a JOIN model_versions v \
         ON v.workspace = a.workspace AND v.name = a.name AND v.version = a.version \
         WHERE {ws:a} AND a.name = $1 AND a.alias = $2 AND v.current_stage <> 'Deleted_Internal'";
    static LATEST: Workspace = "SELECT ", COLUMNS, " FROM model_versions v WHERE {ws:v} AND v.name = $1 \
         AND v.current_stage IN ('None', 'Staging', 'Production', 'Archived') ORDER BY v.version DESC LIMIT 1";
    static TAGS_BY_NUMBER: Workspace =
        "SELECT t.key, t.value FROM model_version_tags t WHERE {ws:t} AND t.name = $1 AND t.version = $2";
    static TAGS_BY_ALIAS: Workspace =
        "SELECT t.key, t.value FROM registered_model_aliases a JOIN model_version_tags t \
         ON t.workspace = a.workspace AND t.name = a.name AND t.version = a.version \
         WHERE {ws:a} AND a.name = $1 AND a.alias = $2";
    static ALIASES_BY_NUMBER: Workspace =
        "SELECT a.alias FROM registered_model_aliases a WHERE {ws:a} AND a.name = $1 AND a.version = $2 \
         ORDER BY a.alias";
    static ALIASES_BY_ALIAS: Workspace =
        "SELECT b.alias FROM registered_model_aliases a JOIN registered_model_aliases b \
         ON b.workspace = a.workspace AND b.name = a.name AND b.version = a.version \
         WHERE {ws:a} AND a.name = $1 AND a.alias = $2 ORDER BY b.alias";
    static ALIASED: Workspace =
        "SELECT (SELECT 1 FROM registered_models m WHERE {ws:m} AND m.name = $1), \
         (SELECT a.version FROM registered_model_aliases a WHERE {ws:a} AND a.name = $1 AND a.alias = $2)";
    static EXISTS: Workspace = "SELECT 1 FROM registered_models m WHERE {ws:m} AND m.name = $1";
    static DOWNLOAD_URI: Workspace =
        "SELECT COALESCE(NULLIF(storage_location, ''), source) FROM model_versions v", NUMBERED;
    static DESCRIBE: Workspace =
        "UPDATE model_versions AS v SET description = $3, last_updated_time = $4", NUMBERED;
    static ARCHIVE_OTHERS: Workspace =
        "UPDATE model_versions AS v SET current_stage = 'Archived', last_updated_time = $4 \
         WHERE {ws:v} AND v.name = $1 AND v.version <> $2 AND v.current_stage = $3";
    static SET_STAGE: Workspace =
        "UPDATE model_versions AS v SET current_stage = $3, last_updated_time = $4", NUMBERED;

    /// Redacts the row but keeps it, so that its version number is never reused.
    static DELETE: Workspace =
        "UPDATE model_versions AS v SET current_stage = 'Deleted_Internal', last_updated_time = $3, \
         description = NULL, user_id = NULL, source = 'REDACTED-SOURCE-PATH', \
         run_id = 'REDACTED-RUN-ID', run_link = 'REDACTED-RUN-LINK', status_message = NULL", NUMBERED;
    static DELETE_ALIASES: Workspace =
        "DELETE FROM registered_model_aliases AS a WHERE {ws:a} AND a.name = $1 AND a.version = $2";
    static SET_TAG: Workspace =
        "INSERT INTO model_version_tags (workspace, name, version, key, value) \
         SELECT {ws}, v.name, v.version, CAST($3 AS TEXT), CAST($4 AS TEXT) FROM model_versions v", NUMBERED,
        " ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value";
    static DELETE_TAG: Workspace =
        "DELETE FROM model_version_tags AS t WHERE {ws:t} AND t.name = $1 AND t.version = $2 AND t.key = $3";

    /// PostgreSQL gets two arrays, SQLite one list of pairs: pairing two JSON lists would scan one for each element of
    /// the other.
    static TAGS: Workspace =
        "SELECT t.name, t.version, t.key, t.value FROM \
         {postgres:model_version_tags t JOIN unnest($1::text[], $2::bigint[]) AS w(name, version) \
         ON t.name = w.name AND t.version = w.version WHERE {ws:t}}\
         {sqlite:json_each($1) AS w CROSS JOIN model_version_tags t \
         ON {ws:t} AND t.name = w.value ->> 0 AND t.version = w.value ->> 1}";
}

/// Name and version number.
pub(crate) type VersionKey = (String, i64);

impl Scoped<'_> {
    /// A version of a registered model.
    ///
    /// # Errors
    /// The name or number is not valid, or there is no such version.
    pub async fn get_model_version(&self, name: &str, version: &str) -> Result<ModelVersion> {
        validation::model_name(name)?;
        let version = number(name, version)?;
        let conn = self.store.db.reader().await?;
        by_number(self.workspace, &conn, name, version).await?.ok_or_else(|| version_not_found(name, version))
    }

    /// The version with an alias; `latest` is the one with the highest number.
    ///
    /// # Errors
    /// The name or the alias is not valid, or there is no such model, alias or version.
    pub async fn get_model_version_by_alias(&self, name: &str, alias: &str) -> Result<ModelVersion> {
        validation::model_name(name)?;
        validation::model_alias(alias)?;
        let conn = self.store.db.reader().await?;
        if alias.to_lowercase() == "latest" {
            return latest(self.workspace, &conn, name).await;
        }
        let values: Vec<Value> = vec![name.into(), alias.into()];
        let (found, tags, aliases) = tokio::join!(
            conn.query_opt(Statement::within(self.workspace, &BY_ALIAS, values.clone()), from_row),
            conn.query(Statement::within(self.workspace, &TAGS_BY_ALIAS, values.clone()), tag_from_row),
            conn.query(Statement::within(self.workspace, &ALIASES_BY_ALIAS, values.clone()), |row| row
                .get::<String>(0)),
        );
        if let Some((_, version)) = found? {
            return Ok(ModelVersion { tags: tags?, aliases: aliases?, ..version });
        }
        let (model, number) = conn
            .query(Statement::within(self.workspace, &ALIASED, values), |row| {
                Ok((row.get::<Option<i64>>(0)?, row.get::<Option<i64>>(1)?))
            })
            .await?
            .pop()
            .unzip();
        Err(match (model.flatten(), number.flatten()) {
            (None, _) => not_found(name),
            (_, None) => Error::invalid(format!("Registered model alias {alias} not found.")),
            (_, Some(number)) => version_not_found(name, number),
        })
    }

    /// The location of a version's artifacts.
    ///
    /// # Errors
    /// The name or number is not valid, or there is no such version.
    pub async fn get_model_version_download_uri(&self, name: &str, version: &str) -> Result<String> {
        validation::model_name(name)?;
        let version = number(name, version)?;
        let conn = self.store.db.reader().await?;
        let found = download_uri(self.workspace, &conn, name, version).await?;
        found.ok_or_else(|| version_not_found(name, version))
    }

    /// Sets the description of a version; `None` removes it.
    ///
    /// # Errors
    /// The name or number is not valid, or there is no such version.
    pub async fn update_model_version(
        &self,
        name: &str,
        version: &str,
        description: Option<&str>,
    ) -> Result<ModelVersion> {
        validation::model_name(name)?;
        let version = number(name, version)?;
        self.store
            .db
            .transaction(|tx| async move {
                let values = vec![name.into(), version.into(), description.into(), now_ms().into()];
                if locked(self.workspace, &tx, name, Statement::within(self.workspace, &DESCRIBE, values)).await? == 0 {
                    return Err(version_not_found(name, version));
                }
                by_number(self.workspace, tx.conn()?, name, version)
                    .await?
                    .ok_or_else(|| version_not_found(name, version))
            })
            .await
    }

    /// Sets the stage of a version. With `archive`, archives all other versions in that stage.
    ///
    /// # Errors
    /// The name, number or stage is not valid, `archive` is set and the stage is not an active one, or there is no such
    /// version.
    pub async fn transition_model_version_stage(
        &self,
        name: &str,
        version: &str,
        stage: &str,
        archive: bool,
    ) -> Result<ModelVersion> {
        let parsed = Stage::parse(stage)?;
        if archive && !parsed.is_active() {
            return Err(Error::invalid(format!(
                "Model version transition cannot archive existing model versions because '{stage}' is not an Active \
                 stage. Valid stages are ['Staging', 'Production']"
            )));
        }
        validation::model_name(name)?;
        let version = number(name, version)?;
        self.store
            .db
            .transaction(|tx| async move {
                let now = now_ms();
                let values: Vec<Value> = vec![name.into(), version.into(), parsed.name().into(), now.into()];
                let mut ops = vec![touch(self.workspace, name, now)];
                if archive {
                    ops.push(Op::Execute(Statement::within(self.workspace, &ARCHIVE_OTHERS, values.clone())));
                }
                ops.push(Op::Execute(Statement::within(self.workspace, &SET_STAGE, values)));
                if tx.run(ops).await?.last().is_none_or(|set| count(set) == 0) {
                    return Err(version_not_found(name, version));
                }
                by_number(self.workspace, tx.conn()?, name, version)
                    .await?
                    .ok_or_else(|| version_not_found(name, version))
            })
            .await
    }

    /// Deletes a version and its aliases. Its number is never reused.
    ///
    /// # Errors
    /// The name or number is not valid, or there is no such version.
    pub async fn delete_model_version(&self, name: &str, version: &str) -> Result<()> {
        // Validates the number first, as the reference does.
        validation::model_version(version)?;
        validation::model_name(name)?;
        let version = number(name, version)?;
        self.store
            .db
            .transaction(|tx| async move {
                let now = now_ms();
                let ops = vec![
                    touch(self.workspace, name, now),
                    Op::Execute(Statement::within(self.workspace, &DELETE_ALIASES, vec![name.into(), version.into()])),
                    Op::Execute(Statement::within(
                        self.workspace,
                        &DELETE,
                        vec![name.into(), version.into(), now.into()],
                    )),
                ];
                if tx.run(ops).await?.last().is_none_or(|deleted| count(deleted) == 0) {
                    return Err(version_not_found(name, version));
                }
                Ok(())
            })
            .await
    }

    /// Sets a tag of a version.
    ///
    /// # Errors
    /// The name, number or tag is not valid, or there is no such version.
    pub async fn set_model_version_tag(&self, name: &str, version: &str, key: &str, value: &str) -> Result<()> {
        validation::model_name(name)?;
        validation::model_version(version)?;
        validation::model_version_tag(key, value)?;
        let (as_given, version) = (version, number(name, version)?);
        self.store
            .db
            .transaction(|tx| async move {
                let values = vec![name.into(), version.into(), key.into(), value.into()];
                if locked(self.workspace, &tx, name, Statement::within(self.workspace, &SET_TAG, values)).await? == 0 {
                    return Err(version_not_found(name, version));
                }
                let event = |registry| Some(Event::version_tag_set(registry, name, as_given, key, value));
                self.enqueue_of(&tx, name, event);
                Ok(())
            })
            .await
    }

    /// Deletes a tag of a version, if it exists.
    ///
    /// # Errors
    /// The name, number or key is not valid, or there is no such version.
    pub async fn delete_model_version_tag(&self, name: &str, version: &str, key: &str) -> Result<()> {
        validation::model_name(name)?;
        validation::model_version(version)?;
        validation::registry_tag_key(key)?;
        let (as_given, version) = (version, number(name, version)?);
        self.store
            .db
            .transaction(|tx| async move {
                let delete =
                    Statement::within(self.workspace, &DELETE_TAG, vec![name.into(), version.into(), key.into()]);
                locked(self.workspace, &tx, name, delete).await?;
                if download_uri(self.workspace, tx.conn()?, name, version).await?.is_none() {
                    return Err(version_not_found(name, version));
                }
                let event = |registry| Some(Event::version_tag_deleted(registry, name, as_given, key));
                self.enqueue_of(&tx, name, event);
                Ok(())
            })
            .await
    }
}

/// Parses a version number. A number out of the column's range is the number of no version.
pub(crate) fn number(name: &str, version: &str) -> Result<i64> {
    let number = validation::model_version(version)?;
    i32::try_from(number).map(i64::from).map_err(|_| version_not_found(name, number))
}

pub(crate) fn version_not_found(name: &str, version: impl std::fmt::Display) -> Error {
    Error::not_found(format!("Model Version (name={name}, version={version}) not found"))
}

async fn by_number(
    workspace: &Workspace,
    conn: &Conn,
    name: &str,
    version: i64,
) -> Result<Option<ModelVersion>, DbError> {
    let values: Vec<Value> = vec![name.into(), version.into()];
    let (found, tags, aliases) = tokio::join!(
        conn.query_opt(Statement::within(workspace, &BY_NUMBER, values.clone()), from_row),
        conn.query(Statement::within(workspace, &TAGS_BY_NUMBER, values.clone()), tag_from_row),
        conn.query(Statement::within(workspace, &ALIASES_BY_NUMBER, values), |row| row.get::<String>(0)),
    );
    let Some((_, version)) = found? else { return Ok(None) };
    Ok(Some(ModelVersion { tags: tags?, aliases: aliases?, ..version }))
}

/// The version with the highest number.
async fn latest(workspace: &Workspace, conn: &Conn, name: &str) -> Result<ModelVersion> {
    let (exists, found) = tokio::join!(
        conn.query_opt(Statement::within(workspace, &EXISTS, vec![name.into()]), |_| Ok(())),
        conn.query_opt(Statement::within(workspace, &LATEST, vec![name.into()]), |row| row.get::<i64>(1)),
    );
    if exists?.is_none() {
        return Err(not_found(name));
    }
    let missing = || Error::not_found(format!("Latest version not found for model {name}."));
    let number = found?.ok_or_else(missing)?;
    by_number(workspace, conn, name, number).await?.ok_or_else(missing)
}

/// The location of a version's artifacts.
pub(crate) async fn download_uri(
    workspace: &Workspace,
    conn: &Conn,
    name: &str,
    version: i64,
) -> Result<Option<String>, DbError> {
    let statement = Statement::within(workspace, &DOWNLOAD_URI, vec![name.into(), version.into()]);
    let found = conn.query_opt(statement, |row| row.get::<Option<String>>(0)).await?;
    Ok(found.map(Option::unwrap_or_default))
}

/// Loads the tags of versions with one query and attaches them.
pub(crate) async fn attach_tags(
    workspace: &Workspace,
    conn: &Conn,
    keys: Vec<VersionKey>,
    versions: &mut [ModelVersion],
) -> Result<(), DbError> {
    for (version, tags) in versions.iter_mut().zip(tags_of(workspace, conn, keys).await?) {
        version.tags = tags;
    }
    Ok(())
}

/// Loads the tags of versions with one query, in the order of the keys.
pub(crate) async fn tags_of(
    workspace: &Workspace,
    conn: &Conn,
    keys: Vec<VersionKey>,
) -> Result<Vec<Vec<ModelVersionTag>>, DbError> {
    let mut found = vec![Vec::new(); keys.len()];
    if keys.is_empty() {
        return Ok(found);
    }
    let values: Vec<Value> = match conn.dialect() {
        Dialect::Postgres => {
            let (names, numbers): (Vec<String>, Vec<i64>) = keys.iter().cloned().unzip();
            vec![names.into(), numbers.into()]
        }
        Dialect::Sqlite => vec![serde_json::json!(keys).to_string().into()],
    };
    let index: HashMap<VersionKey, usize> = keys.into_iter().enumerate().map(|(at, key)| (key, at)).collect();
    let tags = conn
        .query(Statement::within(workspace, &TAGS, values), |row| {
            let tag = ModelVersionTag { key: row.get(2)?, value: row.get(3)? };
            Ok(((row.get::<String>(0)?, row.get::<i64>(1)?), tag))
        })
        .await?;
    for (key, tag) in tags {
        if let Some(at) = index.get(&key) {
            found[*at].push(tag);
        }
    }
    Ok(found)
}

/// Reads [`COLUMNS`].
pub(crate) fn from_row(row: &Row<'_>) -> Result<(VersionKey, ModelVersion), DbError> {
    let (name, version): VersionKey = (row.get(0)?, row.get(1)?);
    let found = ModelVersion {
        name: Some(name.clone()),
        version: Some(version.to_string()),
        creation_timestamp: row.get(2)?,
        last_updated_timestamp: row.get(3)?,
        description: row.get(4)?,
        user_id: row.get(5)?,
        current_stage: row.get(6)?,
        source: row.get(7)?,
        run_id: row.get(8)?,
        status: row.opt_str(9)?.and_then(ModelVersionStatus::from_name),
        status_message: row.get::<Option<String>>(10)?.filter(|message| !message.is_empty()),
        run_link: row.get(11)?,
        ..ModelVersion::default()
    };
    Ok(((name, version), found))
}

fn tag_from_row(row: &Row<'_>) -> Result<ModelVersionTag, DbError> {
    Ok(ModelVersionTag { key: row.get(0)?, value: row.get(1)? })
}
