//! Abandons a recovery that cannot be completed.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{
    super::{
        api::{Api, CLUSTERS, DEPLOYMENTS, SCHEDULED_BACKUPS, print_step, text},
        exclusive::exclusively,
        release::{Release, is_ready, remove_annotation, rolled_out},
        rights::Rights,
    },
    begun, jobs, login, next, servers,
};

/// Abandons a recovery that was begun: the server uses the old cluster again.
///
/// # Errors
/// No recovery was begun, or the server already uses the new cluster.
pub async fn abandon(api: &Api, name: &str) -> Result<()> {
    exclusively(api, name, "recover --abandon", Rights::abandon, async || steps(api, name).await).await
}

async fn steps(api: &Api, name: &str) -> Result<()> {
    let release = Release::find(api, name).await?;
    let (old, new) = begun(&release.deployment).context("there is no recovery to abandon")?;
    ensure!(
        release.cluster == old,
        "the server uses {new} already: run `ferroflow ops recover` again, or return to {old} with your values \
         (docs/operations.md#recovery)"
    );

    print_step(&format!("1. revert the changes for {new}"));
    login::retarget(api, &release, &new, &old).await?;
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
    print_step(&format!("2. start the server, {replicas} of it, on {old}"));
    api.change(DEPLOYMENTS, name, "the recovery is abandoned", |deployment| {
        for what in ["recovering", "moment", "replicas"] {
            remove_annotation(deployment, what);
        }
        deployment["spec"]["replicas"] = json!(replicas);
        Ok(())
    })
    .await?;
    if is_ready(&api.get_required(CLUSTERS, &old).await?) {
        rolled_out(api, name).await?;
    } else {
        print_step(&format!("{old} is not ready: the server waits for it"));
    }
    print_step(&format!("\n{name} uses {old}, as before"));
    if api.get(CLUSTERS, &new).await?.is_some() {
        print_step(&format!(
            "\n{new} still exists: kubectl delete clusters.postgresql.cnpg.io/{new}\nThe bucket may contain objects under its name, \
             so give the next recovery another one: --name {}",
            next(&new)
        ));
    }
    Ok(())
}
