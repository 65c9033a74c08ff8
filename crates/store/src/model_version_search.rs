//! Searching model versions. The UI asks for those of a run on every run page; the registry that makes
//! them is the reference's until ours is built, on the same database.

use std::collections::HashMap;

use ferroflow_model::{
    Error, Result,
    messages::model_registry::{ModelVersion, ModelVersionStatus, ModelVersionTag},
    wire::Enum as _,
};
use ferroflow_search::{
    PageToken, TextTest,
    model_versions::{self, Column, Condition, TextAttribute},
};

use crate::{
    Store, compare,
    db::{DbError, Row, Statement, Value},
    dialect::Dialect,
    select::{KeyKind, Select},
};

const COLUMNS: &str = "v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, \
                       v.current_stage, v.source, v.run_id, v.status, v.status_message, v.run_link";

/// The number of columns in [`COLUMNS`].
const COLUMN_COUNT: usize = 12;

/// The tag that tells a version of a prompt from one of a model.
const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// Versions on a page at the most.
const MAX_RESULTS: i64 = 200_000;

const TAGS: (&str, &str) = (
    "SELECT t.name, t.version, t.key, t.value FROM model_version_tags t \
     JOIN unnest($1::text[], $2::bigint[]) AS w(name, version) ON t.name = w.name AND t.version = w.version \
     WHERE t.workspace = 'default'",
    "SELECT t.name, t.version, t.key, t.value FROM json_each($1) AS n JOIN json_each($2) AS w ON w.key = n.key \
     JOIN model_version_tags t ON t.workspace = 'default' AND t.name = n.value AND t.version = w.value",
);

/// A search for model versions.
#[derive(Debug, Clone, Default)]
pub struct ModelVersionSearch {
    /// What a version must fulfil, in the language of filters. Prompts are left out unless it asks for them.
    pub filter: String,
    /// Only versions that these runs made.
    pub run_ids: Option<Vec<String>>,
    /// Versions on a page at the most.
    pub max_results: i64,
    /// In which order; then the last changed first.
    pub order_by: Vec<String>,
    /// Where the page begins.
    pub page_token: Option<String>,
}

impl Store {
    /// A page of model versions, and the token of the next one.
    ///
    /// # Errors
    /// The filter, order, token or size of the page is not valid.
    pub async fn search_model_versions(
        &self,
        search: ModelVersionSearch,
    ) -> Result<(Vec<ModelVersion>, Option<String>)> {
        let max = search.max_results;
        if max < 1 {
            return Err(Error::invalid(format!(
                "Invalid value for max_results. It must be a positive integer, but got {max}"
            )));
        }
        if max > MAX_RESULTS {
            return Err(Error::invalid(format!(
                "Invalid value for request parameter max_results. It must be at most {MAX_RESULTS}, but got value {max}"
            )));
        }
        let conditions = model_versions::parse_filter(&search.filter)?;
        let order = model_versions::parse_order_by(&search.order_by)?;
        let token = PageToken::decode(search.page_token.as_deref().unwrap_or_default())?;
        let dialect = self.db.dialect();

        let mut select = Select::default();
        select.filter("v.workspace = 'default' AND v.current_stage != 'Deleted_Internal'".to_owned());
        if let Some(run_ids) = search.run_ids {
            let place = select.bind(run_ids);
            select.filter(dialect.any("v.run_id", &place));
        }
        for condition in &conditions {
            let condition = condition_sql(&mut select, dialect, condition);
            select.filter(condition);
        }
        if !conditions.iter().any(asks_for_prompts) {
            let tag = tag_sql(&mut select, IS_PROMPT, |select, value| {
                compare::text(select, dialect, value, &TextTest::Equal("true".into()))
            });
            select.filter(format!("NOT {tag}"));
        }
        for clause in &order {
            let column = match clause.column {
                Column::Name => "v.name",
                Column::Version => "v.version",
                Column::CreationTime => "v.creation_time",
                Column::LastUpdatedTime => "v.last_updated_time",
            };
            if matches!(clause.column, Column::CreationTime | Column::LastUpdatedTime) {
                select.nulls_last(column);
            }
            let kind = if clause.column == Column::Name { KeyKind::Text } else { KeyKind::Int };
            select.order_by(column, !clause.ascending, kind);
        }

        let page = select.page(COLUMNS, "model_versions v", max, token)?;
        let conn = self.db.reader().await?;
        let rows = conn.query(page.statement.clone(), page.mapping(COLUMN_COUNT, from_row)).await?;
        let (found, next) = page.finish(rows);
        let (keys, mut versions): (Vec<(String, i64)>, Vec<ModelVersion>) = found.into_iter().unzip();
        if keys.is_empty() {
            return Ok((versions, next));
        }
        let (names, numbers): (Vec<String>, Vec<i64>) = keys.iter().cloned().unzip();
        let index: HashMap<(String, i64), usize> = keys.into_iter().enumerate().map(|(at, key)| (key, at)).collect();
        let values: Vec<Value> = vec![names.into(), numbers.into()];
        let tags = conn
            .query(Statement::new(dialect.pick(TAGS.0, TAGS.1), values), |row| {
                let tag = ModelVersionTag { key: row.get(2)?, value: row.get(3)? };
                Ok(((row.get::<String>(0)?, row.get::<i64>(1)?), tag))
            })
            .await?;
        for (key, tag) in tags {
            if let Some(at) = index.get(&key) {
                versions[*at].tags.push(tag);
            }
        }
        Ok((versions, next))
    }
}

fn condition_sql(select: &mut Select, dialect: Dialect, condition: &Condition) -> String {
    match condition {
        Condition::Text { column, test } => {
            let column = match column {
                TextAttribute::Name => "v.name",
                TextAttribute::RunId => "v.run_id",
                TextAttribute::SourcePath => "v.source",
            };
            compare::text(select, dialect, column, test)
        }
        Condition::Version { op, value } => compare::number(select, "v.version", *op, *value),
        Condition::Tag { key, test } => {
            tag_sql(select, key, |select, value| compare::text(select, dialect, value, test))
        }
    }
}

fn tag_sql(select: &mut Select, key: &str, test: impl FnOnce(&mut Select, &str) -> String) -> String {
    let key = select.bind(key);
    let test = test(select, "t.value");
    format!(
        "EXISTS (SELECT 1 FROM model_version_tags t WHERE t.workspace = v.workspace AND t.name = v.name \
         AND t.version = v.version AND t.key = {key} AND {test})"
    )
}

fn asks_for_prompts(condition: &Condition) -> bool {
    match condition {
        Condition::Tag { key, test: TextTest::Equal(value) } => key == IS_PROMPT && value.eq_ignore_ascii_case("true"),
        Condition::Tag { key, test: TextTest::NotEqual(value) } => {
            key == IS_PROMPT && value.eq_ignore_ascii_case("false")
        }
        _ => false,
    }
}

fn from_row(row: &Row<'_>) -> Result<((String, i64), ModelVersion), DbError> {
    let (name, version): (String, i64) = (row.get(0)?, row.get(1)?);
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
