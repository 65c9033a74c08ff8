//! Deletes traces of an experiment: some by their ids, or the oldest ones.
//!
//! Deletion by time goes through the traces in parts, so that no transaction locks all of them. The rows of an archived
//! trace are deleted after its file: until then the rows say where the file is.

use std::collections::HashSet;

use ferroflow_model::{Error, Result, validation};

use crate::{
    Scoped,
    db::{Child, Statement, Tx, Value},
    statements::statements,
    traces::keys::{LockedTrace, TraceKey},
    workspace::Workspace,
};

/// Maximum number of traces that are deleted in one transaction.
const PART: i64 = 1000;

/// The traces are locked in this order, so that concurrent deletions do not deadlock.
const ORDER: &str = " ORDER BY t.timestamp_ms, t.request_id LIMIT $4 {FOR UPDATE OF t}";

statements! {
    static BY_IDS: Workspace =
        "SELECT t.request_id, t.timestamp_ms FROM trace_info t WHERE t.request_id {in $1} AND t.experiment_id = $2 \
         AND t.timestamp_ms >= $3 AND {ws of t}", ORDER;
    /// The oldest traces behind a place.
    static UNTIL: Workspace =
        "SELECT t.request_id, t.timestamp_ms FROM trace_info t WHERE t.timestamp_ms <= $1 AND t.experiment_id = $2 \
         AND t.timestamp_ms >= $3 AND (t.timestamp_ms > $3 OR t.request_id > $5) AND {ws of t}", ORDER;
    static ARCHIVED: Child =
        "SELECT g.request_id, (SELECT l.value FROM trace_tags l WHERE l.request_id = g.request_id \
         AND l.key = 'mlflow.trace.archiveLocation') FROM trace_tags g WHERE g.request_id {in $1} \
         AND g.key = 'mlflow.trace.spansLocation' AND g.value = 'ARCHIVE_REPO'";
    /// The children are deleted with it.
    static DELETE: Child = "DELETE FROM trace_info WHERE request_id {in $1}";
    static DELETE_REVIEWS: Child = "DELETE FROM review_queue_items WHERE item_type = 'trace' AND item_id {in $1}";
    static DELETE_ARCHIVED: TraceKey = "DELETE FROM trace_info WHERE request_id = $1";
}

/// The traces to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DoomedTraces {
    /// By their ids.
    Ids(Vec<String>),
    /// The oldest ones that began at this time or before, in milliseconds since 1970, at most a number of them.
    Until(i64, Option<i64>),
}

/// Traces that were found for deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedTraces {
    /// The number of those whose rows are deleted.
    pub deleted: i64,
    /// Archived ones, with the location of their file. Their rows are deleted by [`Scoped::delete_archived_trace`].
    pub archived: Vec<(String, Option<String>)>,
    /// Where to continue, if there may be more.
    pub next: Option<DeletionPlace>,
}

/// The last trace that a deletion has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionPlace {
    timestamp_ms: i64,
    trace_id: String,
}

impl DoomedTraces {
    /// Checks the parameters of a request.
    ///
    /// # Errors
    /// They contradict each other.
    pub fn of(ids: Vec<String>, until: Option<i64>, most: Option<i32>) -> Result<Self> {
        match (until, most) {
            (None, _) if ids.is_empty() => {
                Err(Error::invalid("Either `max_timestamp_millis` or `trace_ids` must be specified."))
            }
            (Some(_), _) if !ids.is_empty() => {
                Err(Error::invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified."))
            }
            (None, Some(_)) => Err(Error::invalid("`max_traces` can't be specified if `trace_ids` is specified.")),
            (_, Some(most)) if most <= 0 => {
                Err(Error::invalid(format!("`max_traces` must be a positive integer, received {most}.")))
            }
            (Some(until), most) => Ok(Self::Until(until, most.map(i64::from))),
            (None, None) => Ok(Self::Ids(ids)),
        }
    }
}

impl Scoped<'_> {
    /// Deletes a part of the traces of an experiment that are not archived, behind `after`. `done` is the number of
    /// those that were deleted before.
    ///
    /// # Errors
    /// The id of the experiment is not valid.
    pub async fn delete_traces(
        &self,
        experiment_id: &str,
        doomed: &DoomedTraces,
        after: Option<&DeletionPlace>,
        done: i64,
    ) -> Result<DeletedTraces> {
        let experiment = Value::from(id_of_any(experiment_id)?);
        let (time, id) = after.map_or((i64::MIN, ""), |last| (last.timestamp_ms, last.trace_id.as_str()));
        let (limit, select) = match doomed {
            DoomedTraces::Ids(ids) => {
                let values = vec![ids.as_slice().into(), experiment, i64::MIN.into(), i64::MAX.into()];
                (i64::MAX, Statement::within(self.workspace, &BY_IDS, values))
            }
            DoomedTraces::Until(until, most) => {
                let limit = most.map_or(PART, |most| PART.min(most - done));
                let values = vec![(*until).into(), experiment, time.into(), limit.into(), id.into()];
                (limit, Statement::within(self.workspace, &UNTIL, values))
            }
        };
        let select = &select;
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let found: Vec<(String, i64)> = tx.query(select.clone(), |row| Ok((row.get(0)?, row.get(1)?))).await?;
                let is_full = i64::try_from(found.len()).is_ok_and(|found| found == limit);
                let next = found.last().filter(|_| is_full).map(|(trace_id, timestamp_ms)| DeletionPlace {
                    timestamp_ms: *timestamp_ms,
                    trace_id: trace_id.clone(),
                });
                let ids: Vec<String> = found.into_iter().map(|(id, _)| id).collect();
                let archived = archived(&tx, &ids).await?;
                let kept: HashSet<&str> = archived.iter().map(|(id, _)| id.as_str()).collect();
                let rest: Vec<String> = ids.into_iter().filter(|id| !kept.contains(id.as_str())).collect();
                invalidation.add(&tx, invalidation.of_traces(&tx, &rest).await?).await?;
                let deleted = delete(&tx, rest).await?;
                Ok(DeletedTraces { deleted, archived, next })
            })
            .await
    }

    /// Deletes the rows of an archived trace, whose file is deleted. Returns whether there were any.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_archived_trace(&self, trace_id: &str) -> Result<bool> {
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let Some(trace) = LockedTrace::find(self.workspace, &tx, trace_id).await? else { return Ok(false) };
                let ids = [trace_id.to_owned()];
                invalidation.add(&tx, invalidation.of_traces(&tx, &ids).await?).await?;
                tx.execute(Statement::of(&trace.key, &DELETE_ARCHIVED, Vec::new())).await?;
                delete_reviews(&tx, &ids).await?;
                Ok(true)
            })
            .await
    }
}

/// The number of an experiment; one out of range has no traces.
fn id_of_any(experiment_id: &str) -> Result<i64> {
    let id = validation::parse_experiment_id(experiment_id)?;
    Ok(if i32::try_from(id).is_ok() { id } else { -1 })
}

async fn archived(tx: &Tx, ids: &[String]) -> Result<Vec<(String, Option<String>)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(tx.query(Statement::new(&ARCHIVED, vec![ids.into()]), |row| Ok((row.get(0)?, row.get(1)?))).await?)
}

async fn delete(tx: &Tx, ids: Vec<String>) -> Result<i64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let deleted = tx.execute(Statement::new(&DELETE, vec![ids.as_slice().into()])).await?;
    delete_reviews(tx, &ids).await?;
    Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
}

/// Items of review queues are not children of their traces in the database.
async fn delete_reviews(tx: &Tx, ids: &[String]) -> Result<()> {
    tx.execute(Statement::new(&DELETE_REVIEWS, vec![ids.into()])).await?;
    Ok(())
}
