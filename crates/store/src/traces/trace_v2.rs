//! Traces by version 2 of the API, whose clients start a trace, write its spans as a file, and end it.

use std::collections::BTreeMap;

use ferroflow_model::{
    Error, Result,
    messages::service::{TraceInfoV3, TraceInfoV3State, TraceStatus},
    validation::{self, ARTIFACT_LOCATION_TAG},
    wire::Enum as _,
};

use crate::{
    Scoped,
    db::{Op, Statement, Value},
    statements::statements,
    traces::{
        keys::{LockedTrace, TraceKey},
        trace_columns::MetadataColumns,
        trace_infos::NAME_TAG,
        trace_start::{self, INSERT, REVIVE, artifact_location, check_name, find_active, first_of, pairs},
    },
    tracking::experiments::id_of,
};

statements! {
    static END: TraceKey =
        "UPDATE trace_info SET execution_time_ms = $2, status = $3, trace_name = COALESCE($4, trace_name), \
         session_id = COALESCE($5, session_id), input_tokens = COALESCE($6, input_tokens), \
         output_tokens = COALESCE($7, output_tokens), total_tokens = COALESCE($8, total_tokens), \
         cache_read_input_tokens = COALESCE($9, cache_read_input_tokens), \
         cache_creation_input_tokens = COALESCE($10, cache_creation_input_tokens), \
         cache_creation_input_tokens_above_1hr = COALESCE($11, cache_creation_input_tokens_above_1hr), \
         input_cost = COALESCE($12, input_cost), output_cost = COALESCE($13, output_cost), \
         total_cost = COALESCE($14, total_cost) WHERE request_id = $1";
}

/// What a client says when it starts or ends a trace.
#[derive(Debug, Clone, Default)]
pub struct TraceEvent {
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Scoped<'_> {
    /// Starts a trace in an active experiment. Its id is made here.
    ///
    /// # Errors
    /// The experiment is missing or deleted, or a text is longer than its column.
    pub async fn start_trace_v2(&self, experiment_id: &str, event: TraceEvent) -> Result<TraceInfoV3> {
        if experiment_id.is_empty() {
            return Err(Error::invalid(validation::missing_value("experiment_id")));
        }
        let (name, columns, event) = self.checked(event)?;
        let experiment = id_of(experiment_id)?;
        let id = &uuid::Uuid::new_v4().simple().to_string();
        let mut values: Vec<Value> = vec![id.into(), event.timestamp_ms.into(), Value::Null];
        values.push(TraceInfoV3State::InProgress.name().into());
        values.extend([Value::Null, Value::Null, Value::Null, name.into()]);
        values.extend(columns.values());
        let (values, event) = (&values, &event);
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin_with(&tx, invalidation.of_row(experiment, event.timestamp_ms)).await?;
                let (experiment, root) = find_active(self.workspace, &tx, experiment).await?;
                let mut tags = event.tags.clone();
                tags.insert(ARTIFACT_LOCATION_TAG.to_owned(), artifact_location(&root, id)?);
                tx.run(vec![
                    Op::Execute(Statement::of(&experiment, &INSERT, values.clone())),
                    Op::Insert(pairs("trace_tags", id, &tags)),
                    Op::Insert(pairs("trace_request_metadata", id, &event.metadata)),
                ])
                .await?;
                trace_start::read(&tx, &TraceKey::inserted(id), id).await
            })
            .await
    }

    /// Ends a trace. Metadata and tags are added to those that it has.
    ///
    /// # Errors
    /// No trace has the id, or a text is longer than its column.
    pub async fn end_trace_v2(&self, id: &str, status: TraceStatus, event: TraceEvent) -> Result<TraceInfoV3> {
        let (name, columns, event) = self.checked(event)?;
        let state = match status {
            TraceStatus::TraceStatusUnspecified => TraceInfoV3State::StateUnspecified,
            TraceStatus::Ok => TraceInfoV3State::Ok,
            TraceStatus::Error => TraceInfoV3State::Error,
            TraceStatus::InProgress => TraceInfoV3State::InProgress,
        };
        let mut values: Vec<Value> = vec![state.name().into(), name.into()];
        values.extend(columns.values());
        let (values, event) = (&values, &event);
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let trace = LockedTrace::find(self.workspace, &tx, id).await?;
                let trace = trace.ok_or_else(|| Error::not_found(format!("Trace with ID '{id}' not found.")))?;
                invalidation.add(&tx, invalidation.of_row(trace.experiment_id, trace.timestamp_ms)).await?;
                let duration = event.timestamp_ms.checked_sub(trace.timestamp_ms);
                let duration = duration.ok_or_else(|| Error::invalid("The duration of the trace is out of range."))?;
                let values = first_of(&duration.into(), values);
                tx.run(vec![
                    Op::Execute(Statement::of(&trace.key, &END, values)),
                    Op::Execute(Statement::of(&trace.key, &REVIVE, Vec::new())),
                    Op::Insert(pairs("trace_tags", id, &event.tags)),
                    Op::Insert(pairs("trace_request_metadata", id, &event.metadata)),
                ])
                .await?;
                trace_start::read(&tx, &trace.key, id).await
            })
            .await
    }

    /// The name, the columns of the metadata, and what is stored in rows.
    fn checked(&self, event: TraceEvent) -> Result<(Option<String>, MetadataColumns, TraceEvent)> {
        let limits = self.store.limits;
        let name = event.tags.get(NAME_TAG).cloned();
        check_name(name.as_deref())?;
        let columns = MetadataColumns::of(&event.metadata)?;
        let tags = trace_start::stored_tags(event.tags, limits)?;
        let metadata = trace_start::stored_metadata(event.metadata, limits)?;
        Ok((name, columns, TraceEvent { timestamp_ms: event.timestamp_ms, metadata, tags }))
    }
}
