//! Searching experiments.

use std::collections::HashMap;

use ferroflow_model::{
    Result,
    messages::service::{Experiment, ViewType},
    validation,
    wire::Enum as _,
};
use ferroflow_search::{
    PageToken,
    experiments::{self, Column, Condition, IdTest, TimeAttribute},
};

use crate::{
    Scoped,
    db::{Plan, dialect::Dialect},
    query::{
        compare::{self, Approach, Pairs},
        scope::Scope,
        select::{KeyKind, Page, Select, load_children},
        visible::Visible,
    },
    schema::own_indexes::CREATED,
    stages,
    tracking::experiments::{COLUMNS, from_row, tags_of},
};

const TAGS: Pairs = Pairs { table: "experiment_tags", owner: "experiment_id", key: "key", value: "value" };

/// The number of columns in [`COLUMNS`].
const COLUMN_COUNT: usize = 7;

/// An experiment search.
#[derive(Debug, Clone)]
pub struct ExperimentSearch {
    /// Lifecycle stages: active, deleted or all.
    pub view: ViewType,
    /// Maximum number of experiments per page.
    pub max_results: i64,
    /// Filter expression; empty for all.
    pub filter: String,
    /// `ORDER BY` clauses; without any, newest first.
    pub order_by: Vec<String>,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
}

impl Scoped<'_> {
    /// A page of the experiments in a scope, and the token of the next one.
    ///
    /// # Errors
    /// The filter, order, token or size of the page is not valid.
    pub async fn search_experiments(
        &self,
        scope: &Scope,
        search: ExperimentSearch,
    ) -> Result<(Vec<Experiment>, Option<String>)> {
        self.store.db.replicated(|| self.read_experiments(scope, &search)).await
    }

    async fn read_experiments(
        &self,
        scope: &Scope,
        search: &ExperimentSearch,
    ) -> Result<(Vec<Experiment>, Option<String>)> {
        let page = self.experiment_page(scope, search)?;
        let conn = self.store.db.reader().await?;
        let mut found = page.read(&conn, COLUMN_COUNT, from_row).await?;
        let ids: Vec<i64> = found.rows().map(|(id, _)| *id).collect();
        let (tags, count) = load_children(&conn, ids.clone(), |ids| tags_of(&conn, ids)).await?;
        found.truncate(count);
        let (experiments, next) = found.finish();
        let mut experiments: Vec<Experiment> = experiments.into_iter().map(|(_, experiment)| experiment).collect();
        let index: HashMap<i64, usize> = ids.into_iter().take(count).enumerate().map(|(at, id)| (id, at)).collect();
        for (id, tag) in tags.into_iter().flatten() {
            if let Some(at) = index.get(&id) {
                experiments[*at].tags.push(tag);
            }
        }
        Ok((experiments, next))
    }

    /// The query plan of a search for experiments, one line per step.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_experiment_search(&self, scope: &Scope, search: &ExperimentSearch) -> Result<Vec<String>> {
        let page = self.experiment_page(scope, search)?;
        Ok(self.store.db.explain(page.statement).await?)
    }

    fn experiment_page(&self, scope: &Scope, search: &ExperimentSearch) -> Result<Page> {
        validation::max_results(search.max_results)?;
        let conditions = experiments::parse_filter(&search.filter)?;
        let order = experiments::parse_order_by(&search.order_by)?;
        let query = self.workspace.query([search.filter.as_str(), search.view.name()], &[search.order_by.as_slice()]);
        let token = PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), query)?;
        let dialect = self.store.db.dialect();

        let mut select = Select::new(self.workspace, "experiments", "e");
        select.of_query(query);
        select.filter(format!("e.lifecycle_stage IN {}", stages(search.view)));
        if let Some(condition) = scope.experiments.ids(&mut select, dialect, "e.experiment_id") {
            select.filter(condition);
        }
        // Among many workspaces, the rows of a tag are mostly those of others.
        let approach = if self.workspace.parameter().is_some() { Approach::FencedLookUp } else { Approach::Drive };
        for (index, condition) in conditions.iter().enumerate() {
            let condition = condition_sql(&mut select, dialect, condition, approach.after(index));
            select.filter(condition);
        }
        let keys: Vec<_> = order.iter().map(|clause| (clause.column, clause.ascending)).collect();
        let is_newest_first = keys == [(Column::Time(TimeAttribute::CreationTime), false), (Column::Id, true)];
        if is_newest_first && conditions.is_empty() && scope.experiments == Visible::All && search.view != ViewType::All
        {
            select.plan(Plan::IndexOrder);
        }
        for clause in &order {
            let column = column_sql(clause.column);
            if clause.column == Column::Time(TimeAttribute::CreationTime) && !clause.ascending {
                // The key of ferroflow's own index.
                select.order_by(CREATED.replace("creation_time", column), true, KeyKind::Int);
                continue;
            }
            if matches!(clause.column, Column::Time(_)) {
                // Only databases created by old servers have experiments without timestamps.
                select.nulls_last(column);
            }
            let kind = if clause.column == Column::Name { KeyKind::Text } else { KeyKind::Int };
            select.order_by(column, !clause.ascending, kind);
        }

        select.page(COLUMNS, search.max_results, token)
    }
}

fn condition_sql(select: &mut Select, dialect: Dialect, condition: &Condition, approach: Approach) -> String {
    match condition {
        Condition::Name(test) => compare::text(select, dialect, "e.name", test),
        Condition::Id(IdTest::Equal(id)) => format!("e.experiment_id = {}", select.bind(*id)),
        Condition::Id(IdTest::NotEqual(id)) => format!("e.experiment_id != {}", select.bind(*id)),
        Condition::Id(IdTest::In(ids)) => {
            let place = select.bind(ids.clone());
            dialect.any("e.experiment_id", &place)
        }
        Condition::Id(IdTest::NotIn(ids)) => {
            let place = select.bind(ids.clone());
            format!("NOT ({})", dialect.any("e.experiment_id", &place))
        }
        Condition::Time { column, op, value } => compare::number(select, time_column(*column), *op, *value),
        Condition::Tag { key, test } => compare::pair(select, dialect, "e.experiment_id", &TAGS, key, test, approach),
    }
}

fn column_sql(column: Column) -> &'static str {
    match column {
        Column::Name => "e.name",
        Column::Id => "e.experiment_id",
        Column::Time(column) => time_column(column),
    }
}

fn time_column(column: TimeAttribute) -> &'static str {
    match column {
        TimeAttribute::CreationTime => "e.creation_time",
        TimeAttribute::LastUpdateTime => "e.last_update_time",
    }
}
