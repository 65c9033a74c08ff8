//! Model versions, their tags and files.

use axum::{extract::Request, response::Response};
use ferroflow_artifacts::ArtifactPath;
use ferroflow_model::{
    Error, Result,
    messages::model_registry::{
        CreateModelVersion, CreateModelVersionResponse, DeleteModelVersion, DeleteModelVersionResponse,
        DeleteModelVersionTag, DeleteModelVersionTagResponse, GetModelVersion, GetModelVersionByAlias,
        GetModelVersionByAliasResponse, GetModelVersionDownloadUri, GetModelVersionDownloadUriResponse,
        GetModelVersionResponse, ModelVersion, SearchModelVersions, SearchModelVersionsResponse, SetModelVersionTag,
        SetModelVersionTagResponse, TransitionModelVersionStage, TransitionModelVersionStageResponse,
        UpdateModelVersion, UpdateModelVersionResponse,
    },
    permission::ResourceType,
};
use ferroflow_search::model_versions::{self, Condition, TextAttribute};
use ferroflow_store::{ModelVersionSearch, NewModelVersion, Scope};

use crate::{
    access,
    api::{registry::model_sources, storage::artifacts},
    app::Cx,
    rpc::empty,
};

pub(crate) async fn create(cx: Cx, req: CreateModelVersion) -> Result<CreateModelVersionResponse> {
    let checked = model_sources::check(&cx, &req).await?;
    let new = NewModelVersion {
        name: req.name().to_owned(),
        source: checked.source,
        run_id: checked.run_id,
        model_id: checked.model_id,
        run_link: req.run_link().to_owned(),
        description: req.description().to_owned(),
        tags: req.tags,
    };
    let version = cx.store().create_model_version(new).await?;
    Ok(CreateModelVersionResponse { model_version: Some(redacted(&cx, version)) })
}

/// Redacts what the caller may not see in a version.
fn redacted(cx: &Cx, mut version: ModelVersion) -> ModelVersion {
    cx.redact_versions(std::slice::from_mut(&mut version));
    version
}

pub(crate) async fn get(cx: Cx, req: GetModelVersion) -> Result<GetModelVersionResponse> {
    let version = cx.store().get_model_version(req.name(), req.version()).await?;
    Ok(GetModelVersionResponse { model_version: Some(redacted(&cx, version)) })
}

pub(crate) async fn get_by_alias(cx: Cx, req: GetModelVersionByAlias) -> Result<GetModelVersionByAliasResponse> {
    let version = cx.store().get_model_version_by_alias(req.name(), req.alias()).await?;
    Ok(GetModelVersionByAliasResponse { model_version: Some(redacted(&cx, version)) })
}

pub(crate) async fn update(cx: Cx, req: UpdateModelVersion) -> Result<UpdateModelVersionResponse> {
    let description = req.description.as_deref();
    let version = cx.store().update_model_version(req.name(), req.version(), description).await?;
    Ok(UpdateModelVersionResponse { model_version: Some(redacted(&cx, version)) })
}

pub(crate) async fn transition(
    cx: Cx,
    req: TransitionModelVersionStage,
) -> Result<TransitionModelVersionStageResponse> {
    let archive = req.archive_existing_versions.unwrap_or_default();
    let version = cx.store().transition_model_version_stage(req.name(), req.version(), req.stage(), archive).await?;
    Ok(TransitionModelVersionStageResponse { model_version: Some(redacted(&cx, version)) })
}

pub(crate) async fn delete(cx: Cx, req: DeleteModelVersion) -> Result<DeleteModelVersionResponse> {
    cx.store().delete_model_version(req.name(), req.version()).await.map(|()| empty())
}

pub(crate) async fn download_uri(
    cx: Cx,
    req: GetModelVersionDownloadUri,
) -> Result<GetModelVersionDownloadUriResponse> {
    let uri = cx.store().get_model_version_download_uri(req.name(), req.version()).await?;
    Ok(GetModelVersionDownloadUriResponse { artifact_uri: Some(uri) })
}

pub(crate) async fn search(cx: Cx, scope: Scope, req: SearchModelVersions) -> Result<SearchModelVersionsResponse> {
    let of_runs =
        || model_versions::parse_filter(req.filter()).map_or(true, |conditions| conditions.iter().any(is_of_run));
    if cx.is_denied(ResourceType::Run) && !req.filter().is_empty() && of_runs() {
        // The results would reveal which runs created which versions.
        return Err(access::permission_denied());
    }
    let search = ModelVersionSearch {
        filter: req.filter().to_owned(),
        max_results: req.max_results(),
        order_by: req.order_by,
        page_token: req.page_token,
        run_ids: None,
    };
    let (mut model_versions, next_page_token) = cx.store().search_model_versions(&scope, search).await?;
    cx.redact_versions(&mut model_versions);
    Ok(SearchModelVersionsResponse { model_versions, next_page_token })
}

fn is_of_run(condition: &Condition) -> bool {
    matches!(condition, Condition::Text { column: TextAttribute::RunId, .. })
}

pub(crate) async fn set_tag(cx: Cx, req: SetModelVersionTag) -> Result<SetModelVersionTagResponse> {
    cx.store().set_model_version_tag(req.name(), req.version(), req.key(), req.value()).await.map(|()| empty())
}

pub(crate) async fn delete_tag(cx: Cx, req: DeleteModelVersionTag) -> Result<DeleteModelVersionTagResponse> {
    cx.store().delete_model_version_tag(req.name(), req.version(), req.key()).await.map(|()| empty())
}

/// `GET /model-versions/get-artifact?name=…&version=…&path=…`
pub(crate) async fn get_artifact(cx: Cx, request: Request) -> Result<Response> {
    let path = cx.query("path").ok_or_else(|| Error::bad_request("Request must specify path."))?;
    let path = ArtifactPath::parse(&path)?;
    let name = cx.query("name").unwrap_or_default();
    let version = cx.query("version").unwrap_or_default();
    let location = cx.store().get_model_version_download_uri(&name, &version).await?;
    artifacts::send(&cx.locate(&location).await?, &path, request.headers()).await
}
