//! Searching evaluation datasets.

use std::collections::HashMap;

use ferroflow_model::{Result, messages::datasets::Dataset, validation};
use ferroflow_search::{
    PageToken, PairTest, bounds,
    datasets::{self, Column, Condition, TextAttribute, TimeAttribute},
};

use crate::{
    Scoped,
    db::dialect::Dialect,
    evaluation::datasets::{COLUMN_COUNT, COLUMNS, from_row, tags_json, tags_of},
    query::{
        compare::{self, Approach, Pairs},
        select::{KeyKind, Select, load_children},
    },
};

const TAGS: Pairs = Pairs { table: "evaluation_dataset_tags", owner: "dataset_id", key: "key", value: "value" };

/// A search for datasets.
#[derive(Debug, Clone, Default)]
pub struct DatasetSearch {
    /// The experiments of which a dataset must belong to one; none for all datasets.
    pub experiment_ids: Vec<String>,
    /// Filter expression; empty for all.
    pub filter: String,
    /// Maximum number of datasets per page.
    pub max_results: i64,
    /// `ORDER BY` clauses; without any, newest first.
    pub order_by: Vec<String>,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
    /// The names of the only datasets that may be found; `None` for all.
    pub names: Option<Vec<String>>,
}

impl Scoped<'_> {
    /// A page of datasets without their experiments, and the token of the next page. Its caller may read all
    /// `experiment_ids`, or all datasets if there are none.
    ///
    /// # Errors
    /// The filter, order, token or size of the page is not valid.
    pub async fn search_datasets_of(&self, search: DatasetSearch) -> Result<(Vec<Dataset>, Option<String>)> {
        self.store.db.replicated(|| self.read_datasets(&search)).await
    }

    async fn read_datasets(&self, search: &DatasetSearch) -> Result<(Vec<Dataset>, Option<String>)> {
        validation::max_results(search.max_results)?;
        bounds::check("experiments", search.experiment_ids.len(), bounds::EXPERIMENTS)?;
        let query = self.workspace.list();
        let token = PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), query)?;
        let conditions = datasets::parse_filter(&search.filter)?;
        let order = datasets::parse_order_by(&search.order_by)?;
        let dialect = self.store.db.dialect();

        let mut select = Select::new(self.workspace, "evaluation_datasets", "d");
        select.of_query(query);
        if !search.experiment_ids.is_empty() {
            let place = select.bind(search.experiment_ids.as_slice());
            select.filter(format!(
                "d.dataset_id IN (SELECT source_id FROM entity_associations WHERE destination_type = 'experiment' \
                 AND {} AND source_type = 'evaluation_dataset')",
                dialect.any("destination_id", &place)
            ));
        }
        if let Some(names) = &search.names {
            let place = select.bind(names.as_slice());
            select.filter(dialect.any("d.name", &place));
        }
        for (index, condition) in conditions.iter().enumerate() {
            let condition = condition_sql(&mut select, dialect, condition, Approach::Drive.after(index));
            select.filter(condition);
        }
        for clause in &order {
            let column = column_sql(clause.column);
            match clause.column {
                Column::Time(_) => {
                    select.nulls_last(column);
                    select.order_by(column, !clause.ascending, KeyKind::Int);
                }
                Column::Name | Column::Id => select.order_by(column, !clause.ascending, KeyKind::Text),
            }
        }

        let page = select.page(COLUMNS, search.max_results, token)?;
        let conn = self.store.db.reader().await?;
        let mut found = page.read(&conn, COLUMN_COUNT, from_row).await?;
        let ids: Vec<String> = found.rows().filter_map(|dataset| dataset.dataset_id.clone()).collect();
        let (tags, count) = load_children(&conn, ids, |ids| tags_of(&conn, ids)).await?;
        found.truncate(count);
        let (mut datasets, next) = found.finish();
        let mut by_dataset: HashMap<String, Vec<(String, Option<String>)>> = HashMap::new();
        for (dataset, key, value) in tags.into_iter().flatten() {
            by_dataset.entry(dataset).or_default().push((key, value));
        }
        for dataset in &mut datasets {
            let tags = by_dataset.remove(dataset.dataset_id()).unwrap_or_default();
            dataset.tags = Some(tags_json(tags.iter().map(|(key, value)| (key.as_str(), value.as_deref()))));
        }
        Ok((datasets, next))
    }
}

fn condition_sql(select: &mut Select, dialect: Dialect, condition: &Condition, approach: Approach) -> String {
    match condition {
        Condition::Text { column, test } => compare::text(select, dialect, text_column(*column), test),
        Condition::Time { column, op, value } => compare::number(select, time_column(*column), *op, *value),
        Condition::Tag { key, test } => {
            compare::pair(select, dialect, "d.dataset_id", &TAGS, key, &PairTest::Value(test.clone()), approach)
        }
    }
}

fn column_sql(column: Column) -> &'static str {
    match column {
        Column::Name => "d.name",
        Column::Id => "d.dataset_id",
        Column::Time(column) => time_column(column),
    }
}

fn text_column(column: TextAttribute) -> &'static str {
    match column {
        TextAttribute::Name => "d.name",
        TextAttribute::CreatedBy => "d.created_by",
        TextAttribute::LastUpdatedBy => "d.last_updated_by",
    }
}

fn time_column(column: TimeAttribute) -> &'static str {
    match column {
        TimeAttribute::CreatedTime => "d.created_time",
        TimeAttribute::LastUpdateTime => "d.last_update_time",
    }
}
