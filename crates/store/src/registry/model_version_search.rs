//! Searching model versions.

use ferroflow_model::{Error, Result, limits, messages::model_registry::ModelVersion};
use ferroflow_search::{
    PageToken, TextTest,
    model_versions::{self, Column, Condition, TextAttribute},
};

use crate::{
    Scoped,
    db::Plan,
    query::{
        compare,
        scope::Scope,
        select::{KeyKind, Page, Select, load_children},
        visible::either,
    },
    registry::{
        model_versions::{COLUMN_COUNT, COLUMNS, from_row, tags_of},
        prompt_split::{self, Split},
    },
    schema::own_indexes::LAST_UPDATED,
};

/// A search for model versions.
#[derive(Debug, Clone, Default)]
pub struct ModelVersionSearch {
    /// Filter expression; empty for all. Excludes prompts unless it has a condition for them.
    pub filter: String,
    /// Only versions produced by these runs.
    pub run_ids: Option<Vec<String>>,
    /// Maximum number of versions per page.
    pub max_results: i64,
    /// `ORDER BY` clauses; without any, last updated first.
    pub order_by: Vec<String>,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
}

impl Scoped<'_> {
    /// A page of model versions without their aliases, and the token of the next page.
    ///
    /// # Errors
    /// The filter, order, token or size of the page is not valid.
    pub async fn search_model_versions(
        &self,
        scope: &Scope,
        search: ModelVersionSearch,
    ) -> Result<(Vec<ModelVersion>, Option<String>)> {
        self.store.db.replicated(|| self.read_model_versions(scope, &search)).await
    }

    async fn read_model_versions(
        &self,
        scope: &Scope,
        search: &ModelVersionSearch,
    ) -> Result<(Vec<ModelVersion>, Option<String>)> {
        let page = self.model_version_page(scope, search)?;
        let conn = self.store.db.reader().await?;
        let mut found = page.read(&conn, COLUMN_COUNT, from_row).await?;
        let keys = found.rows().map(|(key, _)| key.clone()).collect();
        let (tags, count) = load_children(&conn, keys, |keys| tags_of(self.workspace, &conn, keys)).await?;
        found.truncate(count);
        let (versions, next) = found.finish();
        let tags = tags.into_iter().flatten();
        let with_tags = |((_, version), tags)| ModelVersion { tags, ..version };
        Ok((versions.into_iter().zip(tags).map(with_tags).collect(), next))
    }

    /// The query plan of a search for model versions, one line per step.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_model_version_search(
        &self,
        scope: &Scope,
        search: &ModelVersionSearch,
    ) -> Result<Vec<String>> {
        let page = self.model_version_page(scope, search)?;
        Ok(self.store.db.explain(page.statement).await?)
    }

    fn model_version_page(&self, scope: &Scope, search: &ModelVersionSearch) -> Result<Page> {
        let max = search.max_results;
        if max < 1 {
            return Err(Error::invalid(format!(
                "Invalid value for max_results. It must be a positive integer, but got {max}"
            )));
        }
        if max > limits::MODEL_VERSIONS {
            return Err(Error::invalid(format!(
                "Invalid value for request parameter max_results. It must be at most {}, but got value {max}",
                limits::MODEL_VERSIONS
            )));
        }
        let conditions = model_versions::parse_filter(&search.filter)?;
        let order = model_versions::parse_order_by(&search.order_by)?;
        let query = self.workspace.query([search.filter.as_str()], &[search.order_by.as_slice()]);
        let token = PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), query)?;
        let dialect = self.store.db.dialect();

        let tags = conditions.iter().filter_map(|condition| match condition {
            Condition::Tag { key, test } => Some((key.as_str(), test)),
            _ => None,
        });
        let Split { prompts, first, others } = prompt_split::split(tags.collect());
        // An index has all versions, or those of one model, in the order by default.
        let is_in_order =
            order.first().is_some_and(|clause| clause.column == Column::LastUpdatedTime && !clause.ascending)
                && order.get(1..).is_some_and(|rest| {
                    rest.iter()
                        .map(|clause| (clause.column, clause.ascending))
                        .eq([(Column::Name, true), (Column::Version, false)])
                });
        let is_of_one = |condition: &Condition| {
            matches!(condition, Condition::Text { column: TextAttribute::Name, test: TextTest::Equal(_) })
        };
        let mut is_walk =
            is_in_order && first.is_none() && search.run_ids.is_none() && conditions.iter().all(is_of_one);
        let mut select = Select::new(self.workspace, "model_versions", "v");
        select.of_query(query);
        select.filter("v.current_stage <> 'Deleted_Internal'".to_owned());
        // As in the search for registered models, a required tag drives the query.
        let (name, number) = if let Some((key, test)) = first {
            select.driven_by("model_version_tags", "d");
            let key = select.bind(key);
            select.filter(format!("d.key = {key} AND v.name = d.name AND v.version = d.version"));
            let test = compare::text(&mut select, dialect, "d.value", test);
            select.filter(test);
            ("d.name", "d.version")
        } else {
            ("v.name", "v.version")
        };
        let tag_in_workspace = select.in_workspace("t");
        let run_ids = search.run_ids.clone().map(TextTest::In);
        // A run has few versions, so that those of some runs are read and sorted.
        let of_runs = conditions.iter().find_map(|condition| match condition {
            Condition::Text { column: TextAttribute::RunId, test: test @ (TextTest::Equal(_) | TextTest::In(_)) } => {
                Some(test)
            }
            _ => None,
        });
        let of_runs = run_ids.as_ref().or(of_runs).filter(|_| first.is_none());
        if let Some(test) = of_runs {
            let test = compare::text(&mut select, dialect, "x.run_id", test);
            select.read_from(format!(
                "(SELECT * FROM model_versions x WHERE {test}{}) v",
                // The fence keeps PostgreSQL from reading all versions of the workspace, in the order of the page.
                dialect.pick(" OFFSET 0", " LIMIT -1")
            ));
        }
        if let Some(test) = run_ids.as_ref().filter(|_| of_runs.is_none()) {
            let test = compare::text(&mut select, dialect, "v.run_id", test);
            select.filter(test);
        }
        for condition in &conditions {
            let test = match condition {
                Condition::Text { test, .. } if of_runs.is_some_and(|of_runs| std::ptr::eq(of_runs, test)) => continue,
                Condition::Text { column, test } => {
                    let column = match column {
                        TextAttribute::Name => name,
                        TextAttribute::RunId => "v.run_id",
                        TextAttribute::SourcePath => "v.source",
                    };
                    compare::text(&mut select, dialect, column, test)
                }
                Condition::Version { op, value } => compare::number(&mut select, number, *op, *value),
                Condition::Tag { .. } => continue,
            };
            select.filter(test);
        }
        for (key, test) in others {
            let value = format!(
                "(SELECT t.value FROM model_version_tags t WHERE {tag_in_workspace} AND t.key = {} \
                 AND t.name = {name} AND t.version = {number})",
                select.bind(key)
            );
            let test = compare::text(&mut select, dialect, &value, test);
            select.filter(test);
        }
        if !prompts {
            // If any version of a name is a prompt, so are all.
            select.filter(format!(
                "NOT EXISTS (SELECT 1 FROM model_version_tags t WHERE {tag_in_workspace} \
                 AND t.key = 'mlflow.prompt.is_prompt' AND t.name = {name} AND t.value = 'true' LIMIT 1 OFFSET 0)"
            ));
        }
        let value = format!(
            "(SELECT t.value FROM model_version_tags t WHERE {tag_in_workspace} \
             AND t.key = 'mlflow.prompt.is_prompt' AND t.name = {name} AND t.version = {number})"
        );
        let (models, prompts) = (&scope.models, &scope.prompts);
        if let Some(condition) = either(&mut select, dialect, name, &value, models, prompts) {
            select.filter(condition);
            is_walk = false;
        }
        if is_walk {
            select.plan(Plan::IndexOrder);
        }
        for clause in &order {
            let column = match clause.column {
                Column::Name => name,
                Column::Version => number,
                Column::CreationTime => "v.creation_time",
                Column::LastUpdatedTime => "v.last_updated_time",
            };
            if clause.column == Column::LastUpdatedTime && !clause.ascending {
                // The key of ferroflow's own indexes.
                let key = LAST_UPDATED.replace("last_updated_time", column);
                select.order_by(key, true, KeyKind::Int);
                continue;
            }
            if matches!(clause.column, Column::CreationTime | Column::LastUpdatedTime) {
                select.nulls_last(column);
            }
            let kind = if clause.column == Column::Name { KeyKind::Text } else { KeyKind::Int };
            select.order_by(column, !clause.ascending, kind);
        }
        select.page(COLUMNS, max, token)
    }
}
