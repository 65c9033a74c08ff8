//! How a search for runs reads its page: by which index, and how far.

use ferroflow_model::Result;
use ferroflow_search::{
    OrderBy, TextTest,
    runs::{Column, Condition, TextAttribute, TimeAttribute},
};

use super::{
    run_few::{Probes, has_at_most, size},
    run_filter::driving_condition,
    run_metric_order::{MetricOrder, MetricPart},
    run_search::{Query, RunReach},
    run_window::{First, Part, Window},
};
use crate::{
    Store,
    db::{Conn, dialect::Dialect},
    schema::own_indexes::OwnIndex,
};

/// Number of runs in the order of the page that are compared with a list of ids in about the time in which one run is
/// looked up by its id.
const COMPARED: i64 = 4;

/// The rows that a statement reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    /// All that meet the filter, as the database plans it.
    Plain,
    /// Those of a condition that few meet.
    Few(usize),
    /// All of experiments that have few.
    Small,
    /// The first in the order of time that are among those of a condition.
    Listed(usize, First),
    /// Some in the order of time.
    Time(Part),
    /// Some in the order of a metric.
    Metric(MetricPart),
    /// Those whose name matches a pattern, from the index of trigrams.
    Named(usize),
    /// Those of a condition, from all rows of its key.
    Whole(usize),
}

impl Access {
    /// Whether it is a part with runs of the same kind behind it.
    pub(super) fn has_end(self) -> bool {
        match self {
            Self::Time(part) => part.has_end(),
            Self::Metric(part) => part.has_end(),
            Self::Plain | Self::Few(_) | Self::Small | Self::Listed(..) | Self::Named(_) | Self::Whole(_) => false,
        }
    }
}

/// The runs of a search in the order of the page.
enum Walk {
    Time(Window),
    Metric(MetricOrder),
}

/// The ways to the runs of a search.
pub(super) struct Ways {
    pub(super) probes: Probes,
    walk: Option<Walk>,
    /// Number of runs that were read in the order of the page.
    walked: i64,
}

impl Ways {
    /// The ways to the runs of a search; `None` for one that is simply read in the order of an index, or by ids.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn of(store: &Store, query: &Query) -> Result<Option<Self>> {
        if query.is_direct() {
            return Ok(None);
        }
        let probes = Probes::of(store, &query.conditions).await?;
        let walk = match MetricOrder::of(store, query).await? {
            Some(order) => Some(Walk::Metric(order)),
            None => Window::of(query).map(Walk::Time),
        };
        let walk = if store.own_indexes.has(&store.db, OwnIndex::RunsPage).await? { walk } else { None };
        Ok(Some(Self { probes, walk, walked: 0 }))
    }

    /// Whether no run is behind a part.
    pub(super) fn is_at_end(&self, access: Access) -> bool {
        match &self.walk {
            Some(Walk::Metric(order)) => order.is_at_end(),
            _ => !access.has_end(),
        }
    }

    /// Whether a page will be full after so many more runs, as far as the ones so far say, of which `found` are on it.
    fn is_likely(&self, query: &Query, found: i64, more: i64) -> bool {
        self.walked == 0 || found.saturating_mul(self.walked + more) >= query.max_results.saturating_mul(self.walked)
    }

    /// Begins an attempt in which the walk goes on, if its runs so far say that the page will be full then.
    pub(super) fn may_walk(&mut self, query: &Query, found: i64, reach: RunReach) -> bool {
        let may_walk = self.is_likely(query, found, reach.runs);
        self.walked += if may_walk { reach.runs } else { 0 };
        may_walk
    }

    /// What an attempt reads next; `None` if there is no way as short as that.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn next_access(
        &mut self,
        conn: &Conn,
        query: &Query,
        reach: RunReach,
        may_walk: bool,
    ) -> Result<Option<Access>> {
        if let Some(condition) = self.probes.few(conn, reach.rows).await? {
            return Ok(Some(Access::Few(condition)));
        }
        let groups = i64::try_from(query.experiments.len() * query.stages().len()).unwrap_or(i64::MAX).max(1);
        match &mut self.walk {
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

    /// The first runs behind those that were read, which are compared with the ids of a condition: a run is looked up
    /// in a list in a fraction of the time of an index. `None` if no index has the order of the page, or those so far say
    /// that the page will not be full.
    pub(super) fn listed_access(
        &self,
        dialect: Dialect,
        query: &Query,
        found: i64,
        condition: usize,
        reach: RunReach,
    ) -> Option<Access> {
        let Some(Walk::Time(window)) = &self.walk else { return None };
        let runs = reach.rows.saturating_mul(COMPARED);
        let is_ordered = query.has_index_order() && query.order.len() == 2 && dialect == Dialect::Postgres;
        (is_ordered && self.walked > 0 && self.is_likely(query, found, runs))
            .then(|| Access::Listed(condition, window.first(runs)))
    }

    /// How all runs that meet the filter are read, where no attempt has filled the page: `most` runs are few.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn last_access(&self, store: &Store, conn: &Conn, query: &Query, most: i64) -> Result<Access> {
        let Some(driving) = driving_condition(&query.conditions) else { return Ok(Access::Plain) };
        if !store.own_indexes.is_there(OwnIndex::RunsPage) {
            return Ok(Access::Plain);
        }
        let size = size(conn, &query.experiments, query.stages(), most).await?;
        if size.runs <= most {
            return Ok(Access::Small);
        }
        if store.db.dialect() == Dialect::Sqlite {
            return Ok(Access::Plain);
        }
        if let Some(named) = query.conditions.iter().position(is_name_pattern)
            && store.own_indexes.has(&store.db, OwnIndex::RunNameTrigrams).await?
        {
            return Ok(Access::Named(named));
        }
        Ok(if size.is_large_share { Access::Whole(driving) } else { Access::Plain })
    }
}

/// Whether a condition compares names with a pattern.
fn is_name_pattern(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Text { column: TextAttribute::RunName, test: TextTest::Like(_) | TextTest::ILike(_) }
    )
}

/// Whether it is the order of [`OwnIndex::RunsPage`].
pub(super) fn is_newest_first(order: &[OrderBy<Column>]) -> bool {
    let key = |at: usize| order.get(at).map(|clause| (&clause.column, clause.ascending));
    key(0) == Some((&Column::Time(TimeAttribute::StartTime), false))
        && key(1) == Some((&Column::Text(TextAttribute::RunId), true))
}
