//! An installation: the server's Deployment, and its current database cluster.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::api::{Api, CLUSTERS, DEPLOYMENTS, items, print_step, text};

/// Suffixes of objects of a cluster, from the operator or the chart.
const CLUSTER_SUFFIXES: [&str; 7] = ["-rw", "-ro", "-r", "-pooler-rw", "-app", "-ca", "-superuser"];

/// Timeout of starting or stopping a server.
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(900);

/// Timeout of a database cluster's recovery.
pub(super) const RECOVERY_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

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
        let deployment = api.get_required(DEPLOYMENTS, name).await?;
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
pub(super) async fn rolled_out(api: &Api, name: &str) -> Result<()> {
    let poll = async || {
        let deployment = api.get_required(DEPLOYMENTS, name).await?;
        let number = |place: &str| deployment.pointer(place).and_then(Value::as_u64).unwrap_or_default();
        let wanted = number("/spec/replicas");
        let is_seen = number("/status/observedGeneration") >= number("/metadata/generation");
        let runs = ["replicas", "updatedReplicas", "readyReplicas"];
        let runs = runs.iter().all(|field| number(&format!("/status/{field}")) == wanted);
        Ok((is_seen && runs).then_some(()))
    };
    api.wait(&format!("Deployment {name} is rolled out"), ROLLOUT_TIMEOUT, poll).await.map(drop)
}

/// Waits until a database cluster is ready.
pub(super) async fn cluster_ready(api: &Api, name: &str, timeout: Duration) -> Result<()> {
    let mut phase = String::new();
    let poll = async || {
        let cluster = api.get_required(CLUSTERS, name).await?;
        let now = text(&cluster, "/status/phase");
        if now != phase {
            print_step(&format!("  {name}: {now} {}", text(&cluster, "/status/phaseReason")));
            now.clone_into(&mut phase);
        }
        let failed = now.to_lowercase().contains("unrecoverable");
        ensure!(!failed, "the cluster {name} cannot be created: {now} {}", text(&cluster, "/status/phaseReason"));
        Ok(is_ready(&cluster).then_some(()))
    };
    api.wait(&format!("Cluster {name} is ready"), timeout, poll).await.map(drop)
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
