//! Transfers that clients do with the store themselves: the server signs addresses, and the bytes go past it.

use std::{collections::BTreeMap, time::Duration};

use ferroflow_model::{Error, Result};
use http::{HeaderName, HeaderValue, Method, header};
use object_store::{PutMultipartOptions, multipart::PartId, path::Path, signer::SignedUrlOptions};

use super::{
    BucketRepository,
    explain::Explained as _,
    upload::{self, MAX_PARTS},
};
use crate::{ArtifactPath, mime};

/// How long the addresses of parts are good, in seconds: what boto signs for.
const PART_EXPIRATION: Duration = Duration::from_secs(3600);

/// An upload in parts that a client has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedUpload {
    /// What the store calls it.
    pub id: String,
    /// Where each part is to be sent, in order.
    pub urls: Vec<String>,
}

/// An address that a client may use for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedUrl {
    /// The address.
    pub url: String,
    /// Headers that have to be sent with it.
    pub headers: BTreeMap<String, String>,
}

impl BucketRepository {
    /// Begins an upload that the client sends to the store in `parts` parts.
    ///
    /// # Errors
    /// The number of parts is none or too large, or the store failed.
    pub async fn start_upload(&self, path: &ArtifactPath, parts: i64) -> Result<StartedUpload> {
        let parts = u64::try_from(parts).ok().filter(|parts| (1..=MAX_PARTS).contains(parts)).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid value {parts} for parameter 'num_parts': it must be between 1 and {MAX_PARTS}."
            ))
        })?;
        let key = self.key(path)?;
        let options = PutMultipartOptions {
            attributes: upload::attributes(&self.bucket, path),
            tags: self.bucket.tags.clone(),
            ..PutMultipartOptions::default()
        };
        let id = self.bucket.writes.create_multipart_opts(&key, options).await.explained(path, &self.bucket.uri)?;
        let mut urls = Vec::new();
        for number in 1..=parts {
            let query = [("partNumber", number.to_string()), ("uploadId", id.clone())];
            let options = SignedUrlOptions::default().with_query(query);
            urls.push(self.sign(Method::PUT, &key, PART_EXPIRATION, &options, path).await?);
        }
        Ok(StartedUpload { id, urls })
    }

    /// Completes an upload from the tags that the store gave its parts, in order.
    ///
    /// # Errors
    /// The store does not know the upload or one of its parts, or failed.
    pub async fn complete_upload(&self, path: &ArtifactPath, id: &str, tags: Vec<String>) -> Result<()> {
        let parts = tags.into_iter().map(|content_id| PartId { content_id }).collect();
        let (key, id) = (self.key(path)?, upload_id(id)?);
        let done = self.bucket.writes.complete_multipart(&key, &id, parts).await;
        done.map(drop).map_err(|error| no_upload(&error).unwrap_or_else(|| self.explain(&error, path)))
    }

    /// Takes an upload back. One that is not there is taken back already.
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

    /// An address to download a file from, which a browser saves under its name and never shows.
    ///
    /// # Errors
    /// The server has no credentials to sign with.
    pub async fn presign_download(&self, path: &ArtifactPath, expires: Duration) -> Result<PresignedUrl> {
        let query = [("response-content-disposition", mime::attachment(path.name()))];
        let options = SignedUrlOptions::default().with_query(query);
        let url = self.sign(Method::GET, &self.key(path)?, expires, &options, path).await?;
        Ok(PresignedUrl { url, headers: BTreeMap::new() })
    }

    /// An address to upload a file to.
    ///
    /// # Errors
    /// The server has no credentials to sign with.
    pub async fn presign_upload(&self, path: &ArtifactPath, expires: Duration) -> Result<PresignedUrl> {
        let invalid = |_| Error::internal("a media type is no header");
        let mut signed = self.bucket.signed_headers.clone();
        if !signed.contains_key(header::CONTENT_TYPE) {
            let known = mime::known(path.name()).unwrap_or("application/octet-stream");
            signed.insert(header::CONTENT_TYPE, HeaderValue::from_str(known).map_err(invalid)?);
        }
        let mut options = SignedUrlOptions::default();
        let mut headers = BTreeMap::new();
        for (name, value) in &signed {
            headers.insert(spelled(name), value.to_str().unwrap_or_default().to_owned());
            options = options.with_signed_header(name.clone(), value.clone());
        }
        let url = self.sign(Method::PUT, &self.key(path)?, expires, &options, path).await?;
        Ok(PresignedUrl { url, headers })
    }

    async fn sign(
        &self,
        method: Method,
        key: &Path,
        expires: Duration,
        options: &SignedUrlOptions,
        path: &ArtifactPath,
    ) -> Result<String> {
        let url = self.bucket.signs.signed_url_opts(method, key, expires, options).await;
        Ok(url.explained(path, &self.bucket.uri)?.to_string())
    }

    fn explain(&self, error: &object_store::Error, path: &ArtifactPath) -> Error {
        super::explain(error, path, &self.bucket.uri)
    }
}

/// The id of an upload goes into a query: the characters that stores use, and no more of them than they do.
fn upload_id(id: &str) -> Result<String> {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-._~+/=".contains(char);
    if id.is_empty() || id.len() > 1024 || !id.chars().all(plain) {
        return Err(Error::invalid("Invalid value for parameter 'upload_id'."));
    }
    Ok(id.to_owned())
}

/// A mistake of the client: the upload is not there, or the parts are not those that were sent.
fn no_upload(error: &object_store::Error) -> Option<Error> {
    let reason = super::reason(error);
    let code = reason.split(':').next().unwrap_or_default();
    match code {
        "NoSuchUpload" => Some(Error::not_found("The upload does not exist: it was completed or taken back.")),
        "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall" | "MalformedXML" => {
            Some(Error::invalid(format!("The upload can not be completed: {code}.")))
        }
        _ => None,
    }
}

/// A header as the reference spells it.
fn spelled(name: &HeaderName) -> String {
    if name.as_str().starts_with("x-amz-") {
        return name.to_string();
    }
    let upper = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.as_str().split('-').map(upper).collect::<Vec<_>>().join("-")
}
