//! Direct transfers between clients and the store: the server signs URLs, and the bytes bypass it.

use std::{collections::BTreeMap, time::Duration};

use ferroflow_model::{Error, ErrorCode, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderName, HeaderValue, Method, header};
use object_store::{PutMultipartOptions, multipart::PartId, path::Path, signer::SignedUrlOptions};

use super::{
    BucketRepository, Transfers, blocks,
    explain::ExplainResult as _,
    upload::{self, MAX_PARTS},
};
use crate::{ArtifactPath, mime};

/// Lifetime of the URLs of parts: boto's default.
const PART_EXPIRATION: Duration = Duration::from_secs(3600);

/// Number of URLs signed concurrently, if signing needs a request.
const SIGNATURES: usize = 8;

/// A multipart upload that was begun for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedUpload {
    /// The store's upload id.
    pub id: String,
    /// The URL of each part, in order.
    pub urls: Vec<String>,
}

/// A presigned URL with a limited lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedUrl {
    /// The URL.
    pub url: String,
    /// Headers that must be sent with it.
    pub headers: BTreeMap<String, String>,
}

impl BucketRepository {
    /// Begins an upload that the client sends directly to the store, in `parts` parts.
    ///
    /// # Errors
    /// The number of parts is not within the limits, the store failed, or URLs cannot be signed.
    pub async fn start_upload(&self, path: &ArtifactPath, parts: i64) -> Result<StartedUpload> {
        let parts = u64::try_from(parts).ok().filter(|parts| (1..=MAX_PARTS).contains(parts)).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid value {parts} for parameter 'num_parts': it must be between 1 and {MAX_PARTS}."
            ))
        })?;
        let key = self.key(path)?;
        if matches!(self.bucket.transfers, Transfers::Blocks) {
            let id = blocks::new_id();
            let url = self.sign(Method::PUT, &key, PART_EXPIRATION, &SignedUrlOptions::default()).await?;
            let urls = (1..=parts).map(|number| blocks::url(&url, &id, number)).collect();
            return Ok(StartedUpload { id, urls });
        }
        if !self.signs_everything() {
            // Fails before the upload is begun.
            self.sign(Method::PUT, &key, PART_EXPIRATION, &SignedUrlOptions::default()).await?;
        }
        let options = PutMultipartOptions {
            attributes: upload::attributes(&self.bucket, path),
            tags: self.bucket.tags.clone(),
            ..PutMultipartOptions::default()
        };
        let id = self.bucket.writes.create_multipart_opts(&key, options).await.explained(path, &self.bucket.uri)?;
        let urls = stream::iter(1..=parts).map(|number| {
            let query = [("partNumber", number.to_string()), ("uploadId", id.clone())];
            let options = SignedUrlOptions::default().with_query(query);
            let key = &key;
            async move { self.sign(Method::PUT, key, PART_EXPIRATION, &options).await }
        });
        match urls.buffered(SIGNATURES).try_collect().await {
            Ok(urls) => Ok(StartedUpload { id, urls }),
            Err(error) => {
                self.abort_upload(path, &id).await?;
                Err(error)
            }
        }
    }

    /// Whether completing an upload needs the entity tags of its parts.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        matches!(self.bucket.transfers, Transfers::Parts(_))
    }

    /// Whether a download URL can be signed for every file. Clients that were told so do not fall back to the server
    /// for files without one; elsewhere it depends on the credentials or the name.
    #[must_use]
    pub fn signs_everything(&self) -> bool {
        self.has_tags() && self.bucket.sessions.is_none()
    }

    /// Completes an upload with the entity tags of its parts, in order.
    ///
    /// # Errors
    /// The upload or one of its parts does not exist, or the store failed.
    pub async fn complete_upload(&self, path: &ArtifactPath, id: &str, tags: Vec<String>) -> Result<()> {
        let (key, id) = (self.key(path)?, upload_id(id)?);
        let parts = if self.has_tags() { tags } else { blocks::names(&id, tags.len())? };
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        let done = self.bucket.writes.complete_multipart(&key, &id, parts).await;
        done.map(drop).map_err(|error| no_upload(&error).unwrap_or_else(|| self.explain(&error, path)))
    }

    /// Aborts an upload. It is not an error if it does not exist.
    ///
    /// # Errors
    /// The store failed.
    pub async fn abort_upload(&self, path: &ArtifactPath, id: &str) -> Result<()> {
        let (key, id) = (self.key(path)?, upload_id(id)?);
        match self.bucket.writes.abort_multipart(&key, &id).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.explain(&error, path)),
        }
    }

    /// A presigned URL to download a file. S3 and Google's store send it as an attachment with its name; Azure's
    /// signature would have to include that, which `object_store` does not support.
    ///
    /// # Errors
    /// URLs cannot be signed.
    pub async fn presign_download(&self, path: &ArtifactPath, expires: Duration) -> Result<PresignedUrl> {
        let query = [("response-content-disposition", mime::attachment(path.name()))];
        let options = SignedUrlOptions::default().with_query(query);
        let url = self.sign(Method::GET, &self.key(path)?, expires, &options).await?;
        Ok(PresignedUrl { url, headers: BTreeMap::new() })
    }

    /// A presigned URL to upload a file.
    ///
    /// # Errors
    /// URLs cannot be signed.
    pub async fn presign_upload(&self, path: &ArtifactPath, expires: Duration) -> Result<PresignedUrl> {
        let invalid = |_| Error::internal("a media type is not a header value");
        let mut signed = self.bucket.signed_headers.clone();
        if !signed.contains_key(header::CONTENT_TYPE) {
            let known = mime::known(path.name()).unwrap_or("application/octet-stream");
            signed.insert(header::CONTENT_TYPE, HeaderValue::from_str(known).map_err(invalid)?);
        }
        if matches!(self.bucket.transfers, Transfers::Blocks) {
            signed.insert(HeaderName::from_static("x-ms-blob-type"), HeaderValue::from_static("BlockBlob"));
        }
        let mut options = SignedUrlOptions::default();
        let mut headers = BTreeMap::new();
        for (name, value) in &signed {
            headers.insert(spelled(name), value.to_str().unwrap_or_default().to_owned());
            options = options.with_signed_header(name.clone(), value.clone());
        }
        let url = self.sign(Method::PUT, &self.key(path)?, expires, &options).await?;
        Ok(PresignedUrl { url, headers })
    }

    /// Signs a URL. If that is not possible, clients go through the server.
    async fn sign(&self, method: Method, key: &Path, expires: Duration, options: &SignedUrlOptions) -> Result<String> {
        let signed = match self.bucket.transfers {
            Transfers::Parts(_) => self.bucket.signs.signed_url_opts(method, key, expires, options).await,
            // These signatures do not cover queries and headers, and `object_store` creates an invalid one for keys
            // that need percent-encoding.
            Transfers::Blocks if blocks::is_plain(key) => self.bucket.signs.signed_url(method, key, expires).await,
            Transfers::Blocks | Transfers::None => return Err(not_signed()),
        };
        signed.map(Into::into).map_err(|error| {
            tracing::warn!(store = self.bucket.uri, reason = super::reason(&error), "a URL could not be signed");
            not_signed()
        })
    }

    fn explain(&self, error: &object_store::Error, path: &ArtifactPath) -> Error {
        super::explain(error, path, &self.bucket.uri)
    }
}

fn not_signed() -> Error {
    Error::new(ErrorCode::NotImplemented, "This server cannot sign URLs of its artifact storage.")
}

/// Validates an upload id, which becomes part of a query.
fn upload_id(id: &str) -> Result<String> {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-._~+/=".contains(char);
    if id.is_empty() || id.len() > 1024 || !id.chars().all(plain) {
        return Err(Error::invalid("Invalid value for parameter 'upload_id'."));
    }
    Ok(id.to_owned())
}

/// A client error: the upload does not exist, or the parts do not match.
fn no_upload(error: &object_store::Error) -> Option<Error> {
    let reason = super::reason(error);
    let code = reason.split(':').next().unwrap_or_default();
    match code {
        "NoSuchUpload" => Some(Error::not_found("The upload does not exist: it was completed or aborted.")),
        "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall" | "MalformedXML" | "InvalidBlockList" => {
            Some(Error::invalid(format!("The upload cannot be completed: {code}.")))
        }
        _ => None,
    }
}

/// A header name in the reference's spelling.
fn spelled(name: &HeaderName) -> String {
    if name.as_str().starts_with("x-") {
        return name.to_string();
    }
    let upper = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.as_str().split('-').map(upper).collect::<Vec<_>>().join("-")
}
