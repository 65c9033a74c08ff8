//! Browser logins at the provider: the authorization code flow with PKCE (RFC 6749, RFC 7636, `OpenID` Connect Core
//! 1.0, section 3.1). The server keeps no state: what it needs when the browser returns is in a cookie, or derived from
//! `state`.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ferroflow_model::{Environment, Error, ErrorCode, Result};
use ferroflow_store::TokenUser;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, Url};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    http::{self, address},
    identity::{number, text},
    keys::Metadata,
    oidc::Oidc,
};
use crate::{
    ini::Section,
    signer::{Signer, now},
};

/// The variable with the client secret, which overrides the file.
const SECRET: &str = "FERROFLOW_OIDC_CLIENT_SECRET";

/// The path of the redirect URI, below the server's prefix.
const CALLBACK: &str = "/oidc/callback";

/// How long a login may take.
pub(crate) const LOGIN_TIME: Duration = Duration::from_secs(600);

/// The settings.
#[derive(Clone)]
pub(crate) struct BrowserConfig {
    client_id: String,
    client_secret: Option<String>,
    redirect_uri: Url,
    logout_redirect_uri: Option<Url>,
    scopes: String,
    session: Duration,
}

impl std::fmt::Debug for BrowserConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrowserConfig").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl BrowserConfig {
    pub(crate) fn parse(section: &Section, environment: &Environment) -> Result<Option<Self>, String> {
        let uri = |key: &str| text(section, key)?.map(|text| address(key, &text)).transpose();
        let (client_id, redirect_uri) = match (text(section, "client_id")?, uri("redirect_uri")?) {
            (None, None) => return Ok(None),
            (Some(id), Some(uri)) => (id, uri),
            _ => return Err("[oidc] needs both client_id and redirect_uri, or neither".into()),
        };
        if !redirect_uri.path().ends_with(CALLBACK) || redirect_uri.query().is_some() {
            return Err(format!("redirect_uri = {redirect_uri} does not end with {CALLBACK}"));
        }
        let scopes = text(section, "scopes")?.unwrap_or_else(|| "openid profile email".into());
        if !scopes.split_whitespace().any(|scope| scope == "openid") {
            return Err(format!("scopes = {scopes} does not have openid"));
        }
        Ok(Some(Self {
            client_id,
            client_secret: match environment.raw(SECRET) {
                Some(secret) => Some(secret.to_owned()).filter(|secret| !secret.is_empty()),
                None => text(section, "client_secret")?,
            },
            redirect_uri,
            logout_redirect_uri: uri("logout_redirect_uri")?,
            scopes,
            session: Duration::from_secs(3600 * number(section, "session_hours", 8, 24 * 30)?.max(1)),
        }))
    }
}

/// Handles browser logins.
pub(crate) struct Browser {
    config: BrowserConfig,
    signer: Signer,
}

/// The content of the login cookie.
#[derive(Serialize, Deserialize)]
struct PendingLogin {
    state: String,
    /// The page to return to.
    next: String,
    until: u64,
}

/// The content of the session cookie.
#[derive(Serialize, Deserialize)]
struct Session {
    username: String,
    /// Digest of the user's mark or password hash, which identifies the account, and of the login epoch, which a
    /// restore renews.
    stored: String,
    until: u64,
}

/// The parameters of the provider's redirect (authorization response).
#[derive(Debug, Clone, Default)]
pub struct Callback {
    /// The authorization code.
    pub code: Option<String>,
    /// The `state` of the request.
    pub state: Option<String>,
    /// The issuer, if the provider sends it (RFC 9207).
    pub issuer: Option<String>,
    /// The error code.
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct TokenResponse {
    id_token: Option<String>,
    error: Option<String>,
}

impl Browser {
    /// Whether cookies are for HTTPS only.
    pub(crate) fn is_secure(&self) -> bool {
        self.config.redirect_uri.scheme() == "https"
    }

    pub(crate) fn session_time(&self) -> Duration {
        self.config.session
    }

    /// Creates a session cookie.
    pub(crate) fn session(&self, username: &str, stored: &str, epoch: &str) -> String {
        let until = now() + self.config.session.as_secs();
        let session = Session { username: username.to_owned(), stored: digest(stored, epoch), until };
        self.signer.sign("session", &session)
    }

    /// The user of a session cookie, and a predicate for the user's current mark or password hash and the login epoch.
    pub(crate) fn read_session(&self, cookie: &str) -> Option<(String, impl Fn(&str, &str) -> bool + use<>)> {
        let session: Session = self.signer.verify("session", cookie)?;
        let stored = session.stored;
        (session.until > now())
            .then_some((session.username, move |found: &str, epoch: &str| digest(found, epoch) == stored))
    }

    pub(crate) fn new(config: BrowserConfig, secret: &str) -> Self {
        Self { config, signer: Signer::new(secret) }
    }

    fn nonce(&self, state: &str) -> String {
        self.signer.mac("nonce", state)
    }

    fn verifier(&self, state: &str) -> String {
        self.signer.mac("verifier", state)
    }

    /// The authorization URL, and the login cookie.
    pub(crate) fn begin(&self, metadata: &Metadata, next: &str) -> Result<(Url, String)> {
        let endpoint = metadata.authorization_endpoint.as_deref().and_then(|text| Url::parse(text).ok());
        let mut url = endpoint.ok_or_else(|| Error::unavailable("The provider has no authorization endpoint."))?;
        let state = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(&state).as_bytes()));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", self.config.redirect_uri.as_str())
            .append_pair("scope", &self.config.scopes)
            .append_pair("state", &state)
            .append_pair("nonce", &self.nonce(&state))
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let pending = PendingLogin { state, next: next.to_owned(), until: now() + LOGIN_TIME.as_secs() };
        Ok((url, self.signer.sign("login", &pending)))
    }

    /// The token request, with the client's authentication.
    fn token_request(
        &self,
        mut request: RequestBuilder,
        metadata: &Metadata,
        code: &str,
        state: &str,
    ) -> RequestBuilder {
        let config = &self.config;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", config.redirect_uri.as_str())
            .append_pair("code_verifier", &self.verifier(state));
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let by_post = methods.iter().any(|method| method == "client_secret_post")
            && !methods.iter().any(|method| method == "client_secret_basic");
        match &config.client_secret {
            Some(secret) if !by_post => {
                let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
                request = request.basic_auth(encoded(&config.client_id), Some(encoded(secret)));
            }
            secret => {
                form.append_pair("client_id", &config.client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret);
                }
            }
        }
        request.header("content-type", "application/x-www-form-urlencoded").body(form.finish())
    }

    /// The provider's end-session URL.
    pub(crate) fn logout_url(&self, metadata: &Metadata) -> Option<Url> {
        let mut url = Url::parse(metadata.end_session_endpoint.as_deref()?).ok()?;
        url.query_pairs_mut().append_pair("client_id", &self.config.client_id);
        if let Some(uri) = &self.config.logout_redirect_uri {
            url.query_pairs_mut().append_pair("post_logout_redirect_uri", uri.as_str());
        }
        Some(url)
    }
}

impl Oidc {
    /// Completes a login: the user, and the page to return to.
    pub(crate) async fn finish(
        &self,
        browser: &Browser,
        cookie: &str,
        callback: &Callback,
    ) -> Result<(TokenUser, String)> {
        let pending: Option<PendingLogin> = browser.signer.verify("login", cookie);
        let pending = pending
            .filter(|pending| pending.until > now() && callback.state.as_deref() == Some(pending.state.as_str()));
        let pending = pending
            .ok_or_else(|| Error::bad_request("This login was not started in this browser, or it took too long."))?;
        let refused = |reason: &str| {
            tracing::info!(reason, "a login at the provider was refused");
            Error::new(ErrorCode::PermissionDenied, "The provider did not log you in.")
        };
        if let Some(error) = &callback.error {
            return Err(refused(error));
        }
        if callback.issuer.as_ref().is_some_and(|issuer| *issuer != self.provider.issuer) {
            return Err(refused("the response is from another provider"));
        }
        let code = callback.code.as_deref().ok_or_else(|| refused("the response has no code"))?;
        let metadata = self.provider.metadata().await?;
        let token = self.exchange(browser, &metadata, code, &pending.state).await.map_err(|reason| refused(&reason))?;
        let client = std::slice::from_ref(&browser.config.client_id);
        let claims = self.claims(&token, client).await?.map_err(|reason| refused(&reason))?;
        if claims.text("nonce") != Some(browser.nonce(&pending.state).as_str()) {
            return Err(refused("the nonce of the token is from another login"));
        }
        if claims.text("azp").is_some_and(|party| party != browser.config.client_id) {
            return Err(refused("the token was issued to another client"));
        }
        let (user, _) = self.user(&claims).map_err(|reason| refused(&reason))?;
        Ok((user, pending.next))
    }

    /// Exchanges a code for an ID token.
    async fn exchange(
        &self,
        browser: &Browser,
        metadata: &Metadata,
        code: &str,
        state: &str,
    ) -> Result<String, String> {
        let endpoint = metadata.token_endpoint.as_deref().ok_or("the provider has no token endpoint")?;
        let request = browser.token_request(self.provider.client.post(endpoint), metadata, code, state);
        let (status, value) = http::json(request).await?;
        let answer = TokenResponse::deserialize(value).map_err(|error| format!("the response is invalid: {error}"))?;
        answer.id_token.filter(|_| status.is_success()).ok_or_else(|| {
            format!("the token endpoint answered {status} {} without an ID token", answer.error.unwrap_or_default())
        })
    }
}

/// Binds a session to a user's mark or password hash and to the login epoch.
fn digest(stored: &str, epoch: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(format!("{epoch}\n{stored}").as_bytes())[..16])
}
