//! The HTTP client for webhooks.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{Failure, guard::Guard};

/// Keep-alive timeout of unused connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Creates the client. It trusts the system's CAs, resolves names by the guard, and follows no redirect.
///
/// # Errors
/// There are no threads, or ring has no cipher suite of a TLS version.
#[expect(clippy::disallowed_methods, reason = "the one place in this crate that builds HTTP clients")]
pub(super) async fn build(guard: Guard) -> Result<Client, Failure> {
    let certificates =
        tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await.map_err(Failure::temporary)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.certs);
    if roots.is_empty() {
        tracing::warn!(errors = ?certificates.errors, "no certificate authorities were found");
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Failure::temporary)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("ferroflow/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(guard)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()?;
    Ok(client)
}
