//! An installation: the server's Deployment, and its current database cluster.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    api::{Api, CLUSTERS, DEPLOYMENTS, Denied, PODS, items, print_step, text},
    pods::{Pods, last_lines},
};

/// Suffixes of objects of a cluster, from the operator or the chart.
const CLUSTER_SUFFIXES: [&str; 7] = ["-rw", "-ro", "-r", "-pooler-rw", "-app", "-ca", "-superuser"];

/// Timeout of starting or stopping a server.
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(900);

/// Timeout of a database cluster's recovery.
pub(super) const RECOVERY_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// Barman's message about an archive that another cluster has written to.
const NOT_EMPTY: &str = "Expected empty archive";
const ANOTHER_NAME: &str = "The bucket has an archive of this name already: give the cluster another --name";

/// Number of failed pods after which a restore is treated as failed.
const TRIES: usize = 3;

/// An installed release.
pub(super) struct Release {
    pub(super) name: String,
    pub(super) deployment: Value,
    /// The name of the database cluster.
    pub(super) cluster: String,
}

impl Release {
    /// Finds the release.
    pub(super) async fn find(api: &Api, name: &str) -> Result<Self> {
        let deployment =
            api.get_required(DEPLOYMENTS, name).await.map_err(|error| match error.downcast::<Denied>() {
                // A user with the chart's Role may read this Deployment only under its right name.
                Ok(Denied(what)) => Denied(format!(
                    "{what}. If {name} is not your release, or {} not its namespace: say --release and --namespace",
                    api.namespace
                ))
                .into(),
                Err(other) => other,
            })?;
        let host = variable(&deployment, "PGHOST").unwrap_or_default();
        let cluster = host.strip_suffix("-pooler-rw").or_else(|| host.strip_suffix("-rw"));
        let cluster = cluster.with_context(|| {
            format!(
                "the server {name} has no database of CloudNativePG (PGHOST is '{host}'): `ferroflow ops` is for those"
            )
        })?;
        Ok(Self { name: name.to_owned(), cluster: cluster.to_owned(), deployment })
    }

    /// The container of the server.
    pub(super) fn container(&self) -> Result<&Value> {
        server(&self.deployment)
    }

    pub(super) fn replicas(&self) -> u64 {
        self.deployment["spec"]["replicas"].as_u64().unwrap_or(1)
    }
}

/// The container of the server in a Deployment.
pub(super) fn server(deployment: &Value) -> Result<&Value> {
    let containers = items(deployment, "/spec/template/spec/containers");
    let named = containers.iter().find(|container| container["name"] == "mlflow");
    named.or(containers.first()).context("the Deployment has no container")
}

/// An environment variable of the server, if its value is plain text.
pub(super) fn variable<'a>(deployment: &'a Value, name: &str) -> Option<&'a str> {
    let env = items(server(deployment).ok()?, "/env");
    env.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

/// The Secret and the key of the basic-auth configuration.
pub(super) fn configuration(deployment: &Value) -> Option<(&str, &str)> {
    let volumes = items(deployment, "/spec/template/spec/volumes");
    let volume = volumes.iter().find(|volume| volume["name"] == "auth")?;
    Some((text(volume, "/secret/secretName"), text(volume, "/secret/items/0/key")))
}

/// Points a pod to another cluster: its services, secrets and certificates.
pub(super) fn retarget(spec: &mut Value, old: &str, new: &str) {
    match spec {
        Value::String(text) => {
            let belongs = text.strip_prefix(old).is_some_and(|rest| CLUSTER_SUFFIXES.contains(&rest));
            if belongs {
                *text = format!("{new}{}", &text[old.len()..]);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| retarget(item, old, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| retarget(field, old, new)),
        _ => {}
    }
}

/// Scales the server, and waits until its pods are ready or gone.
pub(super) async fn scale(api: &Api, name: &str, replicas: u64) -> Result<()> {
    let why = format!("{replicas} replicas");
    api.change(DEPLOYMENTS, name, &why, |deployment| {
        deployment["spec"]["replicas"] = json!(replicas);
        Ok(())
    })
    .await?;
    rolled_out(api, name).await
}

/// Waits until the Deployment has rolled out.
///
/// # Errors
/// A pod cannot start, or the timeout is over. The message has the reason for which pods wait.
pub(super) async fn rolled_out(api: &Api, name: &str) -> Result<()> {
    let deployment = api.get_required(DEPLOYMENTS, name).await?;
    let image = server(&deployment).map_or("", |container| text(container, "/image")).to_owned();
    let mut pods = Pods::new(api, selector(&deployment), image);
    let mut quota = String::new();
    let poll = async || {
        let deployment = api.get_required(DEPLOYMENTS, name).await?;
        let number = |place: &str| deployment.pointer(place).and_then(Value::as_u64).unwrap_or_default();
        let wanted = number("/spec/replicas");
        let is_seen = number("/status/observedGeneration") >= number("/metadata/generation");
        let runs = ["replicas", "updatedReplicas", "readyReplicas"];
        let runs = runs.iter().all(|field| number(&format!("/status/{field}")) == wanted);
        if is_seen && runs {
            return Ok(Some(()));
        }
        pods.look().await?;
        // Pods that cannot be created: a quota or an admission webhook refuses them.
        if let Some(failure) = condition(&deployment, "ReplicaFailure").filter(|failure| failure["status"] == "True") {
            let message = text(failure, "/message");
            if message != quota {
                print_step(&format!("  pods of {name} cannot be created: {message}"));
                message.clone_into(&mut quota);
            }
        }
        let progress = condition(&deployment, "Progressing").filter(|_| is_seen);
        ensure!(
            progress.is_none_or(|progress| progress["reason"] != "ProgressDeadlineExceeded"),
            "the Deployment {name} makes no progress: {} {quota}",
            progress.map(|progress| text(progress, "/message")).unwrap_or_default()
        );
        Ok(None)
    };
    api.wait(&format!("Deployment {name} is rolled out"), ROLLOUT_TIMEOUT, poll).await.map(drop)
}

/// Waits until a database cluster is ready.
pub(super) async fn cluster_ready(api: &Api, name: &str, timeout: Duration) -> Result<()> {
    let mut printed = String::new();
    let mut pods = Pods::new(api, format!("cnpg.io/cluster={name}"), String::new());
    let poll = async || {
        let cluster = api.get_required(CLUSTERS, name).await?;
        let phase = text(&cluster, "/status/phase");
        let now = format!("{phase} {}", text(&cluster, "/status/phaseReason"));
        let now = now.trim();
        if now != printed {
            print_step(&format!("  {name}: {now}"));
            now.clone_into(&mut printed);
        }
        ensure!(!phase.to_lowercase().contains("unrecoverable"), "the cluster {name} cannot be created: {now}");
        ensure!(!now.contains(NOT_EMPTY), "the cluster {name} cannot be created: {now}. {ANOTHER_NAME}");
        if is_ready(&cluster) {
            return Ok(Some(()));
        }
        pods.look().await?;
        recovery_failed(api, name).await?;
        Ok(None)
    };
    api.wait(&format!("Cluster {name} is ready"), timeout, poll).await.map(drop)
}

/// Fails if the pods that restore a cluster have failed [`TRIES`] times.
async fn recovery_failed(api: &Api, name: &str) -> Result<()> {
    let pods = api.list(PODS, &format!("cnpg.io/cluster={name}")).await?;
    let failed: Vec<_> = pods.iter().filter(|pod| text(pod, "/status/phase") == "Failed").collect();
    let Some(newest) = failed.iter().max_by_key(|pod| text(pod, "/metadata/creationTimestamp")) else { return Ok(()) };
    let (pod, container) = (text(newest, "/metadata/name"), text(newest, "/spec/containers/0/name"));
    let said = api.logs(pod, container, false).await.map_or_else(|error| format!("{error:#}"), |log| last_lines(&log));
    if said.contains(NOT_EMPTY) {
        bail!("the cluster {name} cannot be created: {said}. {ANOTHER_NAME}");
    }
    ensure!(
        failed.len() < TRIES,
        "the cluster {name} cannot be created: {TRIES} pods have failed. The log of {pod} ends with: {said}"
    );
    Ok(())
}

/// Returns the label selector of a Deployment's pods.
fn selector(deployment: &Value) -> String {
    let labels = deployment["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let labels: Vec<_> = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    labels.join(",")
}

pub(super) fn is_ready(cluster: &Value) -> bool {
    condition(cluster, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// A condition of an object.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions").iter().find(|condition| condition["type"] == kind)
}

/// Reads one of ferroflow's annotations.
pub(super) fn annotation<'a>(object: &'a Value, what: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][format!("{}/{what}", super::ANNOTATION_PREFIX)].as_str()
}

/// Sets one of ferroflow's annotations.
pub(super) fn set_annotation(object: &mut Value, what: &str, value: impl Into<Value>) {
    object["metadata"]["annotations"][format!("{}/{what}", super::ANNOTATION_PREFIX)] = value.into();
}

/// Removes one of ferroflow's annotations.
pub(super) fn remove_annotation(object: &mut Value, what: &str) {
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove(&format!("{}/{what}", super::ANNOTATION_PREFIX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_the_cluster_follows_it() {
        let mut spec = json!({"env": [
            {"name": "PGHOST", "value": "pg-v1-pooler-rw"},
            {"valueFrom": {"secretKeyRef": {"name": "pg-v1-app", "key": "username"}}},
            {"value": "pg-v1-rw.example"}, {"value": "pg-v1"}, {"value": "pg-v10-rw"}, {"value": "my-pg-v1-rw"},
        ]});
        retarget(&mut spec, "pg-v1", "pg-v2");
        assert_eq!(
            spec,
            json!({"env": [
                {"name": "PGHOST", "value": "pg-v2-pooler-rw"},
                {"valueFrom": {"secretKeyRef": {"name": "pg-v2-app", "key": "username"}}},
                {"value": "pg-v1-rw.example"}, {"value": "pg-v1"}, {"value": "pg-v10-rw"}, {"value": "my-pg-v1-rw"},
            ]})
        );
    }
}
