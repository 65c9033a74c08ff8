//! How every store is talked to: what may take how long, and whom TLS trusts.

use std::{path::Path, time::Duration};

use ferroflow_model::{Error, Result};
use http::{HeaderValue, StatusCode};
use object_store::{
    Certificate, ClientOptions, RetryConfig,
    client::{HttpConnector as _, HttpError, HttpRequestBody, HttpResponse, ReqwestConnector},
};

/// How long a store may send nothing.
const MAX_STALL: Duration = Duration::from_secs(60);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections are closed by the store after a while; ours are given up before.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Options for a store at an address, or at its own.
pub(crate) fn options(endpoint: Option<&str>) -> ClientOptions {
    // The process has one TLS provider; where one is chosen already it stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientOptions::new()
        // A transfer takes as long as it takes, as long as it moves.
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(MAX_STALL)
        .with_pool_idle_timeout(IDLE_TIMEOUT)
        .with_allow_http(endpoint.is_some_and(|url| url.starts_with("http:")))
        .with_user_agent(HeaderValue::from_static(concat!("ferroflow/", env!("CARGO_PKG_VERSION"))))
}

/// How often a request is tried.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() }
}

/// How often a request of our own is tried.
pub(crate) const ATTEMPTS: u32 = 4;

/// The pause before an attempt; each further one is twice as long.
pub(crate) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(250) * 2_u32.saturating_pow(attempt - 1)
}

/// Sends a request until it is answered, by a store that is not busy. The outer error of an attempt is one that no
/// further attempt mends.
pub(crate) async fn persistently<F>(attempt: impl Fn() -> F) -> object_store::Result<HttpResponse>
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

/// Whether a store asks for patience.
pub(crate) fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Whether anything answers HTTP at an address, whatever it answers.
///
/// # Errors
/// Nothing does; why.
pub async fn answers(origin: &str, patience: Duration) -> std::result::Result<(), String> {
    let client = ReqwestConnector::default().connect(&options(Some(origin))).map_err(|error| error.to_string())?;
    let request = http::Request::head(origin).body(HttpRequestBody::empty()).map_err(|error| error.to_string())?;
    match tokio::time::timeout(patience, client.execute(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(last_cause(&error)),
        Err(_) => Err(format!("no answer in {} s", patience.as_secs())),
    }
}

/// The last cause is the one that tells.
pub(crate) fn last_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The certificates of a PEM file that a variable names.
pub(crate) fn certificates(variable: &str, file: &Path) -> Result<Vec<Certificate>> {
    let unusable = |error: String| Error::invalid(format!("{variable}: {}: {error}", file.display()));
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() { Err(unusable("there is no certificate in it".to_owned())) } else { Ok(found) }
}

/// The address of a store: `http` or `https`, a host, nothing secret.
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
