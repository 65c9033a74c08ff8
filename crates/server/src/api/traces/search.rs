//! Searches for traces.

use ferroflow_model::{
    Result,
    messages::service::{
        SearchTraces, SearchTracesResponse, SearchTracesV3, SearchTracesV3Response, TraceInfo, TraceInfoV3,
        TraceInfoV3State, TraceRequestMetadata, TraceStatus, TraceTag,
    },
};
use ferroflow_search::traces::tiers;
use ferroflow_store::{Scope, TraceSearch};

use crate::app::Cx;

pub(crate) async fn search(cx: Cx, scope: Scope, req: SearchTracesV3) -> Result<SearchTracesV3Response> {
    let experiments = req.locations.iter().filter_map(|location| location.mlflow_experiment.as_ref());
    let search = TraceSearch {
        experiment_ids: experiments.map(|experiment| experiment.experiment_id().to_owned()).collect(),
        filter: req.filter().to_owned(),
        max_results: req.max_results().into(),
        order_by: req.order_by,
        page_token: req.page_token,
    };
    let (traces, next_page_token) = page(&cx, &scope, search).await?;
    Ok(SearchTracesV3Response { traces, next_page_token })
}

pub(crate) async fn search_v2(cx: Cx, scope: Scope, req: SearchTraces) -> Result<SearchTracesResponse> {
    let search = TraceSearch {
        filter: req.filter().to_owned(),
        max_results: req.max_results().into(),
        experiment_ids: req.experiment_ids,
        order_by: req.order_by,
        page_token: req.page_token,
    };
    let (traces, next_page_token) = page(&cx, &scope, search).await?;
    Ok(SearchTracesResponse { traces: traces.into_iter().map(v2).collect(), next_page_token })
}

async fn page(cx: &Cx, scope: &Scope, search: TraceSearch) -> Result<(Vec<TraceInfoV3>, Option<String>)> {
    cx.check_trace_search(&search.experiment_ids, tiers(&[&search.filter], &search.order_by)).await?;
    let (mut traces, next_page_token) = cx.store().search_traces(scope, &search).await?;
    cx.redact_traces(&mut traces);
    Ok((traces, next_page_token))
}

/// A trace as version 2 of the API has it.
fn v2(info: TraceInfoV3) -> TraceInfo {
    let location = info.trace_location.and_then(|location| location.mlflow_experiment);
    TraceInfo {
        request_id: info.trace_id,
        experiment_id: location.and_then(|experiment| experiment.experiment_id),
        timestamp_ms: info.request_time.map(ferroflow_model::wire::Timestamp::to_millis),
        execution_time_ms: Some(info.execution_duration.map_or(0, ferroflow_model::wire::Duration::to_millis)),
        status: info.state.map(|state| match state {
            TraceInfoV3State::StateUnspecified => TraceStatus::TraceStatusUnspecified,
            TraceInfoV3State::Ok => TraceStatus::Ok,
            TraceInfoV3State::Error => TraceStatus::Error,
            TraceInfoV3State::InProgress => TraceStatus::InProgress,
        }),
        request_metadata: (info.trace_metadata.into_iter())
            .map(|(key, value)| TraceRequestMetadata { key: Some(key), value: Some(value) })
            .collect(),
        tags: info.tags.into_iter().map(|(key, value)| TraceTag { key: Some(key), value: Some(value) }).collect(),
    }
}
