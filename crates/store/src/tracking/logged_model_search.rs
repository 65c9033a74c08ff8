//! Searching logged models.

use ferroflow_model::{
    Error, Result, limits,
    messages::service::{LoggedModel, SearchLoggedModelsDataset, SearchLoggedModelsOrderBy},
    validation,
};
use ferroflow_search::{
    KeyValue, OrderBy, PageToken, PairTest, bounds,
    logged_models::{self, Attribute, Column, Condition, OrderClause},
};

use crate::{
    Scoped,
    db::{Plan, dialect::Dialect},
    query::{
        compare::{self, Approach, Pairs},
        experiments::Experiments,
        scope::Scope,
        select::{KeyKind, Page, Select, load_children},
    },
    tracking::logged_models::{COLUMNS, attach, info_from_row, load},
};

const TAGS: Pairs = Pairs { table: "logged_model_tags", owner: "model_id", key: "tag_key", value: "tag_value" };
const PARAMS: Pairs = Pairs { table: "logged_model_params", owner: "model_id", key: "param_key", value: "param_value" };

/// The number of columns in [`COLUMNS`].
const COLUMN_COUNT: usize = 10;

/// Page size for `max_results` 0. If the field is missing, the message's default applies.
const DEFAULT_PAGE: i64 = 100;

/// A search for logged models.
#[derive(Debug, Clone)]
pub struct LoggedModelSearch {
    /// The experiments to search in.
    pub experiment_ids: Vec<String>,
    /// Filter expression; empty for all.
    pub filter: String,
    /// Datasets that conditions on metrics refer to; without such a condition, models with any metric on one of them.
    pub datasets: Vec<SearchLoggedModelsDataset>,
    /// Maximum number of models per page; 0 means 100.
    pub max_results: i64,
    /// `ORDER BY` clauses; ties are ordered newest first.
    pub order_by: Vec<SearchLoggedModelsOrderBy>,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
}

impl Scoped<'_> {
    /// A page of the logged models in a scope, and the token of the next page.
    ///
    /// # Errors
    /// The filter, order, token or an experiment's id is not valid, or a dataset has no name.
    pub async fn search_logged_models(
        &self,
        scope: &Scope,
        search: LoggedModelSearch,
    ) -> Result<(Vec<LoggedModel>, Option<String>)> {
        self.store.db.replicated(|| self.read_logged_models(scope, &search)).await
    }

    async fn read_logged_models(
        &self,
        scope: &Scope,
        search: &LoggedModelSearch,
    ) -> Result<(Vec<LoggedModel>, Option<String>)> {
        let page = self.logged_model_page(scope, search)?;
        let conn = self.store.db.reader().await?;
        let mut found = page.read(&conn, COLUMN_COUNT, info_from_row).await?;
        let ids = found.rows().map(|info| info.model_id().to_owned()).collect();
        let (children, count) = load_children(&conn, ids, |ids| load(&conn, ids)).await?;
        found.truncate(count);
        let (infos, next) = found.finish();
        Ok((attach(infos, children), next))
    }

    /// The query plan of a search for logged models, one line per step.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_logged_model_search(&self, scope: &Scope, search: &LoggedModelSearch) -> Result<Vec<String>> {
        let page = self.logged_model_page(scope, search)?;
        Ok(self.store.db.explain(page.statement).await?)
    }

    fn logged_model_page(&self, scope: &Scope, search: &LoggedModelSearch) -> Result<Page> {
        if search.datasets.iter().any(|dataset| dataset.dataset_name().is_empty()) {
            return Err(Error::invalid("`dataset_name` in the `datasets` clause must be specified."));
        }
        bounds::check("experiments", search.experiment_ids.len(), bounds::EXPERIMENTS)?;
        bounds::check("datasets", search.datasets.len(), bounds::DATASETS)?;
        let conditions = logged_models::parse_filter(&search.filter)?;
        let clauses: Vec<OrderClause<'_>> = search
            .order_by
            .iter()
            .map(|clause| OrderClause {
                field_name: clause.field_name(),
                ascending: clause.ascending(),
                dataset_name: clause.dataset_name.as_deref(),
                dataset_digest: clause.dataset_digest.as_deref(),
            })
            .collect();
        let order = logged_models::parse_order_by(&clauses)?;
        let shown = order_as_json(&search.order_by);
        let on: Vec<String> = search
            .datasets
            .iter()
            .flat_map(|dataset| [dataset.dataset_name(), dataset.dataset_digest()])
            .map(str::to_owned)
            .collect();
        let query = self.workspace.query([search.filter.as_str(), &shown.to_string()], &[&search.experiment_ids, &on]);
        PageToken::check_query(search.page_token.as_deref().unwrap_or_default(), query)?;
        let token = PageToken::decode_for_logged_models(
            search.page_token.as_deref().unwrap_or_default(),
            &search.experiment_ids,
            &search.filter,
            &shown,
        )?;
        let experiments =
            search.experiment_ids.iter().map(|id| validation::parse_experiment_id(id)).collect::<Result<Vec<_>>>()?;
        let limit = if search.max_results == 0 { DEFAULT_PAGE } else { search.max_results };
        if limit < 0 {
            return Err(Error::invalid(format!(
                "Invalid value {limit} for parameter 'max_results' supplied. It must be positive."
            )));
        }
        // The reference has no maximum: a larger page is split into several.
        let limit = limit.min(limits::SEARCH_RESULTS);
        let dialect = self.store.db.dialect();

        let experiments: Vec<i64> =
            experiments.into_iter().filter(|id| scope.experiments.has(&id.to_string())).collect();
        let is_plain = conditions.is_empty() && search.datasets.is_empty() && is_newest_first(&order);
        let (mut select, experiments) =
            Select::with_experiments(self.workspace, "logged_models", "m", dialect, experiments);
        select.of_query(query);
        if is_plain && !experiments.is_one() {
            newest_of_each(&mut select, dialect, &experiments, limit, &token);
        } else {
            select.filter(experiments.contain("m"));
            if is_plain {
                select.plan(Plan::IndexOrder);
            }
        }
        select.filter("m.lifecycle_stage != 'deleted'".to_owned());
        let on = if search.datasets.is_empty() { "TRUE".into() } else { on_datasets(&mut select, &search.datasets) };
        for (index, condition) in conditions.iter().enumerate() {
            let condition = condition_sql(&mut select, dialect, condition, &on, Approach::Drive.after(index));
            select.filter(condition);
        }
        let about_metrics = conditions.iter().any(|condition| matches!(condition, Condition::Metric { .. }));
        if !search.datasets.is_empty() && !about_metrics {
            select.filter(format!("m.model_id IN (SELECT model_id FROM logged_model_metrics WHERE {on})"));
        }
        for (index, clause) in order.iter().enumerate() {
            order_by(&mut select, index, &clause.column, !clause.ascending);
        }

        select.page(COLUMNS, limit, token)
    }
}

/// Whether it is the order of [`OwnIndex::LoggedModelsPage`](crate::schema::own_indexes::OwnIndex::LoggedModelsPage).
fn is_newest_first(order: &[OrderBy<Column>]) -> bool {
    let keys: Vec<_> = order.iter().map(|clause| (&clause.column, clause.ascending)).collect();
    keys == [(&Column::Attribute(Attribute::CreationTimestamp), false), (&Column::Attribute(Attribute::ModelId), true)]
}

/// Reads the newest models of each experiment, of which the index has those of one in order: no page needs more of one
/// than it has models.
fn newest_of_each(select: &mut Select, dialect: Dialect, experiments: &Experiments, limit: i64, token: &PageToken) {
    let mut test = "x.experiment_id = e.id AND x.lifecycle_stage != 'deleted'".to_owned();
    let skipped = match token {
        PageToken::Offset(skipped) => i64::try_from(*skipped).unwrap_or(i64::MAX),
        PageToken::Key(values) => {
            if let [KeyValue::Int(created), KeyValue::Text(id)] = values.as_slice() {
                let (created, id) = (select.bind(*created), select.bind(id));
                test.push_str(&format!(
                    " AND x.creation_timestamp_ms <= {created} \
                     AND (x.creation_timestamp_ms < {created} OR x.model_id > {id})"
                ));
            }
            0
        }
    };
    let rows = select.bind(limit.saturating_add(1).saturating_add(skipped));
    let newest = format!(
        "SELECT x.model_id FROM logged_models x WHERE {test} \
         ORDER BY x.creation_timestamp_ms DESC, x.model_id LIMIT {rows}"
    );
    let each = experiments.rows();
    match dialect {
        Dialect::Postgres => {
            select.read_from(format!(
                "{each} CROSS JOIN LATERAL ({}) m",
                newest.replacen("SELECT x.model_id", "SELECT x.*", 1)
            ));
            select.plan(Plan::IndexScan);
        }
        Dialect::Sqlite => {
            select.driven_by_list(&each);
            select.filter(format!("m.model_id IN ({newest})"));
        }
    }
}

fn condition_sql(select: &mut Select, dialect: Dialect, condition: &Condition, on: &str, approach: Approach) -> String {
    match condition {
        Condition::Text { column, test } => {
            let name = column.column();
            let column = match column {
                Attribute::ExperimentId | Attribute::Status => format!("CAST(m.{name} AS TEXT)"),
                _ => format!("m.{name}"),
            };
            compare::text(select, dialect, &column, test)
        }
        Condition::Time { column, op, value } => {
            compare::number(select, &format!("m.{}", column.column()), *op, *value)
        }
        Condition::Metric { key, op, value } => {
            let key = select.bind(key);
            let test = compare::number(select, "metric_value", *op, *value);
            let test = format!("metric_name = {key} AND {test} AND {on}");
            approach.condition("logged_model_metrics", "model_id", "m.model_id", &test)
        }
        Condition::Param { key, test } => {
            compare::pair(select, dialect, "m.model_id", &PARAMS, key, &PairTest::Value(test.clone()), approach)
        }
        Condition::Tag { key, test } => {
            compare::pair(select, dialect, "m.model_id", &TAGS, key, &PairTest::Value(test.clone()), approach)
        }
    }
}

/// The condition that a metric row is on one of the datasets; one without a digest matches all versions.
fn on_datasets(select: &mut Select, datasets: &[SearchLoggedModelsDataset]) -> String {
    let any: Vec<String> = datasets
        .iter()
        .map(|dataset| {
            let name = format!("dataset_name = {}", select.bind(dataset.dataset_name()));
            match dataset.dataset_digest() {
                "" => name,
                digest => format!("({name} AND dataset_digest = {})", select.bind(digest)),
            }
        })
        .collect();
    format!("({})", any.join(" OR "))
}

/// Models without a value come last in both directions.
fn order_by(select: &mut Select, index: usize, column: &Column, descending: bool) {
    let (value, kind) = match column {
        Column::Attribute(Attribute::ModelId) => {
            select.order_by("m.model_id", descending, KeyKind::Text);
            return;
        }
        // Never NULL, and in this order a key of ferroflow's own index.
        Column::Attribute(Attribute::CreationTimestamp) => {
            select.order_by("m.creation_timestamp_ms", descending, KeyKind::Int);
            return;
        }
        Column::Attribute(column) => (format!("m.{}", column.column()), attribute_kind(*column)),
        Column::Metric { key, dataset_name, dataset_digest } => {
            let mut on = format!("metric_name = {}", select.bind(key));
            if let Some(name) = dataset_name {
                on.push_str(&format!(" AND dataset_name = {}", select.bind(name)));
            }
            if let Some(digest) = dataset_digest {
                on.push_str(&format!(" AND dataset_digest = {}", select.bind(digest)));
            }
            select.join(&format!(
                "LEFT JOIN (SELECT model_id, metric_value, row_number() OVER (PARTITION BY model_id \
                 ORDER BY metric_timestamp_ms DESC, metric_step DESC, run_id) AS place \
                 FROM logged_model_metrics WHERE {on}) o{index} ON o{index}.model_id = m.model_id AND o{index}.place = 1"
            ));
            (format!("o{index}.metric_value"), KeyKind::Real)
        }
    };
    select.nulls_last(&value);
    select.order_by(value, descending, kind);
}

fn attribute_kind(column: Attribute) -> KeyKind {
    match column {
        Attribute::ExperimentId
        | Attribute::Status
        | Attribute::CreationTimestamp
        | Attribute::LastUpdatedTimestamp => KeyKind::Int,
        _ => KeyKind::Text,
    }
}

/// The order in the JSON form of the reference's page tokens.
fn order_as_json(order: &[SearchLoggedModelsOrderBy]) -> serde_json::Value {
    let given = |text: &str| if text.is_empty() { serde_json::Value::Null } else { text.into() };
    let clauses: Vec<_> = order
        .iter()
        .map(|clause| {
            serde_json::json!({
                "field_name": clause.field_name(),
                "ascending": clause.ascending(),
                "dataset_name": given(clause.dataset_name()),
                "dataset_digest": given(clause.dataset_digest()),
            })
        })
        .collect();
    if clauses.is_empty() { serde_json::Value::Null } else { clauses.into() }
}
