//! Uploads in parts that nobody finishes: their client is gone, or the server was killed. Stores keep the
//! parts, unseen and paid for, until somebody takes them back.

use std::time::{Duration, SystemTime};

use ferroflow_model::{Error, Result};
use http::Method;
use object_store::{path::Path, signer::SignedUrlOptions};
use serde::{Deserialize, de::DeserializeOwned};

use super::{BucketRepository, Transfers, explain::reason};
use crate::ArtifactPath;

/// How long our own question to the store is good.
const ASKING: Duration = Duration::from_secs(60);

/// A page of uploads that were begun.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Uploads {
    #[serde(rename = "Upload")]
    uploads: Vec<Begun>,
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
}

/// An upload that was begun.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    key: String,
    upload_id: String,
    initiated: String,
}

/// A page of parts that have arrived.
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
    /// Takes back the uploads below the prefix for which nothing has come for a time; gives their number.
    /// Without a prefix the bucket may belong to others too, and only names that begin with the number of
    /// an experiment are ours. Replicas may do it at the same time: what is gone is gone.
    ///
    /// # Errors
    /// The store does not tell.
    pub async fn sweep(&self, idle: Duration) -> Result<usize> {
        if !self.has_tags() {
            return Ok(0);
        }
        let before = SystemTime::now() - idle;
        let prefix = self.below(&ArtifactPath::root())?;
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        let mut swept = 0;
        loop {
            let query =
                [("uploads", ""), ("prefix", &prefix), ("key-marker", &key_marker), ("upload-id-marker", &id_marker)];
            let page: Uploads = self.ask(&Path::default(), &query, "ListMultipartUploadsResult").await?;
            for upload in &page.uploads {
                if self.is_ours(&upload.key, &prefix)
                    && is_before(&upload.initiated, before)
                    && let Ok(key) = Path::parse(&upload.key)
                    && self.is_idle(&key, &upload.upload_id, before).await?
                {
                    swept += usize::from(self.take_back(&key, &upload.upload_id).await);
                }
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if !page.is_truncated || next == (key_marker, id_marker) {
                return Ok(swept);
            }
            (key_marker, id_marker) = next;
        }
    }

    fn is_ours(&self, key: &str, prefix: &str) -> bool {
        let experiment = key.split('/').next().unwrap_or_default();
        key.starts_with(prefix)
            && (!self.prefix.is_empty()
                || !experiment.is_empty() && experiment.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Whether no part has come since: a slow upload is none that nobody finishes.
    async fn is_idle(&self, key: &Path, id: &str, before: SystemTime) -> Result<bool> {
        let mut marker = String::new();
        loop {
            let page: Parts = self.ask(key, &[("uploadId", id), ("part-number-marker", &marker)], "ListParts").await?;
            if !page.parts.iter().all(|part| is_before(&part.last_modified, before)) {
                return Ok(false);
            }
            if !page.is_truncated || page.next_part_number_marker == marker {
                return Ok(true);
            }
            marker = page.next_part_number_marker;
        }
    }

    async fn take_back(&self, key: &Path, id: &str) -> bool {
        match self.bucket.writes.abort_multipart(key, &id.to_owned()).await {
            Ok(()) => {
                tracing::info!(store = self.bucket.uri, %key, "took back an upload that nobody finished");
                true
            }
            // Another replica was faster.
            Err(object_store::Error::NotFound { .. }) => false,
            Err(error) => {
                tracing::warn!(store = self.bucket.uri, %key, reason = reason(&error), "an upload could not be taken back");
                false
            }
        }
    }

    /// A question that only this protocol has. Google takes it with the signature of an address.
    async fn ask<T: Default + DeserializeOwned>(&self, key: &Path, query: &[(&str, &str)], element: &str) -> Result<T> {
        let failed = |why: String| Error::unavailable(format!("{} does not tell of uploads: {why}", self.bucket.uri));
        let query = query.iter().filter(|(name, value)| *name == "uploads" || !value.is_empty()).copied();
        if let Some(calls) = &self.bucket.calls {
            let told = calls.ask(key.as_ref(), &query.collect::<Vec<_>>(), element).await;
            // An upload that is not there was finished meanwhile.
            return told.map(Option::unwrap_or_default).map_err(|error| failed(reason(&error)));
        }
        let options = SignedUrlOptions::default().with_query(query);
        let url = self.bucket.reads.signed_url_opts(Method::GET, key, ASKING, &options).await;
        let url = url.map_err(|error| failed(reason(&error)))?;
        let request = http::Request::get(url.as_str()).body(object_store::client::HttpRequestBody::empty());
        let request = request.map_err(|error| failed(error.to_string()))?;
        let Transfers::Parts(asks) = &self.bucket.transfers else {
            return Err(failed("it has no such question".to_owned()));
        };
        let answer = asks.execute(request).await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&body);
        if status == http::StatusCode::NOT_FOUND {
            // The upload was finished meanwhile.
            return Ok(T::default());
        }
        if !status.is_success() {
            return Err(failed(format!("{status}: {}", text.lines().next().unwrap_or_default())));
        }
        quick_xml::de::from_str(&text).map_err(|error| failed(error.to_string()))
    }
}

/// A time that can not be read is not before anything.
fn is_before(time: &str, before: SystemTime) -> bool {
    chrono::DateTime::parse_from_rfc3339(time).is_ok_and(|time| SystemTime::from(time) < before)
}
