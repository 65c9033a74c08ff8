//! Aborts abandoned multipart uploads: their client is gone, or the server was killed. Stores keep the parts, invisible
//! but charged, until the upload is aborted.

use std::time::{Duration, SystemTime};

use ferroflow_model::{Error, Result, clock};
use http::Method;
use object_store::{path::Path, signer::SignedUrlOptions};
use serde::{Deserialize, de::DeserializeOwned};

use super::{BucketRepository, Transfers, explain::reason};
use crate::ArtifactPath;

/// Lifetime of the signed URL for listing uploads.
const LIST_URL_LIFETIME: Duration = Duration::from_secs(60);

/// A page of incomplete uploads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Uploads {
    #[serde(rename = "Upload")]
    uploads: Vec<IncompleteUpload>,
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
}

/// An incomplete upload.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IncompleteUpload {
    key: String,
    upload_id: String,
    initiated: String,
}

/// A page of uploaded parts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Parts {
    #[serde(rename = "Part")]
    parts: Vec<Part>,
    is_truncated: bool,
    next_part_number_marker: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    last_modified: String,
}

impl BucketRepository {
    /// Aborts uploads below the prefix that have been idle for a time and returns their number. Without a prefix the
    /// bucket may be shared, and only keys that begin with the number of an experiment belong to this server. Replicas
    /// may do so concurrently.
    ///
    /// # Errors
    /// The store cannot list its uploads.
    pub async fn sweep(&self, idle: Duration) -> Result<usize> {
        if !self.has_tags() {
            return Ok(0);
        }
        let before = clock::now() - idle;
        let prefix = self.below(&ArtifactPath::root())?;
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        let mut swept = 0;
        loop {
            let query =
                [("uploads", ""), ("prefix", &prefix), ("key-marker", &key_marker), ("upload-id-marker", &id_marker)];
            let page: Uploads = self.query_page(&Path::default(), &query, "ListMultipartUploadsResult").await?;
            for upload in &page.uploads {
                if self.belongs_to_server(&upload.key, &prefix)
                    && is_before(&upload.initiated, before)
                    && let Ok(key) = Path::parse(&upload.key)
                    && self.is_idle(&key, &upload.upload_id, before).await?
                {
                    swept += usize::from(self.try_abort(&key, &upload.upload_id).await);
                }
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if !page.is_truncated || next == (key_marker, id_marker) {
                return Ok(swept);
            }
            (key_marker, id_marker) = next;
        }
    }

    fn belongs_to_server(&self, key: &str, prefix: &str) -> bool {
        let experiment = key.split('/').next().unwrap_or_default();
        key.starts_with(prefix)
            && (!self.prefix.is_empty()
                || !experiment.is_empty() && experiment.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Whether no part was uploaded since `before`: a slow upload is not abandoned.
    async fn is_idle(&self, key: &Path, id: &str, before: SystemTime) -> Result<bool> {
        let mut marker = String::new();
        loop {
            let page: Parts =
                self.query_page(key, &[("uploadId", id), ("part-number-marker", &marker)], "ListParts").await?;
            if !page.parts.iter().all(|part| is_before(&part.last_modified, before)) {
                return Ok(false);
            }
            if !page.is_truncated || page.next_part_number_marker == marker {
                return Ok(true);
            }
            marker = page.next_part_number_marker;
        }
    }

    async fn try_abort(&self, key: &Path, id: &str) -> bool {
        match self.bucket.writes.abort_multipart(key, &id.to_owned()).await {
            Ok(()) => {
                tracing::info!(store = self.bucket.uri, %key, "aborted an incomplete upload");
                true
            }
            // Another replica was faster.
            Err(object_store::Error::NotFound { .. }) => false,
            Err(error) => {
                tracing::warn!(store = self.bucket.uri, %key, reason = reason(&error), "an incomplete upload could not be aborted");
                false
            }
        }
    }

    /// A query that `object_store` does not support. Google's store accepts it as a presigned URL.
    async fn query_page<T: Default + DeserializeOwned>(
        &self,
        key: &Path,
        query: &[(&str, &str)],
        element: &str,
    ) -> Result<T> {
        let failed = |why: String| {
            Error::unavailable(format!("the incomplete uploads of {} cannot be listed: {why}", self.bucket.uri))
        };
        let query = query.iter().filter(|(name, value)| *name == "uploads" || !value.is_empty()).copied();
        if let Some(calls) = &self.bucket.calls {
            let page = calls.query_object(key.as_ref(), &query.collect::<Vec<_>>(), element).await;
            // An upload that does not exist was completed meanwhile.
            return page.map(Option::unwrap_or_default).map_err(|error| failed(reason(&error)));
        }
        let options = SignedUrlOptions::default().with_query(query);
        let url = self.bucket.reads.signed_url_opts(Method::GET, key, LIST_URL_LIFETIME, &options).await;
        let url = url.map_err(|error| failed(reason(&error)))?;
        let request = http::Request::get(url.as_str()).body(object_store::client::HttpRequestBody::empty());
        let request = request.map_err(|error| failed(error.to_string()))?;
        let Transfers::Parts(client) = &self.bucket.transfers else {
            return Err(failed("it does not support this query".to_owned()));
        };
        let answer = client.execute(request).await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&body);
        if status == http::StatusCode::NOT_FOUND {
            // The upload was completed meanwhile.
            return Ok(T::default());
        }
        if !status.is_success() {
            return Err(failed(format!("{status}: {}", text.lines().next().unwrap_or_default())));
        }
        quick_xml::de::from_str(&text).map_err(|error| failed(error.to_string()))
    }
}

/// A time that cannot be parsed is not before anything.
fn is_before(time: &str, before: SystemTime) -> bool {
    chrono::DateTime::parse_from_rfc3339(time).is_ok_and(|time| SystemTime::from(time) < before)
}
