//! Searching runs.

use ferroflow_model::{
    Result,
    messages::service::{Run, RunInfo, ViewType},
    validation,
    wire::Enum as _,
};
use ferroflow_search::{
    OrderBy, PageToken, QueryId, TextTest, bounds,
    runs::{self, Column, Condition, TextAttribute},
};

use super::{
    run_access::{Access, Ways, is_newest_first},
    run_children::{self, Extent},
    run_page::{COLUMN_COUNT, page},
    runs::info_from_row,
};
use crate::{
    Scoped, Workspace,
    db::Conn,
    query::{
        scope::Scope,
        select::{Found, load_children},
    },
};

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

/// Maximum number of parts of an order that an attempt reads: there may be few runs in each.
const PARTS: usize = 8;

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
        let ways = Ways::of(self.store, query).await?;
        let conn = self.store.db.reader().await?;
        let mut found = self.found_runs(&conn, query, ways, reaches, &mut |_, _| ()).await?;
        let ids = found.rows().map(|info| info.run_id().to_owned()).collect();
        let load = |ids| run_children::load(&conn, ids, Extent::Page);
        let (children, count) = load_children(&conn, ids, load).await?;
        found.truncate(count);
        let (infos, next) = found.finish();
        Ok((run_children::attach(infos, children), next))
    }

    /// The query plans of a search for runs that goes as far as that of a client, one line per step: of what counts the
    /// rows of its conditions, and of the statements for the page.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_run_search(&self, scope: &Scope, search: &RunSearch) -> Result<Vec<String>> {
        self.explain_run_search_reaching(scope, search, &REACHES).await
    }

    /// [`Scoped::explain_run_search`] of a search that goes so far in each attempt.
    ///
    /// # Errors
    /// Those of [`Scoped::explain_run_search`].
    pub async fn explain_run_search_reaching(
        &self,
        scope: &Scope,
        search: &RunSearch,
        reaches: &[RunReach],
    ) -> Result<Vec<String>> {
        let query = Query::of(self.workspace, scope, search)?;
        let ways = Ways::of(self.store, &query).await?;
        let (mut statements, mut pages) = (Vec::new(), Vec::new());
        if let (Some(ways), Some(reach)) = (&ways, reaches.first()) {
            statements.extend(ways.statements(self.store.db.dialect(), &query, *reach));
        }
        let conn = self.store.db.reader().await?;
        self.found_runs(&conn, &query, ways, reaches, &mut |access, limit| {
            pages.push((access.clone(), limit));
        })
        .await?;
        drop(conn);
        for (access, limit) in pages {
            statements.push(page(self, &query, &access, limit)?.statement);
        }
        let mut plans = Vec::new();
        for statement in statements {
            plans.extend(self.store.db.explain(statement).await?);
        }
        Ok(plans)
    }

    /// Reads a page: of few runs, or from parts of the order until it is full, or of all runs that meet the filter.
    /// `tell` gets what is read, and the maximum number of runs.
    async fn found_runs(
        &self,
        conn: &Conn,
        query: &Query,
        ways: Option<Ways>,
        reaches: &[RunReach],
        tell: &mut (impl FnMut(&Access, i64) + Send),
    ) -> Result<Found<RunInfo>> {
        let mut read = async |access: Access, limit: i64| {
            tell(&access, limit);
            let page = page(self, query, &access, limit)?;
            Result::Ok(page.read(conn, COLUMN_COUNT, info_from_row).await?)
        };
        let (Some(mut ways), Some(last)) = (ways, reaches.last()) else {
            return read(Access::Plain, query.max_results).await;
        };
        let (mut found, mut count) = (Found::default(), 0);
        for reach in reaches {
            let may_walk = ways.may_walk(query, count, *reach);
            // The parts of an order by a value are several kinds of runs: the next kind follows in the same attempt.
            for _ in 0..PARTS {
                let Some(access) = ways.next_access(conn, query, *reach, may_walk).await? else { break };
                if let Access::Few(condition) = access {
                    let dialect = self.store.db.dialect();
                    if let Some(listed) = ways.listed_access(dialect, query, count, condition, *reach) {
                        let more = read(listed, query.max_results - count).await?;
                        if more.has_more() {
                            return Ok(found.followed_by(more));
                        }
                    }
                }
                if !matches!(access, Access::Time(_) | Access::Value(_)) {
                    return read(access, query.max_results).await;
                }
                let (is_at_end, has_end) = (ways.is_at_end(&access), access.has_end());
                let more = read(access, query.max_results - count).await?;
                found = found.followed_by(more);
                count = i64::try_from(found.rows().count()).unwrap_or(i64::MAX);
                if found.has_more() || is_at_end {
                    return Ok(found);
                }
                if has_end {
                    break;
                }
            }
        }
        let access = ways.last_access(self.store, conn, query, last.runs).await?;
        read(access, query.max_results).await
    }
}

/// A search, parsed.
pub(super) struct Query {
    pub(super) experiments: Vec<i64>,
    pub(super) view: ViewType,
    pub(super) conditions: Vec<Condition>,
    pub(super) order: Vec<OrderBy<Column>>,
    pub(super) id: QueryId,
    pub(super) token: PageToken,
    pub(super) max_results: i64,
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
    pub(super) fn by_id(&self) -> bool {
        let is_one = |test: &TextTest| matches!(test, TextTest::Equal(_) | TextTest::In(_));
        self.conditions.iter().any(
            |condition| matches!(condition, Condition::Text { column: TextAttribute::RunId, test } if is_one(test)),
        )
    }

    /// Whether an index has all runs in the order of the page.
    pub(super) fn has_index_order(&self) -> bool {
        self.experiments.len() == 1 && self.view != ViewType::All && is_newest_first(&self.order)
    }

    /// Whether one statement reads it, by ids or in the order of an index.
    pub(super) fn is_direct(&self) -> bool {
        let is_of_row = |condition: &Condition| match condition {
            Condition::Text { column, .. } => *column != TextAttribute::RunName,
            Condition::Time { .. } => true,
            Condition::Metric { .. } | Condition::Param { .. } | Condition::Tag { .. } | Condition::Dataset { .. } => {
                false
            }
        };
        self.by_id() || (self.has_index_order() && self.conditions.iter().all(is_of_row))
    }
}
