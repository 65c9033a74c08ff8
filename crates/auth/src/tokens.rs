//! Bearer tokens, verified by an `OpenID` Connect provider or by a Kubernetes API server.
//!
//! The user that a token identifies is created in the users database, so that roles and grants apply and it is listed
//! like other users. A verified token is cached for a while under a keyed hash, together with the user's mark or
//! password hash: when an admin deletes or changes the user, the token is verified again.

pub(crate) mod api_server;
mod browser;
mod http;
pub(crate) mod identity;
mod jwt;
mod keys;
mod kubernetes;
mod oidc;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_model::{Error, ErrorCode, Result, cache::Cache};
use ferroflow_store::TokenUser;
use reqwest::Url;

pub(crate) use self::identity::flag;
use self::{
    api_server::ApiServer,
    browser::{Browser, LOGIN_TIME},
    kubernetes::Kubernetes,
    oidc::Oidc,
};
pub use self::{browser::Callback, kubernetes::KubernetesConfig, oidc::OidcConfig};
use crate::{
    caller::{Caller, Credential},
    config::{AuthConfig, ConfigError},
    login::{Auth, Snapshot},
    namespaces::Namespaces,
};

/// Maximum size of a token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// Time for which a verified token is cached, unless it expires earlier.
const CACHE_TIME: Duration = Duration::from_secs(60);

/// Capacity of the caches of verified and of rejected tokens.
const MAX_ACCEPTED: usize = 10_000;
const MAX_REFUSED: usize = 1_000;

type Digest = [u8; 32];

/// Verifies bearer tokens and caches the results.
pub struct Tokens {
    oidc: Option<Oidc>,
    kubernetes: Option<Kubernetes>,
    namespaces: Option<Namespaces>,
    accepted: Cache<Digest, AcceptedToken>,
    refused: Cache<Digest, Instant>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            oidc: None,
            kubernetes: None,
            namespaces: None,
            accepted: Cache::new(MAX_ACCEPTED),
            refused: Cache::new(MAX_REFUSED),
        }
    }
}

#[derive(Clone)]
struct AcceptedToken {
    username: Arc<str>,
    stored: Arc<str>,
    epoch: Arc<str>,
    until: Instant,
}

/// The result of verifying a token.
enum TokenCheck {
    /// The user, and for how long this may be cached.
    Accepted(TokenUser, Duration),
    /// The reason for rejection, and for how long this may be cached.
    Refused { reason: String, keep: Duration },
}

/// A login that was started at the provider.
pub struct LoginStart {
    /// The URL to redirect the browser to.
    pub location: Url,
    /// The cookie that the browser has to send back.
    pub cookie: String,
    /// How long the login may take.
    pub time: Duration,
}

impl Tokens {
    /// Creates the verifiers from the settings. `secret` is the key that all replicas share.
    ///
    /// # Errors
    /// A CA file cannot be used.
    pub fn open(config: &AuthConfig, secret: &str) -> Result<Self, ConfigError> {
        let mut tokens = Self {
            oidc: config.oidc.clone().map(|oidc| Oidc::open(oidc, secret)).transpose().map_err(ConfigError::Tokens)?,
            ..Self::default()
        };
        if let Some(kubernetes) = config.kubernetes.clone() {
            let api = ApiServer::open(&kubernetes.api_server).map_err(ConfigError::Tokens)?;
            let workspaces = kubernetes.workspaces.clone();
            tokens.namespaces = workspaces.map(|config| Namespaces::open(config, api.clone()));
            tokens.kubernetes = Some(Kubernetes::open(kubernetes, api));
        }
        Ok(tokens)
    }

    fn browser(&self) -> Option<(&Oidc, &Browser)> {
        self.oidc.as_ref().and_then(|oidc| Some((oidc, oidc.browser.as_ref()?)))
    }

    async fn identify(&self, token: &str) -> Result<TokenCheck> {
        match (&self.oidc, &self.kubernetes) {
            (Some(oidc), None) => oidc.identify(token).await,
            (Some(oidc), Some(_)) if oidc.is_claimed_by(token) => oidc.identify(token).await,
            (_, Some(kubernetes)) => kubernetes.identify(token).await,
            (None, None) => {
                Ok(TokenCheck::Refused { reason: "this server accepts no tokens".into(), keep: Duration::ZERO })
            }
        }
    }

    fn known(&self, digest: &Digest) -> Option<AcceptedToken> {
        self.accepted.get(digest).filter(|known| known.until > Instant::now())
    }

    fn is_refused(&self, digest: &Digest) -> bool {
        self.refused.has(digest, |until| *until > Instant::now())
    }

    fn remember(&self, digest: Digest, found: &Snapshot, epoch: Arc<str>, life: Duration) {
        let until = Instant::now() + life.min(CACHE_TIME);
        let username = found.caller.username.as_str().into();
        let accepted = AcceptedToken { username, stored: Arc::clone(&found.stored), epoch, until };
        self.accepted.insert(digest, accepted);
    }

    fn refuse(&self, digest: Digest, keep: Duration) {
        if keep > Duration::ZERO {
            self.refused.insert(digest, Instant::now() + keep);
        }
    }
}

impl Auth {
    /// Whether bearer tokens are accepted.
    #[must_use]
    pub fn accepts_tokens(&self) -> bool {
        self.tokens().oidc.is_some() || self.tokens().kubernetes.is_some()
    }

    /// The namespaces that are the workspaces of the server, if they are.
    #[must_use]
    pub fn namespaces(&self) -> Option<&Namespaces> {
        self.tokens().namespaces.as_ref()
    }

    /// Returns the user of a bearer token, or `None`.
    ///
    /// # Errors
    /// The provider or API server does not respond, or the database failed.
    pub async fn authenticate_token(&self, token: &str) -> Result<Option<Arc<Caller>>> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let digest = self.digest(token);
        let found = self.user_by(digest, self.tokens().identify(token)).await?;
        if self.namespaces().is_none_or(|namespaces| namespaces.remote_headers().is_some()) {
            return Ok(found);
        }
        // The cluster is asked with it what the caller may do.
        Ok(found.map(|caller| Arc::new(caller.with_credential(Credential::token(token, digest)))))
    }

    /// Returns the user whom a trusted proxy has authenticated, or `None`. The cluster is asked what a user with the name
    /// and the groups may do.
    ///
    /// # Errors
    /// The database failed.
    pub async fn authenticate_vouched(&self, username: &str, mut groups: Vec<String>) -> Result<Option<Arc<Caller>>> {
        let Some(kubernetes) = &self.tokens().kubernetes else { return Ok(None) };
        if self.namespaces().is_none_or(|namespaces| namespaces.remote_headers().is_none()) {
            return Ok(None);
        }
        groups.sort();
        groups.dedup();
        // No header has this byte, so that no token and no other user has the same text.
        let text: Vec<&str> = ["", username].into_iter().chain(groups.iter().map(String::as_str)).collect();
        let digest = self.digest(&text.join("\0"));
        let check = kubernetes.vouched(username, groups.clone());
        // Another request may have this name with other groups, and the row of the user is that of both.
        let is_admin = matches!(&check, TokenCheck::Accepted(user, _) if user.is_admin != Some(false));
        let found = self.user_by(digest, async { Ok(check) }).await?;
        Ok(found.map(|caller| Arc::new(caller.vouched(Credential::user(username, groups, digest), is_admin))))
    }

    /// The user that `identify` finds, which is not asked about a digest that is known.
    async fn user_by(
        &self,
        digest: Digest,
        identify: impl Future<Output = Result<TokenCheck>>,
    ) -> Result<Option<Arc<Caller>>> {
        let tokens = self.tokens();
        let epoch = self.epoch().await?;
        if let Some(known) = tokens.known(&digest)
            && let Some(found) = self.snapshot(&known.username).await?
            && found.stored == known.stored
            && epoch == known.epoch
        {
            return Ok(Some(found.caller));
        }
        if tokens.is_refused(&digest) {
            return Ok(None);
        }
        match identify.await? {
            TokenCheck::Accepted(user, life) => match self.admit(&user).await {
                Ok(found) => {
                    tokens.remember(digest, &found, epoch, life);
                    Ok(Some(found.caller))
                }
                Err(error) if error.code == ErrorCode::PermissionDenied => {
                    tracing::warn!(reason = error.message, "a token or a user of the proxy was refused");
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            TokenCheck::Refused { reason, keep } => {
                tracing::info!(reason, "a token or a user of the proxy was refused");
                tokens.refuse(digest, keep);
                Ok(None)
            }
        }
    }

    /// Creates or updates the user of a token, and loads it.
    async fn admit(&self, user: &TokenUser) -> Result<Snapshot> {
        self.users().admit(user).await?;
        let found = self.load(&user.username).await?;
        found.ok_or_else(|| Error::unavailable("The user of the token was deleted. Try again later."))
    }

    /// Whether browsers log in at a provider.
    #[must_use]
    pub fn has_login_page(&self) -> bool {
        self.tokens().browser().is_some()
    }

    /// Whether cookies are for HTTPS only, and their lifetime.
    #[must_use]
    pub fn cookies(&self) -> Option<(bool, Duration)> {
        self.tokens().browser().map(|(_, browser)| (browser.is_secure(), browser.session_time()))
    }

    /// Starts a login of a browser that is to return to `next`. `None` if no provider is configured.
    ///
    /// # Errors
    /// The provider does not respond.
    pub async fn begin_login(&self, next: &str) -> Result<Option<LoginStart>> {
        let Some((oidc, browser)) = self.tokens().browser() else { return Ok(None) };
        let (location, cookie) = browser.begin(&*oidc.provider.metadata().await?, next)?;
        Ok(Some(LoginStart { location, cookie, time: LOGIN_TIME }))
    }

    /// Completes a login. Returns the session cookie, the user's name, and the `next` of the login.
    ///
    /// # Errors
    /// The login was not started here, the provider rejected it, or its user is not allowed.
    pub async fn finish_login(&self, cookie: &str, callback: &Callback) -> Result<(String, String, String)> {
        let Some((oidc, browser)) = self.tokens().browser() else {
            return Err(Error::new(ErrorCode::EndpointNotFound, "This server has no identity provider."));
        };
        let (user, next) = oidc.finish(browser, cookie, callback).await?;
        let found = self.admit(&user).await?;
        let session = browser.session(&found.caller.username, &found.stored, &self.epoch().await?);
        Ok((session, user.username, next))
    }

    /// Returns the user of a session cookie, or `None`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn authenticate_session(&self, cookie: &str) -> Result<Option<Arc<Caller>>> {
        let Some((username, is_same)) = self.tokens().browser().and_then(|(_, browser)| browser.read_session(cookie))
        else {
            return Ok(None);
        };
        let epoch = self.epoch().await?;
        let found = self.snapshot(&username).await?;
        Ok(found.filter(|found| is_same(&found.stored, &epoch)).map(|found| found.caller))
    }

    /// The provider's logout page, if it has one.
    pub async fn logout_page(&self) -> Option<Url> {
        let (oidc, browser) = self.tokens().browser()?;
        // Logging out works even if the provider does not respond.
        browser.logout_url(&*oidc.provider.metadata().await.ok()?)
    }
}
