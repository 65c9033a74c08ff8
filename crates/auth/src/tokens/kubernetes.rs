//! Kubernetes tokens: section `[kubernetes]` of the settings. The API server verifies them.
//!
//! Tokens of service accounts are reviewed with the server's own account (`TokenReview`,
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>). Where workspaces are
//! namespaces, every token of the cluster is accepted, and is asked whose it is (`SelfSubjectReview`,
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/self-subject-review-v1/>), which takes no
//! permission of the server; or a proxy has done that, and no token is accepted.

use std::time::Duration;

use ferroflow_model::{Environment, Error, Result};
use ferroflow_store::TokenUser;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    TokenCheck,
    api_server::{ApiServer, ApiServerConfig, MAX_ANSWER, message},
    identity::{Groups, number, text, words},
};
use crate::{ini::Section, namespaces::NamespacesConfig};

/// The keys, beside those of [`NamespacesConfig::keys`].
const KEYS: [&str; 9] = [
    "api_server",
    "token_file",
    "ca_file",
    "audiences",
    "namespaces",
    "group_roles",
    "group_workspace_roles",
    "admin_group",
    "cache_seconds",
];

/// The prefix of usernames of service accounts.
const PREFIX: &str = "system:serviceaccount:";

/// Maximum length of a username in the users database, here in bytes.
const MAX_USERNAME: usize = 255;

/// Time for which a rejected token is cached.
const REFUSED_TIME: Duration = Duration::from_secs(10);

/// Maximum number of concurrent reviews, and how long one waits.
const MAX_REVIEWS: usize = 8;
const REVIEW_WAIT: Duration = Duration::from_secs(5);

/// The settings.
#[derive(Debug, Clone)]
pub struct KubernetesConfig {
    pub(crate) api_server: ApiServerConfig,
    audiences: Vec<String>,
    namespaces: Vec<String>,
    groups: Groups,
    cache: Duration,
    /// Present if the workspaces are namespaces.
    pub(crate) workspaces: Option<NamespacesConfig>,
}

impl KubernetesConfig {
    pub(crate) fn parse(section: &Section, environment: &Environment) -> Result<Self, String> {
        let keys: Vec<&str> = KEYS.into_iter().chain(NamespacesConfig::keys()).collect();
        section.check_keys(&keys).map_err(|key| format!("[kubernetes] has an unknown key '{key}'"))?;
        let api_server = ApiServerConfig::parse(section, environment)?;
        let workspaces = NamespacesConfig::parse(section, environment)?;
        let mut namespaces = words(section, "namespaces")?;
        if namespaces.is_empty() && workspaces.is_some() {
            // Who may do what is said by the cluster.
            namespaces.push("*".to_owned());
        }
        if namespaces.is_empty() {
            return Err(
                "it has no namespaces in [kubernetes]: list those whose accounts may log in, or * for all".into()
            );
        }
        if workspaces.is_some() {
            for (key, reason) in [
                ("audiences", "the tokens are used at the API server, whose audience they must have"),
                ("group_roles", "the cluster says who may do what, not roles"),
                ("group_workspace_roles", "the cluster says who may do what, not roles"),
            ] {
                if text(section, key)?.is_some() {
                    return Err(format!("{key} is set in [kubernetes] beside workspaces = namespaces: {reason}"));
                }
            }
        }
        Ok(Self {
            api_server,
            audiences: words(section, "audiences")?,
            namespaces,
            groups: Groups::parse(section)?,
            cache: Duration::from_secs(number(section, "cache_seconds", 60, 600)?),
            workspaces,
        })
    }
}

/// Verifies tokens with the API server.
pub(crate) struct Kubernetes {
    config: KubernetesConfig,
    api: ApiServer,
    reviews: Semaphore,
}

#[derive(Deserialize)]
struct Review {
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    audiences: Vec<String>,
    user: Option<Account>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct SelfReview {
    status: Option<SelfStatus>,
}

#[derive(Deserialize)]
struct SelfStatus {
    #[serde(rename = "userInfo")]
    user: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

impl Kubernetes {
    pub(crate) fn open(config: KubernetesConfig, api: ApiServer) -> Self {
        Self { config, api, reviews: Semaphore::new(MAX_REVIEWS) }
    }

    /// Verifies a token.
    pub(crate) async fn identify(&self, token: &str) -> Result<TokenCheck> {
        if self.config.workspaces.as_ref().is_some_and(|workspaces| workspaces.remote.is_some()) {
            let reason = "authorization_mode = subject_access_review: the proxy takes tokens, not the server".into();
            return Ok(TokenCheck::Refused { reason, keep: Duration::ZERO });
        }
        let Ok(Ok(_permit)) = tokio::time::timeout(REVIEW_WAIT, self.reviews.acquire()).await else {
            return Err(Error::busy("Too many tokens are being checked. Try again later."));
        };
        let found = match self.config.workspaces {
            Some(_) => self.self_review(token).await.map(|found| found.and_then(|account| self.member(account))),
            None => self.review(token).await.map(|status| self.user(status)),
        };
        let found = found.map_err(|reason| {
            tracing::error!(reason, "the token review of the Kubernetes API server failed");
            Error::unavailable("The Kubernetes API server cannot review the token now. Try again later.")
        })?;
        Ok(match found {
            Ok(user) => TokenCheck::Accepted(user, self.config.cache),
            Err(reason) => TokenCheck::Refused { reason, keep: REFUSED_TIME },
        })
    }

    /// The user whom a trusted proxy has authenticated.
    pub(crate) fn vouched(&self, username: &str, groups: Vec<String>) -> TokenCheck {
        match self.member(Account { username: username.to_owned(), groups }) {
            Ok(user) => TokenCheck::Accepted(user, self.config.cache),
            Err(reason) => TokenCheck::Refused { reason, keep: REFUSED_TIME },
        }
    }

    async fn review(&self, token: &str) -> Result<Status, String> {
        let mut spec = json!({"token": token});
        if !self.config.audiences.is_empty() {
            spec["audiences"] = json!(self.config.audiences);
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec});
        let own = self.api.own_token().await?;
        match self.api.create("/apis/authentication.k8s.io/v1/tokenreviews", &own, &body, MAX_ANSWER).await? {
            (StatusCode::OK | StatusCode::CREATED, value) => {
                let review = Review::deserialize(value).map_err(|error| format!("the response is invalid: {error}"))?;
                review.status.ok_or_else(|| "the response has no status".into())
            }
            (status, value) => Err(format!(
                "it answered {status}: {} (the server's account needs system:auth-delegator)",
                message(&value)
            )),
        }
    }

    /// The owner of a token, as the API server tells it to the token itself; the inner error is a refusal.
    async fn self_review(&self, token: &str) -> Result<Result<Account, String>, String> {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let answer =
            self.api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", token, &body, MAX_ANSWER).await?;
        let (status, value): (StatusCode, Value) = answer;
        match status {
            StatusCode::OK | StatusCode::CREATED => {
                let review =
                    SelfReview::deserialize(value).map_err(|error| format!("the response is invalid: {error}"))?;
                let account = review.status.and_then(|status| status.user);
                account.map(Ok).ok_or_else(|| "the response has no user".into())
            }
            StatusCode::UNAUTHORIZED => Ok(Err("the API server does not accept it".into())),
            _ => Err(format!("it answered {status}: {} (SelfSubjectReview needs Kubernetes 1.28)", message(&value))),
        }
    }

    /// The user of a token that the cluster accepts.
    fn member(&self, account: Account) -> Result<TokenUser, String> {
        let name = &account.username;
        if name.is_empty() {
            return Err("it authenticates no user".into());
        }
        // Nodes, the control plane, and who has no token at all.
        if name.starts_with("system:") && !name.starts_with(PREFIX) {
            return Err(format!("'{name}' is neither a service account nor a user"));
        }
        self.named(account)
    }

    fn user(&self, status: Status) -> Result<TokenUser, String> {
        let user = match status.user {
            Some(user) if status.authenticated => user,
            _ => return Err(status.error.unwrap_or_else(|| "it authenticates no user".into())),
        };
        // An API server that is not audience-aware returns no audiences.
        let requested = &self.config.audiences;
        if !requested.is_empty() && !status.audiences.iter().any(|audience| requested.contains(audience)) {
            return Err("it is for another audience".into());
        }
        if !user.username.starts_with(PREFIX) {
            return Err(format!("'{}' is not a service account", user.username));
        }
        self.named(user)
    }

    fn named(&self, account: Account) -> Result<TokenUser, String> {
        let Account { username, mut groups } = account;
        if let Some(rest) = username.strip_prefix(PREFIX) {
            let Some((namespace, _)) = rest.split_once(':') else {
                return Err(format!("'{username}' is not a service account"));
            };
            if !self.config.namespaces.iter().any(|allowed| allowed == "*" || allowed == namespace) {
                return Err(format!("the namespace of '{username}' is not one of namespaces"));
            }
        }
        if username.len() > MAX_USERNAME {
            return Err(format!("the name '{username}' has more than {MAX_USERNAME} characters"));
        }
        groups.push(username.clone());
        // An account that is recreated under its name is the same one, as in Kubernetes' own RBAC.
        let owner = format!("kubernetes\n{username}");
        Ok(self.config.groups.user(username, &owner, &groups, false))
    }
}
