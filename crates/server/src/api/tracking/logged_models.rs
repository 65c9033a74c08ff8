//! Logged models.

use ferroflow_model::{
    Error, Result,
    messages::service::{
        CreateLoggedModel, CreateLoggedModelResponse, DeleteLoggedModel, DeleteLoggedModelResponse,
        DeleteLoggedModelTag, DeleteLoggedModelTagResponse, FinalizeLoggedModel, FinalizeLoggedModelResponse,
        GetLoggedModel, GetLoggedModelResponse, LogLoggedModelParamsRequest, LogLoggedModelParamsRequestResponse,
        LoggedModel, LoggedModelStatus, SearchLoggedModels, SearchLoggedModelsResponse, SetLoggedModelTags,
        SetLoggedModelTagsResponse,
    },
    permission::ResourceType,
};
use ferroflow_search::logged_models::{self, Attribute, Condition};
use ferroflow_store::{LoggedModelSearch, NewLoggedModel, Scope};

use crate::{access, app::Cx, rpc::empty};

pub(crate) async fn create(cx: Cx, req: CreateLoggedModel) -> Result<CreateLoggedModelResponse> {
    let new = NewLoggedModel {
        experiment_id: req.experiment_id().to_owned(),
        name: req.name.clone(),
        model_type: req.model_type().to_owned(),
        source_run_id: req.source_run_id().to_owned(),
        params: req.params,
        tags: req.tags,
    };
    let model = cx.store().create_logged_model(new).await?;
    Ok(CreateLoggedModelResponse { model: Some(redacted(&cx, model)) })
}

pub(crate) async fn get(cx: Cx, _: GetLoggedModel) -> Result<GetLoggedModelResponse> {
    let allow_deleted = cx.query("allow_deleted").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let model = cx.store().get_logged_model(cx.path("model_id"), allow_deleted).await?;
    Ok(GetLoggedModelResponse { model: Some(redacted(&cx, model)) })
}

/// Redacts what the caller may not see in a model.
fn redacted(cx: &Cx, mut model: LoggedModel) -> LoggedModel {
    cx.redact_logged_models(std::slice::from_mut(&mut model));
    model
}

pub(crate) async fn finalize(cx: Cx, req: FinalizeLoggedModel) -> Result<FinalizeLoggedModelResponse> {
    let status =
        req.status.filter(|status| *status != LoggedModelStatus::LoggedModelStatusUnspecified).ok_or_else(|| {
            Error::invalid("Invalid value for parameter 'status' supplied: it must be a status of a logged model.")
        })?;
    let model = cx.store().finalize_logged_model(req.model_id(), status).await?;
    Ok(FinalizeLoggedModelResponse { model: Some(redacted(&cx, model)) })
}

pub(crate) async fn delete(cx: Cx, _: DeleteLoggedModel) -> Result<DeleteLoggedModelResponse> {
    cx.store().delete_logged_model(cx.path("model_id")).await.map(|()| empty())
}

pub(crate) async fn log_params(
    cx: Cx,
    req: LogLoggedModelParamsRequest,
) -> Result<LogLoggedModelParamsRequestResponse> {
    cx.store().log_logged_model_params(cx.path("model_id"), &req.params).await.map(|()| empty())
}

pub(crate) async fn set_tags(cx: Cx, req: SetLoggedModelTags) -> Result<SetLoggedModelTagsResponse> {
    cx.store().set_logged_model_tags(cx.path("model_id"), &req.tags).await.map(|()| empty())
}

pub(crate) async fn delete_tag(cx: Cx, _: DeleteLoggedModelTag) -> Result<DeleteLoggedModelTagResponse> {
    cx.store().delete_logged_model_tag(cx.path("model_id"), cx.path("tag_key")).await.map(|()| empty())
}

pub(crate) async fn search(cx: Cx, scope: Scope, req: SearchLoggedModels) -> Result<SearchLoggedModelsResponse> {
    let of_runs =
        || logged_models::parse_filter(req.filter()).map_or(true, |conditions| conditions.iter().any(is_of_run));
    if cx.is_denied(ResourceType::Run) && !req.filter().is_empty() && of_runs() {
        // The results would reveal which runs created which models.
        return Err(access::permission_denied());
    }
    let search = LoggedModelSearch {
        filter: req.filter().to_owned(),
        max_results: req.max_results().into(),
        experiment_ids: req.experiment_ids,
        datasets: req.datasets,
        order_by: req.order_by,
        page_token: req.page_token,
    };
    let (mut models, next_page_token) = cx.store().search_logged_models(&scope, search).await?;
    cx.redact_logged_models(&mut models);
    Ok(SearchLoggedModelsResponse { models, next_page_token })
}

fn is_of_run(condition: &Condition) -> bool {
    matches!(condition, Condition::Text { column: Attribute::SourceRunId, .. })
}
