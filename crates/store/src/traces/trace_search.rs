//! Searching traces.

use ferroflow_model::{Error, Result, messages::service::TraceInfoV3, validation};
use ferroflow_search::{
    OrderBy, PageToken, QueryId, bounds,
    traces::{self, Column, Condition, TimeAttribute},
};

use super::{
    trace_few::{FEW, Probes},
    trace_filter::{Access, conditions_sql, optional_column, time_column},
    trace_infos::{COLUMN_COUNT, COLUMNS, attach, info_from_row, load_children as load},
    trace_window::{Part, Window},
};
use crate::{
    Scoped,
    db::{DbError, Plan, Statement},
    query::{
        scope::Scope,
        select::{Found, KeyKind, Page, Select, load_children},
    },
    statements::statements,
    workspace::Workspace,
};

statements! {
    static WITHIN: Workspace = "SELECT e.experiment_id FROM experiments e WHERE e.experiment_id {in $1} AND {ws:e}";
}

/// The first column of the order by default.
const BY_TIME: Column = Column::Time(TimeAttribute::Timestamp);

/// How far a search goes in both ways, the index of a condition and the order of time, before it knows which one ends
/// first.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Number of rows of the index.
    pub rows: usize,
    /// Number of traces of each experiment.
    pub traces: i64,
}

/// Each goes several times as far as the one before: together they take little longer than the last. A trace takes longer
/// than a row of an index, because its children are looked up.
const REACHES: [Reach; 3] =
    [Reach { rows: FEW, traces: 2_000 }, Reach { rows: 16_000, traces: 8_000 }, Reach { rows: 64_000, traces: 32_000 }];

/// A search for traces.
#[derive(Debug, Clone, Default)]
pub struct TraceSearch {
    /// The experiments to search in.
    pub experiment_ids: Vec<String>,
    /// Filter expression; empty for all.
    pub filter: String,
    /// Maximum number of traces per page.
    pub max_results: i64,
    /// `ORDER BY` clauses; ties are ordered newest first.
    pub order_by: Vec<String>,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
}

impl Scoped<'_> {
    /// A page of the traces in the experiments of a scope, and the token of the next page.
    ///
    /// # Errors
    /// The filter, order, token, size of the page or an experiment's id is not valid.
    pub async fn search_traces(
        &self,
        scope: &Scope,
        search: &TraceSearch,
    ) -> Result<(Vec<TraceInfoV3>, Option<String>)> {
        self.search_traces_reaching(scope, search, &REACHES).await
    }

    /// [`Scoped::search_traces`] that goes so far in each attempt. The result does not depend on it.
    ///
    /// # Errors
    /// Those of [`Scoped::search_traces`].
    pub async fn search_traces_reaching(
        &self,
        scope: &Scope,
        search: &TraceSearch,
        reaches: &[Reach],
    ) -> Result<(Vec<TraceInfoV3>, Option<String>)> {
        let mut query = Query::of(self.workspace, scope, search)?;
        if self.workspace.parameter().is_some() && (!query.conditions.is_empty() || query.experiments.len() > 1) {
            query.experiments = self.own_experiments(query.experiments).await?;
            if query.experiments.is_empty() {
                return Ok((Vec::new(), None));
            }
        }
        self.store.db.replicated(|| self.read_traces(&query, reaches)).await
    }

    async fn read_traces(&self, query: &Query, reaches: &[Reach]) -> Result<(Vec<TraceInfoV3>, Option<String>)> {
        let mut found = self.found_traces(query, reaches).await?;
        let conn = self.store.db.reader().await?;
        let ids = found.rows().map(|info| info.trace_id().to_owned()).collect();
        let (children, count) = load_children(&conn, ids, |ids| load(&conn, ids)).await?;
        found.truncate(count);
        let (infos, next) = found.finish();
        Ok((attach(infos, children), next))
    }

    /// The query plans of a search for traces, one line per step: of what finds out whether few traces meet a condition,
    /// and of the search itself.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_trace_search(&self, scope: &Scope, search: &TraceSearch) -> Result<Vec<String>> {
        let query = Query::of(self.workspace, scope, search)?;
        let probes = Probes::of(self.store, &query.experiments, &query.conditions).await?;
        let mut plans = probes.explain(REACHES[0].rows).await?;
        let few = probes.few(REACHES[0].rows, false).await?;
        let part = match self.window(&query, &probes) {
            Some(mut window) if few.is_none() => Some(window.take(REACHES[0].traces).await?),
            _ => None,
        };
        let page = self.trace_page(&query, few, part, query.max_results)?;
        plans.extend(self.store.db.explain(page.statement).await?);
        Ok(plans)
    }

    /// Those of some experiments that are in the workspace, on a server with workspaces: what is in others must not decide
    /// by which statements a search goes on.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn own_experiments(&self, ids: Vec<i64>) -> Result<Vec<i64>> {
        if self.workspace.parameter().is_none() {
            return Ok(ids);
        }
        let own = Statement::within(self.workspace, &WITHIN, vec![ids.clone().into()]);
        let own = self.store.db.query(own, |row| row.get::<i64>(0)).await?;
        Ok(ids.into_iter().filter(|id| own.contains(id)).collect())
    }

    /// Reads a page: of few traces, or from parts of time until it is full.
    async fn found_traces(&self, query: &Query, reaches: &[Reach]) -> Result<Found<TraceInfoV3>> {
        let probes = Probes::of(self.store, &query.experiments, &query.conditions).await?;
        let mut window = self.window(query, &probes);
        let mut found = Found::default();
        for (attempt, reach) in reaches.iter().enumerate() {
            let few = probes.few(reach.rows, attempt > 0).await?;
            if few.is_some() {
                return self.read_page(self.trace_page(query, few, None, query.max_results)?).await;
            }
            let Some(window) = &mut window else { continue };
            let part = window.take(reach.traces).await?;
            found = self.read_part(query, found, Some(part)).await?;
            if found.has_more() || !part.has_end() {
                return Ok(found);
            }
        }
        self.read_part(query, found, window.map(|window| window.rest())).await
    }

    /// Reads the rest of a page from a part of time.
    async fn read_part(
        &self,
        query: &Query,
        found: Found<TraceInfoV3>,
        part: Option<Part>,
    ) -> Result<Found<TraceInfoV3>> {
        let left = query.max_results - i64::try_from(found.rows().count()).unwrap_or(i64::MAX);
        let more = self.read_page(self.trace_page(query, None, part, left)?).await?;
        Ok(found.followed_by(more))
    }

    /// The traces of a search in the order of time. No index has those of several experiments in order; those of one are
    /// read in order anyway, unless there is another way.
    fn window<'a>(&'a self, query: &'a Query, probes: &Probes<'_>) -> Option<Window<'a>> {
        let is_useful = !probes.is_empty() || query.experiments.len() > 1;
        if !is_useful || Access::of(&query.conditions) != Access::Time {
            return None;
        }
        Window::of(self.store, query)
    }

    async fn read_page(&self, page: Page) -> Result<Found<TraceInfoV3>> {
        let conn = self.store.db.reader().await?;
        page.read(&conn, COLUMN_COUNT, info_from_row).await.map_err(search_error)
    }

    /// The statement for a page of at most `limit` traces: of those that meet one condition more than those of the filter, or
    /// are in a part of time, or of all.
    fn trace_page(&self, query: &Query, few: Option<Condition>, part: Option<Part>, limit: i64) -> Result<Page> {
        let Query { experiments, order, conditions, id, token, .. } = query;
        let conditions: Vec<Condition> = conditions.iter().cloned().chain(few).collect();
        let dialect = self.store.db.dialect();
        let (mut select, experiments) =
            Select::with_experiments(self.workspace, "trace_info", "t", dialect, experiments.clone());
        select.of_query(*id);
        let access = Access::of(&conditions);
        match part {
            Some(part) => part.restrict(&mut select, dialect, &experiments),
            // A sign hides the experiment from indexes.
            None if access == Access::Id => select.filter(format!("+{}", experiments.contain("t"))),
            None => select.filter(experiments.contain("t")),
        }
        for condition in conditions_sql(&mut select, dialect, &experiments, &conditions) {
            select.filter(condition);
        }
        if access == Access::Time && experiments.is_one() && order[0].column == BY_TIME {
            select.plan(Plan::PartialOrder);
        } else if access == Access::Id {
            select.plan(Plan::NoTableScan);
        }
        for (index, clause) in order.iter().enumerate() {
            order_by(&mut select, index, clause, access);
        }
        select.page(COLUMNS, limit, token.clone())
    }

    /// How many traces meet both, each and neither of two filters, all within a third one.
    ///
    /// # Errors
    /// A filter or an experiment's id is not valid.
    pub async fn correlate_traces(
        &self,
        scope: &Scope,
        experiment_ids: &[String],
        filters: [&str; 2],
        base: Option<&str>,
    ) -> Result<TraceCounts> {
        self.store.db.replicated(|| self.read_trace_counts(scope, experiment_ids, filters, base)).await
    }

    async fn read_trace_counts(
        &self,
        scope: &Scope,
        experiment_ids: &[String],
        filters: [&str; 2],
        base: Option<&str>,
    ) -> Result<TraceCounts> {
        let ids = visible_experiments(scope, experiment_ids)?;
        let parse = |filter: &str| match base {
            // A span condition of each part is on the same span: the parts are one filter.
            Some(base) if !base.is_empty() => traces::parse_filter(&format!("{base} and {filter}")),
            _ => traces::parse_filter(filter),
        };
        let [first, second] = [parse(filters[0])?, parse(filters[1])?];
        let base = traces::parse_filter(base.unwrap_or_default())?;
        let dialect = self.store.db.dialect();
        let (mut select, experiments) = Select::of_experiments(self.workspace, "trace_info", "t", dialect, ids, false);
        for condition in conditions_sql(&mut select, dialect, &experiments, &base) {
            select.filter(condition);
        }
        let mut all = |conditions: &[Condition]| {
            let conditions = conditions_sql(&mut select, dialect, &experiments, conditions);
            if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") }
        };
        let (first, second) = (all(&first), all(&second));
        let statement = select.statement(|from, conditions| {
            format!(
                "SELECT COUNT(*), COUNT(x.one), COUNT(x.two), COUNT(x.one + x.two) FROM \
                 (SELECT CASE WHEN {first} THEN 1 END AS one, CASE WHEN {second} THEN 1 END AS two \
                 FROM {from} WHERE {conditions} LIMIT {} OFFSET 0) x",
                i64::MAX
            )
        });
        let counts = self.store.db.query(statement, |row| {
            Ok(TraceCounts { total: row.get(0)?, first: row.get(1)?, second: row.get(2)?, both: row.get(3)? })
        });
        Ok(counts.await.map_err(search_error)?.pop().unwrap_or_default())
    }
}

/// A search, parsed.
pub(super) struct Query {
    pub(super) experiments: Vec<i64>,
    pub(super) order: Vec<OrderBy<Column>>,
    pub(super) conditions: Vec<Condition>,
    id: QueryId,
    pub(super) token: PageToken,
    max_results: i64,
}

impl Query {
    fn of(workspace: &Workspace, scope: &Scope, search: &TraceSearch) -> Result<Self> {
        check_locations(&search.experiment_ids)?;
        validation::max_results(search.max_results)?;
        let id =
            workspace.query([search.filter.as_str()], &[search.order_by.as_slice(), search.experiment_ids.as_slice()]);
        Ok(Self {
            experiments: visible_experiments(scope, &search.experiment_ids)?,
            order: traces::parse_order_by(&search.order_by)?,
            conditions: traces::parse_filter(&search.filter)?,
            id,
            token: PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), id)?,
            max_results: search.max_results,
        })
    }
}

/// Numbers of traces, for a correlation of two filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceCounts {
    /// All.
    pub total: i64,
    /// Those that meet the first filter.
    pub first: i64,
    /// Those that meet the second filter.
    pub second: i64,
    /// Those that meet both.
    pub both: i64,
}

/// The ids of the experiments that a caller may see.
pub(crate) fn visible_experiments(scope: &Scope, ids: &[String]) -> Result<Vec<i64>> {
    bounds::check("experiments", ids.len(), bounds::EXPERIMENTS)?;
    let ids = ids.iter().map(|id| validation::parse_experiment_id(id)).collect::<Result<Vec<_>>>()?;
    Ok(ids.into_iter().filter(|id| scope.experiments.has(&id.to_string())).collect())
}

/// Refuses names of tables among the ids of experiments.
fn check_locations(ids: &[String]) -> Result<()> {
    let names: Vec<&str> = ids.iter().map(String::as_str).filter(|id| id.contains('.')).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut shown = names.join(", ");
    if let Some((end, _)) = shown.char_indices().nth(20) {
        shown.truncate(end);
        shown.push_str("...");
    }
    Err(Error::invalid(format!("Locations must be a list of experiment IDs. Found invalid experiment IDs: {shown}.")))
}

/// The error of a search. A regular expression is only read by the database.
pub(crate) fn search_error(error: DbError) -> Error {
    match &error {
        DbError::Value(text) | DbError::Other(text) if text.contains("invalid regular expression") => {
            let reason = text.split("invalid regular expression").nth(1).unwrap_or_default();
            Error::invalid(format!("Invalid regular expression in a filter{reason}"))
        }
        _ => error.into(),
    }
}

/// Traces without a value come last in both directions.
fn order_by(select: &mut Select, index: usize, clause: &OrderBy<Column>, access: Access) {
    let descending = !clause.ascending;
    let (value, kind) = match &clause.column {
        // The id is unique, so it is the last key of every order.
        Column::TraceId => return select.order_by("t.request_id", descending, KeyKind::Text),
        Column::ExperimentId => return select.order_by("t.experiment_id", descending, KeyKind::Int),
        Column::Status => return select.order_by("t.status", descending, KeyKind::Text),
        Column::Time(column) => {
            let value = time_column(*column, access);
            if *column == TimeAttribute::ExecutionTime {
                select.nulls_last(value);
            }
            return select.order_by(value, descending, KeyKind::Int);
        }
        Column::Optional(column) => (optional_column(*column).to_owned(), KeyKind::Text),
        Column::Tag(key) => (joined_value(select, index, "trace_tags", key), KeyKind::Text),
        Column::Metadata(key) => (joined_value(select, index, "trace_request_metadata", key), KeyKind::Text),
    };
    select.nulls_last(&value);
    select.order_by(value, descending, kind);
}

/// Joins the value of one key per trace and returns its column.
fn joined_value(select: &mut Select, index: usize, table: &str, key: &str) -> String {
    let (alias, key) = (format!("o{index}"), select.bind(key));
    select.join(&format!("LEFT JOIN {table} {alias} ON {alias}.key = {key} AND {alias}.request_id = t.request_id"));
    format!("{alias}.value")
}
