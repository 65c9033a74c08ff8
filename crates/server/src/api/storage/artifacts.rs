//! Artifacts of runs and logged models, wherever they are stored.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use ferroflow_artifacts::{ArtifactPath, FileInfo as Entry, Location};
use ferroflow_model::{
    Error, Result,
    messages::service::{
        FileInfo, ListArtifacts, ListArtifactsResponse, ListLoggedModelArtifacts, ListLoggedModelArtifactsResponse,
    },
    permission::Action,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};

use crate::{api::tracking::runs::id, app::Cx, download};

/// Maximum size of an upload from the UI, in bytes.
const MAX_UPLOAD: u64 = 10 * 1024 * 1024;

pub(crate) async fn list(cx: Cx, req: ListArtifacts) -> Result<ListArtifactsResponse> {
    let path = req.path.as_deref().map(ArtifactPath::parse).transpose()?.unwrap_or_default();
    let run = cx.store().get_run_info(id(req.run_id(), req.run_uuid())).await?;
    cx.check_file(run.artifact_uri(), &path, Action::Read).await?;
    let files = entries(&cx.locate(run.artifact_uri()).await?, &path).await?;
    Ok(ListArtifactsResponse { root_uri: Some(run.artifact_uri().to_owned()), files, ..Default::default() })
}

pub(crate) async fn list_of_model(cx: Cx, req: ListLoggedModelArtifacts) -> Result<ListLoggedModelArtifactsResponse> {
    let path = req.artifact_directory_path.as_deref().map(ArtifactPath::parse).transpose()?.unwrap_or_default();
    let location = model_location(&cx).await?;
    cx.check_file(&location, &path, Action::Read).await?;
    let files = entries(&cx.locate(&location).await?, &path).await?;
    Ok(ListLoggedModelArtifactsResponse { root_uri: Some(location), files, ..Default::default() })
}

async fn model_location(cx: &Cx) -> Result<String> {
    let model = cx.store().get_logged_model(cx.path("model_id"), false).await?;
    Ok(model.info.and_then(|info| info.artifact_uri).unwrap_or_default())
}

async fn entries(location: &Location, path: &ArtifactPath) -> Result<Vec<FileInfo>> {
    let found = location.repository.list(&path.below(&location.base)).await?;
    Ok(found.into_iter().map(|entry| file_info(path, entry)).collect())
}

/// An entry with its path relative to the root of the listing.
pub(crate) fn file_info(directory: &ArtifactPath, entry: Entry) -> FileInfo {
    let path = if directory.is_root() { entry.name } else { format!("{directory}/{}", entry.name) };
    FileInfo {
        path: Some(path),
        is_dir: Some(entry.is_dir),
        // The protocol omits the size of an empty file.
        file_size: entry.size.filter(|size| *size > 0).map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
    }
}

/// `GET /get-artifact?run_uuid=…&path=…`
pub(crate) async fn get(cx: Cx, request: Request) -> Result<Response> {
    let run_id = cx.query("run_id").or_else(|| cx.query("run_uuid")).unwrap_or_else(|| "None".to_owned());
    let path = cx.query("path").ok_or_else(|| Error::bad_request("Request must specify path."))?;
    let path = ArtifactPath::parse(&path)?;
    let run = cx.store().get_run_info(&run_id).await?;
    cx.check_file(run.artifact_uri(), &path, Action::Read).await?;
    send(&cx.locate(run.artifact_uri()).await?, &path, request.headers()).await
}

/// `GET …/logged-models/{model_id}/artifacts/files?artifact_file_path=…`
pub(crate) async fn get_of_model(cx: Cx, request: Request) -> Result<Response> {
    let path = cx
        .query("artifact_file_path")
        .filter(|path| !path.is_empty())
        .ok_or_else(|| Error::bad_request("Request must include the \"artifact_file_path\" query parameter."))?;
    let path = ArtifactPath::parse(&path)?;
    let location = model_location(&cx).await?;
    cx.check_file(&location, &path, Action::Read).await?;
    send(&cx.locate(&location).await?, &path, request.headers()).await
}

pub(crate) async fn send(location: &Location, path: &ArtifactPath, headers: &HeaderMap) -> Result<Response> {
    download::send(&location.repository, &path.below(&location.base), headers).await
}

/// `POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid=…&path=…`
pub(crate) async fn upload(cx: Cx, request: Request) -> Result<Response> {
    let missing = |what: &str| Error::invalid(format!("Request must specify {what}."));
    let run_id = cx.query("run_uuid").filter(|id| !id.is_empty()).ok_or_else(|| missing("run_uuid"))?;
    let path = cx.query("path").filter(|path| !path.is_empty()).ok_or_else(|| missing("path"))?;
    let path = ArtifactPath::parse(&path)?;
    let too_large = || Error::invalid("Artifact size is too large. Max size is 10MB.");
    let content_length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if content_length.is_some_and(|length: u64| length > MAX_UPLOAD) {
        return Err(too_large());
    }
    let mut body = request.into_body().into_data_stream().map_err(io::Error::other).boxed();
    let first = loop {
        match body.next().await {
            None => return Err(missing("data")),
            Some(Ok(chunk)) if chunk.is_empty() => {}
            Some(chunk) => break chunk,
        }
    };
    let run = cx.store().get_run_info(&run_id).await?;
    cx.check_file(run.artifact_uri(), &path, Action::Update).await?;
    let location = cx.locate(run.artifact_uri()).await?;
    // The body is streamed to the store, with an error as soon as it is too long.
    let (mut size, excess) = (0, Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&excess);
    let body = stream::once(std::future::ready(first)).chain(body).map(move |chunk| {
        let chunk = chunk?;
        size += chunk.len() as u64;
        if size > MAX_UPLOAD {
            seen.store(true, Ordering::Relaxed);
            return Err(io::Error::other("it is too large"));
        }
        Ok(chunk)
    });
    let written = location.repository.write(&path.below(&location.base), body.boxed(), content_length).await;
    written.map_err(|error| if excess.load(Ordering::Relaxed) { too_large() } else { error })?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], Body::empty()).into_response())
}
