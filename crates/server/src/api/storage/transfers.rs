//! Direct transfers: multipart uploads and presigned URLs, for clients that can reach the bucket.

use std::time::Duration;

use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, BucketRepository, Location};
use ferroflow_model::{
    Error, ErrorCode, Result,
    messages::{
        mlflow_artifacts::{
            AbortMultipartUpload, AbortMultipartUploadResponse, CompleteMultipartUpload,
            CompleteMultipartUploadResponse, CreateMultipartUpload, CreateMultipartUploadResponse,
            GetPresignedDownloadUrl, GetPresignedDownloadUrlResponse, MultipartUploadCredential, MultipartUploadPart,
        },
        service::{
            CreatePresignedDownloadUrl, CreatePresignedDownloadUrlResponse, CreatePresignedUploadUrl,
            CreatePresignedUploadUrlResponse,
        },
    },
    permission::Action,
    uri,
};

use crate::{
    app::{Cx, Transfers},
    rpc::empty,
};

/// Default lifetime of an upload URL, in seconds.
const UPLOAD_EXPIRATION: i64 = 900;

/// The error for an operation that the repository does not support. By its wording SDKs know that they must go through
/// the server.
fn unsupported(what: &str) -> Error {
    Error::new(ErrorCode::NotImplemented, format!("{what} is not supported for the current artifact repository"))
}

/// Translates the error of signing into the wording that SDKs know.
fn or_unsupported<T>(outcome: Result<T>, what: &str) -> Result<T> {
    outcome.map_err(|error| if error.code == ErrorCode::NotImplemented { unsupported(what) } else { error })
}

/// The bucket that clients may access directly.
fn bucket<'a>(cx: &Cx, repository: &'a ArtifactRepository, what: &str) -> Result<&'a BucketRepository> {
    repository.bucket().filter(|_| cx.app.config.transfers.enabled).ok_or_else(|| unsupported(what))
}

/// The target of an upload: a file name below the directory in the URL's path.
async fn target(cx: &Cx, name: &str) -> Result<ArtifactPath> {
    let directory = ArtifactPath::parse(cx.path("artifact_path"))?;
    // Clients send the local path of the file.
    let name = ArtifactPath::parse(name.rsplit(['/', '\\']).next().unwrap_or_default())?;
    if name.is_root() {
        return Err(Error::invalid("Artifact path must include a filename (cannot end with '/')."));
    }
    cx.served_path(name.below(&directory)).await
}

pub(crate) async fn create_multipart(cx: Cx, req: CreateMultipartUpload) -> Result<CreateMultipartUploadResponse> {
    let path = target(&cx, req.path()).await?;
    let repository = cx.app.locations.destination()?;
    let bucket = bucket(&cx, &repository, "Multipart upload")?;
    let upload = bucket.start_upload(&path, req.num_parts.unwrap_or_default()).await;
    let upload = or_unsupported(upload, "Multipart upload")?;
    let credentials = (1..)
        .zip(upload.urls)
        .map(|(number, url)| MultipartUploadCredential {
            url: Some(url),
            part_number: Some(number),
            ..MultipartUploadCredential::default()
        })
        .collect();
    Ok(CreateMultipartUploadResponse { upload_id: Some(upload.id), credentials })
}

pub(crate) async fn complete_multipart(
    cx: Cx,
    req: CompleteMultipartUpload,
) -> Result<CompleteMultipartUploadResponse> {
    let path = target(&cx, req.path()).await?;
    let repository = cx.app.locations.destination()?;
    let bucket = bucket(&cx, &repository, "Multipart upload")?;
    let etags = etags(&req.parts, bucket.has_tags())?;
    bucket.complete_upload(&path, req.upload_id(), etags).await.map(|()| empty())
}

/// The entity tags of the parts, which must be complete and in order; not every store has them.
fn etags(parts: &[MultipartUploadPart], needed: bool) -> Result<Vec<String>> {
    let is_valid = |tag: &str| (!needed || !tag.is_empty()) && tag.len() <= 256 && !tag.contains(['<', '>', '&']);
    let mut tags = Vec::with_capacity(parts.len());
    for (number, part) in (1..).zip(parts) {
        if part.part_number != Some(number) || !is_valid(part.etag()) {
            return Err(Error::invalid(
                "Invalid value for parameter 'parts': part numbers must count from 1, each with the ETag of its upload.",
            ));
        }
        tags.push(part.etag().to_owned());
    }
    Ok(tags)
}

pub(crate) async fn abort_multipart(cx: Cx, req: AbortMultipartUpload) -> Result<AbortMultipartUploadResponse> {
    let path = target(&cx, req.path()).await?;
    let repository = cx.app.locations.destination()?;
    bucket(&cx, &repository, "Multipart upload")?.abort_upload(&path, req.upload_id()).await.map(|()| empty())
}

pub(crate) async fn presigned_of_proxy(cx: Cx, _: GetPresignedDownloadUrl) -> Result<GetPresignedDownloadUrlResponse> {
    let path = cx.served_path(ArtifactPath::parse(cx.path("artifact_path"))?).await?;
    let repository = cx.app.locations.destination()?;
    let bucket = bucket(&cx, &repository, "Multipart download")?;
    let stat = repository.stat(&path).await?;
    let url = bucket.presign_download(&path, seconds(cx.app.config.transfers.download_expiration)?).await;
    let signed = or_unsupported(url, "Multipart download")?;
    Ok(GetPresignedDownloadUrlResponse {
        url: Some(signed.url),
        headers: signed.headers,
        file_size: Some(i64::try_from(stat.size).unwrap_or(i64::MAX)),
    })
}

pub(crate) async fn presigned_upload(
    cx: Cx,
    req: CreatePresignedUploadUrl,
) -> Result<CreatePresignedUploadUrlResponse> {
    if req.run_id().is_empty() == req.model_id().is_empty() {
        return Err(Error::invalid("Exactly one of run_id and model_id must be provided."));
    }
    let path = ArtifactPath::parse(req.path())?;
    if path.is_root() {
        return Err(Error::invalid("Artifact path must include a filename (cannot end with '/')."));
    }
    let expires = seconds(req.expiration.unwrap_or(UPLOAD_EXPIRATION))?;
    let uri = if req.run_id().is_empty() {
        let model = cx.store().get_logged_model(req.model_id(), false).await?;
        model.info.and_then(|info| info.artifact_uri).unwrap_or_default()
    } else {
        cx.store().get_run_info(req.run_id()).await?.artifact_uri().to_owned()
    };
    refuse_proxied(&uri, "upload", "proxied artifact storage", "direct cloud storage artifact URI")?;
    cx.check_file(&uri, &path, Action::Update).await?;
    let Location { repository, base } = cx.locate(&uri).await?;
    let url = bucket(&cx, &repository, "Presigned upload")?.presign_upload(&path.below(&base), expires).await;
    let signed = or_unsupported(url, "Presigned upload")?;
    Ok(CreatePresignedUploadUrlResponse { presigned_url: Some(signed.url), headers: signed.headers })
}

pub(crate) async fn presigned_download(
    cx: Cx,
    req: CreatePresignedDownloadUrl,
) -> Result<CreatePresignedDownloadUrlResponse> {
    let path = ArtifactPath::parse(req.path())?;
    let expires = seconds(req.expiration.unwrap_or(cx.app.config.transfers.download_expiration))?;
    let run = cx.store().get_run_info(req.run_id()).await?;
    refuse_proxied(
        run.artifact_uri(),
        "download",
        "runs with proxied artifact storage",
        "run with a direct cloud storage artifact URI",
    )?;
    cx.check_file(run.artifact_uri(), &path, Action::Read).await?;
    let Location { repository, base } = cx.locate(run.artifact_uri()).await?;
    let bucket = bucket(&cx, &repository, "Presigned download")?;
    let path = path.below(&base);
    let stat = repository.stat(&path).await?;
    let signed = or_unsupported(bucket.presign_download(&path, expires).await, "Presigned download")?;
    Ok(CreatePresignedDownloadUrlResponse {
        presigned_url: Some(signed.url),
        headers: signed.headers,
        file_size: Some(i64::try_from(stat.size).unwrap_or(i64::MAX)),
    })
}

fn seconds(expiration: i64) -> Result<Duration> {
    const MAX: i64 = Transfers::MAX_EXPIRATION;
    u64::try_from(expiration)
        .ok()
        .filter(|_| (1..=MAX).contains(&expiration))
        .map(Duration::from_secs)
        .ok_or_else(|| Error::invalid(format!("expiration must be between 1 and {MAX} seconds (got {expiration}).")))
}

/// Refuses a location that clients access through the server: it is not in a bucket that they can reach.
fn refuse_proxied(location: &str, what: &str, found: &str, wanted: &str) -> Result<()> {
    match uri::scheme(location).as_deref() {
        Some(scheme @ ("http" | "https" | "mlflow-artifacts")) => Err(Error::invalid(format!(
            "Presigned {what} is not supported for {found} (artifact URI scheme: {scheme}). \
             This endpoint requires a {wanted}."
        ))),
        _ => Ok(()),
    }
}
