//! Registered models, their tags and aliases.

use ferroflow_model::{
    Result,
    messages::model_registry::{
        CreateRegisteredModel, CreateRegisteredModelResponse, DeleteRegisteredModel, DeleteRegisteredModelAlias,
        DeleteRegisteredModelAliasResponse, DeleteRegisteredModelResponse, DeleteRegisteredModelTag,
        DeleteRegisteredModelTagResponse, GetLatestVersions, GetLatestVersionsResponse, GetRegisteredModel,
        GetRegisteredModelResponse, RegisteredModel, RenameRegisteredModel, RenameRegisteredModelResponse,
        SearchRegisteredModels, SearchRegisteredModelsResponse, SetRegisteredModelAlias,
        SetRegisteredModelAliasResponse, SetRegisteredModelTag, SetRegisteredModelTagResponse, UpdateRegisteredModel,
        UpdateRegisteredModelResponse,
    },
    permission::ResourceType,
    prompts,
};
use ferroflow_store::{RegisteredModelSearch, Scope};

use crate::{app::Cx, rpc::empty};

/// The kinds of resource of a registered model in grants: a model or a prompt.
const GRANTED: [&str; 2] = [ResourceType::RegisteredModel.name(), ResourceType::Prompt.name()];

pub(crate) async fn create(cx: Cx, req: CreateRegisteredModel) -> Result<CreateRegisteredModelResponse> {
    cx.check_grantable(req.name())?;
    let model = cx.store().create_registered_model(req.name(), req.description(), &req.tags).await?;
    let kind = if prompts::is_prompt(&model.tags) { ResourceType::Prompt } else { ResourceType::RegisteredModel };
    cx.grant_to_creator(kind, req.name()).await?;
    Ok(CreateRegisteredModelResponse { registered_model: Some(model) })
}

pub(crate) async fn get(cx: Cx, req: GetRegisteredModel) -> Result<GetRegisteredModelResponse> {
    let model = cx.store().get_registered_model(req.name()).await?;
    Ok(GetRegisteredModelResponse { registered_model: Some(redacted(&cx, model)) })
}

pub(crate) async fn update(cx: Cx, req: UpdateRegisteredModel) -> Result<UpdateRegisteredModelResponse> {
    let model = cx.store().update_registered_model(req.name(), req.description()).await?;
    Ok(UpdateRegisteredModelResponse { registered_model: Some(redacted(&cx, model)) })
}

/// Redacts what the caller may not see in a model.
fn redacted(cx: &Cx, mut model: RegisteredModel) -> RegisteredModel {
    cx.redact_models(std::slice::from_mut(&mut model));
    model
}

pub(crate) async fn rename(cx: Cx, req: RenameRegisteredModel) -> Result<RenameRegisteredModelResponse> {
    cx.check_grantable(req.new_name())?;
    let model = cx.store().rename_registered_model(req.name(), req.new_name()).await?;
    if let Some(access) = &cx.app.access {
        // Grants on the model move to its new name.
        let grants = access.auth.users().grants(cx.workspace.name());
        grants.rename_all(&GRANTED, req.name(), req.new_name()).await?;
    }
    Ok(RenameRegisteredModelResponse { registered_model: Some(redacted(&cx, model)) })
}

pub(crate) async fn delete(cx: Cx, req: DeleteRegisteredModel) -> Result<DeleteRegisteredModelResponse> {
    cx.store().delete_registered_model(req.name()).await?;
    // Grants must not apply to a later model of the same name.
    cx.revoke_all(&GRANTED, req.name()).await?;
    Ok(empty())
}

pub(crate) async fn search(
    cx: Cx,
    scope: Scope,
    req: SearchRegisteredModels,
) -> Result<SearchRegisteredModelsResponse> {
    let search = RegisteredModelSearch {
        filter: req.filter().to_owned(),
        max_results: req.max_results(),
        order_by: req.order_by,
        page_token: req.page_token,
    };
    let (mut registered_models, next_page_token) = cx.store().search_registered_models(&scope, search).await?;
    cx.redact_models(&mut registered_models);
    Ok(SearchRegisteredModelsResponse { registered_models, next_page_token })
}

pub(crate) async fn latest_versions(cx: Cx, req: GetLatestVersions) -> Result<GetLatestVersionsResponse> {
    let mut model_versions = cx.store().get_latest_versions(req.name(), &req.stages).await?;
    cx.redact_versions(&mut model_versions);
    Ok(GetLatestVersionsResponse { model_versions })
}

pub(crate) async fn set_tag(cx: Cx, req: SetRegisteredModelTag) -> Result<SetRegisteredModelTagResponse> {
    cx.store().set_registered_model_tag(req.name(), req.key(), req.value()).await.map(|()| empty())
}

pub(crate) async fn delete_tag(cx: Cx, req: DeleteRegisteredModelTag) -> Result<DeleteRegisteredModelTagResponse> {
    cx.store().delete_registered_model_tag(req.name(), req.key()).await.map(|()| empty())
}

pub(crate) async fn set_alias(cx: Cx, req: SetRegisteredModelAlias) -> Result<SetRegisteredModelAliasResponse> {
    cx.store().set_registered_model_alias(req.name(), req.alias(), req.version()).await.map(|()| empty())
}

pub(crate) async fn delete_alias(
    cx: Cx,
    req: DeleteRegisteredModelAlias,
) -> Result<DeleteRegisteredModelAliasResponse> {
    cx.store().delete_registered_model_alias(req.name(), req.alias()).await.map(|()| empty())
}
