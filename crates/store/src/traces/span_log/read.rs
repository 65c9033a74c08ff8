//! What is stored of the traces that spans belong to, and the lock of their rows.

use std::collections::{BTreeMap, BTreeSet};

use ferroflow_otlp::{Node, People, SpanId, TraceId};

use super::resolve::Sums;
use crate::{
    db::{Child, DbError, Row, Statement, Tx, Value},
    statements::statements,
    traces::trace_infos::ABANDONED,
    workspace::Workspace,
};

statements! {
    /// Locks the traces that exist, in the order of their ids: two writers of the same traces wait for each other
    /// instead of ending in a deadlock. One in another workspace is found too, because its id is taken.
    static LOCK: Workspace =
        "SELECT t.request_id, t.experiment_id, t.timestamp_ms, t.execution_time_ms, t.status, t.request_preview, \
         t.response_preview, t.trace_name, t.session_id, t.input_tokens, t.output_tokens, t.total_tokens, \
         t.cache_read_input_tokens, t.cache_creation_input_tokens, t.cache_creation_input_tokens_above_1hr, \
         t.input_cost, t.output_cost, t.total_cost, CASE WHEN {ws of t} THEN 1 ELSE 0 END \
         FROM trace_info t WHERE t.request_id {in $1} ORDER BY t.request_id {FOR NO KEY UPDATE}";

    static EXPERIMENTS: Workspace =
        "SELECT e.experiment_id, e.artifact_location FROM experiments e WHERE e.experiment_id {in $1} AND {ws of e}";

    static RUNS: Workspace = "SELECT r.run_uuid FROM runs r WHERE r.run_uuid {in $1} AND {ws of r}";

    static LOCATIONS: Child =
        "SELECT request_id, value FROM trace_tags WHERE request_id {in $1} AND key = 'mlflow.trace.spansLocation'";

    static METADATA: Child =
        "SELECT request_id, key, value FROM trace_request_metadata WHERE request_id {in $1} \
         AND key IN ('mlflow.trace.infoFinalized', 'mlflow.trace.user', 'ferroflow.trace.abandoned')";

    static FIRST_SPANS: Child =
        "SELECT t.request_id, (SELECT MIN(s.start_time_unix_nano) FROM spans s WHERE s.trace_id = t.request_id) \
         FROM trace_info t WHERE t.request_id {in $1}";

    static ROOTS: Child =
        "SELECT trace_id, span_id, start_time_unix_nano, end_time_unix_nano FROM spans \
         WHERE trace_id {in $1} AND parent_span_id IS NULL";

    /// The spans with what they add to the sums of their traces. Only the contents of those that have some are sent.
    static NODES: Child =
        "SELECT trace_id, span_id, parent_span_id, end_time_unix_nano, \
         {postgres:CASE WHEN position('\"mlflow.chat.tokenUsage\"' IN content) > 0 \
         OR position('\"mlflow.llm.cost\"' IN content) > 0 THEN content ELSE '' END}\
         {sqlite:CASE WHEN instr(content, '\"mlflow.chat.tokenUsage\"') > 0 \
         OR instr(content, '\"mlflow.llm.cost\"') > 0 THEN content ELSE '' END} FROM spans WHERE trace_id {in $1}";

    static CONTENTS: Child =
        "SELECT trace_id, span_id, start_time_unix_nano, content FROM spans WHERE trace_id {in $1} AND content <> ''";
}

/// A trace that exists.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) experiment: i64,
    pub(super) timestamp_ms: i64,
    pub(super) execution_time_ms: Option<i64>,
    pub(super) status: String,
    pub(super) request_preview: Option<String>,
    pub(super) response_preview: Option<String>,
    pub(super) name: Option<String>,
    pub(super) session: Option<String>,
    pub(super) tokens: [Option<i64>; 6],
    pub(super) costs: [Option<f64>; 3],
    pub(super) is_in_workspace: bool,
    /// The location of its spans; `None` if it has none yet.
    pub(super) location: Option<String>,
    /// Whether `StartTraceV3` has written its row: what a client says there goes before what follows from spans.
    pub(super) is_finalized: bool,
    /// Whether it was closed because nothing came for long.
    pub(super) is_abandoned: bool,
    pub(super) user: Option<String>,
    /// The start of its first span.
    pub(super) first_ns: Option<u64>,
    /// Its first root span.
    pub(super) root: Option<StoredRoot>,
}

/// Where a root span is in the order of root spans: by start and id, and of versions by end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredRoot {
    pub(super) start_ns: u64,
    pub(super) span: SpanId,
    pub(super) end_ns: u64,
}

impl Stored {
    /// Whether the trace has token usage or a cost.
    pub(super) fn has_sums(&self) -> bool {
        self.tokens.iter().any(Option::is_some) || self.costs.iter().any(Option::is_some)
    }

    fn from_row(row: &Row<'_>) -> Result<(String, Self), DbError> {
        let stored = Self {
            experiment: row.get(1)?,
            timestamp_ms: row.get(2)?,
            execution_time_ms: row.get(3)?,
            status: row.get(4)?,
            request_preview: row.get(5)?,
            response_preview: row.get(6)?,
            name: row.get(7)?,
            session: row.get(8)?,
            tokens: [row.get(9)?, row.get(10)?, row.get(11)?, row.get(12)?, row.get(13)?, row.get(14)?],
            costs: [row.get(15)?, row.get(16)?, row.get(17)?],
            is_in_workspace: row.get::<i64>(18)? != 0,
            ..Self::default()
        };
        Ok((row.get(0)?, stored))
    }
}

/// The rows that a batch depends on.
pub(super) struct Found {
    pub(super) traces: BTreeMap<TraceId, Stored>,
    /// The experiments with their artifact locations.
    pub(super) experiments: BTreeMap<i64, String>,
    pub(super) runs: BTreeSet<String>,
}

/// What is asked for.
pub(super) struct Wanted {
    /// The traces, sorted.
    pub(super) traces: BTreeSet<TraceId>,
    /// Those of them that have a root span in the batch.
    pub(super) roots: BTreeSet<TraceId>,
    pub(super) experiments: BTreeSet<i64>,
    pub(super) runs: BTreeSet<String>,
}

/// The ids of traces as a bound value.
pub(super) fn ids<'a>(traces: impl IntoIterator<Item = &'a TraceId>) -> Value {
    Value::Texts(traces.into_iter().map(TraceId::to_string).collect())
}

/// The id of a trace in a row. `None` for one that no OpenTelemetry client has.
fn trace_of(text: &str) -> Option<TraceId> {
    u128::from_str_radix(text.strip_prefix("tr-")?, 16).ok().map(TraceId)
}

fn span_of(text: &str) -> Option<SpanId> {
    u64::from_str_radix(text, 16).ok().map(SpanId)
}

fn nanoseconds(value: Option<i64>) -> u64 {
    value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default()
}

impl Found {
    /// Locks the traces that exist, and reads them.
    pub(super) async fn read(tx: &Tx, workspace: &Workspace, wanted: &Wanted) -> Result<Self, DbError> {
        let experiments = Value::Ints(wanted.experiments.iter().copied().collect());
        let runs = Value::Texts(wanted.runs.iter().cloned().collect());
        let no_runs = wanted.runs.is_empty();
        let (traces, experiments, runs) = tokio::join!(
            tx.query(Statement::within(workspace, &LOCK, vec![ids(&wanted.traces)]), Stored::from_row),
            tx.query(Statement::within(workspace, &EXPERIMENTS, vec![experiments]), |row| {
                Ok((row.get::<i64>(0)?, row.get::<Option<String>>(1)?.unwrap_or_default()))
            }),
            async {
                if no_runs {
                    return Ok(Vec::new());
                }
                tx.query(Statement::within(workspace, &RUNS, vec![runs]), |row| row.get::<String>(0)).await
            },
        );
        let traces = traces?.into_iter().filter_map(|(id, stored)| Some((trace_of(&id)?, stored))).collect();
        let mut found =
            Self { traces, experiments: experiments?.into_iter().collect(), runs: runs?.into_iter().collect() };
        if !found.traces.is_empty() {
            found.read_children(tx, wanted).await?;
        }
        Ok(found)
    }

    /// Reads tags, metadata and roots. This is a statement of its own: one that waits for a lock sees the children as
    /// they were before.
    async fn read_children(&mut self, tx: &Tx, wanted: &Wanted) -> Result<(), DbError> {
        let all = || vec![ids(self.traces.keys())];
        let rooted: Vec<&TraceId> = self.traces.keys().filter(|trace| wanted.roots.contains(trace)).collect();
        let (no_roots, rooted) = (rooted.is_empty(), vec![ids(rooted)]);
        let (locations, first, metadata, roots) = tokio::join!(
            tx.query(Statement::new(&LOCATIONS, all()), |row| {
                Ok((trace_of(row.str(0)?), row.get::<Option<String>>(1)?))
            }),
            tx.query(Statement::new(&FIRST_SPANS, all()), |row| {
                Ok((trace_of(row.str(0)?), row.get::<Option<i64>>(1)?))
            }),
            tx.query(Statement::new(&METADATA, all()), |row| {
                Ok((trace_of(row.str(0)?), row.get::<String>(1)?, row.get::<Option<String>>(2)?))
            }),
            async {
                if no_roots {
                    return Ok(Vec::new());
                }
                let root = |row: &Row<'_>| {
                    let place = span_of(row.str(1)?).map(|span| -> Result<StoredRoot, DbError> {
                        Ok(StoredRoot { start_ns: nanoseconds(row.get(2)?), span, end_ns: nanoseconds(row.get(3)?) })
                    });
                    Ok((trace_of(row.str(0)?), place.transpose()?))
                };
                tx.query(Statement::new(&ROOTS, rooted), root).await
            },
        );
        for (trace, location) in locations? {
            if let Some(stored) = trace.and_then(|trace| self.traces.get_mut(&trace)) {
                stored.location = location;
            }
        }
        for (trace, first) in first? {
            if let Some(stored) = trace.and_then(|trace| self.traces.get_mut(&trace)) {
                stored.first_ns = first.and_then(|first| u64::try_from(first).ok());
            }
        }
        for (trace, key, value) in metadata? {
            let Some(stored) = trace.and_then(|trace| self.traces.get_mut(&trace)) else { continue };
            match key.as_str() {
                super::rows::USER => stored.user = value,
                ABANDONED => stored.is_abandoned = true,
                _ => stored.is_finalized = true,
            }
        }
        for (trace, root) in roots? {
            let Some(stored) = trace.and_then(|trace| self.traces.get_mut(&trace)) else { continue };
            let Some(root) = root else { continue };
            if stored.root.is_none_or(|known| root < known) {
                stored.root = Some(root);
            }
        }
        Ok(())
    }
}

/// Adds up the stored spans of traces. Spans are kept only while this reads, and once: a trace may have many.
pub(super) async fn sums(tx: &Tx, traces: &BTreeSet<TraceId>) -> Result<BTreeMap<TraceId, Sums>, DbError> {
    if traces.is_empty() {
        return Ok(BTreeMap::new());
    }
    let nodes: BTreeMap<TraceId, BTreeMap<SpanId, Node>> = BTreeMap::new();
    let add = |nodes: &mut BTreeMap<TraceId, BTreeMap<SpanId, Node>>, row: &Row<'_>| {
        let parent = row.opt_str(2)?.and_then(span_of);
        let node = Node::stored(parent, nanoseconds(row.get(3)?), row.str(4)?);
        if let (Some(trace), Some(span)) = (trace_of(row.str(0)?), span_of(row.str(1)?)) {
            nodes.entry(trace).or_default().insert(span, node);
        }
        Ok(())
    };
    let nodes = tx.fold(Statement::new(&NODES, vec![ids(traces)]), nodes, add).await?;
    Ok(nodes.iter().map(|(trace, nodes)| (*trace, Sums::of(nodes))).collect())
}

/// Reads the session and the user of traces: of each, that of the span that starts first.
pub(super) async fn people(tx: &Tx, traces: &BTreeSet<TraceId>) -> Result<BTreeMap<TraceId, People>, DbError> {
    let mut found: BTreeMap<TraceId, People> = BTreeMap::new();
    if traces.is_empty() {
        return Ok(found);
    }
    let read = |row: &Row<'_>| {
        let place = (trace_of(row.str(0)?), nanoseconds(row.get(2)?), span_of(row.str(1)?));
        Ok((place, People::stored(row.str(3)?)))
    };
    let mut spans = tx.query(Statement::new(&CONTENTS, vec![ids(traces)]), read).await?;
    spans.sort_by_key(|(place, _)| *place);
    for ((trace, ..), people) in spans {
        let Some(trace) = trace else { continue };
        let known = found.entry(trace).or_default();
        known.session = known.session.take().or(people.session);
        known.user = known.user.take().or(people.user);
    }
    Ok(found)
}
