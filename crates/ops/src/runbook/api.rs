//! The Kubernetes API, as far as runbooks need it: objects as JSON, every change printed before it is made.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ferroflow_model::Environment;
use http::{Method, Request};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Map, Value, json};

/// How often a change is retried after a conflict.
const ATTEMPTS: usize = 5;

/// Maximum polling interval.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A kind of object: its API path, and its name in messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) api: &'static str,
    pub(super) plural: &'static str,
    pub(super) name: &'static str,
}

pub(super) const DEPLOYMENTS: Kind = Kind { api: "apis/apps/v1", plural: "deployments", name: "Deployment" };
pub(super) const JOBS: Kind = Kind { api: "apis/batch/v1", plural: "jobs", name: "Job" };
pub(super) const CRON_JOBS: Kind = Kind { api: "apis/batch/v1", plural: "cronjobs", name: "CronJob" };
pub(super) const NETWORK_POLICIES: Kind =
    Kind { api: "apis/networking.k8s.io/v1", plural: "networkpolicies", name: "NetworkPolicy" };
pub(super) const TEMPLATES: Kind = Kind { api: "apis/template.openshift.io/v1", plural: "templates", name: "Template" };
pub(super) const PODS: Kind = Kind { api: "api/v1", plural: "pods", name: "Pod" };
pub(super) const SECRETS: Kind = Kind { api: "api/v1", plural: "secrets", name: "Secret" };
pub(super) const INGRESSES: Kind = Kind { api: "apis/networking.k8s.io/v1", plural: "ingresses", name: "Ingress" };
pub(super) const ROUTES: Kind = Kind { api: "apis/route.openshift.io/v1", plural: "routes", name: "Route" };
pub(super) const HTTP_ROUTES: Kind =
    Kind { api: "apis/gateway.networking.k8s.io/v1", plural: "httproutes", name: "HTTPRoute" };
pub(super) const CLUSTERS: Kind = Kind { api: "apis/postgresql.cnpg.io/v1", plural: "clusters", name: "Cluster" };
pub(super) const BACKUPS: Kind = Kind { api: "apis/postgresql.cnpg.io/v1", plural: "backups", name: "Backup" };
pub(super) const POOLERS: Kind = Kind { api: "apis/postgresql.cnpg.io/v1", plural: "poolers", name: "Pooler" };
pub(super) const SCHEDULED_BACKUPS: Kind =
    Kind { api: "apis/postgresql.cnpg.io/v1", plural: "scheduledbackups", name: "ScheduledBackup" };
pub(super) const OBJECT_STORES: Kind =
    Kind { api: "apis/barmancloud.cnpg.io/v1", plural: "objectstores", name: "ObjectStore" };

/// The target cluster and options.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// A context of the kubeconfig; `None` for the current one.
    pub context: Option<String>,
    /// A namespace; `None` for that of the context.
    pub namespace: Option<String>,
    /// Print all changes without making them.
    pub dry_run: bool,
}

/// A namespace of a Kubernetes cluster.
pub struct Api {
    client: Client,
    pub(super) namespace: String,
    pub(super) dry_run: bool,
}

impl Api {
    /// Reads the kubeconfig, or the configuration of a pod.
    ///
    /// # Errors
    /// There is none, or it is invalid.
    pub async fn connect(target: &Target, environment: &Environment) -> Result<Self> {
        let config = if target.context.is_none() && environment.os("KUBECONFIG").is_none() {
            Config::infer().await.context("there is no kubeconfig")?
        } else {
            let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
            let kubeconfig = Kubeconfig::read().context("the kubeconfig cannot be read")?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.context("the kubeconfig cannot be used")?
        };
        let namespace = target.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the cluster cannot be reached")?;
        Ok(Self { client, namespace, dry_run: target.dry_run })
    }

    fn path(&self, kind: Kind, name: &str) -> String {
        let base = format!("/{}/namespaces/{}/{}", kind.api, self.namespace, kind.plural);
        if name.is_empty() { base } else { format!("{base}/{name}") }
    }

    async fn call(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Value, kube::Error> {
        let mut request = Request::builder().method(method).uri(path);
        let mut bytes = Vec::new();
        if let Some((media, body)) = body {
            request = request.header(http::header::CONTENT_TYPE, media);
            bytes = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        }
        let request = request.body(bytes).map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }

    /// An object, if it exists.
    pub(super) async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        match self.call(Method::GET, &self.path(kind, name), None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if code(&error) == Some(404) => Ok(None),
            Err(error) => Err(explain(error, &format!("{} {name} cannot be read", kind.name))),
        }
    }

    /// An object that must exist.
    pub(super) async fn get_required(&self, kind: Kind, name: &str) -> Result<Value> {
        let found = self.get(kind, name).await?;
        found.with_context(|| format!("there is no {} {name} in the namespace {}", kind.name, self.namespace))
    }

    /// Objects with these labels; none if the kind does not exist.
    pub(super) async fn list(&self, kind: Kind, labels: &str) -> Result<Vec<Value>> {
        let path = format!("{}?labelSelector={}", self.path(kind, ""), labels.replace('=', "%3D").replace(',', "%2C"));
        match self.call(Method::GET, &path, None).await {
            Ok(mut list) => match list["items"].take() {
                Value::Array(items) => Ok(items),
                _ => Ok(Vec::new()),
            },
            Err(error) if code(&error) == Some(404) => Ok(Vec::new()),
            Err(error) => Err(explain(error, &format!("{}s cannot be listed", kind.name))),
        }
    }

    /// The response of the API server at a cluster-scoped path, and the server's time.
    pub(super) async fn get_path(&self, path: &str) -> Result<(Option<Value>, Option<jiff::Timestamp>)> {
        let request = Request::get(path).body(kube::client::Body::empty())?;
        let answer = self.client.send(request).await.context("the API server does not answer")?;
        let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let clock = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|zoned| zoned.timestamp());
        let is_there = answer.status().is_success();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await?.to_bytes();
        Ok((is_there.then(|| serde_json::from_slice(&body)).transpose()?, clock))
    }

    /// Creates an object. `why` is printed.
    pub(super) async fn create(&self, kind: Kind, why: &str, object: Value) -> Result<Value> {
        let name = text(&object, "/metadata/name").to_owned();
        print_step(&format!("create {} {name}: {why}", kind.name));
        if self.dry_run {
            show(&object);
            return Ok(object);
        }
        let path = format!("{}?fieldManager=ferroflow-ops", self.path(kind, ""));
        let created = self.call(Method::POST, &path, Some(("application/json", &object))).await;
        created.map_err(|error| explain(error, &format!("{} {name} cannot be created", kind.name)))
    }

    /// Changes an object, with retries after conflicts. Nothing is sent if nothing changes.
    pub(super) async fn change(
        &self,
        kind: Kind,
        name: &str,
        why: &str,
        change: impl Fn(&mut Value) -> Result<()>,
    ) -> Result<Value> {
        for attempt in 1.. {
            let before = self.get_required(kind, name).await?;
            let mut after = before.clone();
            change(&mut after)?;
            let Some(mut edit) = merge_patch(&before, &after) else { return Ok(before) };
            if attempt == 1 {
                print_step(&format!("change {} {name}: {why}", kind.name));
            }
            if self.dry_run {
                show(&if kind.plural == SECRETS.plural { json!({"data": "(not shown)"}) } else { edit });
                return Ok(after);
            }
            edit["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            let path = format!("{}?fieldManager=ferroflow-ops", self.path(kind, name));
            match self.call(Method::PATCH, &path, Some(("application/merge-patch+json", &edit))).await {
                Ok(object) => return Ok(object),
                Err(error) if code(&error) == Some(409) && attempt < ATTEMPTS => {}
                Err(error) => return Err(explain(error, &format!("{} {name} cannot be changed", kind.name))),
            }
        }
        bail!("{} {name} changed during every attempt", kind.name)
    }

    /// Deletes this object by its UID, and waits until it is gone.
    pub(super) async fn delete(&self, kind: Kind, object: &Value, why: &str) -> Result<()> {
        let name = text(object, "/metadata/name");
        print_step(&format!("delete {} {name}: {why}", kind.name));
        if self.dry_run {
            return Ok(());
        }
        let uid = object["metadata"]["uid"].clone();
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        });
        match self.call(Method::DELETE, &self.path(kind, name), Some(("application/json", &options))).await {
            Ok(_) => {}
            // Deleted, or replaced by another one.
            Err(error) if matches!(code(&error), Some(404 | 409)) => return Ok(()),
            Err(error) => return Err(explain(error, &format!("{} {name} cannot be deleted", kind.name))),
        }
        let gone = async || {
            let now = self.get(kind, name).await?;
            Ok(now.is_none_or(|now| now["metadata"]["uid"] != uid).then_some(()))
        };
        self.wait(&format!("{} {name} is deleted", kind.name), Duration::from_secs(600), gone).await.map(drop)
    }

    /// The log of a pod's container.
    pub(super) async fn logs(&self, pod: &str, container: &str) -> Result<String> {
        let request = Request::get(format!("{}/log?container={container}", self.path(PODS, pod))).body(Vec::new())?;
        let text = self.client.request_text(request).await;
        text.map_err(|error| explain(error, &format!("the log of the pod {pod} cannot be read")))
    }

    /// Polls until there is a result. `None` in a dry run.
    pub(super) async fn wait<T>(
        &self,
        until: &str,
        timeout: Duration,
        mut poll: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        print_step(&format!("wait until {until}"));
        if self.dry_run {
            return Ok(None);
        }
        let (start, mut pause) = (Instant::now(), Duration::from_millis(100));
        loop {
            if let Some(found) = poll().await? {
                return Ok(Some(found));
            }
            if start.elapsed() > timeout {
                bail!(
                    "timed out after {} s waiting until {until}. Run the command again to continue",
                    timeout.as_secs()
                );
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_POLL_INTERVAL);
        }
    }
}

/// Prints a step.
pub(super) fn print_step(line: &str) {
    let mut out = std::io::stdout().lock();
    // The reader of the output may be gone: the runbook continues.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn show(object: &Value) {
    let text = serde_json::to_string_pretty(object).unwrap_or_default();
    text.lines().for_each(|line| print_step(&format!("    {line}")));
}

/// The text at a JSON pointer, or empty.
pub(super) fn text<'a>(object: &'a Value, place: &str) -> &'a str {
    object.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

/// The items at a JSON pointer, or none.
pub(super) fn items<'a>(object: &'a Value, place: &str) -> &'a [Value] {
    object.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The decoded text of a key in a Secret.
pub(super) fn decoded(secret: &Value, key: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(secret["data"][key].as_str()?).ok()?).ok()
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn explain(error: kube::Error, what: &str) -> anyhow::Error {
    match &error {
        kube::Error::Api(status) => anyhow::anyhow!("{what}: {}", status.message),
        _ => anyhow::Error::new(error).context(what.to_owned()),
    }
}

/// The merge patch between two objects (RFC 7396).
fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(was) => patch.extend(merge_patch(was, value).map(|change| (key.clone(), change))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    patch.extend(old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_what_differs_and_nothing_else() {
        let before = json!({"a": 1, "b": {"c": [1], "d": 2}, "e": 3});
        assert_eq!(merge_patch(&before, &before), None);
        let after = json!({"a": 1, "b": {"c": [1, 2], "d": 2}, "f": {}});
        assert_eq!(merge_patch(&before, &after), Some(json!({"b": {"c": [1, 2]}, "e": null, "f": {}})));
    }
}
