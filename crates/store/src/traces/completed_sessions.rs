//! Sessions that are over: their last trace is in a range of time.

use ferroflow_model::Result;
use ferroflow_search::traces;

use super::{trace_filter::conditions_sql, trace_search::search_error};
use crate::{Scoped, query::select::Select, tracking::experiments::id_of};

/// A session that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedSession {
    /// The session.
    pub session_id: String,
    /// When its first trace began, in milliseconds since 1970.
    pub first_ms: i64,
    /// When its last trace began.
    pub last_ms: i64,
}

/// A search for sessions that are over.
#[derive(Debug, Clone, Default)]
pub struct CompletedSessionSearch {
    /// The experiment.
    pub experiment_id: String,
    /// The earliest and the latest time at which the last trace began, in milliseconds since 1970.
    pub last_between: (i64, i64),
    /// A filter for traces that the first trace of a session meets; empty for all.
    pub filter: String,
    /// Maximum number of sessions; `None` for all.
    pub max_results: Option<i64>,
}

impl Scoped<'_> {
    /// The sessions whose last trace began in a range of time, the one that ended first at the beginning. A session with
    /// a later trace goes on.
    ///
    /// # Errors
    /// The filter or the experiment's id is not valid.
    pub async fn find_completed_sessions(&self, search: &CompletedSessionSearch) -> Result<Vec<CompletedSession>> {
        self.store.db.replicated(|| self.read_completed_sessions(search)).await
    }

    async fn read_completed_sessions(&self, search: &CompletedSessionSearch) -> Result<Vec<CompletedSession>> {
        let dialect = self.store.db.dialect();
        let filter = traces::parse_filter(&search.filter)?;
        let ids = vec![id_of(&search.experiment_id)?];
        let (mut select, experiments) = Select::of_experiments(self.workspace, "trace_info", "t", dialect, ids, false);
        let (least, most) = (select.bind(search.last_between.0), select.bind(search.last_between.1));
        let limit = select.bind(search.max_results.unwrap_or(i64::MAX));
        let mut first = conditions_sql(&mut select, dialect, &experiments, &filter);
        first.insert(
            0,
            format!("{} AND t.session_id = x.session_id AND t.timestamp_ms = x.first_ms", experiments.contain("t")),
        );
        let first = if filter.is_empty() {
            String::new()
        } else {
            format!(" AND EXISTS (SELECT 1 FROM trace_info t WHERE {} LIMIT 1 OFFSET 0)", first.join(" AND "))
        };
        let of_session =
            format!("FROM trace_info u WHERE {} AND u.session_id = c.session_id", experiments.contain("u"));
        let statement = select.statement(|from, conditions| {
            format!(
                "SELECT x.session_id, x.first_ms, x.last_ms FROM (SELECT c.session_id, \
                 (SELECT MIN(u.timestamp_ms) {of_session}) AS first_ms, \
                 (SELECT MAX(u.timestamp_ms) {of_session}) AS last_ms \
                 FROM (SELECT DISTINCT t.session_id FROM {from} WHERE {conditions} AND t.session_id IS NOT NULL \
                 AND t.timestamp_ms >= {least} AND t.timestamp_ms <= {most}) c) x \
                 WHERE x.last_ms <= {most}{first} ORDER BY x.last_ms, x.session_id LIMIT {limit}"
            )
        });
        let found = self.store.db.query(statement, |row| {
            Ok(CompletedSession { session_id: row.get(0)?, first_ms: row.get(1)?, last_ms: row.get(2)? })
        });
        found.await.map_err(search_error)
    }
}
