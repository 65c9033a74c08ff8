//! The database cluster, its operator and its backups.

use anyhow::Result;
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    super::{
        api::{Api, CLUSTERS, OBJECT_STORES, SCHEDULED_BACKUPS, text},
        archives,
        backup::{newest, plugin, server_name},
        release::{Release, condition, is_ready, variable},
    },
    Findings, note, versions,
};
use crate::clock;

/// Maximum age of the newest backup: they are daily.
const BACKUP_AGE: SignedDuration = SignedDuration::from_hours(26);

/// Checks the cluster; returns whether it exists and is ready.
pub(super) async fn cluster(api: &Api, release: &Release, found: &mut Findings) -> Result<bool> {
    let name = &release.cluster;
    let read = api.get(CLUSTERS, name).await;
    let Some(cluster) = found.see(read)? else { return Ok(false) };
    let Some(cluster) = cluster else {
        found.wrong(
            &format!("there is no Cluster {name}"),
            "set postgresql.clusterName to an existing cluster, or recover",
        );
        return Ok(false);
    };
    let phase = text(&cluster, "/status/phase");
    found.check(
        is_ready(&cluster),
        &format!("Cluster {name} is ready"),
        &format!("Cluster {name} is not ready: {phase} {}", text(&cluster, "/status/phaseReason")),
        &format!("kubectl describe clusters.postgresql.cnpg.io/{name}"),
    );
    read_replica(release, &cluster, found);
    let archiving = condition(&cluster, "ContinuousArchiving");
    let has_backups = plugin(&cluster).is_some() || cluster["spec"]["backup"].is_object();
    if !has_backups {
        found.wrong(&format!("Cluster {name} has no backups"), "set backup.enabled=true");
        return Ok(is_ready(&cluster));
    }
    found.check(
        archiving.is_none_or(|archiving| archiving["status"] == "True"),
        "the write-ahead log is archived",
        &format!(
            "the write-ahead log is not archived: {}",
            archiving.map(|it| text(it, "/message")).unwrap_or_default()
        ),
        "check the keys in the Secret, s3.bucket and s3.endpointUrl; an archive that is not empty needs another \
         backup.serverName",
    );
    if let Some(plugin) = plugin(&cluster) {
        let read = api.get_path("/apis/barmancloud.cnpg.io/v1").await;
        let kinds = found.see(read)?.flatten();
        found.check(
            kinds.is_some(),
            "the Barman Cloud plugin is installed",
            "the Barman Cloud plugin is not installed",
            "install it beside the operator, or set backup.method=inTree (operators before 1.31)",
        );
        let store = text(plugin, "/parameters/barmanObjectName");
        let read = if kinds.is_some() { api.get(OBJECT_STORES, store).await.map(|it| it.is_some()) } else { Ok(true) };
        if found.see(read)? == Some(false) {
            found.wrong(&format!("there is no ObjectStore {store}"), "helm upgrade creates it again");
        }
    }
    versions::versions(api, &cluster, plugin(&cluster).is_some(), found).await?;
    schedules(api, name, found).await?;
    successors(api, &cluster, found).await?;
    let read = archives::retired(api, &cluster).await;
    for archive in found.see(read)?.unwrap_or_default() {
        if archive.until.is_some_and(|until| until < clock::now()) {
            note(&archive.description());
        }
    }
    let age = newest(&cluster).map(|newest| clock::now().duration_since(newest));
    found.check(
        age.is_some_and(|age| age < BACKUP_AGE),
        "the newest backup is less than 26 hours old",
        &age.map_or_else(
            || "there is no backup yet".to_owned(),
            |age| format!("the newest backup is {} hours old", age.as_hours()),
        ),
        "ferroflow ops backup takes one now and says why it fails",
    );
    Ok(is_ready(&cluster))
}

/// Checks that the address of the standbys leads to one, if the server sends reads there.
fn read_replica(release: &Release, cluster: &Value, found: &mut Findings) {
    if variable(&release.deployment, "MLFLOW_READ_REPLICA_BACKEND_STORE_URI").is_none() {
        return;
    }
    let standbys = cluster["status"]["readyInstances"].as_u64().unwrap_or_default().saturating_sub(1);
    found.check(
        standbys > 0,
        &format!("reads that take long go to {standbys} standbys"),
        "the server sends reads to the standbys, and none is ready: the primary answers them",
        "set postgresql.instances to at least 2, or postgresql.readReplica.enabled=false",
    );
}

/// Reports clusters that were recovered from this one and that the server does not use.
async fn successors(api: &Api, cluster: &Value, found: &mut Findings) -> Result<()> {
    let (name, server) = (text(cluster, "/metadata/name"), server_name(cluster));
    let read = api.list(CLUSTERS, "").await;
    for other in found.see(read)?.unwrap_or_default() {
        let is_successor = text(&other, "/spec/bootstrap/recovery/source") == server
            && text(&other, "/metadata/name") != name
            && (plugin(&other).is_some() || other["spec"]["backup"].is_object());
        if is_successor {
            note(&format!(
                "the Cluster {} was recovered from {name}, and the server uses {name}: if Helm returned the server to \
                 {name}, set postgresql.clusterName and recovery.serverName, and helm upgrade; if it is a leftover, delete it",
                text(&other, "/metadata/name")
            ));
        }
    }
    Ok(())
}

async fn schedules(api: &Api, cluster: &str, found: &mut Findings) -> Result<()> {
    let read = api.list(SCHEDULED_BACKUPS, "").await;
    let Some(all) = found.see(read)? else { return Ok(()) };
    let own: Vec<_> = all.iter().filter(|schedule| text(schedule, "/spec/cluster/name") == cluster).collect();
    let runs = own.iter().any(|schedule| schedule["spec"]["suspend"] != true);
    let (wrong, remedy) = match own.first() {
        // A recovery suspends it, and Helm may return the server to this cluster.
        Some(suspended) => (
            format!("the schedule of backups of {cluster} is suspended, and the server uses that cluster"),
            format!(
                "kubectl patch scheduledbackups.postgresql.cnpg.io/{} --type=merge --patch='{{\"spec\":{{\"suspend\":false}}}}'",
                text(suspended, "/metadata/name")
            ),
        ),
        None => (
            format!("no backups of {cluster} are scheduled"),
            "set backup.enabled=true and helm upgrade; after a `helm rollback` across a recovery, helm upgrade with the \
             values that the recovery printed"
                .to_owned(),
        ),
    };
    found.check(runs, &format!("backups of {cluster} are scheduled"), &wrong, &remedy);
    for schedule in own {
        let fields = text(schedule, "/spec/schedule").split_whitespace().count();
        if fields != 6 {
            let wrong = format!("the schedule '{}' has {fields} fields", text(schedule, "/spec/schedule"));
            found.wrong(&wrong, "the operator takes six, seconds first: backup.schedule: \"0 0 0 * * *\"");
        }
    }
    Ok(())
}
