//! The HTTP client of this crate: for the package index.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Begins a client that trusts these certificate authorities. Redirects, proxies, timeouts and the resolver are those of
/// reqwest until the caller sets them.
///
/// # Errors
/// ring has no cipher suite of a TLS version.
#[expect(clippy::disallowed_methods, reason = "the one place in this crate that builds HTTP clients")]
pub(crate) fn builder(roots: RootCertStore) -> Result<ClientBuilder, rustls::Error> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Client::builder().tls_backend_preconfigured(tls).user_agent(concat!("ferroflow/", env!("CARGO_PKG_VERSION"))))
}
