//! Workspaces of another tracking server (`--workspace-store-uri https://…`), by its REST API, as of the reference's
//! `RestWorkspaceStore`: it says which there are, and creates, changes and deletes them. What is in them is in this server's
//! own database, where their rows are created when they are needed, and say nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_model::{
    Environment, Error, ErrorCode, Result,
    cache::Cache,
    error::with_causes,
    messages::service::{TraceArchivalConfig, Workspace as WorkspaceRecord},
    permission::DEFAULT_WORKSPACE,
};
use ferroflow_store::{DeletionMode, Workspace, WorkspaceValues, workspaces::no_workspace};
use http::{HeaderMap, Method, StatusCode};
use reqwest::{Client, RequestBuilder, Url, redirect};
use rustls::RootCertStore;
use serde_json::{Map, Value, json};

use super::namespaces::no_workspace_named;
use crate::{app::App, http_client};

const PATH: &str = "api/3.0/mlflow/workspaces";

/// Marks the requests of a server that asks for its workspaces: another one that would ask on does not.
const MARK: &str = "x-ferroflow-workspace-store";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a whole request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a response, in bytes.
const MAX_RESPONSE: usize = 8 * 1024 * 1024;

/// How long it is known whether there is a workspace.
const MEMORY: Duration = Duration::from_secs(1);

/// Maximum number of known workspaces.
const CAPACITY: usize = 10_000;

/// The other server.
pub struct RemoteWorkspaces {
    url: Url,
    client: Client,
    credentials: Credentials,
    known: Cache<Box<str>, (Instant, bool)>,
}

/// Those of `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, or of `MLFLOW_TRACKING_TOKEN`.
enum Credentials {
    None,
    Password(String, String),
    Token(String),
}

impl RemoteWorkspaces {
    /// Whether a URI names a server.
    #[must_use]
    pub fn is_server(uri: &str) -> bool {
        ["http://", "https://"]
            .iter()
            .any(|scheme| uri.get(..scheme.len()).is_some_and(|at| at.eq_ignore_ascii_case(scheme)))
    }

    /// The server at a URL, with the credentials in the environment. No request is sent yet.
    ///
    /// # Errors
    /// The URL is not valid, or has credentials, a query or a fragment.
    pub fn open(uri: &str, environment: &Environment) -> Result<Self, String> {
        let url = Url::parse(uri).map_err(|_| "it is not a URL".to_owned())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has credentials: use MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment".into());
        }
        let base = format!("{}/{PATH}", url.as_str().trim_end_matches('/'));
        let get = |name: &str| environment.get(name).map(str::to_owned);
        let credentials = match (get("MLFLOW_TRACKING_USERNAME"), get("MLFLOW_TRACKING_PASSWORD")) {
            (Some(name), Some(password)) => Credentials::Password(name, password),
            _ => get("MLFLOW_TRACKING_TOKEN").map_or(Credentials::None, Credentials::Token),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let client = http_client::builder(roots)
            .map_err(|error| error.to_string())?
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        let url = Url::parse(&base).map_err(|_| "it is not a URL".to_owned())?;
        Ok(Self { url, client, credentials, known: Cache::new(CAPACITY) })
    }

    /// Whether requests have credentials that everyone on the way can read.
    #[must_use]
    pub fn sends_credentials_in_the_clear(&self) -> bool {
        let is_local = matches!(self.url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        self.url.scheme() == "http" && !is_local && !matches!(self.credentials, Credentials::None)
    }

    /// The workspace with a name, or the default one.
    ///
    /// # Errors
    /// There is no such workspace, or the other server does not answer.
    pub(super) async fn workspace(&self, app: &App, headers: &HeaderMap, name: Option<&str>) -> Result<Workspace> {
        self.check_is_last(headers)?;
        let wanted = name.unwrap_or(DEFAULT_WORKSPACE);
        if !self.has(wanted).await? {
            return Err(name.map_or_else(no_workspace_named, no_workspace));
        }
        app.store.workspaces().adopt_workspace(wanted).await
    }

    /// Refuses a request of a server that asks for its workspaces: this one has none of its own, and might ask itself.
    pub(super) fn check_is_last(&self, headers: &HeaderMap) -> Result<()> {
        if headers.contains_key(MARK) {
            return Err(Error::invalid(format!(
                "The workspaces of this server are those of {}, which --workspace-store-uri must name.",
                self.url.host_str().unwrap_or_default()
            )));
        }
        Ok(())
    }

    async fn has(&self, name: &str) -> Result<bool> {
        if let Some((at, has)) = self.known.get(name)
            && at.elapsed() < MEMORY
        {
            return Ok(has);
        }
        let asked = Instant::now();
        let has = match self.get(name).await {
            Ok(_) => true,
            Err(error) if error.code == ErrorCode::ResourceDoesNotExist => false,
            Err(error) => return Err(error),
        };
        self.known.insert(name.into(), (asked, has));
        Ok(has)
    }

    /// All workspaces that the credentials may see.
    ///
    /// # Errors
    /// The other server does not answer.
    pub(crate) async fn list(&self) -> Result<Vec<WorkspaceRecord>> {
        let answer = self.send(Method::GET, None, "", None).await?;
        let found = answer.get("workspaces").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(found.iter().filter_map(record).collect())
    }

    /// One workspace.
    ///
    /// # Errors
    /// No workspace has the name, or the other server does not answer.
    pub(crate) async fn get(&self, name: &str) -> Result<WorkspaceRecord> {
        let answer = self.send(Method::GET, Some(name), "", None).await?;
        one(&answer)
    }

    /// Creates a workspace.
    ///
    /// # Errors
    /// Those of the other server; or this one still has something of a workspace with the name that was deleted there.
    pub(crate) async fn create(&self, app: &App, name: &str, values: &WorkspaceValues) -> Result<WorkspaceRecord> {
        match self.get(name).await {
            Ok(_) => return Err(Error::already_exists(format!("Workspace '{name}' already exists."))),
            Err(error) if error.code != ErrorCode::ResourceDoesNotExist => return Err(error),
            Err(_) => delete_here(app, name, DeletionMode::Restrict).await?,
        };
        let mut body = body(values);
        body.insert("name".into(), name.into());
        let answer = self.send(Method::POST, None, "", Some(body.into())).await;
        self.known.remove(name);
        one(&answer?)
    }

    /// Changes a workspace.
    ///
    /// # Errors
    /// Those of the other server.
    pub(crate) async fn update(&self, name: &str, values: &WorkspaceValues) -> Result<WorkspaceRecord> {
        let answer = self.send(Method::PATCH, Some(name), "", Some(body(values).into())).await?;
        one(&answer)
    }

    /// Deletes what this server has of a workspace, or moves it, and then the workspace.
    ///
    /// # Errors
    /// This server has something of it that may not be deleted, and the errors of the other server.
    pub(crate) async fn delete(&self, app: &App, name: &str, mode: DeletionMode) -> Result<()> {
        let was_here = delete_here(app, name, mode).await?;
        let query = match mode {
            DeletionMode::Restrict => "mode=RESTRICT",
            DeletionMode::Cascade => "mode=CASCADE",
            DeletionMode::SetDefault => "mode=SET_DEFAULT",
        };
        let answer = self.send(Method::DELETE, Some(name), query, None).await;
        self.known.remove(name);
        match answer {
            // What was left here of a workspace that is deleted there.
            Err(error) if was_here && error.code == ErrorCode::ResourceDoesNotExist => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Sends a request about all workspaces, or that with a name, which is validated.
    async fn send(&self, method: Method, name: Option<&str>, query: &str, body: Option<Value>) -> Result<Value> {
        let mut url = self.url.clone();
        if let (Some(name), Ok(mut path)) = (name, url.path_segments_mut()) {
            path.push(name);
        }
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let mut request = self.client.request(method, url).header(MARK, "1");
        request = match &self.credentials {
            Credentials::None => request,
            Credentials::Password(name, password) => request.basic_auth(name, Some(password)),
            Credentials::Token(token) => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let failed = |reason: String| {
            tracing::error!(reason, "the server with the workspaces does not answer as it should");
            Error::unavailable("The server with the workspaces does not answer now. Try again later.")
        };
        let (status, text) = read(request).await.map_err(failed)?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Value =
            serde_json::from_slice(&text).map_err(|_| failed(format!("the response ({status}) is not JSON")))?;
        if status.is_success() {
            return Ok(answer);
        }
        let of = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        // What the credentials may not do is a fault of the operator, and not of the caller.
        let told = [
            ErrorCode::InvalidParameterValue,
            ErrorCode::ResourceAlreadyExists,
            ErrorCode::ResourceDoesNotExist,
            ErrorCode::InvalidState,
            ErrorCode::FeatureDisabled,
        ];
        match told.into_iter().find(|code| code.name() == of("error_code")) {
            Some(code) => Err(Error::new(code, of("message"))),
            None => Err(failed(format!("it answered {status}: {} {}", of("error_code"), of("message")))),
        }
    }
}

/// Deletes or moves what this server has of a workspace, and returns whether it knew it: the row of a workspace that no
/// request has named yet is missing.
async fn delete_here(app: &App, name: &str, mode: DeletionMode) -> Result<bool> {
    match app.store.workspaces().delete_workspace(name, mode).await {
        Ok(()) => Ok(true),
        Err(error) if error.code == ErrorCode::ResourceDoesNotExist => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends a request and reads the response.
async fn read(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
    let mut response = request.send().await.map_err(|error| with_causes(&error))?;
    let (status, mut text) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| with_causes(&error))? {
        if text.len() + chunk.len() > MAX_RESPONSE {
            return Err(format!("the response is larger than {MAX_RESPONSE} bytes"));
        }
        text.extend_from_slice(&chunk);
    }
    Ok((status, text))
}

/// The message with the values that are set.
fn body(values: &WorkspaceValues) -> Map<String, Value> {
    let WorkspaceValues { description, default_artifact_root, trace_archival_location, trace_archival_retention } =
        values;
    let set = |pairs: [(&str, &Option<String>); 2]| -> Map<String, Value> {
        let of = |(key, value): (&str, &Option<String>)| Some((key.to_owned(), value.as_deref()?.into()));
        pairs.into_iter().filter_map(of).collect()
    };
    let mut body = set([("description", description), ("default_artifact_root", default_artifact_root)]);
    let archival = set([("location", trace_archival_location), ("retention", trace_archival_retention)]);
    if !archival.is_empty() {
        body.insert("trace_archival_config".into(), json!(archival));
    }
    body
}

/// The workspace in a response.
fn one(answer: &Value) -> Result<WorkspaceRecord> {
    answer.get("workspace").and_then(record).ok_or_else(|| {
        tracing::error!("the response of the server with the workspaces has no workspace");
        Error::unavailable("The server with the workspaces does not answer now. Try again later.")
    })
}

fn record(value: &Value) -> Option<WorkspaceRecord> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let archival = value.get("trace_archival_config").filter(|config| !config.is_null());
    Some(WorkspaceRecord {
        name: Some(text(value, "name")?),
        description: text(value, "description"),
        default_artifact_root: text(value, "default_artifact_root"),
        trace_archival_config: archival.map(|config| TraceArchivalConfig {
            location: text(config, "location"),
            retention: text(config, "retention"),
        }),
    })
}

impl App {
    /// The other server whose workspaces this one has.
    pub(crate) fn remote_workspaces(&self) -> Option<&Arc<RemoteWorkspaces>> {
        self.store.remote_workspaces()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_server() {
        let variables = [("MLFLOW_TRACKING_USERNAME", "a"), ("MLFLOW_TRACKING_PASSWORD", "b")];
        let open = |uri: &str| RemoteWorkspaces::open(uri, &Environment::new(variables));
        assert!(RemoteWorkspaces::is_server("HTTPS://host") && !RemoteWorkspaces::is_server("sqlite:///http://"));
        let found = open("http://host:5000/mlflow/").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.url.as_str(), "http://host:5000/mlflow/api/3.0/mlflow/workspaces");
        assert!(found.sends_credentials_in_the_clear());
        let is_clear = |uri| open(uri).is_ok_and(|found| found.sends_credentials_in_the_clear());
        assert!(!is_clear("https://host") && !is_clear("http://127.0.0.1:5000"));
        for uri in ["http://", "https://a:b@host", "https://host?a=b", "https://host#a"] {
            assert!(open(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn messages_have_what_is_set() {
        let values = WorkspaceValues {
            description: Some("text".into()),
            trace_archival_retention: Some(String::new()),
            ..WorkspaceValues::default()
        };
        let sent = Value::from(body(&values));
        assert_eq!(sent, json!({"description": "text", "trace_archival_config": {"retention": ""}}));
        let found =
            record(&json!({"name": "a", "default_artifact_root": "s3://b", "trace_archival_config": null})).unwrap();
        assert_eq!((found.name(), found.default_artifact_root()), ("a", "s3://b"));
        assert!(found.description.is_none() && found.trace_archival_config.is_none());
        assert!(record(&json!({"description": "a"})).is_none() && one(&json!({})).is_err());
    }
}
