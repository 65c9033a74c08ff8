//! The Kubernetes API, as far as runbooks need it: objects as JSON, every change printed before it is made.

mod connection;
mod kinds;
mod lease;
mod objects;
mod ownership;

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use ferroflow_model::Environment;
use http::Method;
use jiff::SignedDuration;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use self::{
    connection::Connection,
    lease::Lease,
    objects::merge_patch,
    ownership::{MANAGER, inherited, returned},
};
pub(super) use self::{
    connection::Failure,
    kinds::*,
    objects::{decoded, items, text},
};

/// How often a change is retried after a conflict.
const ATTEMPTS: usize = 5;

/// Maximum polling interval.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(5);

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
    connection: Connection,
    /// Who runs this process, for the lease.
    operator: String,
    /// The lease of the running runbook.
    lease: Mutex<Option<std::sync::Arc<Lease>>>,
    /// The resources that the server has, by the path of their group.
    served: Mutex<BTreeMap<&'static str, Option<Vec<String>>>>,
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
        Ok(Self {
            connection: Connection::new(client),
            operator: lease::operator(environment),
            lease: Mutex::default(),
            served: Mutex::default(),
            namespace,
            dry_run: target.dry_run,
        })
    }

    fn path(&self, kind: Kind, name: &str) -> String {
        let base = format!("/{}/namespaces/{}/{}", kind.api, self.namespace, kind.plural);
        if name.is_empty() { base } else { format!("{base}/{name}") }
    }

    /// Reads a path, with retries while the API server cannot be reached.
    async fn read(&self, path: &str) -> Result<Bytes, Failure> {
        self.connection.persist(async |_| self.connection.send(Method::GET, path, None).await).await
    }

    /// Sends a change while this runbook has the lease. `None` if an attempt may have made it and its response was lost.
    async fn write(&self, method: Method, path: &str, media: &str, body: &Value) -> Result<Option<Value>, Failure> {
        let attempt = async |number: u32| {
            self.hold().await?;
            match self.connection.send(method.clone(), path, Some((media, body))).await {
                Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_default())),
                Err(Failure::Refused { code: 409, .. }) if number > 1 => Ok(None),
                Err(failure) => Err(failure),
            }
        };
        self.connection.persist(attempt).await
    }

    /// Acquires the lease of a release.
    pub(super) async fn acquire(&self, release: &str, runbook: &str) -> Result<()> {
        let lease = Lease::acquire(&self.connection, &self.namespace, release, runbook, &self.operator).await;
        let lease = lease.map_err(|failure| explain(failure, &format!("the Lease {}", lease::name(release))))?;
        *self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(lease.into());
        Ok(())
    }

    /// Releases the lease.
    pub(super) async fn release(&self) {
        let lease = self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(lease) = lease {
            lease.release(&self.connection).await;
        }
    }

    /// Returns the holder of a release's lease, if it has not expired.
    pub(super) async fn holder(&self, release: &str) -> Result<Option<String>> {
        let lease = self.get(LEASES, &lease::name(release)).await?;
        let holder = lease.as_ref().and_then(|lease| lease::live_holder(lease, self.connection.now()));
        Ok(holder.map(str::to_owned))
    }

    /// Checks that this runbook has the lease.
    async fn hold(&self) -> Result<(), Failure> {
        let lease = self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        match lease {
            Some(lease) => lease.hold(&self.connection).await,
            None => Err(Failure::Stopped("this runbook has no lease: it makes no change".to_owned())),
        }
    }

    /// Returns whether the API server has a kind. It answers 403 also for kinds that it does not have.
    pub(super) async fn is_served(&self, kind: Kind) -> Result<bool> {
        if kind.group().is_empty() {
            return Ok(true);
        }
        let known = |served: &Option<Vec<String>>| {
            served.as_ref().is_none_or(|served| served.iter().any(|plural| plural == kind.plural))
        };
        if let Some(served) = self.served.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(kind.api) {
            return Ok(known(served));
        }
        let served = match self.read(&format!("/{}", kind.api)).await {
            Ok(list) => {
                let list: Value = serde_json::from_slice(&list)?;
                Some(items(&list, "/resources").iter().map(|one| text(one, "/name").to_owned()).collect())
            }
            Err(failure) if failure.code() == Some(404) => Some(Vec::new()),
            // Discovery is denied to this user: the kind may exist.
            Err(failure) if failure.code() == Some(403) => None,
            Err(failure) => return Err(explain(failure, &format!("the kinds of {} cannot be read", kind.api))),
        };
        let is_there = known(&served);
        self.served.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(kind.api, served);
        Ok(is_there)
    }

    /// An object, if it exists.
    pub(super) async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        match self.read(&self.path(kind, name)).await {
            Ok(object) => Ok(Some(serde_json::from_slice(&object)?)),
            Err(failure) if failure.code() == Some(404) => Ok(None),
            Err(failure) if failure.code() == Some(403) && !self.is_served(kind).await? => Ok(None),
            Err(failure) => Err(explain(failure, &format!("{} {name} cannot be read", kind.name))),
        }
    }

    /// An object that must exist.
    pub(super) async fn get_required(&self, kind: Kind, name: &str) -> Result<Value> {
        let found = self.get(kind, name).await?;
        found.with_context(|| format!("there is no {} {name} in the namespace {}", kind.name, self.namespace))
    }

    /// Objects with these labels; none if the kind does not exist.
    pub(super) async fn list(&self, kind: Kind, labels: &str) -> Result<Vec<Value>> {
        let labels = percent_encoding::utf8_percent_encode(labels, percent_encoding::NON_ALPHANUMERIC);
        match self.read(&format!("{}?labelSelector={labels}", self.path(kind, ""))).await {
            Ok(list) => {
                let mut list: Value = serde_json::from_slice(&list)?;
                match list["items"].take() {
                    Value::Array(items) => Ok(items),
                    _ => Ok(Vec::new()),
                }
            }
            Err(failure) if failure.code() == Some(404) => Ok(Vec::new()),
            Err(failure) if failure.code() == Some(403) && !self.is_served(kind).await? => Ok(Vec::new()),
            Err(failure) => Err(explain(failure, &format!("{} cannot be listed", kind.plural))),
        }
    }

    /// The response of the API server at a cluster-scoped path, if there is one.
    pub(super) async fn get_path(&self, path: &str) -> Result<Option<Value>> {
        match self.read(path).await {
            Ok(answer) => Ok(Some(serde_json::from_slice(&answer)?)),
            Err(failure) if failure.code() == Some(404) => Ok(None),
            Err(failure) => Err(explain(failure, &format!("{path} cannot be read"))),
        }
    }

    /// Asks the API server whether this user has a right. `None` if it refuses the question.
    pub(super) async fn may(&self, attributes: &Value) -> Result<Option<bool>> {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let body = Some(("application/json", &review));
        let answer = self.connection.persist(async |_| self.connection.send(Method::POST, path, body).await).await;
        match answer {
            Ok(answer) => Ok(serde_json::from_slice::<Value>(&answer)?["status"]["allowed"].as_bool()),
            Err(Failure::Refused { .. }) => Ok(None),
            Err(failure) => Err(explain(failure, "the rights cannot be reviewed")),
        }
    }

    /// Difference of the API server's clock to this machine's; positive if it is ahead.
    pub(super) fn clock_ahead(&self) -> Option<SignedDuration> {
        self.connection.ahead()
    }

    /// Creates an object. `why` is printed.
    pub(super) async fn create(&self, kind: Kind, why: &str, object: Value) -> Result<Value> {
        let name = text(&object, "/metadata/name").to_owned();
        print_step(&format!("create {} {name}: {why}", kind.name));
        if self.dry_run {
            show(&object);
            return Ok(object);
        }
        let path = format!("{}?fieldManager={MANAGER}", self.path(kind, ""));
        let created = self.write(Method::POST, &path, "application/json", &object).await;
        match created {
            Ok(None) => self.get_required(kind, &name).await,
            Ok(Some(created)) => Ok(created),
            Err(failure) => Err(explain(failure, &format!("{} {name} cannot be created", kind.name))),
        }
    }

    /// Creates an object that replaces another one, with the owner of that one. See [`ownership`].
    pub(super) async fn create_like(&self, kind: Kind, why: &str, object: Value, model: &Value) -> Result<Value> {
        let made = self.create(kind, why, object).await?;
        self.inherit(kind, made, model).await
    }

    /// Makes the owner of another object the owner of one that a runbook has created.
    pub(super) async fn inherit(&self, kind: Kind, made: Value, model: &Value) -> Result<Value> {
        if self.dry_run { Ok(made) } else { self.own(kind, made, |made| inherited(model, made)).await }
    }

    /// Changes an object, with retries after conflicts. Nothing is sent if nothing changes.
    pub(super) async fn change(
        &self,
        kind: Kind,
        name: &str,
        why: &str,
        change: impl Fn(&mut Value) -> Result<()>,
    ) -> Result<Value> {
        let mut first: Option<Value> = None;
        for attempt in 1.. {
            let before = self.get_required(kind, name).await?;
            let mut after = before.clone();
            change(&mut after)?;
            let Some(mut edit) = merge_patch(&before, &after) else {
                // Changed already, perhaps by a runbook that was killed before it returned the fields.
                return if self.dry_run { Ok(before) } else { self.return_fields(kind, first.as_ref(), before).await };
            };
            if attempt == 1 {
                print_step(&format!("change {} {name}: {why}", kind.name));
            }
            if self.dry_run {
                show(&if kind.plural == SECRETS.plural { json!({"data": "(not shown)"}) } else { edit });
                return Ok(after);
            }
            edit["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            let path = format!("{}?fieldManager={MANAGER}", self.path(kind, name));
            match self.write(Method::PATCH, &path, "application/merge-patch+json", &edit).await {
                // Read again whether an attempt without a response has made the change.
                Ok(None) => {}
                Ok(Some(object)) => {
                    return self.return_fields(kind, Some(first.as_ref().unwrap_or(&before)), object).await;
                }
                Err(failure) if failure.code() == Some(409) && attempt < ATTEMPTS => {}
                Err(failure) => return Err(explain(failure, &format!("{} {name} cannot be changed", kind.name))),
            }
            first.get_or_insert(before);
        }
        bail!("{} {name} changed during every attempt", kind.name)
    }

    /// Returns the fields of a changed object to their owners. See [`ownership`].
    async fn return_fields(&self, kind: Kind, before: Option<&Value>, after: Value) -> Result<Value> {
        self.own(kind, after, |after| returned(before, after)).await
    }

    /// Writes the owners of an object's fields unless they are right already.
    async fn own(&self, kind: Kind, mut after: Value, owners: impl Fn(&Value) -> Option<Value>) -> Result<Value> {
        let name = text(&after, "/metadata/name").to_owned();
        let path = format!("{}?fieldManager={MANAGER}", self.path(kind, &name));
        for _ in 0..ATTEMPTS {
            let Some(entries) = owners(&after) else { break };
            let version = after["metadata"]["resourceVersion"].clone();
            let edit = json!({"metadata": {"managedFields": entries, "resourceVersion": version}});
            match self.write(Method::PATCH, &path, "application/merge-patch+json", &edit).await {
                Ok(None) => after = self.get_required(kind, &name).await?,
                Ok(Some(object)) => return Ok(object),
                // Its controller changed it in between.
                Err(failure) if failure.code() == Some(409) => after = self.get_required(kind, &name).await?,
                Err(failure) => return Err(explain(failure, &format!("{} {name} cannot be changed", kind.name))),
            }
        }
        Ok(after)
    }

    /// Deletes this object by its UID, and waits until it is gone. Runbooks delete only their own temporary objects, so
    /// this needs no lease: a runbook that has lost it still cleans up.
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
        let (path, body) = (self.path(kind, name), Some(("application/json", &options)));
        let sent = self.connection.persist(async |_| self.connection.send(Method::DELETE, &path, body).await).await;
        match sent {
            Ok(_) => {}
            // Deleted, or replaced by another one.
            Err(failure) if matches!(failure.code(), Some(404 | 409)) => return Ok(()),
            Err(failure) => return Err(explain(failure, &format!("{} {name} cannot be deleted", kind.name))),
        }
        let gone = async || {
            let now = self.get(kind, name).await?;
            Ok(now.is_none_or(|now| now["metadata"]["uid"] != uid).then_some(()))
        };
        self.wait(&format!("{} {name} is deleted", kind.name), Duration::from_secs(600), gone).await.map(drop)
    }

    /// The log of a pod's container; `previous`: of the one before its last restart.
    pub(super) async fn logs(&self, pod: &str, container: &str, previous: bool) -> Result<String> {
        let path = format!("{}/log?container={container}&previous={previous}", self.path(PODS, pod));
        match self.read(&path).await {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(failure) => Err(explain(failure, &format!("the log of the pod {pod} cannot be read"))),
        }
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
            self.keep().await?;
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

    /// Renews the lease while a runbook waits. It is no failure if the API server cannot be reached.
    async fn keep(&self) -> Result<()> {
        match self.hold().await {
            Err(Failure::Stopped(reason)) if self.has_lease() => bail!(reason),
            _ => Ok(()),
        }
    }

    fn has_lease(&self) -> bool {
        self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some()
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

/// A right that the user lacks. `doctor` continues without it.
#[derive(Debug)]
pub(super) struct Denied(pub(super) String);

impl std::fmt::Display for Denied {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Denied {}

fn explain(failure: Failure, what: &str) -> anyhow::Error {
    match failure {
        Failure::Refused { code: 403, message } => Denied(format!("{what}: you lack the right ({message})")).into(),
        other => anyhow::Error::new(other).context(what.to_owned()),
    }
}
