//! An immediate base backup.

use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    api::{Api, BACKUPS, CLUSTERS, items, print_step, text},
    exclusive::exclusively,
    release::{Release, condition},
    rights::Rights,
};
use crate::clock;

/// Timeout of a base backup.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// The backup plugin that the chart uses.
pub(super) const PLUGIN: &str = "barman-cloud.cloudnative-pg.io";

/// Options of a backup.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Its name; an existing backup with that name is awaited.
    pub name: Option<String>,
}

/// Takes a base backup of the cluster that the server uses, and waits for its completion.
///
/// # Errors
/// It failed, or the cluster has no backups.
pub async fn backup(api: &Api, release: &str, options: &BackupOptions) -> Result<()> {
    exclusively(api, release, "backup", Rights::backup, async || {
        let release = Release::find(api, release).await?;
        take(api, &release.cluster, options.name.clone()).await.map(drop)
    })
    .await
}

/// Takes a backup; returns its name.
pub(super) async fn take(api: &Api, cluster: &str, name: Option<String>) -> Result<String> {
    take_of(api, cluster, name, None).await
}

/// Takes a backup of the primary, which switches the WAL segment at its end, unlike a standby. So all committed
/// transactions are archived.
pub(super) async fn take_of_primary(api: &Api, cluster: &str) -> Result<String> {
    take_of(api, cluster, None, Some("primary")).await
}

async fn take_of(api: &Api, cluster: &str, name: Option<String>, target: Option<&str>) -> Result<String> {
    let live = api.get_required(CLUSTERS, cluster).await?;
    let name = name.unwrap_or_else(|| format!("{cluster}-{}", clock::now().strftime("%Y%m%d%H%M%S")));
    if api.get(BACKUPS, &name).await?.is_none() {
        let mut spec = method(&live)?;
        spec["cluster"] = json!({"name": cluster});
        if let Some(target) = target {
            spec["target"] = json!(target);
        }
        let object = json!({
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "Backup",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "mlflow"}},
            "spec": spec,
        });
        api.create(BACKUPS, &format!("a base backup of {cluster}"), object).await?;
    }
    let mut printed = String::new();
    let poll = async || {
        let backup = api.get_required(BACKUPS, &name).await?;
        let phase = text(&backup, "/status/phase");
        let mut now = format!("{phase} {}", text(&backup, "/status/error"));
        if phase == "walArchivingFailing" {
            let live = api.get_required(CLUSTERS, cluster).await?;
            now.push_str(condition(&live, "ContinuousArchiving").map_or("", |archiving| text(archiving, "/message")));
        }
        if !phase.is_empty() && now != printed {
            print_step(&format!("  {name}: {}", now.trim()));
            printed = now;
        }
        match phase {
            "completed" => Ok(Some(backup)),
            "failed" => bail!("the backup {name} failed: {}", text(&backup, "/status/error")),
            _ => Ok(None),
        }
    };
    if let Some(backup) = api.wait(&format!("Backup {name} is complete"), BACKUP_TIMEOUT, poll).await? {
        let (began, ended) = (text(&backup, "/status/startedAt"), text(&backup, "/status/stoppedAt"));
        print_step(&format!("backup {name}: {} from {began} to {ended}", text(&backup, "/status/backupId")));
    }
    Ok(name)
}

/// How backups of a cluster are taken.
fn method(cluster: &Value) -> Result<Value> {
    if plugin(cluster).is_some() {
        return Ok(json!({"method": "plugin", "pluginConfiguration": {"name": PLUGIN}}));
    }
    if cluster["spec"]["backup"]["barmanObjectStore"].is_object() {
        return Ok(json!({"method": "barmanObjectStore"}));
    }
    bail!("the cluster {} has no backups: set backup.enabled=true", text(cluster, "/metadata/name"))
}

/// The plugin's entry in a cluster.
pub(super) fn plugin(cluster: &Value) -> Option<&Value> {
    items(cluster, "/spec/plugins").iter().find(|plugin| plugin["name"] == PLUGIN)
}

/// The name under which the backups of a cluster are stored.
pub(super) fn server_name(cluster: &Value) -> String {
    let own = match plugin(cluster) {
        Some(plugin) => &plugin["parameters"]["serverName"],
        None => &cluster["spec"]["backup"]["barmanObjectStore"]["serverName"],
    };
    own.as_str().unwrap_or_else(|| text(cluster, "/metadata/name")).to_owned()
}

/// The earliest recovery target.
pub(super) fn earliest(cluster: &Value) -> Option<Timestamp> {
    let by_method = cluster["status"]["firstRecoverabilityPointByMethod"].as_object();
    let times = by_method.into_iter().flat_map(|times| times.values()).filter_map(Value::as_str);
    let times = times.chain(cluster["status"]["firstRecoverabilityPoint"].as_str());
    times.filter_map(|time| time.parse().ok()).min()
}

/// The end of the newest backup.
pub(super) fn newest(cluster: &Value) -> Option<Timestamp> {
    let by_method = cluster["status"]["lastSuccessfulBackupByMethod"].as_object();
    let times = by_method.into_iter().flat_map(|times| times.values()).filter_map(Value::as_str);
    let times = times.chain(cluster["status"]["lastSuccessfulBackup"].as_str());
    times.filter_map(|time| time.parse().ok()).max()
}
