//! Children of registered models: tags, aliases and the latest version of each stage, with one query each for a whole
//! page.

use std::{collections::HashMap, sync::Arc};

use ferroflow_model::messages::model_registry::{
    ModelVersion, RegisteredModel, RegisteredModelAlias, RegisteredModelTag,
};

use crate::{
    db::{Conn, DbError, Row, Statement, dialect::Dialect},
    registry::model_versions,
};

const TAGS: (&str, &str) = (
    "SELECT name, key, value FROM registered_model_tags WHERE workspace = 'default' AND name = ANY($1)",
    "SELECT t.name, t.key, t.value FROM json_each($1) AS w \
     CROSS JOIN registered_model_tags t ON t.workspace = 'default' AND t.name = w.value",
);
const ALIASES: (&str, &str) = (
    "SELECT name, alias, version FROM registered_model_aliases WHERE workspace = 'default' AND name = ANY($1) \
     ORDER BY name, alias",
    "SELECT a.name, a.alias, a.version FROM json_each($1) AS w \
     CROSS JOIN registered_model_aliases a ON a.workspace = 'default' AND a.name = w.value ORDER BY a.name, a.alias",
);
// Stages are ordered by the lowest version number in them.
const LATEST: (&str, &str) = (
    "SELECT v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, v.current_stage, \
     v.source, v.run_id, v.status, v.status_message, v.run_link \
     FROM (SELECT name, MIN(version) AS first, MAX(version) AS last FROM model_versions \
     WHERE workspace = 'default' AND name = ANY($1) AND current_stage <> 'Deleted_Internal' \
     GROUP BY name, current_stage) AS s \
     JOIN model_versions v ON v.workspace = 'default' AND v.name = s.name AND v.version = s.last \
     ORDER BY v.name, s.first",
    "SELECT v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, v.current_stage, \
     v.source, v.run_id, v.status, v.status_message, v.run_link \
     FROM (SELECT x.name, MIN(x.version) AS first, MAX(x.version) AS last FROM json_each($1) AS w \
     CROSS JOIN model_versions x ON x.workspace = 'default' AND x.name = w.value \
     WHERE x.current_stage <> 'Deleted_Internal' GROUP BY x.name, x.current_stage) AS s \
     CROSS JOIN model_versions v ON v.workspace = 'default' AND v.name = s.name AND v.version = s.last \
     ORDER BY v.name, s.first",
);

/// The children of one registered model.
#[derive(Debug, Default)]
pub(crate) struct Children {
    tags: Vec<RegisteredModelTag>,
    aliases: Vec<RegisteredModelAlias>,
    latest_versions: Vec<ModelVersion>,
}

impl Children {
    /// Attaches the children to a model.
    pub(crate) fn attach(self, model: RegisteredModel) -> RegisteredModel {
        RegisteredModel { tags: self.tags, aliases: self.aliases, latest_versions: self.latest_versions, ..model }
    }
}

/// Loads the children of models, in the order of the names.
pub(crate) async fn load(conn: &Conn, dialect: Dialect, names: Vec<String>) -> Result<Vec<Children>, DbError> {
    let mut children: Vec<Children> = Vec::new();
    children.resize_with(names.len(), Children::default);
    if names.is_empty() {
        return Ok(children);
    }
    let index: Arc<HashMap<String, usize>> =
        Arc::new(names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect());
    let statement =
        |sql: (&'static str, &'static str)| Statement::fixed(dialect.pick(sql.0, sql.1), vec![names.as_slice().into()]);
    let at = |index: &HashMap<String, usize>, row: &Row<'_>| {
        let name = row.str(0)?;
        index
            .get(name)
            .copied()
            .ok_or_else(|| DbError::Other(format!("a row of model {name}, which was not requested")))
    };
    let (by_tag, by_alias, by_version) = (Arc::clone(&index), Arc::clone(&index), index);
    let (tags, aliases, versions) = tokio::join!(
        conn.query(statement(TAGS), move |row| {
            Ok((at(&by_tag, row)?, RegisteredModelTag { key: row.get(1)?, value: row.get(2)? }))
        }),
        conn.query(statement(ALIASES), move |row| {
            let version = Some(row.get::<i64>(2)?.to_string());
            Ok((at(&by_alias, row)?, RegisteredModelAlias { alias: row.get(1)?, version }))
        }),
        conn.query(statement(LATEST), move |row| {
            let at = at(&by_version, row)?;
            model_versions::from_row(row).map(|(key, version)| (at, key, version))
        }),
    );
    for (at, tag) in tags? {
        children[at].tags.push(tag);
    }
    for (at, alias) in aliases? {
        children[at].aliases.push(alias);
    }
    let mut owners = Vec::new();
    let (keys, mut versions): (Vec<_>, Vec<_>) = versions?
        .into_iter()
        .map(|(at, key, version)| {
            owners.push(at);
            (key, version)
        })
        .unzip();
    model_versions::attach_tags(conn, dialect, keys, &mut versions).await?;
    for (at, version) in owners.into_iter().zip(versions) {
        children[at].latest_versions.push(version);
    }
    Ok(children)
}
