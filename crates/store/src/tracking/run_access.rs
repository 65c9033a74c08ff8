//! How a search for runs reads its page: by which index, and how far.

use ferroflow_model::Result;
use ferroflow_search::{
    OrderBy, TextTest,
    runs::{Column, Condition, TextAttribute, TimeAttribute},
};

use super::{
    run_few::{Probes, has_at_most, size},
    run_filter::driving_condition,
    run_search::{Query, RunReach},
    run_value_order::{Step, ValueOrder, ValuePart},
    run_window::{First, Part, Same, Window, latest_start},
};
use crate::{
    Store,
    db::{Conn, Statement, dialect::Dialect},
    schema::own_indexes::OwnIndex,
};

/// Number of runs in the order of the page that are compared with a list of ids in about the time in which one run is
/// looked up by its id.
const COMPARED: i64 = 4;

/// Number of rows with the same value that are read for a part of the order of a value, for each row of a condition's
/// index that an attempt reads, and their maximum.
const SAME: (i64, i64) = (4, 16_000);

/// The rows that a statement reads.
#[derive(Debug, Clone)]
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
    /// Some in the order of a value.
    Value(ValuePart),
    /// Those whose name matches a pattern, from the index of trigrams.
    Named(usize),
    /// Those of a condition, from all rows of its key.
    Whole(usize),
    /// Those of a condition on the metric of the order, from all rows of its key.
    Ordered,
}

impl Access {
    /// Whether it is a part with runs of the same kind behind it.
    pub(super) fn has_end(&self) -> bool {
        match self {
            Self::Time(part) => part.has_end(),
            Self::Value(part) => part.has_end(),
            Self::Plain
            | Self::Few(_)
            | Self::Small
            | Self::Listed(..)
            | Self::Named(_)
            | Self::Whole(_)
            | Self::Ordered => false,
        }
    }
}

/// The runs of a search in the order of the page.
enum Walk {
    Time(Window),
    Value(ValueOrder),
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
        let is_by_start =
            query.order.first().is_some_and(|first| first.column == Column::Time(TimeAttribute::StartTime));
        let (same, latest) = if is_by_start && !query.by_id() {
            (same(store, query).await?, latest_start(store, query).await?)
        } else {
            (None, None)
        };
        if query.is_direct() && same.is_none() && latest.is_none() {
            return Ok(None);
        }
        let probes = Probes::of(store, &query.conditions).await?;
        let walk = match ValueOrder::of(store, query).await? {
            Some(order) => Some(Walk::Value(order)),
            None => Window::of(query, same, latest).map(Walk::Time),
        };
        let walk = if store.own_indexes.has(&store.db, OwnIndex::RunsPage).await? { walk } else { None };
        Ok(Some(Self { probes, walk, walked: 0 }))
    }

    /// Whether no run is behind a part.
    pub(super) fn is_at_end(&self, access: &Access) -> bool {
        match &self.walk {
            Some(Walk::Value(order)) => order.is_at_end(),
            _ => !access.has_end(),
        }
    }

    /// Whether a page will be full after so many more runs, as far as the ones so far say, of which `found` are on it.
    fn is_likely(&self, query: &Query, found: i64, more: i64) -> bool {
        self.walked == 0 || found.saturating_mul(self.walked + more) >= query.max_results.saturating_mul(self.walked)
    }

    /// Whether every run of the walk is one of the search.
    fn is_exact(&self, query: &Query) -> bool {
        match &self.walk {
            Some(Walk::Time(window)) => query.conditions.len() == usize::from(window.has_same()),
            Some(Walk::Value(order)) => query.conditions.is_empty() && order.is_by_experiment(),
            None => false,
        }
    }

    /// Begins an attempt in which the walk goes on, if its runs so far say that the page will be full then.
    pub(super) fn may_walk(&mut self, query: &Query, found: i64, reach: RunReach) -> bool {
        let may_walk = self.is_exact(query) || self.is_likely(query, found, reach.runs);
        self.walked += if may_walk { reach.runs } else { 0 };
        may_walk
    }

    /// How far the walk goes in an attempt.
    fn step(&self, query: &Query, reach: RunReach) -> Step {
        let groups = i64::try_from(query.experiments.len() * query.stages().len()).unwrap_or(i64::MAX).max(1);
        // A page needs no more than its runs, and with many experiments each of them has a share.
        let share = if self.is_exact(query) { 0 } else { reach.runs / groups };
        let page = query.max_results.saturating_add(1);
        let values = reach.runs.max(page);
        let same = reach.rows.saturating_mul(SAME.0).min(SAME.1).max(values.saturating_mul(2));
        Step { runs: share.max(page), values, same }
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
        let step = self.step(query, reach);
        match &mut self.walk {
            Some(Walk::Time(window)) if may_walk => Ok(Some(Access::Time(window.take(conn, query, step.runs).await?))),
            Some(Walk::Value(order)) => {
                let is_small = !order.is_by_experiment()
                    && has_at_most(conn, &query.experiments, query.stages(), reach.runs).await?;
                if is_small {
                    return Ok(Some(Access::Small));
                }
                if !may_walk {
                    return Ok(None);
                }
                Ok(order.take(conn, query, step).await?.map(Access::Value))
            }
            _ => Ok(None),
        }
    }

    /// The statements with which an attempt begins: what counts the rows of conditions, and what finds the end of the first
    /// part in an order of values.
    pub(super) fn statements(&self, dialect: Dialect, query: &Query, reach: RunReach) -> Vec<Statement> {
        let step = self.step(query, reach);
        let walk = match &self.walk {
            Some(Walk::Time(window)) if window.has_same() => Some(window.distance(dialect, query, step.runs)),
            Some(Walk::Value(order)) => order.first_distances(dialect, query, step),
            _ => None,
        };
        self.probes.statements(reach.rows).chain(walk).collect()
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
        Ok(if size.is_large_share && is_of_order(query) {
            Access::Ordered
        } else if size.is_large_share {
            Access::Whole(driving)
        } else {
            Access::Plain
        })
    }
}

/// A column that has one value in all runs of a search, if an index has the runs with this value in the order of their
/// start.
///
/// # Errors
/// The database failed.
async fn same(store: &Store, query: &Query) -> Result<Option<Same>> {
    for condition in &query.conditions {
        let Condition::Text { column, test: TextTest::Equal(value) } = condition else { continue };
        let (index, column) = match column {
            TextAttribute::Status => (OwnIndex::RunsStatus, "status"),
            TextAttribute::UserId => (OwnIndex::RunsUser, "user_id"),
            TextAttribute::RunId | TextAttribute::RunName | TextAttribute::ArtifactUri => continue,
        };
        if store.own_indexes.has(&store.db, index).await? {
            return Ok(Some(Same { column, value: Some(value.into()) }));
        }
    }
    Ok(None)
}

/// Whether the only condition is on the metric by which the runs are ordered.
fn is_of_order(query: &Query) -> bool {
    let first = query.order.first().map(|clause| &clause.column);
    matches!((query.conditions.as_slice(), first), ([Condition::Metric { key, .. }], Some(Column::Metric(of))) if key == of)
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
