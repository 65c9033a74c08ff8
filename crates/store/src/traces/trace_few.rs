//! The traces of a condition that few meet.
//!
//! A search reads traces in the order of their time and looks at the children of each, which ends early if many meet the
//! filter. If few do, it would read all traces of the experiment. No planner knows which is the case without statistics,
//! so the index of a condition is asked first, for a bounded number of rows. If there are more, the search reads the
//! first traces in the order of time ([`super::trace_window`]), and then asks the index for more: it takes about as long
//! as the better of both ways.

mod probe;
pub(crate) mod statements;

use std::collections::BTreeSet;

use ferroflow_model::Result;
use ferroflow_search::{
    TextTest,
    traces::{Condition, TextAttribute},
};

use self::{
    probe::Probe,
    statements::{IN_SESSIONS, SESSIONS},
};
use super::trace_filter::Access;
use crate::{
    Store,
    db::{Child, Plan, Row, Sql, Statement, Value},
};

/// Maximum number of rows that are few. Reading their ids takes a few milliseconds; a condition that more rows meet is
/// met by a trace among 250 of a million.
pub(super) const FEW: usize = 4000;

/// Maximum number of conditions whose indexes are asked.
const ASKED: usize = 4;

/// Adds a condition on the ids of the traces that may meet the conditions, if an index says that there are few.
///
/// # Errors
/// The database failed.
pub(super) async fn narrow(store: &Store, experiments: &[i64], conditions: &mut Vec<Condition>) -> Result<()> {
    let few = Probes::of(store, experiments, conditions).await?.few(FEW, false).await?;
    conditions.extend(few);
    Ok(())
}

/// The indexes that find the traces of the conditions of a search.
pub(super) struct Probes<'a> {
    store: &'a Store,
    experiments: Vec<i64>,
    probes: Vec<Probe>,
}

impl<'a> Probes<'a> {
    /// Those of a filter; none, if one of its conditions drives the query already.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn of(store: &'a Store, experiments: &[i64], conditions: &[Condition]) -> Result<Self> {
        let mut found = Self { store, experiments: experiments.to_vec(), probes: Vec::new() };
        // Beyond the range of the column, it is no experiment's id.
        found.experiments.retain(|id| i32::try_from(*id).is_ok());
        if Access::of(conditions) == Access::Time {
            for condition in conditions {
                if found.probes.len() < ASKED {
                    let probe = found.probe(condition).await?;
                    found.probes.extend(probe);
                }
            }
        }
        Ok(found)
    }

    /// Whether there are some.
    pub(super) fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    /// A condition on the ids of the traces that may meet the conditions, if an index says that there are at most so
    /// many. With `counts_first` rows are counted before they are fetched, which takes a fraction of the time: for numbers
    /// of which it is known that they may be large.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn few(&self, most: usize, counts_first: bool) -> Result<Option<Condition>> {
        for probe in &self.probes {
            let Some(statement) = probe.statement(self.store, most + 1).await? else { continue };
            if counts_first && self.count(&statement).await? > most {
                continue;
            }
            let row = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<i64>(1)? != 0));
            let found = self.store.db.query(statement, row).await?;
            if found.len() > most {
                continue;
            }
            let of_sessions = found.iter().filter(|(_, is_of_session)| *is_of_session).map(|(id, _)| id.clone());
            let Some(in_sessions) = self.in_sessions(of_sessions.collect(), most).await? else { continue };
            let ids: BTreeSet<String> = found.into_iter().map(|(id, _)| id).chain(in_sessions).collect();
            let test = TextTest::In(ids.into_iter().collect());
            return Ok(Some(Condition::Text { column: TextAttribute::TraceId, test }));
        }
        Ok(None)
    }

    async fn count(&self, statement: &Statement) -> Result<usize> {
        let db = &self.store.db;
        let counted = db.query(statement.clone().counted(db.dialect()), |row| row.get::<i64>(0)).await?;
        Ok(usize::try_from(counted.into_iter().sum::<i64>()).unwrap_or(usize::MAX))
    }

    /// The query plans of what is asked, one line per step.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn explain(&self, most: usize) -> Result<Vec<String>> {
        let mut plans = Vec::new();
        for probe in &self.probes {
            if let Some(statement) = probe.statement(self.store, most + 1).await? {
                plans.extend(self.store.db.explain(statement).await?);
            }
        }
        Ok(plans)
    }

    /// The traces in the sessions of these ones; `None` if they are more than `most`.
    async fn in_sessions(&self, traces: Vec<String>, most: usize) -> Result<Option<Vec<String>>> {
        if traces.is_empty() {
            return Ok(Some(traces));
        }
        let db = &self.store.db;
        let id = |row: &Row<'_>| row.get::<String>(0);
        let sessions = db.query(planned(&SESSIONS, vec![traces.into()]), id).await?;
        let params = vec![self.experiments.clone().into(), sessions.into()];
        let found = db.query(limited(&IN_SESSIONS, params, most + 1), id).await?;
        Ok((found.len() <= most).then_some(found))
    }
}

/// A statement that reads an index row by row, with its limit as the last parameter.
fn limited(statement: &'static Sql<Child>, mut params: Vec<Value>, limit: usize) -> Statement {
    params.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    planned(statement, params)
}

fn planned(statement: &'static Sql<Child>, params: Vec<Value>) -> Statement {
    Statement::new(statement, params).planned(Plan::IndexScan)
}
