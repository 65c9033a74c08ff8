//! The HTTP client for all stores: timeouts, retries and trusted certificates.

use std::{path::Path, time::Duration};

use ferroflow_model::{Error, Result};
use http::{HeaderValue, StatusCode};
use object_store::{
    Certificate, ClientOptions, RetryConfig,
    client::{HttpConnector as _, HttpError, HttpRequestBody, HttpResponse, ReqwestConnector},
};

/// Read timeout: the longest wait for data from a store.
const MAX_STALL: Duration = Duration::from_secs(60);

/// Connect timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Keep-alive timeout. It is shorter than that of stores, so that a connection is not closed while in use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Client options for a store with an endpoint, or with its default one.
pub(crate) fn options(endpoint: Option<&str>) -> ClientOptions {
    // The process has one default TLS provider; an existing one is kept.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientOptions::new()
        // No total timeout: a transfer may take long while it makes progress.
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(MAX_STALL)
        .with_pool_idle_timeout(IDLE_TIMEOUT)
        .with_allow_http(endpoint.is_some_and(|url| url.starts_with("http:")))
        .with_user_agent(HeaderValue::from_static(concat!("ferroflow/", env!("CARGO_PKG_VERSION"))))
}

/// The retries of `object_store`.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() }
}

/// Attempts of requests made without `object_store`.
pub(crate) const ATTEMPTS: u32 = 4;

/// The backoff before an attempt; it doubles each time.
pub(crate) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(250) * 2_u32.saturating_pow(attempt - 1)
}

/// Sends a request with retries, until the response is not a transient error. The outer error of an attempt is not
/// retried.
pub(crate) async fn with_retries<F>(attempt: impl Fn() -> F) -> object_store::Result<HttpResponse>
where
    F: Future<Output = object_store::Result<std::result::Result<HttpResponse, HttpError>>>,
{
    for number in 1.. {
        match attempt().await? {
            Ok(answer) if number == ATTEMPTS || !is_busy(answer.status()) => return Ok(answer),
            Err(error) if number == ATTEMPTS => return Err(unanswered(error)),
            _ => tokio::time::sleep(pause(number)).await,
        }
    }
    Err(unanswered("no attempt was made"))
}

fn unanswered(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "store", source: source.into() }
}

/// Whether a status is a transient error, which may be retried.
pub(crate) fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Whether an HTTP server responds at an origin, with any status.
///
/// # Errors
/// There is no response within `timeout`; the message is the reason.
pub async fn responds(origin: &str, timeout: Duration) -> std::result::Result<(), String> {
    let client = ReqwestConnector::default().connect(&options(Some(origin))).map_err(|error| error.to_string())?;
    let request = http::Request::head(origin).body(HttpRequestBody::empty()).map_err(|error| error.to_string())?;
    match tokio::time::timeout(timeout, client.execute(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(last_cause(&error)),
        Err(_) => Err(format!("no answer in {} s", timeout.as_secs())),
    }
}

/// The root cause of an error, which is the most specific one.
pub(crate) fn last_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The certificates in a PEM file that a variable names.
pub(crate) fn certificates(variable: &str, file: &Path) -> Result<Vec<Certificate>> {
    let unusable = |error: String| Error::invalid(format!("{variable}: {}: {error}", file.display()));
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() { Err(unusable("there is no certificate in it".to_owned())) } else { Ok(found) }
}

/// Validates the URL of a store: `http` or `https`, a host, no credentials.
pub(crate) fn address(name: &str, url: &str) -> Result<String> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['@', '?', '#']) => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err(Error::invalid(format!("{name} must be http://host:port or https://host:port"))),
    }
}

/// Whether a text can be the name of a bucket, container or account: it becomes part of a host or a path.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_');
    (3..=255).contains(&name.len())
        && name.chars().all(plain)
        && !name.contains("..")
        && name.starts_with(char::is_alphanumeric)
}
