//! The API server of a Kubernetes cluster: where it is, and requests to it.

use std::path::PathBuf;

use ferroflow_model::Environment;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use super::{
    http::{self, address},
    identity::text,
};
use crate::ini::Section;

/// The directory where a pod's service account credentials are mounted.
const ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Maximum size of the response to a review, in bytes.
pub(crate) const MAX_ANSWER: usize = http::MAX_RESPONSE;

/// The settings.
#[derive(Debug, Clone)]
pub(crate) struct ApiServerConfig {
    url: Url,
    token_file: PathBuf,
    ca_file: Option<PathBuf>,
}

impl ApiServerConfig {
    /// Parses `api_server`, `token_file` and `ca_file` of section `[kubernetes]`.
    pub(crate) fn parse(section: &Section, environment: &Environment) -> Result<Self, String> {
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
        let ca_file = match text(section, "ca_file")? {
            Some(path) => Some(PathBuf::from(path)),
            None => Some(PathBuf::from(format!("{ACCOUNT_DIR}/ca.crt"))).filter(|_| url.scheme() == "https"),
        };
        let token_file =
            text(section, "token_file")?.map_or_else(|| format!("{ACCOUNT_DIR}/token").into(), PathBuf::from);
        Ok(Self { url, token_file, ca_file })
    }
}

/// Sends requests. It keeps connections open, and clones share them.
#[derive(Clone)]
pub(crate) struct ApiServer {
    base: String,
    token_file: PathBuf,
    client: Client,
}

impl ApiServer {
    pub(crate) fn open(config: &ApiServerConfig) -> Result<Self, String> {
        Ok(Self {
            base: config.url.as_str().trim_end_matches('/').to_owned(),
            token_file: config.token_file.clone(),
            client: http::client(config.ca_file.as_deref(), false)?,
        })
    }

    /// The token of the server's own account.
    ///
    /// # Errors
    /// The reason, for a log.
    pub(crate) async fn own_token(&self) -> Result<String, String> {
        let file = &self.token_file;
        // The kubelet rotates the token.
        let own = tokio::fs::read_to_string(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(own.trim().to_owned())
    }

    /// Creates an object as the owner of a token. Reviews are such objects: the answer has their outcome. `max` is the
    /// maximum size of the response, in bytes.
    ///
    /// # Errors
    /// The reason, for a log.
    pub(crate) async fn create(
        &self,
        path: &str,
        token: &str,
        body: &Value,
        max: usize,
    ) -> Result<(StatusCode, Value), String> {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/json").body(body.to_string());
        http::json_of_size(authorized(request, token), max).await
    }

    /// Reads objects with the server's own token. `max` is the maximum size of the response, in bytes.
    ///
    /// # Errors
    /// The reason, for a log.
    pub(crate) async fn read(
        &self,
        path: &str,
        query: &str,
        accept: &str,
        max: usize,
    ) -> Result<(StatusCode, Value), String> {
        let request = self.client.get(format!("{}{path}?{query}", self.base)).header("accept", accept);
        http::json_of_size(authorized(request, &self.own_token().await?), max).await
    }
}

fn authorized(request: RequestBuilder, token: &str) -> RequestBuilder {
    request.bearer_auth(token)
}

/// The message of an error of the API server.
pub(crate) fn message(answer: &Value) -> &str {
    answer.get("message").and_then(Value::as_str).unwrap_or_default()
}
