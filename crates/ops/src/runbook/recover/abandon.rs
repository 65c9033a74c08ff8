//! Abandons a recovery that can not be completed.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{
    super::{
        api::{Api, CLUSTERS, DEPLOYMENTS, SCHEDULED_BACKUPS, tell, text},
        release::{Release, forget, is_ready, rolled_out},
    },
    begun, jobs, login, next, servers,
};

/// Abandons a recovery that was begun: the server uses the old cluster again.
///
/// # Errors
/// No recovery was begun, or the server already uses the new cluster.
pub async fn abandon(api: &Api, name: &str) -> Result<()> {
    let release = Release::find(api, name).await?;
    let (old, new) = begun(&release.deployment).context("there is no recovery that could be abandoned")?;
    ensure!(
        release.cluster == old,
        "the server uses {new} already: run `ferroflow ops recover` again, or go back to {old} by values.yaml \
         (docs/operations.md#recovery)"
    );

    tell(&format!("1. take back what was done for {new}"));
    login::follow(api, &release, &new, &old).await?;
    for schedule in api.list(SCHEDULED_BACKUPS, "app.kubernetes.io/part-of=mlflow").await? {
        if text(&schedule, "/spec/cluster/name") == old {
            let schedule = text(&schedule, "/metadata/name");
            api.change(SCHEDULED_BACKUPS, schedule, &format!("{old} is backed up as before"), |schedule| {
                jobs::resume(schedule);
                Ok(())
            })
            .await?;
        }
    }
    jobs::resume_gc(api, name).await?;

    let replicas = servers(&release);
    tell(&format!("2. start the server, {replicas} of it, on {old}"));
    api.change(DEPLOYMENTS, name, "the recovery is abandoned", |deployment| {
        for what in ["recovering", "moment", "replicas"] {
            forget(deployment, what);
        }
        deployment["spec"]["replicas"] = json!(replicas);
        Ok(())
    })
    .await?;
    if is_ready(&api.need(CLUSTERS, &old).await?) {
        rolled_out(api, name).await?;
    } else {
        tell(&format!("{old} is not ready: the server waits for it"));
    }
    tell(&format!("\n{name} uses {old}, as before"));
    if api.get(CLUSTERS, &new).await?.is_some() {
        tell(&format!(
            "\n{new} is left: kubectl delete clusters.postgresql.cnpg.io/{new}\nThe bucket may have something under its name \
             by now, so give the next recovery another one: --name {}",
            next(&new)
        ));
    }
    Ok(())
}
