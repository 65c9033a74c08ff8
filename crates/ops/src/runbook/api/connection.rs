//! Requests to the API server: with a timeout, and repeated while the server cannot be reached.

use std::{
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, client::Body};
use serde_json::Value;

use super::print_step;
use crate::clock;

/// Timeout of a request. Shorter than a lease, so that no change arrives after its lease has expired.
pub(super) const REQUEST: Duration = Duration::from_secs(10);

/// Maximum time for which an API server that has answered before may be unreachable.
const PATIENCE: Duration = Duration::from_secs(180);

/// The same for one that has never answered: the kubeconfig may be wrong.
const FIRST: Duration = Duration::from_secs(5);

/// Maximum pause between two attempts.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Failure {
    /// The API server refused it.
    Refused { code: u16, message: String },
    /// The server cannot be reached, or asks for a later attempt. A change may have been made or not.
    Away(String),
    /// Another runbook has the lease, or the request cannot be sent.
    Stopped(String),
}

impl Failure {
    pub(in super::super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message, .. } | Self::Stopped(message) => formatter.write_str(message),
            Self::Away(reason) => write!(formatter, "the API server does not answer: {reason}"),
        }
    }
}

impl std::error::Error for Failure {}

/// A connection to the API server.
pub(super) struct Connection {
    client: Client,
    /// Difference of the server's clock to this machine's; `None` until it has answered.
    ahead: Mutex<Option<SignedDuration>>,
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        Self { client, ahead: Mutex::new(None) }
    }

    /// The time by the API server's clock.
    pub(super) fn now(&self) -> Timestamp {
        clock::now() + self.ahead().unwrap_or_default()
    }

    /// Difference of the server's clock to this machine's; positive if it is ahead.
    pub(super) fn ahead(&self) -> Option<SignedDuration> {
        *self.ahead.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sends one request once. `body`: the media type and the object.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Bytes, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        let mut bytes = Vec::new();
        if let Some((media, body)) = body {
            request = request.header(http::header::CONTENT_TYPE, media);
            bytes = serde_json::to_vec(body).map_err(|error| Failure::Stopped(error.to_string()))?;
        }
        let request = request.body(Body::from(bytes)).map_err(|error| Failure::Stopped(error.to_string()))?;
        let exchange = async {
            let answer = self.client.send(request).await.map_err(unsent)?;
            let (status, date) = (answer.status(), date(&answer));
            let body = answer.into_body().collect().await.map_err(|error| Failure::Away(error.to_string()))?.to_bytes();
            Ok::<_, Failure>((status.as_u16(), date, body))
        };
        let (code, date, body) = tokio::time::timeout(REQUEST, exchange)
            .await
            .map_err(|_| Failure::Away(format!("no answer in {} s", REQUEST.as_secs())))??;
        let ahead = date.map_or(SignedDuration::ZERO, |date| date.duration_since(clock::now()));
        *self.ahead.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(ahead);
        match code {
            200..300 => Ok(body),
            429 | 500 | 502 | 503 | 504 => Err(Failure::Away(message(code, &body))),
            _ => Err(Failure::Refused { code, message: message(code, &body) }),
        }
    }

    /// Repeats an attempt while the server cannot be reached. The attempt gets its number, from 1.
    pub(super) async fn persist<T>(
        &self,
        mut attempt: impl AsyncFnMut(u32) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (start, mut pause, mut number) = (Instant::now(), Duration::from_millis(100), 1);
        loop {
            let reason = match attempt(number).await {
                Err(Failure::Away(reason)) => reason,
                outcome => {
                    if number > 2 {
                        print_step("  the API server answers again");
                    }
                    return outcome;
                }
            };
            let longest = if self.ahead().is_some() { PATIENCE } else { FIRST };
            if start.elapsed() + pause > longest {
                return Err(Failure::Away(reason));
            }
            if number == 2 {
                print_step(&format!(
                    "  the API server does not answer ({reason}): retrying for {} s",
                    longest.as_secs()
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_POLL_INTERVAL);
            number += 1;
        }
    }
}

/// The failure of a request without a response. Closed and refused connections are repeated; wrong credentials or certificates are not.
fn unsent(error: kube::Error) -> Failure {
    match error {
        kube::Error::HyperError(_) | kube::Error::Service(_) => {
            let mut reason: &dyn std::error::Error = &error;
            while let Some(source) = reason.source() {
                reason = source;
            }
            Failure::Away(reason.to_string())
        }
        other => Failure::Stopped(other.to_string()),
    }
}

fn date<T>(answer: &Response<T>) -> Option<Timestamp> {
    let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp())
}

/// Returns the message of a Status, or the beginning of another body.
fn message(code: u16, body: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(body).ok();
    let message = status.as_ref().and_then(|status| status["message"].as_str()).map(str::to_owned);
    message.filter(|message| !message.is_empty()).unwrap_or_else(|| {
        let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
        format!("{code} {}", text.trim())
    })
}
