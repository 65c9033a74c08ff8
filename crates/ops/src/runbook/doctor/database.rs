//! The database cluster, its operator and its backups.

use anyhow::Result;
use jiff::SignedDuration;

use super::{
    super::{
        api::{Api, CLUSTERS, OBJECT_STORES, SCHEDULED_BACKUPS, text},
        archives,
        backup::{newest, plugin},
        release::{Release, condition, is_ready},
    },
    Findings, note, versions,
};
use crate::clock;

/// Maximum age of the newest backup: they are daily.
const BACKUP_AGE: SignedDuration = SignedDuration::from_hours(26);

/// Checks the cluster; returns whether it exists and is ready.
pub(super) async fn cluster(api: &Api, release: &Release, found: &mut Findings) -> Result<bool> {
    let name = &release.cluster;
    let Some(cluster) = api.get(CLUSTERS, name).await? else {
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
        let (kinds, _) = api.get_path("/apis/barmancloud.cnpg.io/v1").await?;
        found.check(
            kinds.is_some(),
            "the Barman Cloud plugin is installed",
            "the Barman Cloud plugin is not installed",
            "install it beside the operator, or set backup.method=inTree (operators before 1.31)",
        );
        let store = text(plugin, "/parameters/barmanObjectName");
        if kinds.is_some() && api.get(OBJECT_STORES, store).await?.is_none() {
            found.wrong(&format!("there is no ObjectStore {store}"), "helm upgrade creates it again");
        }
    }
    versions::versions(api, &cluster, plugin(&cluster).is_some(), found).await?;
    schedules(api, name, found).await?;
    for archive in archives::retired(api, &cluster).await? {
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

async fn schedules(api: &Api, cluster: &str, found: &mut Findings) -> Result<()> {
    let all = api.list(SCHEDULED_BACKUPS, "").await?;
    let own: Vec<_> = all.iter().filter(|schedule| text(schedule, "/spec/cluster/name") == cluster).collect();
    let runs = own.iter().any(|schedule| schedule["spec"]["suspend"] != true);
    let wrong = format!("no backups of {cluster} are scheduled");
    found.check(
        runs,
        &format!("backups of {cluster} are scheduled"),
        &wrong,
        "set backup.enabled=true and helm upgrade",
    );
    for schedule in own {
        let fields = text(schedule, "/spec/schedule").split_whitespace().count();
        if fields != 6 {
            let wrong = format!("the schedule '{}' has {fields} fields", text(schedule, "/spec/schedule"));
            found.wrong(&wrong, "the operator takes six, seconds first: backup.schedule: \"0 0 0 * * *\"");
        }
    }
    Ok(())
}
