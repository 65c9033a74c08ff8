//! Children of registered models: tags, aliases and the latest version of each stage, with one query each for a whole
//! page.

use std::{collections::HashMap, sync::Arc};

use ferroflow_model::messages::model_registry::{
    ModelVersion, RegisteredModel, RegisteredModelAlias, RegisteredModelTag,
};

use crate::{
    Store,
    db::{Conn, DbError, Row, Sql, Statement},
    registry::model_versions::{self, COLUMNS as VERSION_COLUMNS},
    schema::own_indexes::OwnIndex,
    statements::statements,
    workspace::Workspace,
};

// SQLite reads the children of one model after the other (CROSS JOIN is never reordered).
statements! {
    static TAGS: Workspace =
        "{postgres:SELECT t.name, t.key, t.value FROM registered_model_tags t WHERE {ws:t} AND t.name = ANY($1)}\
         {sqlite:SELECT t.name, t.key, t.value FROM json_each($1) AS w \
         CROSS JOIN registered_model_tags t ON {ws:t} AND t.name = w.value}";
    static ALIASES: Workspace =
        "{postgres:SELECT a.name, a.alias, a.version FROM registered_model_aliases a \
         WHERE {ws:a} AND a.name = ANY($1)}\
         {sqlite:SELECT a.name, a.alias, a.version FROM json_each($1) AS w \
         CROSS JOIN registered_model_aliases a ON {ws:a} AND a.name = w.value} ORDER BY a.name, a.alias";

    /// Stages are ordered by the lowest version number in them.
    static LATEST: Workspace = "SELECT ", VERSION_COLUMNS,
        " FROM (SELECT x.name, MIN(x.version) AS first, MAX(x.version) AS last FROM \
         {postgres:model_versions x WHERE {ws:x} AND x.name = ANY($1) AND}\
         {sqlite:json_each($1) AS w CROSS JOIN model_versions x ON {ws:x} AND x.name = w.value WHERE} \
         x.current_stage <> 'Deleted_Internal' GROUP BY x.name, x.current_stage) AS s \
         {postgres:CROSS JOIN LATERAL (SELECT * FROM model_versions y WHERE {ws:y} AND y.name = s.name \
         AND y.version = s.last OFFSET 0) v}\
         {sqlite:CROSS JOIN model_versions v ON {ws:v} AND v.name = s.name AND v.version = s.last} \
         ORDER BY v.name, s.first";

    /// The same with `ff_model_versions_stage`: one entry for each stage, instead of all versions.
    static LATEST_OF_STAGES: Workspace = "SELECT ", VERSION_COLUMNS,
        "{postgres: FROM unnest($1::text[]) AS w(name) \
         CROSS JOIN unnest(ARRAY['None', 'Staging', 'Production', 'Archived']) AS s(stage) \
         CROSS JOIN LATERAL (SELECT x.* FROM model_versions x WHERE {ws:x} \
         AND x.name || '@' || x.current_stage = w.name || '@' || s.stage ORDER BY x.version DESC LIMIT 1) v}\
         {sqlite: FROM json_each($1) AS w \
         CROSS JOIN (VALUES ('None'), ('Staging'), ('Production'), ('Archived')) AS s \
         CROSS JOIN model_versions v ON {ws:v} AND v.name = w.value \
         AND v.version = (SELECT x.version FROM model_versions x WHERE {ws:x} \
         AND x.name || '@' || x.current_stage = w.value || '@' || s.column1 ORDER BY x.version DESC LIMIT 1)} \
         ORDER BY v.name, (SELECT y.version FROM model_versions y WHERE {ws:y} \
         AND y.name || '@' || y.current_stage = v.name || '@' || v.current_stage ORDER BY y.version LIMIT 1)";
}

/// Models whose stages are looked up one by one. Where the table of versions is small, PostgreSQL scans it for each.
const FEW: usize = 8;

/// How the latest version of each stage is read.
#[derive(Clone, Copy)]
pub(crate) struct Latest {
    is_indexed: bool,
}

impl Latest {
    pub(crate) fn of(store: &Store) -> Self {
        Self { is_indexed: store.own_indexes.is_there(OwnIndex::VersionsOfStage) }
    }

    fn statement(self, models: usize) -> &'static Sql<Workspace> {
        if self.is_indexed && models <= FEW { &LATEST_OF_STAGES } else { &LATEST }
    }
}

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
pub(crate) async fn load(
    workspace: &Workspace,
    conn: &Conn,
    latest: Latest,
    names: Vec<String>,
) -> Result<Vec<Children>, DbError> {
    let mut children: Vec<Children> = Vec::new();
    children.resize_with(names.len(), Children::default);
    if names.is_empty() {
        return Ok(children);
    }
    let index: Arc<HashMap<String, usize>> =
        Arc::new(names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect());
    let statement = |sql| Statement::within(workspace, sql, vec![names.as_slice().into()]);
    let at = |index: &HashMap<String, usize>, row: &Row<'_>| {
        let name = row.str(0)?;
        index
            .get(name)
            .copied()
            .ok_or_else(|| DbError::Other(format!("a row of model {name}, which was not requested")))
    };
    let (by_tag, by_alias, by_version) = (Arc::clone(&index), Arc::clone(&index), index);
    let (tags, aliases, versions) = tokio::join!(
        conn.query(statement(&TAGS), move |row| {
            Ok((at(&by_tag, row)?, RegisteredModelTag { key: row.get(1)?, value: row.get(2)? }))
        }),
        conn.query(statement(&ALIASES), move |row| {
            let version = Some(row.get::<i64>(2)?.to_string());
            Ok((at(&by_alias, row)?, RegisteredModelAlias { alias: row.get(1)?, version }))
        }),
        conn.query(statement(latest.statement(names.len())), move |row| {
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
    model_versions::attach_tags(workspace, conn, keys, &mut versions).await?;
    for (at, version) in owners.into_iter().zip(versions) {
        children[at].latest_versions.push(version);
    }
    Ok(children)
}
