//! Searching logged models.

use ferroflow_model::{
    Error, Result, limits,
    messages::service::{LoggedModel, SearchLoggedModelsDataset, SearchLoggedModelsOrderBy},
    validation,
};
use ferroflow_search::{
    KeyValue, OrderBy, PageToken, QueryId, TextTest, bounds,
    logged_models::{self, Attribute, Column, Condition, OrderClause},
};

use crate::{
    Scoped,
    db::{Conn, Plan, dialect::Dialect},
    query::{
        compare::Approach,
        experiments::Experiments,
        scope::Scope,
        select::{Found, Page, Select, load_children},
    },
    schema::own_indexes::OwnIndex,
    tracking::{
        logged_model_filter::{Values, condition_sql, drive, of_metric, on_datasets, order_by},
        logged_model_metric_order::{First, are_many, read_first},
        logged_models::{COLUMNS, attach, info_from_row, load},
    },
    workspace::Workspace,
};

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
        let query = Query::of(self, scope, search)?;
        let conn = self.store.db.reader().await?;
        let values = self.values_of_metric(&conn, &query).await?;
        let mut found = Found::default();
        if values == Values::Read
            && let Some(first) = self.first_logged_models(&query)?
        {
            found = first.read(&conn, COLUMN_COUNT, info_from_row).await?;
        }
        // A page that is full ends within the first models.
        if !found.has_more() {
            let page = self.logged_model_page(&query, values)?;
            found = page.read(&conn, COLUMN_COUNT, info_from_row).await?;
        }
        let ids = found.rows().map(|info| info.model_id().to_owned()).collect();
        let (children, count) = load_children(&conn, ids, |ids| load(&conn, ids)).await?;
        found.truncate(count);
        let (infos, next) = found.finish();
        Ok((attach(infos, children), next))
    }

    /// The query plan of a search for logged models, one line per step: of the statement that is run first.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_logged_model_search(&self, scope: &Scope, search: &LoggedModelSearch) -> Result<Vec<String>> {
        let query = Query::of(self, scope, search)?;
        let conn = self.store.db.reader().await?;
        let values = self.values_of_metric(&conn, &query).await?;
        drop(conn);
        let first = if values == Values::Read { self.first_logged_models(&query)? } else { None };
        let page = first.map_or_else(|| self.logged_model_page(&query, values), Ok)?;
        Ok(self.store.db.explain(page.statement).await?)
    }

    /// How the values of a metric are read that a search is ordered by.
    async fn values_of_metric(&self, conn: &Conn, query: &Query<'_>) -> Result<Values> {
        if !query.order.iter().any(|clause| matches!(clause.column, Column::Metric { .. })) {
            return Ok(Values::All);
        }
        // An index has the few models of the filter.
        if query.conditions.iter().any(|condition| self.has_values_of(condition)) {
            return Ok(Values::Each);
        }
        let (select, experiments) = query.select(self.workspace, conn.dialect());
        if conn.query_opt(are_many(select, &experiments), |_| Ok(())).await?.is_none() {
            return Ok(Values::Each);
        }
        // Few of the first models may meet a filter.
        let is_plain = query.conditions.is_empty() && query.datasets.is_empty();
        let is_indexed = self.store.own_indexes.is_there(OwnIndex::LoggedModelMetricValue);
        Ok(if is_plain && is_indexed { Values::Read } else { Values::All })
    }

    /// The statement for the first models in the order of a metric; `None` for another order, and for a page behind them.
    fn first_logged_models(&self, query: &Query<'_>) -> Result<Option<Page>> {
        let Some(OrderBy { column: Column::Metric { key, dataset_name, dataset_digest }, ascending }) =
            query.order.first()
        else {
            return Ok(None);
        };
        let dialect = self.store.db.dialect();
        let (mut select, experiments) = query.select(self.workspace, dialect);
        let (name, on) = of_metric(&mut select, key, dataset_name.as_deref(), dataset_digest.as_deref());
        let first = First { on: &on, name: &name, descending: !ascending };
        if !read_first(&mut select, dialect, &first, &query.token, query.limit) {
            return Ok(None);
        }
        select.filter(experiments.contain("m"));
        select.filter("m.lifecycle_stage != 'deleted'".to_owned());
        for (index, clause) in query.order.iter().enumerate() {
            order_by(&mut select, dialect, index, &clause.column, !clause.ascending, Values::Read);
        }
        select.page(COLUMNS, query.limit, query.token.clone()).map(Some)
    }

    fn logged_model_page(&self, query: &Query<'_>, values: Values) -> Result<Page> {
        let Query { conditions, datasets, order, token, limit, .. } = query;
        let dialect = self.store.db.dialect();
        let is_newest_first = is_newest_first(order);
        let is_plain = conditions.is_empty() && datasets.is_empty() && is_newest_first;
        let (mut select, experiments) = query.select(self.workspace, dialect);
        let driving = conditions.iter().position(|condition| self.has_values_of(condition));
        let of_name = driving.is_none()
            && is_newest_first
            && experiments.is_one()
            && conditions.iter().any(is_of_one_name)
            && self.store.own_indexes.is_there(OwnIndex::LoggedModelName);
        if let Some(driving) = driving {
            drive(&mut select, dialect, &conditions[driving]);
            select.filter(format!("+{}", experiments.contain("m")));
        } else if is_plain && !experiments.is_one() {
            newest_of_each(&mut select, dialect, &experiments, *limit, token);
        } else {
            select.filter(experiments.contain("m"));
            if is_plain || of_name {
                select.plan(Plan::IndexOrder);
            }
        }
        select.filter("m.lifecycle_stage != 'deleted'".to_owned());
        let on = if datasets.is_empty() { "TRUE".into() } else { on_datasets(&mut select, datasets) };
        for (index, condition) in conditions.iter().enumerate() {
            if driving == Some(index) {
                continue;
            }
            let approach =
                if driving.is_some() || of_name { Approach::FencedLookUp } else { Approach::Drive.after(index) };
            let condition = condition_sql(&mut select, dialect, condition, &on, approach);
            select.filter(condition);
        }
        let about_metrics = conditions.iter().any(|condition| matches!(condition, Condition::Metric { .. }));
        if !datasets.is_empty() && !about_metrics {
            select.filter(format!("m.model_id IN (SELECT model_id FROM logged_model_metrics WHERE {on})"));
        }
        let values = if values == Values::Each { Values::Each } else { Values::All };
        for (index, clause) in order.iter().enumerate() {
            order_by(&mut select, dialect, index, &clause.column, !clause.ascending, values);
        }
        select.page(COLUMNS, *limit, token.clone())
    }

    /// Whether an index has the models that meet a condition.
    fn has_values_of(&self, condition: &Condition) -> bool {
        let index = match condition {
            Condition::Param { test: TextTest::Equal(_), .. } => OwnIndex::LoggedModelParamValue,
            Condition::Tag { test: TextTest::Equal(_), .. } => OwnIndex::LoggedModelTagValue,
            _ => return false,
        };
        self.store.own_indexes.is_there(index)
    }
}

/// A search, parsed.
struct Query<'a> {
    experiments: Vec<i64>,
    conditions: Vec<Condition>,
    datasets: &'a [SearchLoggedModelsDataset],
    order: Vec<OrderBy<Column>>,
    token: PageToken,
    id: QueryId,
    limit: i64,
}

impl<'a> Query<'a> {
    fn of(here: &Scoped<'_>, scope: &Scope, search: &'a LoggedModelSearch) -> Result<Self> {
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
        let id = here.workspace.query([search.filter.as_str(), &shown.to_string()], &[&search.experiment_ids, &on]);
        PageToken::check_query(search.page_token.as_deref().unwrap_or_default(), id)?;
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
        let experiments: Vec<i64> =
            experiments.into_iter().filter(|id| scope.experiments.has(&id.to_string())).collect();
        // The reference has no maximum: a larger page is split into several.
        let limit = limit.min(limits::SEARCH_RESULTS);
        Ok(Self { experiments, conditions, datasets: &search.datasets, order, token, id, limit })
    }

    /// A selection of logged models `m`, which the caller restricts by the experiments.
    fn select(&self, workspace: &Workspace, dialect: Dialect) -> (Select, Experiments) {
        let (mut select, experiments) =
            Select::with_experiments(workspace, "logged_models", "m", dialect, self.experiments.clone());
        select.of_query(self.id);
        (select, experiments)
    }
}

/// Whether a condition allows one name.
fn is_of_one_name(condition: &Condition) -> bool {
    matches!(condition, Condition::Text { column: Attribute::Name, test: TextTest::Equal(_) })
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
