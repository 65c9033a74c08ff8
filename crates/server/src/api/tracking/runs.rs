//! Runs and what is logged to them.

use ferroflow_model::{
    Error, Result,
    messages::service::{
        CreateRun, CreateRunResponse, DeleteRun, DeleteRunResponse, DeleteTag, DeleteTagResponse, GetRun,
        GetRunResponse, LogBatch, LogBatchResponse, LogMetric, LogMetricResponse, LogModel, LogModelResponse, LogParam,
        LogParamResponse, Metric, RestoreRun, RestoreRunResponse, SearchRuns, SearchRunsResponse, SetTag,
        SetTagResponse, UpdateRun, UpdateRunResponse,
    },
    python,
};
use ferroflow_store::{NewRun, RunSearch, Scope};
use serde_json::Value;

use crate::{app::Cx, rpc::empty};

/// The run id, which older clients send as `run_uuid`.
pub(crate) fn id<'a>(run_id: &'a str, run_uuid: &'a str) -> &'a str {
    if run_id.is_empty() { run_uuid } else { run_id }
}

pub(crate) async fn create(cx: Cx, req: CreateRun) -> Result<CreateRunResponse> {
    let new = NewRun {
        experiment_id: req.experiment_id().to_owned(),
        user_id: req.user_id().to_owned(),
        start_time: req.start_time.unwrap_or_default(),
        run_name: req.run_name().to_owned(),
        tags: req.tags,
    };
    Ok(CreateRunResponse { run: Some(cx.store().create_run(new).await?) })
}

pub(crate) async fn get(cx: Cx, req: GetRun) -> Result<GetRunResponse> {
    let mut run = cx.store().get_run(id(req.run_id(), req.run_uuid())).await?;
    cx.redact_runs(std::slice::from_mut(&mut run));
    Ok(GetRunResponse { run: Some(run) })
}

pub(crate) async fn update(cx: Cx, req: UpdateRun) -> Result<UpdateRunResponse> {
    let run_id = id(req.run_id(), req.run_uuid());
    let run_info = cx.store().update_run(run_id, req.status, req.end_time, req.run_name.clone()).await?;
    Ok(UpdateRunResponse { run_info: (!cx.is_blind()).then_some(run_info) })
}

pub(crate) async fn delete(cx: Cx, req: DeleteRun) -> Result<DeleteRunResponse> {
    cx.store().delete_run(req.run_id()).await.map(|()| empty())
}

pub(crate) async fn restore(cx: Cx, req: RestoreRun) -> Result<RestoreRunResponse> {
    cx.store().restore_run(req.run_id()).await.map(|()| empty())
}

pub(crate) async fn search(cx: Cx, scope: Scope, req: SearchRuns) -> Result<SearchRunsResponse> {
    let search = RunSearch {
        filter: req.filter().to_owned(),
        view: req.run_view_type(),
        max_results: req.max_results().into(),
        experiment_ids: req.experiment_ids,
        order_by: req.order_by,
        page_token: req.page_token,
    };
    let (mut runs, next_page_token) = cx.store().search_runs(&scope, search).await?;
    cx.redact_runs(&mut runs);
    Ok(SearchRunsResponse { runs, next_page_token })
}

pub(crate) async fn log_metric(cx: Cx, req: LogMetric) -> Result<LogMetricResponse> {
    let run_id = id(req.run_id(), req.run_uuid()).to_owned();
    let metric = Metric {
        key: req.key,
        value: req.value,
        timestamp: req.timestamp,
        step: req.step,
        model_id: req.model_id,
        dataset_name: req.dataset_name,
        dataset_digest: req.dataset_digest,
        ..Metric::default()
    };
    cx.store().log_metric(&run_id, metric).await.map(|()| empty())
}

pub(crate) async fn log_param(cx: Cx, req: LogParam) -> Result<LogParamResponse> {
    let run_id = id(req.run_id(), req.run_uuid());
    cx.store().log_param(run_id, req.key(), req.value()).await.map(|()| empty())
}

pub(crate) async fn set_tag(cx: Cx, req: SetTag) -> Result<SetTagResponse> {
    let run_id = id(req.run_id(), req.run_uuid());
    cx.store().set_tag(run_id, req.key(), req.value()).await.map(|()| empty())
}

pub(crate) async fn delete_tag(cx: Cx, req: DeleteTag) -> Result<DeleteTagResponse> {
    cx.store().delete_tag(req.run_id(), req.key()).await.map(|()| empty())
}

pub(crate) async fn log_batch(cx: Cx, req: LogBatch) -> Result<LogBatchResponse> {
    let run_id = req.run_id.unwrap_or_default();
    cx.store().log_batch(&run_id, req.metrics, req.params, req.tags).await.map(|()| empty())
}

pub(crate) async fn log_model(cx: Cx, req: LogModel) -> Result<LogModelResponse> {
    let text = req.model_json();
    let model: Value = serde_json::from_str(text)
        .map_err(|_| Error::invalid(format!("Malformed model info. \n {text} \n is not a valid JSON.")))?;
    let Value::Object(model) = model else {
        return Err(Error::invalid("Malformed model info: it is not a JSON object."));
    };
    let missing: Vec<String> = ["artifact_path", "flavors", "run_id", "utc_time_created"]
        .into_iter()
        .filter(|field| !model.contains_key(*field))
        .map(python::repr)
        .collect();
    if !missing.is_empty() {
        return Err(Error::invalid(format!("Model json is missing mandatory fields: {{{}}}", missing.join(", "))));
    }
    cx.store().record_logged_model(req.run_id(), history_entry(model)).await.map(|()| empty())
}

/// The entry for a model in a run's history: its path, creation time, and flavors without their configuration.
fn history_entry(mut model: serde_json::Map<String, Value>) -> Value {
    let mut entry = serde_json::Map::new();
    for field in ["run_id", "artifact_path", "utc_time_created", "model_uuid"] {
        if let Some(value) = model.remove(field) {
            entry.insert(field.into(), value);
        }
    }
    let mut flavors = model.remove("flavors").unwrap_or_default();
    if let Value::Object(flavors) = &mut flavors {
        for flavor in flavors.values_mut().filter_map(Value::as_object_mut) {
            flavor.remove("config");
        }
    }
    entry.insert("flavors".into(), flavors);
    Value::Object(entry)
}
