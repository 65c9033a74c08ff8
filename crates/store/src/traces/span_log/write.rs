//! The transaction of a batch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ferroflow_model::Result;
use ferroflow_otlp::TraceId;

use super::{
    SpanWrite, SpansLogged, days,
    merge::{Batch, Merged},
    read::{self, Found, Stored, Wanted},
    resolve::{Evidence, TraceRow},
    rows,
};
use crate::{
    db::{Db, DbError, Op, Tx, clock::now_ms, count},
    traces::rollup_queue::{Invalidation, Rollups},
    workspace::Workspace,
};

/// Applies a batch: one transaction for each workspace. One outcome per write, in order.
///
/// # Errors
/// A transaction failed and was rolled back; an earlier one may have been committed. All writes are idempotent.
pub(super) async fn apply(
    db: &Db,
    rollups: Rollups,
    writes: &[Arc<SpanWrite>],
) -> Result<Vec<Result<SpansLogged>>, DbError> {
    let mut outcomes: Vec<Result<SpansLogged>> = writes.iter().map(|_| Ok(SpansLogged::default())).collect();
    let mut groups: Vec<(&Workspace, Vec<usize>)> = Vec::new();
    for (place, write) in writes.iter().enumerate() {
        match groups.iter_mut().find(|(workspace, _)| **workspace == write.workspace) {
            Some((_, places)) => places.push(place),
            None => groups.push((&write.workspace, vec![place])),
        }
    }
    for (workspace, places) in groups {
        let group: Vec<&SpanWrite> = places.iter().map(|place| &*writes[*place]).collect();
        let (group, invalidation) = (&group, &rollups.invalidation());
        let results = db.transact(|tx| async move { write(&tx, workspace, group, invalidation).await }).await?;
        for (place, outcome) in places.into_iter().zip(results) {
            outcomes[place] = outcome;
        }
    }
    Ok(outcomes)
}

/// Writes the requests in a workspace.
async fn write(
    tx: &Tx,
    workspace: &Workspace,
    writes: &[&SpanWrite],
    invalidation: &Invalidation,
) -> Result<Vec<Result<SpansLogged>>, DbError> {
    invalidation.begin(tx).await?;
    let found = Found::read(tx, workspace, &Wanted::of(writes)).await?;
    let Batch { traces, outcomes } = Batch::merge(writes, found);
    if traces.is_empty() {
        return Ok(outcomes);
    }
    invalidation.add(tx, days::of(tx, &traces, invalidation).await?).await?;
    let summed = changed(&traces, Merged::changes_sums);
    let disputed = changed(&traces, Merged::disputes_people);
    // What a client said about a trace is told from what followed from its spans.
    let before = read::sums(tx, &changed(&traces, |trace| trace.stored.as_ref().is_some_and(Stored::has_sums))).await?;

    let new: Vec<(&Merged<'_>, TraceRow)> = traces
        .values()
        .filter(|trace| trace.stored.is_none())
        .map(|trace| (trace, trace.row(&Evidence::default())))
        .collect();
    let new_traces = rows::new_traces(new.iter().map(|(trace, row)| (*trace, row)));
    let expected = new_traces.rows.len();
    let spans = rows::spans(traces.values(), tx.conn()?.dialect());
    // What belongs to new traces needs no round trip of its own: if one of them is not new, all is rolled back.
    let mut ops = vec![Op::Insert(new_traces), Op::Insert(spans)];
    ops.extend(children(&new));
    let inserted = tx.run(ops).await?;
    if inserted.first().map(count) != i64::try_from(expected).ok() {
        return Err(tx.conflict("a trace was created by another client at the same time".into()));
    }
    if new.len() == traces.len() {
        return Ok(outcomes);
    }

    let after = read::sums(tx, &summed).await?;
    let mut people = read::people(tx, &disputed).await?;
    let old: Vec<(&Merged<'_>, TraceRow)> = traces
        .iter()
        .filter(|(_, trace)| trace.stored.is_some())
        .map(|(id, trace)| {
            let evidence = Evidence {
                before: before.get(id).copied().unwrap_or_default(),
                after: after.get(id).copied(),
                people: people.remove(id),
            };
            (trace, trace.row(&evidence))
        })
        .collect();
    tx.run(changes(&old)).await?;
    Ok(outcomes)
}

/// The traces that exist and meet a condition.
fn changed<'a>(traces: &BTreeMap<TraceId, Merged<'a>>, condition: impl Fn(&Merged<'a>) -> bool) -> BTreeSet<TraceId> {
    let changed = traces.iter().filter(|(_, trace)| trace.stored.is_some() && condition(trace));
    changed.map(|(id, _)| *id).collect()
}

/// The statements for tags, users and links of traces.
fn children(traces: &[(&Merged<'_>, TraceRow)]) -> Vec<Op> {
    let all = || traces.iter().map(|(trace, row)| (*trace, row));
    let [missing, replacing] = rows::tags(all());
    let links = rows::links(traces.iter().map(|(trace, _)| *trace), now_ms());
    let inserts = [missing, replacing, rows::users(all()), links];
    inserts.into_iter().filter(|insert| !insert.rows.is_empty()).map(Op::Insert).collect()
}

/// The statements for traces that exist, and for what belongs to them.
fn changes(old: &[(&Merged<'_>, TraceRow)]) -> Vec<Op> {
    let mut ops = vec![Op::Insert(rows::changed_traces(old.iter().map(|(trace, row)| (*trace, row))))];
    ops.extend(children(old));
    let moved = |(trace, row): &(&Merged<'_>, TraceRow)| {
        let stored = trace.stored.as_ref()?;
        (stored.timestamp_ms != row.timestamp_ms).then(|| trace.id.clone())
    };
    let moved: Vec<String> = old.iter().filter_map(moved).collect();
    if !moved.is_empty() {
        ops.push(Op::Execute(rows::move_assessments(moved)));
    }
    let revived: Vec<String> =
        old.iter().filter(|(_, row)| row.is_revived).map(|(trace, _)| trace.id.clone()).collect();
    if !revived.is_empty() {
        ops.push(Op::Execute(rows::revive(revived)));
    }
    ops
}
