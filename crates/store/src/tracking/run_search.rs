//! Searching runs.

use ferroflow_model::{
    Result,
    messages::service::{Run, ViewType},
    validation,
    wire::Enum as _,
};
use ferroflow_search::{
    Number, OrderBy, PageToken, PairTest, QueryId, TextTest, bounds,
    runs::{self, Column, Condition, DatasetAttribute, TextAttribute, TimeAttribute},
};

use crate::{
    Scoped,
    db::{Plan, dialect::Dialect},
    query::{
        compare::{self, Approach, Pairs},
        scope::Scope,
        select::{KeyKind, Page, Select, load_children},
    },
    schema::own_indexes::NEWEST,
    stages,
    tracking::{
        run_children::{self, Extent},
        runs::{COLUMNS, RUN_NAME_TAG, info_from_row},
    },
};

const TAGS: Pairs = Pairs { table: "tags", owner: "run_uuid", key: "key", value: "value" };
const PARAMS: Pairs = Pairs { table: "params", owner: "run_uuid", key: "key", value: "value" };

/// The number of columns in [`COLUMNS`].
const COLUMN_COUNT: usize = 9;

/// A run search.
#[derive(Debug, Clone)]
pub struct RunSearch {
    /// The experiments to search in.
    pub experiment_ids: Vec<String>,
    /// Filter expression; empty for all.
    pub filter: String,
    /// Lifecycle stages: active, deleted or all.
    pub view: ViewType,
    /// Maximum number of runs per page.
    pub max_results: i64,
    /// `ORDER BY` clauses; ties are ordered newest first.
    pub order_by: Vec<String>,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
}

impl Scoped<'_> {
    /// A page of the runs in the experiments of a scope, and the token of the next page.
    ///
    /// # Errors
    /// The filter, order, token, size of the page or an experiment's id is not valid.
    pub async fn search_runs(&self, scope: &Scope, search: RunSearch) -> Result<(Vec<Run>, Option<String>)> {
        self.store.db.replicated(|| self.read_runs(scope, &search)).await
    }

    async fn read_runs(&self, scope: &Scope, search: &RunSearch) -> Result<(Vec<Run>, Option<String>)> {
        let page = self.run_page(scope, search)?;
        let conn = self.store.db.reader().await?;
        let mut found = page.read(&conn, COLUMN_COUNT, info_from_row).await?;
        let ids = found.rows().map(|info| info.run_id().to_owned()).collect();
        let load = |ids| run_children::load(&conn, ids, Extent::Page);
        let (children, count) = load_children(&conn, ids, load).await?;
        found.truncate(count);
        let (infos, next) = found.finish();
        Ok((run_children::attach(infos, children), next))
    }

    /// The query plan of a search for runs, one line per step.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_run_search(&self, scope: &Scope, search: &RunSearch) -> Result<Vec<String>> {
        let page = self.run_page(scope, search)?;
        Ok(self.store.db.explain(page.statement).await?)
    }

    fn run_page(&self, scope: &Scope, search: &RunSearch) -> Result<Page> {
        validation::max_results(search.max_results)?;
        bounds::check("experiments", search.experiment_ids.len(), bounds::EXPERIMENTS)?;
        let conditions = runs::parse_filter(&search.filter)?;
        let order = runs::parse_order_by(&search.order_by)?;
        let query = QueryId::new(
            [search.filter.as_str(), search.view.name()],
            &[search.order_by.as_slice(), search.experiment_ids.as_slice()],
        );
        let token = PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), query)?;
        let experiments =
            search.experiment_ids.iter().map(|id| validation::parse_experiment_id(id)).collect::<Result<Vec<_>>>()?;
        let experiments: Vec<i64> =
            experiments.into_iter().filter(|id| scope.experiments.has(&id.to_string())).collect();
        let dialect = self.store.db.dialect();

        let driving = driving_condition(&conditions);
        // The runs of the driving condition are looked up by their ids.
        let (mut select, experiments) =
            Select::of_experiments(self.workspace, "runs", "r", dialect, experiments, driving.is_some());
        select.of_query(query);
        if experiments.is_one() && driving.is_none() && search.view != ViewType::All && is_newest_first(&order) {
            select.plan(Plan::IndexOrder);
        }
        select.filter(format!("r.lifecycle_stage IN {}", stages(search.view)));
        for (index, condition) in conditions.iter().enumerate() {
            let approach = if driving == Some(index) { Approach::Drive } else { Approach::LookUp.after(index) };
            let condition = condition_sql(&mut select, dialect, condition, approach);
            select.filter(condition);
        }
        for (index, clause) in order.iter().enumerate() {
            order_by(&mut select, index, &clause.column, !clause.ascending);
        }

        select.page(COLUMNS, search.max_results, token)
    }
}

/// The index of the condition on metrics, params or tags that drives the query: the most selective one, by kind.
/// Equality with a text comes first.
fn driving_condition(conditions: &[Condition]) -> Option<usize> {
    let cost = |condition: &Condition| match condition {
        Condition::Param { test: PairTest::Value(TextTest::Equal(_) | TextTest::In(_)), .. }
        | Condition::Tag { test: PairTest::Value(TextTest::Equal(_) | TextTest::In(_)), .. } => Some(0),
        Condition::Metric { .. } => Some(1),
        Condition::Param { test: PairTest::Value(_) | PairTest::IsNotNull, .. }
        | Condition::Tag { test: PairTest::Value(_) | PairTest::IsNotNull, .. }
        | Condition::Text { column: TextAttribute::RunName, .. } => Some(2),
        _ => None,
    };
    let candidates = conditions.iter().enumerate().filter_map(|(index, condition)| Some((cost(condition)?, index)));
    candidates.min().map(|(_, index)| index)
}

fn condition_sql(select: &mut Select, dialect: Dialect, condition: &Condition, approach: Approach) -> String {
    match condition {
        Condition::Metric { key, op, value } => {
            let key = select.bind(key);
            let test = format!("key = {key} AND {}", compare::metric(select, *op, *value));
            approach.condition("latest_metrics", "run_uuid", "r.run_uuid", &test)
        }
        Condition::Param { key, test } => compare::pair(select, dialect, "r.run_uuid", &PARAMS, key, test, approach),
        Condition::Tag { key, test } => compare::pair(select, dialect, "r.run_uuid", &TAGS, key, test, approach),
        // Runs logged by MLflow 1.29 and older have their name only in the tag.
        Condition::Text { column: TextAttribute::RunName, test } => {
            let test = PairTest::Value(test.clone());
            compare::pair(select, dialect, "r.run_uuid", &TAGS, RUN_NAME_TAG, &test, approach)
        }
        Condition::Text { column, test } => compare::text(select, dialect, text_column(*column), test),
        Condition::Time { column, op, value } => {
            let column = time_column(*column);
            match value {
                Number::Int(value) => compare::number(select, column, *op, *value),
                Number::Real(value) => compare::number(select, column, *op, *value),
            }
        }
        Condition::Dataset { column, test } => {
            let (join, column) = match column {
                DatasetAttribute::Name => ("", "d.name"),
                DatasetAttribute::Digest => ("", "d.digest"),
                DatasetAttribute::Context => {
                    (" JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context'", "t.value")
                }
            };
            let test = compare::text(select, dialect, column, test);
            let of = format!("datasets d JOIN inputs i ON i.source_id = d.dataset_uuid{join}");
            if approach == Approach::FencedLookUp {
                let test = format!("i.destination_type = 'RUN' AND {test}");
                return approach.condition(&of, "i.destination_id", "r.run_uuid", &test);
            }
            Approach::Drive.condition(&of, "i.destination_id", "r.run_uuid", &test)
        }
    }
}

/// Whether it is the order of [`OwnIndex::RunsPage`](crate::schema::own_indexes::OwnIndex::RunsPage).
fn is_newest_first(order: &[OrderBy<Column>]) -> bool {
    let key = |at: usize| order.get(at).map(|clause| (&clause.column, clause.ascending));
    key(0) == Some((&Column::Time(TimeAttribute::StartTime), false))
        && key(1) == Some((&Column::Text(TextAttribute::RunId), true))
}

/// Runs without a value come last in both directions, preceded by those whose metric is NaN.
fn order_by(select: &mut Select, index: usize, column: &Column, descending: bool) {
    match column {
        // The id is unique, so it is the last key of every order.
        Column::Text(TextAttribute::RunId) => select.order_by("r.run_uuid", descending, KeyKind::Text),
        Column::Text(column) => {
            select.nulls_last(text_column(*column));
            select.order_by(text_column(*column), descending, KeyKind::Text);
        }
        Column::Time(TimeAttribute::StartTime) if descending => {
            select.order_by(NEWEST.replace("start_time", "r.start_time"), true, KeyKind::Int);
        }
        Column::Time(column) => {
            select.nulls_last(time_column(*column));
            select.order_by(time_column(*column), descending, KeyKind::Int);
        }
        Column::Metric(key) => {
            let value = joined_value(select, index, "latest_metrics", key);
            let rank = format!("CASE WHEN o{index}.is_nan THEN 1 WHEN {value} IS NULL THEN 2 ELSE 0 END");
            select.order_by(rank, false, KeyKind::Int);
            select.order_by(value, descending, KeyKind::Real);
        }
        Column::Param(key) => {
            let value = joined_value(select, index, "params", key);
            select.nulls_last(&value);
            select.order_by(value, descending, KeyKind::Text);
        }
        Column::Tag(key) => {
            let value = joined_value(select, index, "tags", key);
            select.nulls_last(&value);
            select.order_by(value, descending, KeyKind::Text);
        }
    }
}

/// Joins the value of one key per run and returns its column.
fn joined_value(select: &mut Select, index: usize, table: &str, key: &str) -> String {
    let (alias, key) = (format!("o{index}"), select.bind(key));
    select.join(&format!("LEFT JOIN {table} {alias} ON {alias}.key = {key} AND {alias}.run_uuid = r.run_uuid"));
    format!("{alias}.value")
}

fn text_column(column: TextAttribute) -> &'static str {
    match column {
        TextAttribute::RunId => "r.run_uuid",
        TextAttribute::RunName => "r.name",
        TextAttribute::UserId => "r.user_id",
        TextAttribute::Status => "r.status",
        TextAttribute::ArtifactUri => "r.artifact_uri",
    }
}

fn time_column(column: TimeAttribute) -> &'static str {
    match column {
        TimeAttribute::StartTime => "r.start_time",
        TimeAttribute::EndTime => "r.end_time",
    }
}
