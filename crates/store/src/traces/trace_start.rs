//! Starting a trace: creates it, or completes one that exists already, because its spans were written first or the
//! client sends it again.

mod lane;

use std::collections::BTreeMap;

pub(crate) use lane::StartLane;
use lane::StartWrite;

use ferroflow_model::{
    Error, Result, limits,
    messages::service::{TraceInfoV3, TraceInfoV3State, TraceLocation, TraceLocationTraceLocationType},
    python,
    quotas::Counted,
    uri,
    validation::{self, ARTIFACT_LOCATION_TAG, Limits},
    wire::{Duration, Enum as _},
};

use crate::{
    Scoped,
    db::{Insert, Op, Statement, Tx, Value, text},
    statements::statements,
    traces::{
        assessment_rows,
        keys::{LockedTrace, TraceKey},
        new_assessment::NewAssessment,
        rollup_queue::Invalidation,
        rollups::Partition,
        trace_columns::MetadataColumns,
        trace_infos::{self, NAME_TAG},
    },
    tracking::{
        experiments::{check_active, id_of, no_experiment},
        keys::ExperimentKey,
    },
    workspace::Workspace,
};

/// The metadata of a trace that a client has described completely: later spans change neither its times nor its state.
const FINALIZED: &str = "mlflow.trace.infoFinalized";

/// The columns of a trace, behind its experiment and its id.
const COLUMNS: &str = "timestamp_ms, execution_time_ms, status, client_request_id, request_preview, response_preview, \
                       trace_name, session_id, input_tokens, output_tokens, total_tokens, cache_read_input_tokens, \
                       cache_creation_input_tokens, cache_creation_input_tokens_above_1hr, input_cost, output_cost, \
                       total_cost";

statements! {
    /// Waits for a transaction that has inserted the same trace.
    pub(super) static INSERT: ExperimentKey =
        "INSERT INTO trace_info (experiment_id, request_id, ", COLUMNS, ") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         ON CONFLICT (request_id) DO NOTHING";

    /// The spans are somewhere else than in the database.
    static SPANS_ELSEWHERE: TraceKey =
        "SELECT 1 FROM trace_tags WHERE request_id = $1 AND key = 'mlflow.trace.spansLocation' \
         AND value <> 'TRACKING_STORE'";

    /// The generation tells archival that the trace has changed.
    static COMPLETE: TraceKey =
        "UPDATE trace_info SET db_payload_generation = db_payload_generation + 1, experiment_id = $2, \
         timestamp_ms = $3, execution_time_ms = $4, status = $5, client_request_id = $6, \
         request_preview = COALESCE($7, request_preview), response_preview = COALESCE($8, response_preview), \
         trace_name = COALESCE($9, trace_name), session_id = COALESCE($10, session_id), \
         input_tokens = COALESCE($11, input_tokens), output_tokens = COALESCE($12, output_tokens), \
         total_tokens = COALESCE($13, total_tokens), \
         cache_read_input_tokens = COALESCE($14, cache_read_input_tokens), \
         cache_creation_input_tokens = COALESCE($15, cache_creation_input_tokens), \
         cache_creation_input_tokens_above_1hr = COALESCE($16, cache_creation_input_tokens_above_1hr), \
         input_cost = COALESCE($17, input_cost), output_cost = COALESCE($18, output_cost), \
         total_cost = COALESCE($19, total_cost) WHERE request_id = $1";
    static MOVE_SPANS: TraceKey = "UPDATE spans SET experiment_id = $2 WHERE trace_id = $1 AND experiment_id <> $2";
    static MOVE_ASSESSMENTS: TraceKey =
        "UPDATE assessments SET experiment_id = $2, trace_timestamp_ms = $3 WHERE trace_id = $1";

    /// Removes the mark of an abandoned trace.
    pub(super) static REVIVE: TraceKey =
        "DELETE FROM trace_request_metadata WHERE request_id = $1 AND key = 'ferroflow.trace.abandoned'";

    static READ: TraceKey = "SELECT ", trace_infos::COLUMNS, " FROM trace_info t WHERE t.request_id = $1";
}

/// A trace as a client describes it, checked.
struct NewTrace {
    id: String,
    experiment: i64,
    timestamp_ms: i64,
    /// The values of [`COLUMNS`].
    values: Vec<Value>,
    tags: BTreeMap<String, String>,
    metadata: BTreeMap<String, String>,
    assessments: Vec<NewAssessment>,
}

impl NewTrace {
    fn of(info: TraceInfoV3, limits: Limits) -> Result<Self> {
        let location = info.trace_location.unwrap_or_default();
        check_location(&location)?;
        let assessments = info.assessments.into_iter().map(NewAssessment::of).collect::<Result<Vec<_>>>()?;
        let id = info.trace_id.unwrap_or_default();
        validation::trace_id("trace.trace_info.trace_id", &id)?;
        let name = info.tags.get(NAME_TAG).cloned();
        check_name(name.as_deref())?;
        let experiment_id = location.mlflow_experiment.and_then(|location| location.experiment_id).unwrap_or_default();
        if experiment_id.is_empty() {
            let path = "trace.trace_info.trace_location.mlflow_experiment.experiment_id";
            return Err(Error::invalid(validation::missing_value(path)));
        }
        let client_request_id = info.client_request_id;
        if let Some(id) = &client_request_id {
            validation::trace_text("trace.trace_info.client_request_id", limits::TRACE_ID, id)?;
        }
        let state = info.state.unwrap_or(TraceInfoV3State::StateUnspecified);
        let timestamp_ms = info.request_time.unwrap_or_default().to_millis();
        let mut values: Vec<Value> = vec![
            timestamp_ms.into(),
            info.execution_duration.map(Duration::to_millis).into(),
            state.name().into(),
            client_request_id.into(),
            info.request_preview.map(preview).into(),
            info.response_preview.map(preview).into(),
            name.into(),
        ];
        values.extend(MetadataColumns::of(&info.trace_metadata)?.values());
        let mut metadata = stored_metadata(info.trace_metadata, limits)?;
        metadata.insert(FINALIZED.to_owned(), "true".to_owned());
        Ok(Self {
            experiment: id_of(&experiment_id)?,
            id,
            timestamp_ms,
            values,
            tags: stored_tags(info.tags, limits)?,
            metadata,
            assessments,
        })
    }

    /// The rows of its children, in one round trip with `before`.
    async fn write_children(&self, tx: &Tx, location: String, mut before: Vec<Op>) -> Result<()> {
        let mut tags = self.tags.clone();
        tags.insert(ARTIFACT_LOCATION_TAG.to_owned(), location);
        before.push(Op::Insert(pairs("trace_tags", &self.id, &tags)));
        before.push(Op::Insert(pairs("trace_request_metadata", &self.id, &self.metadata)));
        let rows = self.assessments.iter().map(|new| new.row(&self.id, self.experiment, self.timestamp_ms));
        before.push(Op::Insert(assessment_rows::merge(rows.collect())));
        let answers = tx.run(before).await?;
        let merged = answers.last().map_or(0, crate::db::count);
        if usize::try_from(merged).unwrap_or_default() < self.assessments.len() {
            // One of its ids is that of an assessment of another trace.
            return Err(NewAssessment::conflict(&self.id));
        }
        Ok(())
    }
}

impl Scoped<'_> {
    /// Creates a trace, or completes one with this id: times, state and what else is given replace what its spans said.
    /// Tags, metadata and assessments are merged. Tags with which a client would say where files are are ignored.
    ///
    /// # Errors
    /// The trace is not valid, its experiment is missing or deleted, or its spans are no longer in the database.
    pub async fn start_trace(&self, info: TraceInfoV3) -> Result<TraceInfoV3> {
        let trace = NewTrace::of(info, self.store.limits)?;
        self.check_quota(&[Counted::Traces], trace.experiment)?;
        if let Some(lane) = &self.store.starts {
            return lane.write(StartWrite { workspace: self.workspace.clone(), trace }).await;
        }
        let (trace, invalidation) = (&trace, &self.store.rollups.invalidation());
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin_with(&tx, invalidation.of_trace(trace.experiment, trace.timestamp_ms)).await?;
                start(&tx, self.workspace, trace, invalidation).await
            })
            .await
    }
}

/// Starts a trace in a transaction that has locked the days of its rollups.
async fn start(tx: &Tx, workspace: &Workspace, trace: &NewTrace, invalidation: &Invalidation) -> Result<TraceInfoV3> {
    let (experiment, root) = find_active(workspace, tx, trace.experiment).await?;
    let location = artifact_location(&root, &trace.id)?;
    let values = first_of(&trace.id.as_str().into(), &trace.values);
    let key = if tx.execute(Statement::of(&experiment, &INSERT, values)).await? > 0 {
        trace.write_children(tx, location, Vec::new()).await?;
        TraceKey::inserted(&trace.id)
    } else {
        complete(tx, workspace, trace, location, invalidation).await?
    };
    read(tx, &key, &trace.id).await
}

/// Completes a trace that exists.
async fn complete(
    tx: &Tx,
    workspace: &Workspace,
    trace: &NewTrace,
    location: String,
    invalidation: &Invalidation,
) -> Result<TraceKey> {
    let Some(LockedTrace { key, experiment_id, timestamp_ms }) = LockedTrace::find(workspace, tx, &trace.id).await?
    else {
        return Err(Error::not_found(format!("Trace with ID '{}' no longer exists.", trace.id)));
    };
    let spans = invalidation.of_spans(tx, std::slice::from_ref(&trace.id)).await?;
    let moved = spans.iter().map(|day| Partition { experiment: trace.experiment, ..*day });
    let days = invalidation.of_trace(experiment_id, timestamp_ms).chain(moved).chain(spans.iter().copied());
    invalidation.add(tx, days).await?;
    if tx.query_opt(Statement::of(&key, &SPANS_ELSEWHERE, Vec::new()), |_| Ok(())).await?.is_some() {
        let text = format!("Cannot update traces that are no longer DB-backed: '{}'.", trace.id);
        return Err(Error::invalid_state(text));
    }
    let experiment = Value::from(trace.experiment);
    let values = first_of(&experiment, &trace.values);
    let time = trace.timestamp_ms.into();
    let before = vec![
        Op::Execute(Statement::of(&key, &COMPLETE, values)),
        Op::Execute(Statement::of(&key, &MOVE_SPANS, vec![experiment.clone()])),
        Op::Execute(Statement::of(&key, &MOVE_ASSESSMENTS, vec![experiment, time])),
        Op::Execute(Statement::of(&key, &REVIVE, Vec::new())),
    ];
    trace.write_children(tx, location, before).await?;
    Ok(key)
}

/// A value and others behind it.
pub(super) fn first_of(first: &Value, rest: &[Value]) -> Vec<Value> {
    [std::slice::from_ref(first), rest].concat()
}

/// The key of an active experiment, and the location of its artifacts.
pub(super) async fn find_active(workspace: &Workspace, tx: &Tx, id: i64) -> Result<(ExperimentKey, String)> {
    let found = ExperimentKey::find_located(workspace, tx, id).await?;
    let (key, stage, root) = found.ok_or_else(|| no_experiment(id))?;
    check_active(id, Some(stage))?;
    Ok((key, root))
}

/// Where the files of a trace are: attachments, and its spans if an older client wrote them.
pub(super) fn artifact_location(root: &str, trace_id: &str) -> Result<String> {
    uri::append_path(root, &format!("traces/{trace_id}/artifacts"))
}

/// The trace with its children, as this transaction sees it.
pub(super) async fn read(tx: &Tx, key: &TraceKey, id: &str) -> Result<TraceInfoV3> {
    let info = tx.query_opt(Statement::of(key, &READ, Vec::new()), trace_infos::info_from_row).await?;
    let children = trace_infos::load_children(tx.conn()?, vec![id.to_owned()]).await?;
    let found = trace_infos::attach(info.into_iter().collect(), vec![children]).pop();
    found.ok_or_else(|| Error::not_found(format!("Trace with ID '{id}' not found.")))
}

/// Rows of tags or metadata, in the order of their keys; they replace stored ones.
pub(super) fn pairs(table: &'static str, id: &str, pairs: &BTreeMap<String, String>) -> Insert {
    let rows = pairs.iter().map(|(key, value)| vec![key.into(), value.into(), id.into()]).collect();
    let columns = &const { [text("key"), text("value"), text("request_id")] };
    let on_conflict = "ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value";
    Insert { table, columns, only_if: None, on_conflict, rows }
}

/// The tags that are stored as rows.
pub(super) fn stored_tags(tags: BTreeMap<String, String>, limits: Limits) -> Result<BTreeMap<String, String>> {
    let is_row = |key: &str| key != NAME_TAG && !validation::is_location_tag(key);
    checked(tags.into_iter().filter(|(key, _)| is_row(key)), limits)
}

/// The metadata that is stored as rows.
pub(super) fn stored_metadata(metadata: BTreeMap<String, String>, limits: Limits) -> Result<BTreeMap<String, String>> {
    checked(metadata.into_iter().filter(|(key, _)| !trace_infos::is_column(key)), limits)
}

fn checked(pairs: impl Iterator<Item = (String, String)>, limits: Limits) -> Result<BTreeMap<String, String>> {
    pairs
        .map(|(key, value)| {
            let value = limits.trace_pair(&key, &value)?;
            Ok((key, value))
        })
        .collect()
}

pub(super) fn check_name(name: Option<&str>) -> Result<()> {
    name.map_or(Ok(()), |name| validation::trace_text("Trace name", limits::TRACE_NAME, name))
}

/// The beginning of a preview that is longer than its column.
fn preview(text: String) -> String {
    match text.char_indices().nth(limits::TRACE_PREVIEW) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// Refuses a location of another type than it says.
fn check_location(location: &TraceLocation) -> Result<()> {
    use TraceLocationTraceLocationType::{InferenceTable, MlflowExperiment, TraceLocationTypeUnspecified};

    let given = location.r#type.unwrap_or(TraceLocationTypeUnspecified);
    let (expected, named) = if let Some(experiment) = &location.mlflow_experiment {
        let id = python::repr(experiment.experiment_id.as_deref().unwrap_or_default());
        (MlflowExperiment, format!("MlflowExperimentLocation(experiment_id={id})"))
    } else if let Some(table) = &location.inference_table {
        let name = python::repr(table.full_table_name.as_deref().unwrap_or_default());
        (InferenceTable, format!("InferenceTableLocation(full_table_name={name})"))
    } else {
        return Ok(());
    };
    if given == expected {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Trace location type TraceLocationType.{} does not match the provided location {named}.",
        given.name()
    )))
}
