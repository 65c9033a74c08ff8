//! Datasets and models that are inputs or outputs of runs.

use ferroflow_model::{
    Error, Result,
    messages::service::{
        LogInputs, LogInputsResponse, LogOutputs, LogOutputsResponse, SearchDatasets, SearchDatasetsResponse,
    },
};

use crate::{app::Cx, rpc::empty};

/// Maximum number of experiments in a search for datasets.
const MAX_EXPERIMENTS: usize = 20;

pub(crate) async fn log_inputs(cx: Cx, req: LogInputs) -> Result<LogInputsResponse> {
    let run_id = req.run_id.unwrap_or_default();
    cx.store().log_inputs(&run_id, req.datasets, req.models).await.map(|()| empty())
}

pub(crate) async fn log_outputs(cx: Cx, req: LogOutputs) -> Result<LogOutputsResponse> {
    let run_id = req.run_id.unwrap_or_default();
    cx.store().log_outputs(&run_id, req.models).await.map(|()| empty())
}

pub(crate) async fn search_datasets(cx: Cx, req: SearchDatasets) -> Result<SearchDatasetsResponse> {
    let ids = &req.experiment_ids;
    if ids.is_empty() {
        return Err(Error::invalid("SearchDatasets request must specify at least one experiment_id."));
    }
    if ids.len() > MAX_EXPERIMENTS {
        return Err(Error::invalid(format!(
            "SearchDatasets request cannot specify more than {MAX_EXPERIMENTS} experiment_ids. \
             Received {} experiment_ids.",
            ids.len()
        )));
    }
    Ok(SearchDatasetsResponse { dataset_summaries: cx.store().search_datasets(ids).await? })
}
