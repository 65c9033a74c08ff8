//! The HTTP client for token providers: trusts one CA file or the system's CAs, follows no redirects, and limits the
//! size of responses.

use std::{path::Path, sync::Arc, time::Duration};

use ferroflow_model::error::with_causes;
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::Value;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a whole request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a response, in bytes.
pub(crate) const MAX_RESPONSE: usize = 512 * 1024;

/// Creates a client. `ca_file` has PEM certificates that replace the system's CAs.
#[expect(clippy::disallowed_methods, reason = "the one place in this crate that builds HTTP clients")]
pub(crate) fn client(ca_file: Option<&Path>, through_proxies: bool) -> Result<Client, String> {
    let loaded = match ca_file {
        Some(path) => rustls_native_certs::load_certs_from_paths(Some(path), None),
        None => rustls_native_certs::load_native_certs(),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if let Some(path) = ca_file.filter(|_| roots.is_empty()) {
        return Err(format!("{} has no CA certificate: {:?}", path.display(), loaded.errors));
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("ferroflow/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT);
    let builder = if through_proxies { builder } else { builder.no_proxy() };
    builder.build().map_err(|error| error.to_string())
}

/// Parses a URL that must be protected from eavesdropping and tampering: HTTPS, or on the loopback interface.
///
/// # Errors
/// It is not; the message contains `key`, the setting's name.
pub(crate) fn address(key: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("{key} = {text} is not a URL"))?;
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if is_safe { Ok(url) } else { Err(format!("{key} = {text} is not https")) }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Sends a request and parses the JSON of the response.
///
/// # Errors
/// The reason, for a log.
pub(crate) async fn json(request: RequestBuilder) -> Result<(StatusCode, Value), String> {
    json_of_size(request, MAX_RESPONSE).await
}

/// [`json`] with another maximum size of the response, in bytes. The body of an error need not be JSON, and is `null` then.
///
/// # Errors
/// The reason, for a log.
pub(crate) async fn json_of_size(request: RequestBuilder, max: usize) -> Result<(StatusCode, Value), String> {
    let mut response = request.send().await.map_err(|error| with_causes(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| with_causes(&error))? {
        if body.len() + chunk.len() > max {
            return Err(format!("the response is larger than {max} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    match serde_json::from_slice(&body) {
        Ok(value) => Ok((status, value)),
        Err(_) if status.is_client_error() => Ok((status, Value::Null)),
        Err(_) => Err(format!("the response ({status}) is not JSON")),
    }
}
