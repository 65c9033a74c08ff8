//! Traces: from their start to their deletion, by versions 2 and 3 of the API. Reading them with their spans is in
//! `full_traces`.

use std::collections::BTreeMap;

use ferroflow_artifacts::ArtifactPath;
use ferroflow_model::{
    Error, ErrorCode, Result, archived_trace,
    messages::service::{
        BatchGetTraceInfos, BatchGetTraceInfosResponse, DeleteTraceTag, DeleteTraceTagResponse, DeleteTraceTagV3,
        DeleteTraceTagV3Response, DeleteTraces, DeleteTracesResponse, DeleteTracesV3, DeleteTracesV3Response, EndTrace,
        EndTraceResponse, GetOnlineTraceDetails, GetOnlineTraceDetailsResponse, GetTraceInfo, GetTraceInfoResponse,
        GetTraceInfoV3, GetTraceInfoV3Response, LinkTracesToRun, LinkTracesToRunResponse, SearchUnifiedTraces,
        SearchUnifiedTracesResponse, SetTraceTag, SetTraceTagResponse, SetTraceTagV3, SetTraceTagV3Response,
        StartTrace, StartTraceResponse, StartTraceV3, StartTraceV3Response, Trace, TraceInfo, TraceInfoV3,
        TraceInfoV3State, TraceRequestMetadata, TraceStatus, TraceTag,
    },
    validation,
    wire::Duration,
};
use ferroflow_store::{Child, DoomedTraces, TraceEvent};

use crate::{access, app::Cx, rpc::empty};

pub(crate) async fn start(cx: Cx, req: StartTraceV3) -> Result<StartTraceV3Response> {
    let info = req.trace.and_then(|trace| trace.trace_info).unwrap_or_default();
    if cx.is_blind() {
        return start_blind(&cx, info).await;
    }
    let info = cx.store().start_trace(info).await?;
    Ok(StartTraceV3Response { trace: Some(redacted(&cx, info).await?) })
}

/// [`start`] for a caller who may not read traces: the response has what was sent, and where the files of the trace are.
/// A trace of another experiment, which might be one that the caller may read, is not moved.
async fn start_blind(cx: &Cx, mut sent: TraceInfoV3) -> Result<StartTraceV3Response> {
    let location = sent.trace_location.as_ref().and_then(|location| location.mlflow_experiment.as_ref());
    let experiment = location.and_then(|location| location.experiment_id.as_deref()).unwrap_or_default();
    let found = cx.store().experiments_of(Child::Trace, vec![sent.trace_id().to_owned()]).await?;
    if found.values().any(|id| *id != access::canonical_id(experiment)) {
        return Err(access::permission_denied());
    }
    let mut info = cx.store().start_trace(sent.clone()).await?;
    if let Some(files) = info.tags.remove(validation::ARTIFACT_LOCATION_TAG) {
        sent.tags.insert(validation::ARTIFACT_LOCATION_TAG.to_owned(), files);
    }
    Ok(StartTraceV3Response { trace: Some(Trace { trace_info: Some(sent), spans: Vec::new() }) })
}

pub(crate) async fn get(cx: Cx, _: GetTraceInfoV3) -> Result<GetTraceInfoV3Response> {
    let info = cx.store().trace_info(cx.path("trace_id")).await?;
    Ok(GetTraceInfoV3Response { trace: Some(redacted(&cx, info).await?) })
}

/// A trace without spans. Redacts what the caller may not see in it.
async fn redacted(cx: &Cx, mut info: TraceInfoV3) -> Result<Trace> {
    cx.redact_trace_infos(std::slice::from_mut(&mut info)).await?;
    Ok(Trace { trace_info: Some(info), spans: Vec::new() })
}

pub(crate) async fn batch_get_infos(cx: Cx, req: BatchGetTraceInfos) -> Result<BatchGetTraceInfosResponse> {
    let mut trace_infos = cx.store().trace_infos(&req.trace_ids, &req.experiment_ids).await?;
    cx.redact_trace_infos(&mut trace_infos).await?;
    Ok(BatchGetTraceInfosResponse { trace_infos })
}

pub(crate) async fn set_tag(cx: Cx, req: SetTraceTagV3) -> Result<SetTraceTagV3Response> {
    cx.store().set_trace_tag(cx.path("trace_id"), req.key(), req.value()).await.map(|()| empty())
}

pub(crate) async fn delete_tag(cx: Cx, req: DeleteTraceTagV3) -> Result<DeleteTraceTagV3Response> {
    cx.store().delete_trace_tag(cx.path("trace_id"), req.key()).await.map(|()| empty())
}

pub(crate) async fn set_tag_v2(cx: Cx, req: SetTraceTag) -> Result<SetTraceTagResponse> {
    cx.store().set_trace_tag(cx.path("request_id"), req.key(), req.value()).await.map(|()| empty())
}

pub(crate) async fn delete_tag_v2(cx: Cx, req: DeleteTraceTag) -> Result<DeleteTraceTagResponse> {
    cx.store().delete_trace_tag(cx.path("request_id"), req.key()).await.map(|()| empty())
}

pub(crate) async fn link_to_run(cx: Cx, req: LinkTracesToRun) -> Result<LinkTracesToRunResponse> {
    cx.store().link_traces_to_run(&req.trace_ids, req.run_id()).await.map(|()| empty())
}

pub(crate) async fn delete(cx: Cx, req: DeleteTracesV3) -> Result<DeleteTracesV3Response> {
    let doomed = DoomedTraces::of(req.request_ids, req.max_timestamp_millis, req.max_traces)?;
    let experiment_id = req.experiment_id.unwrap_or_default();
    let traces_deleted = Some(delete_all(&cx, &experiment_id, &doomed).await?);
    Ok(DeleteTracesV3Response { traces_deleted })
}

pub(crate) async fn delete_v2(cx: Cx, req: DeleteTraces) -> Result<DeleteTracesResponse> {
    let doomed = DoomedTraces::of(req.request_ids, req.max_timestamp_millis, req.max_traces)?;
    let experiment_id = req.experiment_id.unwrap_or_default();
    let traces_deleted = Some(delete_all(&cx, &experiment_id, &doomed).await?);
    Ok(DeleteTracesResponse { traces_deleted })
}

/// Returns the number of deleted traces.
async fn delete_all(cx: &Cx, experiment_id: &str, doomed: &DoomedTraces) -> Result<i32> {
    let (mut deleted, mut seen, mut after) = (0, 0, None);
    loop {
        let found = cx.store().delete_traces(experiment_id, doomed, after.as_ref(), seen).await?;
        deleted += found.deleted;
        seen += found.deleted;
        for (id, location) in found.archived {
            seen += 1;
            if delete_archived(cx, &id, location.as_deref()).await? {
                deleted += 1;
            }
        }
        after = found.next;
        if after.is_none() {
            return Ok(i32::try_from(deleted).unwrap_or(i32::MAX));
        }
    }
}

/// Deletes an archived trace: its file, then its rows. If the file cannot be deleted, the trace is kept.
pub(crate) async fn delete_archived(cx: &Cx, id: &str, location: Option<&str>) -> Result<bool> {
    if let Some(location) = location.filter(|location| !location.is_empty())
        && let Err(error) = delete_payload(cx, id, location).await
    {
        tracing::warn!(trace = id, location, %error, "the file of an archived trace is not deleted: the trace is kept");
        return Ok(false);
    }
    cx.store().delete_archived_trace(id).await
}

async fn delete_payload(cx: &Cx, id: &str, location: &str) -> Result<()> {
    // A folder without the id may be that of other traces.
    if !location.split('/').any(|component| component == id) {
        return Err(Error::invalid("the location is not that of the trace"));
    }
    let place = cx.app.locations.resolve(location)?;
    place.repository.delete(&ArtifactPath::parse(archived_trace::FILE)?.below(&place.base)).await
}

pub(crate) async fn start_v2(cx: Cx, req: StartTrace) -> Result<StartTraceResponse> {
    let event = TraceEvent {
        timestamp_ms: req.timestamp_ms.unwrap_or_default(),
        metadata: metadata(req.request_metadata),
        tags: tags(req.tags),
    };
    let info = cx.store().start_trace_v2(req.experiment_id.as_deref().unwrap_or_default(), event).await?;
    Ok(StartTraceResponse { trace_info: Some(version_2(&cx, info).await?) })
}

pub(crate) async fn end_v2(cx: Cx, req: EndTrace) -> Result<EndTraceResponse> {
    let status = req.status.unwrap_or(TraceStatus::TraceStatusUnspecified);
    let event = TraceEvent {
        timestamp_ms: req.timestamp_ms.unwrap_or_default(),
        metadata: metadata(req.request_metadata),
        tags: tags(req.tags),
    };
    let info = cx.store().end_trace_v2(cx.path("request_id"), status, event).await?;
    Ok(EndTraceResponse { trace_info: Some(version_2(&cx, info).await?) })
}

pub(crate) async fn get_v2(cx: Cx, _: GetTraceInfo) -> Result<GetTraceInfoResponse> {
    let info = cx.store().trace_info(cx.path("request_id")).await?;
    Ok(GetTraceInfoResponse { trace_info: Some(version_2(&cx, info).await?) })
}

fn metadata(entries: Vec<TraceRequestMetadata>) -> BTreeMap<String, String> {
    entries.into_iter().map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default())).collect()
}

fn tags(tags: Vec<TraceTag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect()
}

/// A trace in the form of version 2. Redacts what the caller may not see in it.
async fn version_2(cx: &Cx, mut info: TraceInfoV3) -> Result<TraceInfo> {
    cx.redact_trace_infos(std::slice::from_mut(&mut info)).await?;
    Ok(to_version_2(info))
}

/// A trace in the form of version 2.
pub(crate) fn to_version_2(info: TraceInfoV3) -> TraceInfo {
    let experiment = info.trace_location.and_then(|location| location.mlflow_experiment).unwrap_or_default();
    let status = match info.state {
        None | Some(TraceInfoV3State::StateUnspecified) => TraceStatus::TraceStatusUnspecified,
        Some(TraceInfoV3State::Ok) => TraceStatus::Ok,
        Some(TraceInfoV3State::Error) => TraceStatus::Error,
        Some(TraceInfoV3State::InProgress) => TraceStatus::InProgress,
    };
    let metadata = info.trace_metadata.into_iter();
    let tags = info.tags.into_iter();
    TraceInfo {
        request_id: info.trace_id,
        experiment_id: experiment.experiment_id,
        timestamp_ms: Some(info.request_time.unwrap_or_default().to_millis()),
        execution_time_ms: Some(info.execution_duration.map_or(0, Duration::to_millis)),
        status: Some(status),
        request_metadata: metadata
            .map(|(key, value)| TraceRequestMetadata { key: Some(key), value: Some(value) })
            .collect(),
        tags: tags.map(|(key, value)| TraceTag { key: Some(key), value: Some(value) }).collect(),
    }
}

pub(crate) async fn online_details(_: Cx, _: GetOnlineTraceDetails) -> Result<GetOnlineTraceDetailsResponse> {
    Err(elsewhere("get-online-trace-details"))
}

pub(crate) async fn unified(_: Cx, _: SearchUnifiedTraces) -> Result<SearchUnifiedTracesResponse> {
    Err(elsewhere("unified-traces"))
}

/// The answer of calls that only Databricks has: the reference answers 404 too.
fn elsewhere(name: &str) -> Error {
    Error::new(
        ErrorCode::EndpointNotFound,
        format!("'{name}' is a call of Databricks: a tracking server has no such traces."),
    )
}
