//! Tests a bucket, see [`crate::trial`].

use std::time::{Duration, SystemTime};

use ferroflow_model::clock;
use object_store::{ObjectStoreExt as _, PutOptions, PutPayload, client::HttpRequestBody, path::Path};

use super::{BucketRepository, Transfers, reason, upload};
use crate::{
    ArtifactPath,
    client::last_cause,
    trial::{CONTENT, Presigned, Trial, file, skew},
};

/// Lifetime of the presigned URL.
const EXPIRATION: Duration = Duration::from_secs(60);

/// Timeout of its download.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(20);

impl BucketRepository {
    pub(crate) async fn try_out(&self, presign: bool) -> Trial {
        let mut trial = Trial::default();
        let path = file().and_then(|path| Ok((self.key(&path)?, path)));
        let (key, path) = match path {
            Ok(both) => both,
            Err(error) => {
                trial.fail("write", error.message);
                return trial;
            }
        };
        let before = clock::now();
        if let Err(error) = self.put(&key, &path).await {
            trial.fail("write", reason(&error));
            return trial;
        }
        let after = clock::now();
        match self.read_back(&key).await {
            Ok(modified) => trial.skew = Some(skew(before, modified, after)),
            Err(reason) => trial.fail("read", reason),
        }
        if presign {
            trial.presigned = self.fetch(&path).await;
        }
        if let Err(error) = self.bucket.reads.delete(&key).await {
            trial.fail("delete", reason(&error));
        }
        trial
    }

    /// With the attributes and tags of uploads: a bucket policy may require them.
    async fn put(&self, key: &Path, path: &ArtifactPath) -> object_store::Result<()> {
        let (bucket, body) = (&self.bucket, PutPayload::from_static(CONTENT));
        if let Some(sessions) = &bucket.sessions {
            return sessions.put(key, None, body).await;
        }
        let options = PutOptions {
            attributes: upload::attributes(bucket, path),
            tags: bucket.tags.clone(),
            ..PutOptions::default()
        };
        bucket.writes.put_opts(key, body, options).await.map(drop)
    }

    async fn read_back(&self, key: &Path) -> Result<SystemTime, String> {
        let found = self.bucket.reads.get(key).await.map_err(|error| reason(&error))?;
        let modified = SystemTime::from(found.meta.last_modified);
        let bytes = found.bytes().await.map_err(|error| reason(&error))?;
        if bytes == CONTENT { Ok(modified) } else { Err("other bytes were read than written".to_owned()) }
    }

    /// Downloads it like a client. `None` if URLs are not signed.
    async fn fetch(&self, path: &ArtifactPath) -> Option<Presigned> {
        let Transfers::Parts(client) = &self.bucket.transfers else { return None };
        let url = match self.presign_download(path, EXPIRATION).await {
            Ok(signed) => signed.url,
            Err(error) => {
                return Some(Presigned { origin: self.name(), failed: Some(error.message), answered: false });
            }
        };
        let mut answered = false;
        let download = async {
            let request = http::Request::get(&url).body(HttpRequestBody::empty()).map_err(|error| error.to_string())?;
            let answer = client.execute(request).await.map_err(|error| last_cause(&error))?;
            answered = true;
            let status = answer.status();
            let bytes = answer.into_body().bytes().await.map_err(|error| last_cause(&error))?;
            match (status.is_success(), bytes == CONTENT) {
                (true, true) => Ok(()),
                (true, false) => Err("the response is not from the bucket".to_owned()),
                (false, _) => Err(status_text(status, &String::from_utf8_lossy(&bytes))),
            }
        };
        let outcome = tokio::time::timeout(DOWNLOAD_TIMEOUT, download).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer in {} s", DOWNLOAD_TIMEOUT.as_secs())));
        Some(Presigned { origin: origin(&url), failed: outcome.err(), answered })
    }
}

/// The status, with the store's own error code.
fn status_text(status: http::StatusCode, body: &str) -> String {
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or_else(|| status.to_string(), |(code, _)| format!("{status}: {code}"))
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> String {
    let end = url.find("://").and_then(|at| Some(at + 3 + url[at + 3..].find('/')?));
    end.map_or(url, |end| &url[..end]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_shows_no_credentials() {
        assert_eq!(origin("https://s3.example:9000/bucket/key?X-Amz-Signature=s"), "https://s3.example:9000");
        let denied = status_text(http::StatusCode::FORBIDDEN, "<Error><Code>SignatureDoesNotMatch</Code></Error>");
        assert_eq!(denied, "403 Forbidden: SignatureDoesNotMatch");
        assert_eq!(status_text(http::StatusCode::BAD_GATEWAY, "<html>"), "502 Bad Gateway");
    }
}
