//! Kubernetes service account tokens: section `[kubernetes]` of the settings. The API server verifies them
//! (`TokenReview`, <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>),
//! with the server's own account.

use std::{path::PathBuf, time::Duration};

use ferroflow_model::{Environment, Error, Result};
use ferroflow_store::TokenUser;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    TokenCheck,
    http::{self, address},
    identity::{Groups, number, text, words},
};
use crate::ini::Section;

const KEYS: &[&str] =
    &["api_server", "token_file", "ca_file", "audiences", "namespaces", "group_roles", "admin_group", "cache_seconds"];

/// The directory where a pod's service account credentials are mounted.
const ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

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
    api_server: Url,
    token_file: PathBuf,
    ca_file: Option<PathBuf>,
    audiences: Vec<String>,
    namespaces: Vec<String>,
    groups: Groups,
    cache: Duration,
}

impl KubernetesConfig {
    pub(crate) fn parse(section: &Section, environment: &Environment) -> Result<Self, String> {
        section.check_keys(KEYS).map_err(|key| format!("[kubernetes] has an unknown key '{key}'"))?;
        let in_cluster = || {
            let (host, port) =
                (environment.get("KUBERNETES_SERVICE_HOST")?, environment.get("KUBERNETES_SERVICE_PORT")?);
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            Some(format!("https://{host}:{port}"))
        };
        let api_server = text(section, "api_server")?.or_else(in_cluster);
        let api_server =
            api_server.ok_or("it has no api_server in [kubernetes], and the server does not run in a cluster")?;
        let url = address("api_server", &api_server)?;
        let namespaces = words(section, "namespaces")?;
        if namespaces.is_empty() {
            return Err(
                "it has no namespaces in [kubernetes]: list those whose accounts may log in, or * for all".into()
            );
        }
        let ca_file = match text(section, "ca_file")? {
            Some(path) => Some(PathBuf::from(path)),
            None => Some(PathBuf::from(format!("{ACCOUNT_DIR}/ca.crt"))).filter(|_| url.scheme() == "https"),
        };
        Ok(Self {
            api_server: url,
            token_file: text(section, "token_file")?
                .map_or_else(|| format!("{ACCOUNT_DIR}/token").into(), PathBuf::from),
            ca_file,
            audiences: words(section, "audiences")?,
            namespaces,
            groups: Groups::parse(section)?,
            cache: Duration::from_secs(number(section, "cache_seconds", 60, 600)?),
        })
    }
}

/// Verifies tokens with the API server.
pub(crate) struct Kubernetes {
    config: KubernetesConfig,
    client: Client,
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
struct Account {
    #[serde(default)]
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

impl Kubernetes {
    pub(crate) fn open(config: KubernetesConfig) -> Result<Self, String> {
        let client = http::client(config.ca_file.as_deref(), false)?;
        Ok(Self { config, client, reviews: Semaphore::new(MAX_REVIEWS) })
    }

    /// Verifies a token.
    pub(crate) async fn identify(&self, token: &str) -> Result<TokenCheck> {
        let Ok(Ok(_permit)) = tokio::time::timeout(REVIEW_WAIT, self.reviews.acquire()).await else {
            return Err(Error::busy("Too many tokens are being checked. Try again later."));
        };
        let status = self.review(token).await.map_err(|reason| {
            tracing::error!(reason, "the token review of the Kubernetes API server failed");
            Error::unavailable("The Kubernetes API server cannot review the token now. Try again later.")
        })?;
        Ok(match self.user(status) {
            Ok(user) => TokenCheck::Accepted(user, self.config.cache),
            Err(reason) => TokenCheck::Refused { reason, keep: REFUSED_TIME },
        })
    }

    async fn review(&self, token: &str) -> Result<Status, String> {
        let file = &self.config.token_file;
        // The kubelet rotates the token.
        let own = tokio::fs::read_to_string(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
        let mut spec = json!({"token": token});
        if !self.config.audiences.is_empty() {
            spec["audiences"] = json!(self.config.audiences);
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec});
        let base = self.config.api_server.as_str().trim_end_matches('/');
        let request = self
            .client
            .post(format!("{base}/apis/authentication.k8s.io/v1/tokenreviews"))
            .bearer_auth(own.trim())
            .header("content-type", "application/json")
            .body(body.to_string());
        match http::json(request).await? {
            (StatusCode::OK | StatusCode::CREATED, value) => {
                let review = Review::deserialize(value).map_err(|error| format!("the response is invalid: {error}"))?;
                review.status.ok_or_else(|| "the response has no status".into())
            }
            (status, value) => {
                let message = value.get("message").and_then(|message| message.as_str()).unwrap_or_default();
                Err(format!("it answered {status}: {message} (the server's account needs system:auth-delegator)"))
            }
        }
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
        let account = user.username.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':'));
        let Some((namespace, _)) = account else {
            return Err(format!("'{}' is not a service account", user.username));
        };
        if !self.config.namespaces.iter().any(|allowed| allowed == "*" || allowed == namespace) {
            return Err(format!("the namespace of '{}' is not one of namespaces", user.username));
        }
        if user.username.len() > MAX_USERNAME {
            return Err(format!("the name '{}' has more than {MAX_USERNAME} characters", user.username));
        }
        let mut groups = user.groups;
        groups.push(user.username.clone());
        // An account that is recreated under its name is the same one, as in Kubernetes' own RBAC.
        let owner = format!("kubernetes\n{}", user.username);
        Ok(self.config.groups.user(user.username, &owner, &groups, false))
    }
}
