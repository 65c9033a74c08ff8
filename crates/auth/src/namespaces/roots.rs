//! The artifact roots of namespaces: the owner of one chooses a bucket and a path in it by the custom resource
//! `MLflowConfig` of Open Data Hub (`mlflow.kubeflow.org/v1`,
//! <https://github.com/opendatahub-io/mlflow-kubernetes-plugins/blob/main/docs/workspace-provider.md>).
//!
//! The server reads the resource `mlflow` of the namespace, and the Secret `mlflow-artifact-connection` for the name of the
//! bucket, with its own account. Without the resource, or its definition, the root is the default one. A resource that is
//! not valid is an error: the default root would be another place than the owner of the namespace wants.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ferroflow_model::{Environment, Error, Result, cache::Cache};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{reviews::FAILURE_TIME, rights::GROUP};
use crate::tokens::api_server::{ApiServer, message};

/// The name of the resource, and of the Secret that it has to name.
const CONFIG: &str = "mlflow";
const SECRET: &str = "mlflow-artifact-connection";

/// Maximum size of a response in bytes: a Secret has up to 1 MiB, in base64.
const MAX_RESPONSE: usize = 2 * 1024 * 1024;

/// The longest path in a bucket, in bytes.
const MAX_PATH: usize = 512;

/// Number of namespaces whose roots are cached.
const CAPACITY: usize = 10_000;

/// Maximum number of concurrent requests, and how long one waits.
const MAX_REQUESTS: usize = 8;
const WAIT: Duration = Duration::from_secs(5);

/// The variables with the endpoint of the server's own S3 store, in the order in which they are read.
const ENDPOINTS: [&str; 3] = ["MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

pub(super) struct Roots {
    api: ApiServer,
    cache: Duration,
    /// The endpoint of the server's own S3 store; `None` for that of AWS.
    endpoint: Option<String>,
    known: Cache<Box<str>, (Instant, Found)>,
    permits: Semaphore,
}

/// The root of a namespace, or `None` for the default one.
type Found = Result<Option<String>, Fault>;

/// Why a namespace has no root.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// The resource or the Secret is not valid, for this reason.
    Broken(String),
    /// The API server does not answer, or not as it should.
    Unavailable,
}

impl Fault {
    fn of(&self, namespace: &str) -> Error {
        match self {
            Self::Broken(reason) => {
                Error::invalid(format!("The MLflowConfig '{CONFIG}' in namespace '{namespace}' is not valid: {reason}"))
            }
            Self::Unavailable => Error::unavailable(
                "The Kubernetes API server cannot say where the artifacts of the workspace are. Try again later.",
            ),
        }
    }
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RootsConfig {
    /// The endpoint of the server's own S3 store; `None` for that of AWS.
    endpoint: Option<String>,
}

impl RootsConfig {
    pub(super) fn new(environment: &Environment) -> Self {
        Self { endpoint: ENDPOINTS.into_iter().find_map(|name| environment.get(name)).map(str::to_owned) }
    }
}

impl Roots {
    pub(super) fn new(api: ApiServer, cache: Duration, config: RootsConfig) -> Self {
        let RootsConfig { endpoint } = config;
        Self { api, cache, endpoint, known: Cache::new(CAPACITY), permits: Semaphore::new(MAX_REQUESTS) }
    }

    /// The root of a namespace, or `None` for the default one.
    pub(super) async fn get(&self, namespace: &str) -> Result<Option<String>> {
        let time = |found: &Found| if *found == Err(Fault::Unavailable) { FAILURE_TIME } else { self.cache };
        if let Some((at, found)) = self.known.get(namespace)
            && at.elapsed() < time(&found)
        {
            return found.map_err(|fault| fault.of(namespace));
        }
        let Ok(Ok(_permit)) = tokio::time::timeout(WAIT, self.permits.acquire()).await else {
            return Err(Error::busy("Too many artifact roots are being read. Try again later."));
        };
        let asked = Instant::now();
        let found = self.read(namespace).await;
        if let Err(Fault::Broken(reason)) = &found {
            tracing::warn!(namespace, reason, "the MLflowConfig of a namespace is not valid");
        }
        let at = if found == Err(Fault::Unavailable) { Instant::now() } else { asked };
        self.known.insert(namespace.into(), (at, found.clone()));
        found.map_err(|fault| fault.of(namespace))
    }

    async fn read(&self, namespace: &str) -> Found {
        let config = format!("/apis/{GROUP}/v1/namespaces/{namespace}/mlflowconfigs/{CONFIG}");
        let Some(config) = self.object(&config, "mlflowconfigs").await? else { return Ok(None) };
        let path = path_in_bucket(&config).map_err(Fault::Broken)?;
        let secret = format!("/api/v1/namespaces/{namespace}/secrets/{SECRET}");
        let secret = self.object(&secret, "secrets").await?;
        let secret = secret.ok_or_else(|| Fault::Broken(format!("there is no Secret '{SECRET}'")))?;
        let bucket = bucket(&secret, self.endpoint.as_deref()).map_err(Fault::Broken)?;
        Ok(Some(format!("s3://{bucket}{path}")))
    }

    /// An object, if it exists.
    async fn object(&self, path: &str, resource: &str) -> Result<Option<Value>, Fault> {
        let failed = |reason: String| {
            tracing::error!(reason, "the artifact root of a namespace cannot be read");
            Fault::Unavailable
        };
        match self.api.read(path, "", "application/json", MAX_RESPONSE).await.map_err(failed)? {
            (StatusCode::OK, value) => Ok(Some(value)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, value) => Err(failed(format!(
                "the Kubernetes API server answered {status}: {} (the server's account needs get on {resource})",
                message(&value)
            ))),
        }
    }
}

/// The path in the bucket that a resource names, with a slash before each of its parts.
fn path_in_bucket(config: &Value) -> Result<String, String> {
    let spec = |key: &str| match config.pointer(&format!("/spec/{key}")) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.trim()),
        Some(_) => Err(format!("{key} is not a text")),
    };
    let secret = spec("artifactRootSecret")?;
    if secret != SECRET {
        return Err(format!("artifactRootSecret '{secret}' is not '{SECRET}'"));
    }
    let path = spec("artifactRootPath")?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.=+@,".contains(&byte);
    if path.len() > MAX_PATH || path.starts_with('/') || !path.bytes().all(is_allowed) {
        return Err(format!(
            "artifactRootPath must be a relative path of at most {MAX_PATH} letters, digits and -_.=+@,"
        ));
    }
    let mut found = String::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err("artifactRootPath must not contain '..'".into());
        }
        found.push('/');
        found.push_str(part);
    }
    Ok(found)
}

/// The name of the bucket in a Secret. Its store must be that of the server, whose own credentials are used.
fn bucket(secret: &Value, endpoint: Option<&str>) -> Result<String, String> {
    let value = |key: &str| -> Result<Option<String>, String> {
        let Some(encoded) = secret.pointer(&format!("/data/{key}")).and_then(Value::as_str) else { return Ok(None) };
        let decoded = BASE64_STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = decoded.ok_or_else(|| format!("{key} in Secret '{SECRET}' is not a text"))?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    };
    let name = value("AWS_S3_BUCKET")?.ok_or_else(|| format!("Secret '{SECRET}' has no AWS_S3_BUCKET"))?;
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_bucket = (3..=63).contains(&name.len())
        && ends(name.bytes().next())
        && ends(name.bytes().next_back())
        && name.bytes().all(is_inner)
        && !name.contains("..");
    if !is_bucket {
        return Err(format!("AWS_S3_BUCKET in Secret '{SECRET}' is not the name of a bucket"));
    }
    match value("AWS_S3_ENDPOINT")? {
        Some(wanted) if !is_same_store(&wanted, endpoint) => {
            Err(format!("AWS_S3_ENDPOINT in Secret '{SECRET}' is not the store of this server"))
        }
        _ => Ok(name),
    }
}

/// Whether an endpoint of S3 is that of the server, or one of AWS if the server uses that.
fn is_same_store(wanted: &str, own: Option<&str>) -> bool {
    let parse = |text: &str| Url::parse(text).ok();
    let Some(wanted) = parse(wanted).or_else(|| parse(&format!("https://{wanted}"))) else { return false };
    match own {
        Some(own) => parse(own).is_some_and(|own| {
            (wanted.host_str(), wanted.port_or_known_default()) == (own.host_str(), own.port_or_known_default())
        }),
        None => wanted.host_str().is_some_and(|host| {
            let suffixes = [".amazonaws.com", ".amazonaws.com.cn"];
            suffixes.iter().any(|suffix| host.ends_with(suffix))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(spec: &Value) -> Result<String, String> {
        path_in_bucket(&json!({ "spec": spec }))
    }

    fn secret(values: &[(&str, &str)]) -> Value {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), BASE64_STANDARD.encode(value).into())).collect();
        json!({ "data": data })
    }

    #[test]
    fn a_path_stays_in_its_bucket() {
        let of = |text: &str| path(&json!({"artifactRootSecret": SECRET, "artifactRootPath": text}));
        assert_eq!(path(&json!({ "artifactRootSecret": SECRET })), Ok(String::new()));
        for (text, found) in [("", ""), (" ml ", "/ml"), ("a//b/./c/", "/a/b/c"), (".", ""), ("a=1/b_2", "/a=1/b_2")] {
            assert_eq!(of(text).as_deref(), Ok(found), "{text}");
        }
        let long = "a".repeat(MAX_PATH + 1);
        for text in ["/a", "..", "a/../b", "a/..", r"a\b", "a?b", "a#b", "a%2Fb", "a b", "ä", &long] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_resource_that_is_not_valid_is_refused() {
        for spec in [
            json!({}),
            json!({"artifactRootSecret": ""}),
            json!({"artifactRootSecret": "other"}),
            json!({"artifactRootSecret": [SECRET]}),
            json!({"artifactRootSecret": SECRET, "artifactRootPath": 7}),
        ] {
            assert!(path(&spec).is_err(), "{spec}");
        }
        assert!(path_in_bucket(&json!({})).is_err());
    }

    #[test]
    fn a_secret_names_a_bucket_of_the_server() {
        let named = |name: &str| bucket(&secret(&[("AWS_S3_BUCKET", name)]), None);
        assert_eq!(named("ml-data.2\n").as_deref(), Ok("ml-data.2"));
        for name in ["", "ab", "-ab", "ab-", "a/b", "a..b", "A-b", "a_b", "a@b", &"a".repeat(64)] {
            assert!(named(name).is_err(), "{name}");
        }
        assert!(bucket(&json!({}), None).is_err());
        assert!(bucket(&json!({"data": {"AWS_S3_BUCKET": "###"}}), None).is_err());
        let at = |endpoint: &str, own: Option<&str>| {
            bucket(&secret(&[("AWS_S3_BUCKET", "team"), ("AWS_S3_ENDPOINT", endpoint)]), own).is_ok()
        };
        for (endpoint, own, is_same) in [
            ("https://s3.eu-west-1.amazonaws.com", None, true),
            ("s3.amazonaws.com", None, true),
            ("https://amazonaws.com.example.com", None, false),
            ("https://minio.ml:9000/", Some("http://minio.ml:9000"), true),
            ("http://minio.ml", Some("http://minio.ml:80"), true),
            ("https://minio.ml:9000", Some("http://minio.other:9000"), false),
            ("https://minio.ml:9000", None, false),
            ("https://s3.amazonaws.com", Some("http://minio.ml:9000"), false),
            ("", None, true),
        ] {
            assert_eq!(at(endpoint, own), is_same, "{endpoint} {own:?}");
        }
    }
}
