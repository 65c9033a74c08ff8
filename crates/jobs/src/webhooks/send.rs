//! Sends one message to one webhook.

use std::{error::Error as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferroflow_model::clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, StatusCode, header};
use reqwest::Response;
use sha2::Sha256;

use super::{Webhooks, client, guard::Refusal};

const DELIVERY_ID: HeaderName = HeaderName::from_static("x-mlflow-delivery-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-mlflow-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-mlflow-signature");

/// Maximum bytes of a response body that are read.
const MAX_ANSWER: usize = 8 * 1024;

/// A message and its destination.
pub(crate) struct Message<'a> {
    pub(crate) url: &'a str,
    /// The signing secret.
    pub(crate) secret: Option<&'a str>,
    /// The same for all attempts.
    pub(crate) delivery_id: &'a str,
    pub(crate) body: &'a str,
}

/// The response of a webhook.
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The beginning of the body.
    pub text: String,
    /// The value of `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// Why there is no response. The text contains no URL, which may include a secret.
#[derive(Debug)]
pub struct Failure {
    /// The reason.
    pub reason: String,
    /// Whether a retry is pointless.
    pub is_permanent: bool,
}

impl Failure {
    pub(crate) fn permanent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_permanent: true }
    }

    pub(crate) fn temporary(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), is_permanent: false }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut reason = if error.is_timeout() { "no answer in time".to_owned() } else { error.to_string() };
        let mut is_permanent = error.is_builder();
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(refusal) = inner.downcast_ref::<Refusal>() {
                return Self { reason: refusal.to_string(), is_permanent: refusal.is_permanent() };
            }
            let more = inner.to_string();
            if !reason.contains(&more) {
                reason = format!("{reason}: {more}");
            }
            is_permanent |= inner.is::<http::Error>();
            cause = inner.source();
        }
        Self { reason, is_permanent }
    }
}

impl Webhooks {
    /// Sends a message once. Redirects are not followed, and no proxy is used: it would resolve the name instead of the
    /// guard.
    pub(crate) async fn send(&self, message: &Message<'_>) -> Result<Answer, Failure> {
        let url = self.guard.target(message.url).map_err(|error| Failure::permanent(error.message))?;
        let client = self.client.get_or_try_init(|| client::build(self.guard.clone())).await?;
        let timestamp = clock::unix_seconds().to_string();
        let mut request = client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(DELIVERY_ID, message.delivery_id)
            .header(TIMESTAMP, &timestamp);
        if let Some(secret) = message.secret {
            request = request.header(SIGNATURE, sign(secret, message.delivery_id, &timestamp, message.body));
        }
        let response = request.timeout(self.options.timeout).body(message.body.to_owned()).send().await?;
        let status = response.status();
        let retry_after = retry_after(&response);
        Ok(Answer { status, retry_after, text: read_prefix(response).await? })
    }
}

/// `v1,` and the base64 of the HMAC-SHA256 of id, timestamp and body, similar to Standard Webhooks
/// (<https://www.standardwebhooks.com>).
fn sign(secret: &str, delivery_id: &str, timestamp: &str, body: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(format!("{delivery_id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// `Retry-After`: seconds, or a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(clock::now()).ok(),
    }
}

/// The beginning of the body. The rest is not read.
async fn read_prefix(mut response: Response) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ANSWER {
        let Some(chunk) = response.chunk().await? else { break };
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(MAX_ANSWER);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_references() {
        // mlflow.webhooks.delivery._generate_hmac_signature("s3cret", "id-1", "1753950452", '{"a": "\\u00fc"}')
        let signature = sign("s3cret", "id-1", "1753950452", "{\"a\": \"\\u00fc\"}");
        assert_eq!(signature, "v1,RH/6P3zEKFm09YnR/2Y8sUx5rr7h/mkK26qbZDhVLIk=");
    }
}
