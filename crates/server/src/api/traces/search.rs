//! Searches for traces.

use ferroflow_model::{
    Result,
    messages::service::{SearchTraces, SearchTracesResponse, SearchTracesV3, SearchTracesV3Response, TraceInfoV3},
};
use ferroflow_search::traces::tiers;
use ferroflow_store::{Scope, TraceSearch};

use super::traces::to_version_2;
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
    Ok(SearchTracesResponse { traces: traces.into_iter().map(to_version_2).collect(), next_page_token })
}

async fn page(cx: &Cx, scope: &Scope, search: TraceSearch) -> Result<(Vec<TraceInfoV3>, Option<String>)> {
    cx.check_trace_search(&search.experiment_ids, tiers(&[&search.filter], &search.order_by)).await?;
    let (mut traces, next_page_token) = cx.store().search_traces(scope, &search).await?;
    cx.redact_trace_infos(&mut traces).await?;
    Ok((traces, next_page_token))
}
