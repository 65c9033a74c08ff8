//! The rows of a batch, sorted by key.

use ferroflow_otlp::{Pick, SpanId, StoredSpan};

use super::{merge::Merged, resolve::TraceRow};
use crate::{
    db::{Child, Column, Insert, Statement, Value, dialect::Dialect, int, real, text},
    statements::statements,
};

/// The metadata with the user.
pub(super) const USER: &str = "mlflow.trace.user";

statements! {
    /// Traces of which the time has changed: their assessments have a copy of it.
    static MOVE_ASSESSMENTS: Child =
        "UPDATE assessments SET trace_timestamp_ms = (SELECT t.timestamp_ms FROM trace_info t \
         WHERE t.request_id = assessments.trace_id) WHERE trace_id {in $1}";

    static REVIVE: Child =
        "DELETE FROM trace_request_metadata WHERE request_id {in $1} AND key = 'ferroflow.trace.abandoned'";
}

const TRACE_COLUMNS: &[Column] = &[
    text("request_id"),
    int("experiment_id"),
    int("timestamp_ms"),
    int("execution_time_ms"),
    text("status"),
    text("request_preview"),
    text("response_preview"),
    int("db_payload_generation"),
    text("trace_name"),
    text("session_id"),
    int("input_tokens"),
    int("output_tokens"),
    int("total_tokens"),
    int("cache_read_input_tokens"),
    int("cache_creation_input_tokens"),
    int("cache_creation_input_tokens_above_1hr"),
    real("input_cost"),
    real("output_cost"),
    real("total_cost"),
];

const SPAN_COLUMNS: &[Column] = &[
    text("trace_id"),
    int("experiment_id"),
    text("span_id"),
    text("parent_span_id"),
    text("name"),
    text("type"),
    text("status"),
    int("start_time_unix_nano"),
    int("end_time_unix_nano"),
    text("content"),
    real("input_cost"),
    real("output_cost"),
    real("total_cost"),
    text("model_name"),
    text("model_provider"),
];

/// Replaces a stored version of a span by a later one: the rule of [`StoredSpan::replaces`].
macro_rules! replace_span {
    ($collation:literal) => {
        concat!(
            "ON CONFLICT (trace_id, span_id) DO UPDATE SET experiment_id = excluded.experiment_id, \
             parent_span_id = excluded.parent_span_id, name = excluded.name, type = excluded.type, \
             status = excluded.status, start_time_unix_nano = excluded.start_time_unix_nano, \
             end_time_unix_nano = excluded.end_time_unix_nano, content = excluded.content, \
             input_cost = excluded.input_cost, output_cost = excluded.output_cost, total_cost = excluded.total_cost, \
             model_name = excluded.model_name, model_provider = excluded.model_provider \
             WHERE COALESCE(excluded.end_time_unix_nano, -1) > COALESCE(spans.end_time_unix_nano, -1) \
             OR (COALESCE(excluded.end_time_unix_nano, -1) = COALESCE(spans.end_time_unix_nano, -1) \
             AND excluded.content",
            $collation,
            " > spans.content",
            $collation,
            ")"
        )
    };
}

/// New traces. If another transaction creates one meanwhile, fewer rows are inserted than given.
pub(super) fn new_traces<'a>(traces: impl Iterator<Item = (&'a Merged<'a>, &'a TraceRow)>) -> Insert {
    Insert {
        table: "trace_info",
        columns: TRACE_COLUMNS,
        only_if: None,
        on_conflict: "ON CONFLICT (request_id) DO NOTHING",
        rows: traces.map(|(merged, row)| trace(merged, row)).collect(),
    }
}

/// Traces that exist and are locked.
pub(super) fn changed_traces<'a>(traces: impl Iterator<Item = (&'a Merged<'a>, &'a TraceRow)>) -> Insert {
    Insert {
        on_conflict: "ON CONFLICT (request_id) DO UPDATE SET timestamp_ms = excluded.timestamp_ms, \
                      execution_time_ms = excluded.execution_time_ms, status = excluded.status, \
                      request_preview = excluded.request_preview, response_preview = excluded.response_preview, \
                      db_payload_generation = trace_info.db_payload_generation + 1, \
                      trace_name = excluded.trace_name, session_id = excluded.session_id, \
                      input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, \
                      total_tokens = excluded.total_tokens, \
                      cache_read_input_tokens = excluded.cache_read_input_tokens, \
                      cache_creation_input_tokens = excluded.cache_creation_input_tokens, \
                      cache_creation_input_tokens_above_1hr = excluded.cache_creation_input_tokens_above_1hr, \
                      input_cost = excluded.input_cost, output_cost = excluded.output_cost, \
                      total_cost = excluded.total_cost",
        ..new_traces(traces)
    }
}

fn trace(merged: &Merged<'_>, row: &TraceRow) -> Vec<Value> {
    let mut values = vec![
        Value::from(&merged.id),
        merged.experiment.into(),
        row.timestamp_ms.into(),
        row.execution_time_ms.into(),
        row.status.as_str().into(),
        row.request_preview.as_ref().into(),
        row.response_preview.as_ref().into(),
        1_i64.into(),
        row.name.as_ref().into(),
        row.session.as_ref().into(),
    ];
    values.extend(row.tokens.map(Value::from));
    values.extend(row.costs.map(Value::from));
    values
}

/// The spans.
pub(super) fn spans<'a>(traces: impl Iterator<Item = &'a Merged<'a>>, dialect: Dialect) -> Insert {
    Insert {
        table: "spans",
        columns: SPAN_COLUMNS,
        only_if: None,
        // Contents are compared byte by byte, as in Rust.
        on_conflict: dialect.pick(replace_span!(" COLLATE \"C\""), replace_span!("")),
        rows: traces.flat_map(|trace| trace.spans.values().map(move |row| span(trace, row))).collect(),
    }
}

fn span(trace: &Merged<'_>, span: &StoredSpan) -> Vec<Value> {
    let [input, output, total] = span.cost.unwrap_or_default().0;
    vec![
        Value::from(&trace.id),
        trace.experiment.into(),
        span.span.to_string().into(),
        span.parent.as_ref().map(SpanId::to_string).into(),
        Value::from(&span.name),
        span.span_type.as_ref().into(),
        span.status.into(),
        span.start_ns.into(),
        span.end_ns.into(),
        Value::from(&span.content),
        input.into(),
        output.into(),
        total.into(),
        span.model.as_ref().into(),
        span.provider.as_ref().into(),
    ]
}

const PAIR_COLUMNS: &[Column] = &[text("key"), text("value"), text("request_id")];

/// Tags: first those that are written only if they are missing, then those that replace stored ones.
pub(super) fn tags<'a>(traces: impl Iterator<Item = (&'a Merged<'a>, &'a TraceRow)>) -> [Insert; 2] {
    let (mut missing, mut replacing) = (Vec::new(), Vec::new());
    for (merged, row) in traces {
        let pair = |key: &str, value: &str| vec![key.into(), value.into(), Value::from(&merged.id)];
        if let Some(location) = &merged.artifact_location {
            missing.push(pair("mlflow.artifactLocation", location));
        }
        missing.push(pair("mlflow.trace.spansLocation", "TRACKING_STORE"));
        for (key, tag) in &merged.delta.tags {
            let rows = if replaces(merged, row, tag) { &mut replacing } else { &mut missing };
            rows.push(pair(key, &tag.value));
        }
    }
    let insert =
        |rows, on_conflict| Insert { table: "trace_tags", columns: PAIR_COLUMNS, only_if: None, on_conflict, rows };
    [
        insert(missing, "ON CONFLICT (key, request_id) DO NOTHING"),
        insert(replacing, "ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value"),
    ]
}

/// Whether a tag replaces a stored one: one of the root span, if that is the first root; an attribute of a resource, if
/// its span starts before all that are stored.
fn replaces(merged: &Merged<'_>, row: &TraceRow, tag: &Pick<String>) -> bool {
    let Some(stored) = &merged.stored else { return false };
    if tag.rank == 0 { row.is_root_new } else { stored.first_ns.is_some_and(|first| tag.start_ns < first) }
}

/// The users of traces that have a new one.
pub(super) fn users<'a>(traces: impl Iterator<Item = (&'a Merged<'a>, &'a TraceRow)>) -> Insert {
    let user = |(merged, row): (&Merged<'_>, &TraceRow)| {
        Some(vec![USER.into(), row.new_user.as_deref()?.into(), Value::from(&merged.id)])
    };
    Insert {
        table: "trace_request_metadata",
        columns: PAIR_COLUMNS,
        only_if: None,
        on_conflict: "ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value",
        rows: traces.filter_map(user).collect(),
    }
}

/// The links of finished traces to runs.
pub(super) fn links<'a>(traces: impl Iterator<Item = &'a Merged<'a>>, now_ms: i64) -> Insert {
    let columns = &const {
        [
            text("association_id"),
            text("source_type"),
            text("source_id"),
            text("destination_type"),
            text("destination_id"),
            int("created_time"),
        ]
    };
    let link = |trace: &Merged<'_>, run: &str| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        vec![id.into(), "trace".into(), Value::from(&trace.id), "run".into(), run.into(), now_ms.into()]
    };
    Insert {
        table: "entity_associations",
        columns,
        only_if: None,
        on_conflict: "ON CONFLICT (source_type, source_id, destination_type, destination_id) DO NOTHING",
        rows: traces.flat_map(|trace| trace.runs.iter().map(move |run| link(trace, run))).collect(),
    }
}

/// Removes the mark of abandoned traces.
pub(super) fn revive(traces: Vec<String>) -> Statement {
    Statement::new(&REVIVE, vec![traces.into()])
}

/// Copies the times of traces to their assessments.
pub(super) fn move_assessments(traces: Vec<String>) -> Statement {
    Statement::new(&MOVE_ASSESSMENTS, vec![traces.into()])
}
