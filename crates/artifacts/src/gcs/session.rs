//! Uploads to Google Cloud Storage: a small body in one request, a large one in a resumable session, chunk by chunk
//! (<https://cloud.google.com/storage/docs/performing-resumable-uploads>). An abandoned session costs nothing and
//! expires by itself, so no cleanup is needed.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use http::{Method, Request, StatusCode, header};
use object_store::{
    PutPayload,
    client::{HttpClient, HttpRequestBody, HttpResponse},
    gcp::GcpCredentialProvider,
    path::Path,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::client::{ATTEMPTS, is_busy, pause, with_retries};

/// The status of an incomplete resumable upload: 308, for which `http` has another name.
const MORE: StatusCode = StatusCode::PERMANENT_REDIRECT;

type Result<T> = object_store::Result<T>;

/// A client that writes to a bucket.
pub(crate) struct Writer {
    pub(super) client: HttpClient,
    /// `None` for an emulator, which needs no authentication.
    pub(super) credentials: Option<GcpCredentialProvider>,
    pub(super) base: String,
    pub(super) bucket: String,
}

impl Writer {
    fn url(&self, key: &Path, kind: &str) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (base, bucket, name) = (&self.base, encode(&self.bucket), encode(key.as_ref()));
        format!("{base}/upload/storage/v1/b/{bucket}/o?uploadType={kind}&name={name}")
    }

    /// Sends a request with retries.
    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(header::HeaderName, String)],
        body: HttpRequestBody,
    ) -> Result<HttpResponse> {
        with_retries(|| self.once(method.clone(), url, headers, body.clone())).await
    }

    /// One attempt; the outer error is not retried.
    async fn once(
        &self,
        method: Method,
        url: &str,
        headers: &[(header::HeaderName, String)],
        body: HttpRequestBody,
    ) -> Result<std::result::Result<HttpResponse, object_store::client::HttpError>> {
        let mut request =
            Request::builder().method(method).uri(url).header(header::CONTENT_LENGTH, body.content_length());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(credentials) = &self.credentials {
            let bearer = &credentials.get_credential().await?.bearer;
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        Ok(self.client.execute(request.body(body).map_err(failed)?).await)
    }

    /// Writes an object in one request.
    pub(crate) async fn put(&self, key: &Path, content_type: Option<&str>, body: PutPayload) -> Result<()> {
        let headers = [(header::CONTENT_TYPE, content_type.unwrap_or("application/octet-stream").to_owned())];
        let answer = self.send(Method::POST, &self.url(key, "media"), &headers, body.into()).await?;
        if answer.status().is_success() { Ok(()) } else { Err(refused(answer).await) }
    }

    /// Begins a resumable upload.
    pub(crate) async fn begin(self: &Arc<Self>, key: &Path, content_type: Option<&str>) -> Result<Session> {
        let about =
            content_type.map_or_else(|| serde_json::json!({}), |kind| serde_json::json!({ "contentType": kind }));
        let headers = [(header::CONTENT_TYPE, "application/json".to_owned())];
        let url = self.url(key, "resumable");
        let answer = self.send(Method::POST, &url, &headers, about.to_string().into()).await?;
        let uri = answer.headers().get(header::LOCATION).and_then(|uri| uri.to_str().ok()).map(str::to_owned);
        match uri.filter(|_| answer.status().is_success()) {
            Some(uri) => Ok(Session { writer: Arc::clone(self), uri, confirmed: 0 }),
            None => Err(refused(answer).await),
        }
    }
}

/// A resumable upload.
pub(crate) struct Session {
    writer: Arc<Writer>,
    /// The session URI; it authorizes the upload by itself.
    uri: String,
    /// Number of bytes that the store has confirmed.
    confirmed: u64,
}

impl Session {
    /// Sends the next chunk: a multiple of 256 KiB, unless it is the last one, which completes the object. Bytes that
    /// the store already has are skipped, so a chunk can be sent again after its response was lost.
    pub(crate) async fn send(&mut self, piece: PutPayload, last: bool) -> Result<()> {
        let start = self.confirmed;
        let end = start + piece.content_length() as u64;
        let total = if last { end.to_string() } else { "*".to_owned() };
        for attempt in 1.. {
            // The part of the chunk that the store does not have yet.
            let rest = skip(&piece, self.confirmed - start);
            let range = if self.confirmed == end {
                format!("bytes */{total}")
            } else {
                format!("bytes {}-{}/{total}", self.confirmed, end - 1)
            };
            let headers = [(header::CONTENT_RANGE, range)];
            let outcome = self.writer.once(Method::PUT, &self.uri, &headers, rest.into()).await?;
            let why = match outcome {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if answer.status() == MORE => {
                    let confirmed = confirmed(&answer);
                    if !(start..=end).contains(&confirmed) {
                        return Err(failed(format!("the store has {confirmed} bytes, and {start} to {end} were sent")));
                    }
                    let moved = confirmed > self.confirmed;
                    self.confirmed = confirmed;
                    if confirmed == end && !last {
                        return Ok(());
                    }
                    if moved {
                        continue;
                    }
                    failed("the store did not accept the last chunk")
                }
                Ok(answer) if is_busy(answer.status()) => refused(answer).await,
                Ok(answer) => return Err(refused(answer).await),
                Err(error) => failed(error),
            };
            if attempt >= ATTEMPTS {
                return Err(why);
            }
            tokio::time::sleep(pause(attempt)).await;
        }
        Ok(())
    }

    /// Cancels the upload. Without this it expires later.
    pub(crate) async fn cancel(self) {
        let _ = self.writer.once(Method::DELETE, &self.uri, &[], HttpRequestBody::empty()).await;
    }
}

/// The number of bytes that the store has, from `Range` of its response.
fn confirmed(answer: &HttpResponse) -> u64 {
    let range = answer.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
    range.and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok()).map_or(0, |last| last.saturating_add(1))
}

/// A payload without its first `count` bytes.
fn skip(payload: &PutPayload, mut count: u64) -> PutPayload {
    let pieces = payload.iter().filter_map(|piece| {
        let mut piece = Bytes::clone(piece);
        let skipped = count.min(piece.len() as u64);
        count -= skipped;
        piece.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
        Some(piece).filter(|piece| !piece.is_empty())
    });
    pieces.collect()
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "GCS", source: source.into() }
}

/// The error of a failed request, with the store's message.
async fn refused(answer: HttpResponse) -> object_store::Error {
    let status = answer.status();
    let body = answer.into_body().bytes().await.unwrap_or_default();
    let said = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|body| body["error"]["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(&body).lines().next().unwrap_or_default().to_owned());
    failed(format!("{status}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_has_is_not_sent_again() {
        let payload: PutPayload =
            ["abc", "de", "fgh"].map(|text| Bytes::from_static(text.as_bytes())).into_iter().collect();
        for (count, rest) in [(0, "abcdefgh"), (2, "cdefgh"), (3, "defgh"), (5, "fgh"), (8, "")] {
            assert_eq!(Bytes::from(skip(&payload, count)), rest, "{count}");
        }
    }
}
