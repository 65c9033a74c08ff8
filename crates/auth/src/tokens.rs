//! Bearer tokens: who somebody is, said by an `OpenID` Connect provider or by a Kubernetes API server.
//!
//! Whom a token names becomes a user of the users database, so that roles and grants apply and everybody can see them.
//! A token that was good is remembered for a while under a keyed hash, together with what its user had in the place of
//! a password: when an admin deletes or changes the user, the token is looked at anew.

mod browser;
mod http;
mod identity;
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

pub use self::{browser::Callback, kubernetes::KubernetesConfig, oidc::OidcConfig};
use self::{
    browser::{Browser, LOGIN_TIME},
    kubernetes::Kubernetes,
    oidc::Oidc,
};
use crate::{
    caller::Caller,
    config::{AuthConfig, ConfigError},
    login::{Auth, Snapshot},
};

/// Bytes of a token at the most.
const MAX_TOKEN: usize = 16 * 1024;

/// How long a token that was good needs no checking, if it does not end before.
const CACHE_TIME: Duration = Duration::from_secs(60);

/// Tokens that are remembered at the most: good ones, and refused ones.
const MAX_GOOD: usize = 10_000;
const MAX_REFUSED: usize = 1_000;

type Digest = [u8; 32];

/// Who says whose a token is, and what was said.
pub struct Tokens {
    oidc: Option<Oidc>,
    kubernetes: Option<Kubernetes>,
    good: Cache<Digest, Good>,
    refused: Cache<Digest, Instant>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { oidc: None, kubernetes: None, good: Cache::new(MAX_GOOD), refused: Cache::new(MAX_REFUSED) }
    }
}

#[derive(Clone)]
struct Good {
    username: Arc<str>,
    stored: Arc<str>,
    epoch: Arc<str>,
    until: Instant,
}

/// What is said of a token.
enum Verdict {
    /// Whose it is, and for how long that counts.
    Is(TokenUser, Duration),
    /// Why it is nobody's, and how long it need not be looked at again.
    Refused { reason: String, keep: Duration },
}

/// A login at the provider that has begun.
pub struct LoginStart {
    /// Where the browser is sent to.
    pub location: Url,
    /// What the browser has to bring back.
    pub cookie: String,
    /// How long it may take.
    pub time: Duration,
}

impl Tokens {
    /// Puts together what the settings say. `secret` is the key that all servers share.
    ///
    /// # Errors
    /// A file of certificates can not be used.
    pub fn open(config: &AuthConfig, secret: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            oidc: config.oidc.clone().map(|oidc| Oidc::open(oidc, secret)).transpose().map_err(ConfigError::Tokens)?,
            kubernetes: config.kubernetes.clone().map(Kubernetes::open).transpose().map_err(ConfigError::Tokens)?,
            ..Self::default()
        })
    }

    fn browser(&self) -> Option<(&Oidc, &Browser)> {
        self.oidc.as_ref().and_then(|oidc| Some((oidc, oidc.browser.as_ref()?)))
    }

    async fn identify(&self, token: &str) -> Result<Verdict> {
        match (&self.oidc, &self.kubernetes) {
            (Some(oidc), None) => oidc.identify(token).await,
            (Some(oidc), Some(_)) if oidc.is_claimed_by(token) => oidc.identify(token).await,
            (_, Some(kubernetes)) => kubernetes.identify(token).await,
            (None, None) => Ok(Verdict::Refused { reason: "no tokens count here".into(), keep: Duration::ZERO }),
        }
    }

    fn known(&self, digest: &Digest) -> Option<Good> {
        self.good.get(digest).filter(|known| known.until > Instant::now())
    }

    fn is_refused(&self, digest: &Digest) -> bool {
        self.refused.has(digest, |until| *until > Instant::now())
    }

    fn remember(&self, digest: Digest, found: &Snapshot, epoch: Arc<str>, life: Duration) {
        let until = Instant::now() + life.min(CACHE_TIME);
        let username = found.caller.username.as_str().into();
        let good = Good { username, stored: Arc::clone(&found.stored), epoch, until };
        self.good.insert(digest, good);
    }

    fn refuse(&self, digest: Digest, keep: Duration) {
        if keep > Duration::ZERO {
            self.refused.insert(digest, Instant::now() + keep);
        }
    }
}

impl Auth {
    /// Whether bearer tokens mean something here.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        self.tokens().oidc.is_some() || self.tokens().kubernetes.is_some()
    }

    /// Whose a bearer token is, or nobody's.
    ///
    /// # Errors
    /// Who could say so does not answer, or the database failed.
    pub async fn authenticate_token(&self, token: &str) -> Result<Option<Arc<Caller>>> {
        let tokens = self.tokens();
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let digest = self.digest(token);
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
        match tokens.identify(token).await? {
            Verdict::Is(user, life) => match self.admit(&user).await {
                Ok(found) => {
                    tokens.remember(digest, &found, epoch, life);
                    Ok(Some(found.caller))
                }
                Err(error) if error.code == ErrorCode::PermissionDenied => {
                    tracing::warn!(reason = error.message, "a bearer token was refused");
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            Verdict::Refused { reason, keep } => {
                tracing::info!(reason, "a bearer token was refused");
                tokens.refuse(digest, keep);
                Ok(None)
            }
        }
    }

    /// The user of a token, as the database has it now.
    async fn admit(&self, user: &TokenUser) -> Result<Snapshot> {
        self.users().admit(user).await?;
        let found = self.load(&user.username).await?;
        found.ok_or_else(|| Error::unavailable("The user of the token was deleted a moment ago."))
    }

    /// Whether browsers log in at a provider.
    #[must_use]
    pub fn has_login_page(&self) -> bool {
        self.tokens().browser().is_some()
    }

    /// Whether the cookies of browsers are for https alone, and how long they last.
    #[must_use]
    pub fn cookies(&self) -> Option<(bool, Duration)> {
        self.tokens().browser().map(|(_, browser)| (browser.is_secure(), browser.session_time()))
    }

    /// Begins a login of a browser that wants to go to `next`. `None` without a provider to log in at.
    ///
    /// # Errors
    /// The provider does not answer.
    pub async fn begin_login(&self, next: &str) -> Result<Option<LoginStart>> {
        let Some((oidc, browser)) = self.tokens().browser() else { return Ok(None) };
        let (location, cookie) = browser.begin(&*oidc.provider.metadata().await?, next)?;
        Ok(Some(LoginStart { location, cookie, time: LOGIN_TIME }))
    }

    /// Ends a login: the cookie of a session, the user's name, and where the browser wanted to go.
    ///
    /// # Errors
    /// The login was not begun here, the provider refused it, or its user may not be let in.
    pub async fn finish_login(&self, cookie: &str, back: &Callback) -> Result<(String, String, String)> {
        let Some((oidc, browser)) = self.tokens().browser() else {
            return Err(Error::new(ErrorCode::EndpointNotFound, "This server has no provider to log in at."));
        };
        let (user, next) = oidc.finish(browser, cookie, back).await?;
        let found = self.admit(&user).await?;
        let session = browser.session(&found.caller.username, &found.stored, &self.epoch().await?);
        Ok((session, user.username, next))
    }

    /// Who is logged in with the cookie of a session.
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

    /// Where a browser ends its session at the provider, if there is such a place.
    pub async fn logout_page(&self) -> Option<Url> {
        let (oidc, browser) = self.tokens().browser()?;
        // Whoever wants to go may go, even if the provider does not answer.
        browser.end(&*oidc.provider.metadata().await.ok()?)
    }
}
