//! `mlflow-artifacts`: the store of `--artifacts-destination`, for clients that access it through the server.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use ferroflow_artifacts::ArtifactPath;
use ferroflow_model::{
    Result,
    messages::mlflow_artifacts::{DeleteArtifact, DeleteArtifactResponse, ListArtifacts, ListArtifactsResponse},
    permission::ResourceType,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{StatusCode, header};

use crate::{api::storage::artifacts::file_info, app::Cx, download, rpc::empty};

pub(crate) async fn list(cx: Cx, req: ListArtifacts) -> Result<ListArtifactsResponse> {
    let path = req.path.as_deref().map(ArtifactPath::parse).transpose()?.unwrap_or_default();
    let path = cx.served_path(path).await?;
    let found = cx.app.locations.destination()?.list(&path).await?;
    // The location of an experiment contains its runs, by id.
    let no_runs = cx.is_denied(ResourceType::Run);
    let is_run = |name: &str| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let files = found
        .into_iter()
        .filter(|entry| !(no_runs && is_run(&entry.name)))
        .map(|entry| {
            let info = file_info(&ArtifactPath::root(), entry);
            ferroflow_model::messages::mlflow_artifacts::FileInfo {
                path: info.path,
                is_dir: info.is_dir,
                file_size: info.file_size,
            }
        })
        .collect();
    Ok(ListArtifactsResponse { files })
}

pub(crate) async fn delete(cx: Cx, _: DeleteArtifact) -> Result<DeleteArtifactResponse> {
    let path = cx.deleted_path(ArtifactPath::parse(cx.path("artifact_path"))?).await?;
    cx.app.locations.destination()?.delete(&path).await.map(|()| empty())
}

pub(crate) async fn get(cx: Cx, request: Request) -> Result<Response> {
    let path = cx.served_path(ArtifactPath::parse(cx.path("artifact_path"))?).await?;
    download::send(&cx.app.locations.destination()?, &path, request.headers()).await
}

/// The body is streamed to the store.
pub(crate) async fn put(cx: Cx, request: Request) -> Result<Response> {
    let text = cx.path("artifact_path").to_owned();
    let path =
        if text.ends_with('/') { ArtifactPath::root() } else { cx.served_path(ArtifactPath::parse(&text)?).await? };
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = request.into_body().into_data_stream().map_err(std::io::Error::other).boxed();
    cx.app.locations.destination()?.write(&path, body, length).await?;
    Ok((StatusCode::OK, Body::empty()).into_response())
}
