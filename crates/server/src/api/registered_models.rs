//! Registered models, their tags and aliases.

use ferroflow_model::{
    Result,
    messages::model_registry::{
        CreateRegisteredModel, CreateRegisteredModelResponse, DeleteRegisteredModel, DeleteRegisteredModelAlias,
        DeleteRegisteredModelAliasResponse, DeleteRegisteredModelResponse, DeleteRegisteredModelTag,
        DeleteRegisteredModelTagResponse, GetLatestVersions, GetLatestVersionsResponse, GetRegisteredModel,
        GetRegisteredModelResponse, RenameRegisteredModel, RenameRegisteredModelResponse, SearchRegisteredModels,
        SearchRegisteredModelsResponse, SetRegisteredModelAlias, SetRegisteredModelAliasResponse,
        SetRegisteredModelTag, SetRegisteredModelTagResponse, UpdateRegisteredModel, UpdateRegisteredModelResponse,
    },
};
use ferroflow_store::RegisteredModelSearch;

use crate::{app::Cx, rpc::done};

pub(crate) async fn create(cx: Cx, req: CreateRegisteredModel) -> Result<CreateRegisteredModelResponse> {
    let model = cx.app.store.create_registered_model(req.name(), req.description(), &req.tags).await?;
    Ok(CreateRegisteredModelResponse { registered_model: Some(model) })
}

pub(crate) async fn get(cx: Cx, req: GetRegisteredModel) -> Result<GetRegisteredModelResponse> {
    let model = cx.app.store.get_registered_model(req.name()).await?;
    Ok(GetRegisteredModelResponse { registered_model: Some(model) })
}

pub(crate) async fn update(cx: Cx, req: UpdateRegisteredModel) -> Result<UpdateRegisteredModelResponse> {
    let model = cx.app.store.update_registered_model(req.name(), req.description()).await?;
    Ok(UpdateRegisteredModelResponse { registered_model: Some(model) })
}

pub(crate) async fn rename(cx: Cx, req: RenameRegisteredModel) -> Result<RenameRegisteredModelResponse> {
    let model = cx.app.store.rename_registered_model(req.name(), req.new_name()).await?;
    Ok(RenameRegisteredModelResponse { registered_model: Some(model) })
}

pub(crate) async fn delete(cx: Cx, req: DeleteRegisteredModel) -> Result<DeleteRegisteredModelResponse> {
    cx.app.store.delete_registered_model(req.name()).await.map(|()| done())
}

pub(crate) async fn search(cx: Cx, req: SearchRegisteredModels) -> Result<SearchRegisteredModelsResponse> {
    let search = RegisteredModelSearch {
        filter: req.filter().to_owned(),
        max_results: req.max_results(),
        order_by: req.order_by,
        page_token: req.page_token,
    };
    let (registered_models, next_page_token) = cx.app.store.search_registered_models(search).await?;
    Ok(SearchRegisteredModelsResponse { registered_models, next_page_token })
}

pub(crate) async fn latest_versions(cx: Cx, req: GetLatestVersions) -> Result<GetLatestVersionsResponse> {
    let model_versions = cx.app.store.get_latest_versions(req.name(), &req.stages).await?;
    Ok(GetLatestVersionsResponse { model_versions })
}

pub(crate) async fn set_tag(cx: Cx, req: SetRegisteredModelTag) -> Result<SetRegisteredModelTagResponse> {
    cx.app.store.set_registered_model_tag(req.name(), req.key(), req.value()).await.map(|()| done())
}

pub(crate) async fn delete_tag(cx: Cx, req: DeleteRegisteredModelTag) -> Result<DeleteRegisteredModelTagResponse> {
    cx.app.store.delete_registered_model_tag(req.name(), req.key()).await.map(|()| done())
}

pub(crate) async fn set_alias(cx: Cx, req: SetRegisteredModelAlias) -> Result<SetRegisteredModelAliasResponse> {
    cx.app.store.set_registered_model_alias(req.name(), req.alias(), req.version()).await.map(|()| done())
}

pub(crate) async fn delete_alias(
    cx: Cx,
    req: DeleteRegisteredModelAlias,
) -> Result<DeleteRegisteredModelAliasResponse> {
    cx.app.store.delete_registered_model_alias(req.name(), req.alias()).await.map(|()| done())
}
