//! Searching runs.

use ferroflow_model::{
    Result,
    messages::service::{Run, RunInfo, ViewType},
    validation,
    wire::Enum as _,
};
use ferroflow_search::{
    OrderBy, PageToken, QueryId, TextTest, bounds,
    runs::{self, Column, Condition, TextAttribute, TimeAttribute},
};

use super::{
    run_children::{self, Extent},
    run_few::{Probes, has_at_most},
    run_filter::{Joined, condition_sql, driving_condition, order_by},
    run_metric_order::{MetricOrder, MetricPart},
    run_window::{Part, Window},
    runs::{COLUMNS, info_from_row},
};
use crate::{
    Scoped, Workspace,
    db::{Conn, Plan, dialect::Dialect},
    query::{
        compare::Approach,
        scope::Scope,
        select::{Found, Page, Select, load_children},
    },
    schema::own_indexes::OwnIndex,
};

/// The number of columns in [`COLUMNS`].
const COLUMN_COUNT: usize = 9;

/// How far a search goes in an attempt before it asks the database for all runs that meet its filter.
#[derive(Debug, Clone, Copy)]
pub struct RunReach {
    /// Number of rows in the index of a condition.
    pub rows: i64,
    /// Number of runs, in the order of the page.
    pub runs: i64,
}

/// Each goes several times as far as the one before: together they take little longer than the last. A run takes longer
/// than a row of an index, because its children are looked up.
const REACHES: [RunReach; 3] = [
    RunReach { rows: 1_000, runs: 500 },
    RunReach { rows: 4_000, runs: 2_000 },
    RunReach { rows: 16_000, runs: 8_000 },
];

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
        self.search_runs_reaching(scope, &search, &REACHES).await
    }

    /// [`Scoped::search_runs`] that goes so far in each attempt, with none as the database plans it. The result does not
    /// depend on it.
    ///
    /// # Errors
    /// Those of [`Scoped::search_runs`].
    pub async fn search_runs_reaching(
        &self,
        scope: &Scope,
        search: &RunSearch,
        reaches: &[RunReach],
    ) -> Result<(Vec<Run>, Option<String>)> {
        let query = Query::of(self.workspace, scope, search)?;
        self.store.db.replicated(|| self.read_runs(&query, reaches)).await
    }

    async fn read_runs(&self, query: &Query, reaches: &[RunReach]) -> Result<(Vec<Run>, Option<String>)> {
        let ways = self.run_ways(query).await?;
        let conn = self.store.db.reader().await?;
        let mut found = self.found_runs(&conn, query, ways, reaches).await?;
        let ids = found.rows().map(|info| info.run_id().to_owned()).collect();
        let load = |ids| run_children::load(&conn, ids, Extent::Page);
        let (children, count) = load_children(&conn, ids, load).await?;
        found.truncate(count);
        let (infos, next) = found.finish();
        Ok((run_children::attach(infos, children), next))
    }

    /// The query plans of a search for runs, one line per step: of what counts the rows of its conditions, and of the
    /// statement for the page.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_run_search(&self, scope: &Scope, search: &RunSearch) -> Result<Vec<String>> {
        let query = Query::of(self.workspace, scope, search)?;
        let mut ways = self.run_ways(&query).await?;
        let mut plans = Vec::new();
        if let Some(ways) = &ways {
            for statement in ways.probes.statements(REACHES[0].rows) {
                plans.extend(self.store.db.explain(statement).await?);
            }
        }
        let conn = self.store.db.reader().await?;
        let access = match &mut ways {
            Some(ways) => next_access(&conn, &query, ways, REACHES[0], true).await?.unwrap_or(Access::Plain),
            None => Access::Plain,
        };
        drop(conn);
        let page = self.run_page(&query, access, query.max_results)?;
        plans.extend(self.store.db.explain(page.statement).await?);
        Ok(plans)
    }

    /// The ways to the runs of a search; `None` for one that is simply read in the order of an index, or by ids.
    async fn run_ways(&self, query: &Query) -> Result<Option<Ways>> {
        if query.is_direct() {
            return Ok(None);
        }
        let store = self.store;
        let probes = Probes::of(store, &query.conditions).await?;
        let walk = match MetricOrder::of(store, query).await? {
            Some(order) => Some(Walk::Metric(order)),
            None => Window::of(query).map(Walk::Time),
        };
        let walk = if store.own_indexes.has(&store.db, OwnIndex::RunsPage).await? { walk } else { None };
        Ok(Some(Ways { probes, walk }))
    }

    /// Reads a page: of few runs, or from parts of the order until it is full, or of all runs that meet the filter.
    async fn found_runs(
        &self,
        conn: &Conn,
        query: &Query,
        ways: Option<Ways>,
        reaches: &[RunReach],
    ) -> Result<Found<RunInfo>> {
        let read = async |access: Access, limit: i64| {
            let page = self.run_page(query, access, limit)?;
            Result::Ok(page.read(conn, COLUMN_COUNT, info_from_row).await?)
        };
        let Some(mut ways) = ways else { return read(Access::Plain, query.max_results).await };
        let (mut found, mut count, mut walked) = (Found::default(), 0, 0);
        for (attempt, reach) in reaches.iter().enumerate() {
            // The walk goes on where the page will be full by then, as far as its runs so far say.
            let may_walk = attempt == 0 || count * (walked + reach.runs) >= query.max_results * walked;
            walked += if may_walk { reach.runs } else { 0 };
            // The parts of an order by a metric are several kinds of runs: the next kind follows in the same attempt.
            loop {
                let Some(access) = next_access(conn, query, &mut ways, *reach, may_walk).await? else { break };
                match access {
                    Access::Plain | Access::Few(_) | Access::Small => return read(access, query.max_results).await,
                    Access::Time(_) | Access::Metric(_) => {}
                }
                let more = read(access, query.max_results - count).await?;
                found = found.followed_by(more);
                count = i64::try_from(found.rows().count()).unwrap_or(i64::MAX);
                if found.has_more() || ways.is_at_end(access) {
                    return Ok(found);
                }
                if access.has_end() {
                    break;
                }
            }
        }
        read(Access::Plain, query.max_results).await
    }

    /// The statement for a page of at most `limit` runs.
    fn run_page(&self, query: &Query, access: Access, limit: i64) -> Result<Page> {
        let Query { order, conditions, id, token, .. } = query;
        let dialect = self.store.db.dialect();
        let (mut select, experiments) =
            Select::with_experiments(self.workspace, "runs", "r", dialect, query.experiments.clone());
        select.of_query(*id);
        let stages = query.stages();
        let in_stages = format!("r.lifecycle_stage IN {}", crate::stages(query.view));
        let is_indexed = self.store.own_indexes.is_there(OwnIndex::ParamValue)
            && self.store.own_indexes.is_there(OwnIndex::RunTagValue);
        let (mut driving, mut joined) = (None, Joined::ByRun);
        match access {
            Access::Plain => {
                driving = driving_condition(conditions);
                joined = Joined::Free;
                // The runs of a driving condition are looked up by their ids: a sign hides the experiment from indexes.
                let sign = if driving.is_some() || query.by_id() { "+" } else { "" };
                select.filter(format!("{sign}{}", experiments.contain("r")));
                select.filter(in_stages);
                if query.by_id() {
                    select.plan(Plan::NoTableScan);
                } else if query.is_direct() {
                    select.plan(Plan::IndexOrder);
                }
            }
            Access::Few(condition) => {
                driving = Some(condition);
                select.filter(format!("+{}", experiments.contain("r")));
                select.filter(in_stages);
                // Behind fences, PostgreSQL looks up each run by its primary key.
                if dialect == Dialect::Postgres {
                    let condition = &conditions[condition];
                    let owners = condition_sql(&mut select, dialect, condition, Approach::Owners, is_indexed);
                    // The order of its index tells it from the primary key.
                    let is_metric = matches!(condition, Condition::Metric { .. })
                        && self.store.own_indexes.is_there(OwnIndex::MetricValue);
                    let order = if is_metric { " ORDER BY value" } else { "" };
                    select.read_from(format!(
                        "({owners}{order} OFFSET 0) d CROSS JOIN LATERAL (SELECT * FROM runs x WHERE x.run_uuid = d.run_uuid \
                         OFFSET 0) r"
                    ));
                    select.plan(Plan::IndexScan);
                }
            }
            Access::Small => {
                select.filter(experiments.contain("r"));
                select.filter(in_stages);
                select.plan(Plan::NoTableScan);
            }
            Access::Time(part) => {
                part.restrict(&mut select, dialect, &experiments, stages, is_newest_first(order));
            }
            Access::Metric(part) => {
                let first = part.restrict(&mut select, dialect, &experiments, stages, &order[0].column);
                joined = first.map_or(Joined::ByRun, Joined::FirstAs);
            }
        }
        for (index, condition) in conditions.iter().enumerate() {
            let approach = match access {
                Access::Few(few) if few == index && dialect == Dialect::Postgres => continue,
                _ if driving == Some(index) => Approach::Drive,
                Access::Plain => Approach::LookUp.after(index),
                _ => Approach::FencedLookUp,
            };
            let condition = condition_sql(&mut select, dialect, condition, approach, is_indexed);
            select.filter(condition);
        }
        for (index, clause) in order.iter().enumerate() {
            order_by(&mut select, dialect, index, &clause.column, !clause.ascending, joined);
        }
        select.page(COLUMNS, limit, token.clone())
    }
}

/// A search, parsed.
pub(super) struct Query {
    pub(super) experiments: Vec<i64>,
    view: ViewType,
    pub(super) conditions: Vec<Condition>,
    pub(super) order: Vec<OrderBy<Column>>,
    id: QueryId,
    pub(super) token: PageToken,
    max_results: i64,
}

impl Query {
    fn of(workspace: &Workspace, scope: &Scope, search: &RunSearch) -> Result<Self> {
        validation::max_results(search.max_results)?;
        bounds::check("experiments", search.experiment_ids.len(), bounds::EXPERIMENTS)?;
        let conditions = runs::parse_filter(&search.filter)?;
        let order = runs::parse_order_by(&search.order_by)?;
        let id = workspace.query(
            [search.filter.as_str(), search.view.name()],
            &[search.order_by.as_slice(), search.experiment_ids.as_slice()],
        );
        let token = PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), id)?;
        let experiments =
            search.experiment_ids.iter().map(|id| validation::parse_experiment_id(id)).collect::<Result<Vec<_>>>()?;
        let mut experiments: Vec<i64> =
            experiments.into_iter().filter(|id| scope.experiments.has(&id.to_string())).collect();
        // Beyond the range of the column, it is no experiment's id.
        experiments.retain(|id| i32::try_from(*id).is_ok());
        experiments.sort_unstable();
        experiments.dedup();
        Ok(Self { experiments, view: search.view, conditions, order, id, token, max_results: search.max_results })
    }

    /// The lifecycle stages.
    pub(super) fn stages(&self) -> &'static [&'static str] {
        match self.view {
            ViewType::ActiveOnly => &["active"],
            ViewType::DeletedOnly => &["deleted"],
            ViewType::All => &["active", "deleted"],
        }
    }

    /// Whether ids drive the query.
    fn by_id(&self) -> bool {
        let is_one = |test: &TextTest| matches!(test, TextTest::Equal(_) | TextTest::In(_));
        self.conditions.iter().any(
            |condition| matches!(condition, Condition::Text { column: TextAttribute::RunId, test } if is_one(test)),
        )
    }

    /// Whether one statement reads it, by ids or in the order of an index.
    fn is_direct(&self) -> bool {
        let is_of_row = |condition: &Condition| match condition {
            Condition::Text { column, .. } => *column != TextAttribute::RunName,
            Condition::Time { .. } => true,
            Condition::Metric { .. } | Condition::Param { .. } | Condition::Tag { .. } | Condition::Dataset { .. } => {
                false
            }
        };
        self.by_id()
            || (self.experiments.len() == 1
                && self.view != ViewType::All
                && is_newest_first(&self.order)
                && self.conditions.iter().all(is_of_row))
    }
}

/// The ways to the runs of a search.
struct Ways {
    probes: Probes,
    walk: Option<Walk>,
}

/// The runs of a search in the order of the page.
enum Walk {
    Time(Window),
    Metric(MetricOrder),
}

/// The rows that a statement reads.
#[derive(Debug, Clone, Copy)]
enum Access {
    /// All that meet the filter.
    Plain,
    /// Those of a condition that few meet.
    Few(usize),
    /// All of experiments that have few.
    Small,
    /// Some in the order of time.
    Time(Part),
    /// Some in the order of a metric.
    Metric(MetricPart),
}

impl Access {
    /// Whether it is a part with runs of the same kind behind it.
    fn has_end(self) -> bool {
        match self {
            Self::Plain | Self::Few(_) | Self::Small => false,
            Self::Time(part) => part.has_end(),
            Self::Metric(part) => part.has_end(),
        }
    }
}

impl Ways {
    /// Whether no run is behind a part.
    fn is_at_end(&self, access: Access) -> bool {
        match &self.walk {
            Some(Walk::Metric(order)) => order.is_at_end(),
            _ => !access.has_end(),
        }
    }
}

/// What an attempt reads next; `None` if there is no way as short as that but the plain one.
async fn next_access(
    conn: &Conn,
    query: &Query,
    ways: &mut Ways,
    reach: RunReach,
    may_walk: bool,
) -> Result<Option<Access>> {
    if let Some(condition) = ways.probes.few(conn, reach.rows).await? {
        return Ok(Some(Access::Few(condition)));
    }
    let groups = i64::try_from(query.experiments.len() * query.stages().len()).unwrap_or(i64::MAX).max(1);
    match &mut ways.walk {
        Some(Walk::Time(window)) if may_walk => {
            // Without conditions a page needs no more, and with many experiments each of them has a share.
            let share = if query.conditions.is_empty() { 0 } else { reach.runs / groups };
            let runs = share.max(query.max_results.saturating_add(1));
            Ok(Some(Access::Time(window.take(conn, query, runs).await?)))
        }
        Some(Walk::Metric(order)) => {
            if has_at_most(conn, &query.experiments, query.stages(), reach.runs).await? {
                return Ok(Some(Access::Small));
            }
            if !may_walk {
                return Ok(None);
            }
            let runs = reach.runs.max(query.max_results.saturating_add(1));
            Ok(order.take(conn, query, runs).await?.map(Access::Metric))
        }
        _ => Ok(None),
    }
}

/// Whether it is the order of [`OwnIndex::RunsPage`].
fn is_newest_first(order: &[OrderBy<Column>]) -> bool {
    let key = |at: usize| order.get(at).map(|clause| (&clause.column, clause.ascending));
    key(0) == Some((&Column::Time(TimeAttribute::StartTime), false))
        && key(1) == Some((&Column::Text(TextAttribute::RunId), true))
}
