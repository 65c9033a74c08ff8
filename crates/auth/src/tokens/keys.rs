//! The provider's metadata and signing keys: fetched on demand, cached for an hour, and fetched again for an unknown
//! key id, with a minimum interval. So forged tokens do not cause a request to the provider each.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use ferroflow_model::{Error, Result};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::http;

/// Time for which keys are cached.
const FRESH: Duration = Duration::from_secs(3600);

/// Time for which cached keys are used while the provider does not respond.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Maximum number of keys of a provider.
const MAX_KEYS: usize = 100;

/// The provider's metadata (`OpenID` Connect Discovery 1.0, section 3).
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    pub(crate) jwks_uri: String,
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) token_endpoint: Option<String>,
    pub(crate) end_session_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) token_endpoint_auth_methods_supported: Vec<String>,
}

/// An `OpenID` Connect provider.
pub(crate) struct Provider {
    pub(crate) client: Client,
    pub(crate) issuer: String,
    /// The configured URL of the keys; `None` to use the provider's metadata.
    jwks_uri: Option<String>,
    /// Minimum interval between fetches for unknown keys.
    refresh: Duration,
    state: RwLock<State>,
    /// Serializes fetches.
    fetching: Mutex<()>,
}

#[derive(Default, Clone)]
struct State {
    metadata: Option<Arc<Metadata>>,
    keys: Arc<Vec<Jwk>>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
    /// When the metadata was last requested for a login.
    metadata_attempted: Option<Instant>,
}

impl Provider {
    pub(crate) fn new(client: Client, issuer: String, jwks_uri: Option<String>, refresh: Duration) -> Self {
        Self { client, issuer, jwks_uri, refresh, state: RwLock::default(), fetching: Mutex::default() }
    }

    /// The key that a token was signed with; `None` if the provider has no such key.
    ///
    /// # Errors
    /// The provider's keys are not available.
    pub(crate) async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Option<DecodingKey>> {
        let state = self.state();
        let found = find(&state.keys, kid, algorithm);
        if found.is_some() && is_younger(state.fetched, FRESH) {
            return Ok(found);
        }
        let _guard = self.fetching.lock().await;
        let state = self.state();
        let found = find(&state.keys, kid, algorithm);
        if found.is_some() && is_younger(state.fetched, FRESH) {
            return Ok(found);
        }
        if !is_younger(state.attempted, self.refresh) {
            self.update(|state| state.attempted = Some(Instant::now()));
            match self.fetch_keys().await {
                Ok(keys) => self.update(|state| {
                    state.keys = Arc::new(keys);
                    state.fetched = Some(Instant::now());
                }),
                Err(reason) => tracing::warn!(issuer = self.issuer, reason, "reading the keys of the provider failed"),
            }
        }
        let state = self.state();
        if is_younger(state.fetched, STALE) {
            return Ok(find(&state.keys, kid, algorithm));
        }
        Err(Error::unavailable("The keys of the identity provider cannot be read now. Try again later."))
    }

    /// The provider's metadata.
    ///
    /// # Errors
    /// The provider does not respond, or has another issuer.
    pub(crate) async fn metadata(&self) -> Result<Arc<Metadata>> {
        if let Some(metadata) = self.state().metadata {
            return Ok(metadata);
        }
        let _guard = self.fetching.lock().await;
        let state = self.state();
        if let Some(metadata) = state.metadata {
            return Ok(metadata);
        }
        let unavailable = || Error::unavailable("The identity provider does not respond. Try again later.");
        if is_younger(state.metadata_attempted, self.refresh) {
            return Err(unavailable());
        }
        self.update(|state| state.metadata_attempted = Some(Instant::now()));
        self.fetch_metadata().await.map_err(|reason| {
            tracing::warn!(issuer = self.issuer, reason, "reading the metadata of the provider failed");
            unavailable()
        })
    }

    async fn fetch_metadata(&self) -> Result<Arc<Metadata>, String> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found: Metadata = self.get(&url).await?;
        if found.issuer != self.issuer {
            return Err(format!("{url} is of the issuer '{}'", found.issuer));
        }
        let endpoints = [&found.authorization_endpoint, &found.token_endpoint, &found.end_session_endpoint];
        for address in endpoints.into_iter().flatten().chain([&found.jwks_uri]) {
            // An attacker on the network could replace the keys.
            if self.issuer.starts_with("https:") && !address.starts_with("https:") {
                return Err(format!("{url} has the endpoint {address}, which is not https"));
            }
        }
        let found = Arc::new(found);
        self.update(|state| state.metadata = Some(Arc::clone(&found)));
        Ok(found)
    }

    async fn fetch_keys(&self) -> Result<Vec<Jwk>, String> {
        let uri = match &self.jwks_uri {
            Some(uri) => uri.clone(),
            // The URL may have changed within the hour.
            None => self.fetch_metadata().await?.jwks_uri.clone(),
        };
        let value: Value = self.get(&uri).await?;
        let keys = value.get("keys").and_then(Value::as_array).ok_or("the response has no keys")?;
        // Keys of unsupported types are ignored.
        Ok(keys.iter().take(MAX_KEYS).filter_map(|key| Jwk::deserialize(key).ok()).collect())
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, url: &str) -> Result<T, String> {
        match http::json(self.client.get(url)).await? {
            (status, value) if status.is_success() => {
                T::deserialize(value).map_err(|error| format!("the response of {url} is invalid: {error}"))
            }
            (status, _) => Err(format!("{url} answered {status}")),
        }
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn is_younger(time: Option<Instant>, than: Duration) -> bool {
    time.is_some_and(|time| time.elapsed() < than)
}

/// The key with an id for an algorithm. Without an id, exactly one key must match.
fn find(keys: &[Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let signs = |key: &&Jwk| matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let is_named = |key: &&Jwk| kid.is_none() || key.common.key_id.as_deref() == kid;
    let of_algorithm = |key: &&Jwk| {
        // Both names are those of the JOSE registry.
        key.common.key_algorithm.is_none_or(|of| of.to_string() == format!("{algorithm:?}"))
    };
    let fitting = keys.iter().filter(signs).filter(is_named).filter(of_algorithm);
    let mut fitting =
        fitting.filter_map(|key| DecodingKey::from_jwk(key).ok()).filter(|key| key.family() == algorithm.family());
    let found = fitting.next()?;
    (kid.is_some() || fitting.next().is_none()).then_some(found)
}
