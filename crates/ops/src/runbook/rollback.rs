//! Rolls an upgrade back.

use anyhow::{Context as _, Result, bail};

use super::{
    api::{Api, DEPLOYMENTS, print_step, text},
    exclusive::{exclusively, no_recovery},
    images, probe,
    release::{Release, annotation, remove_annotation, scale},
    rights::Rights,
};

/// Runs the image from before the last upgrade again.
///
/// # Errors
/// There was no upgrade, or it changed tables: there is no downgrade, and the message has the command for a recovery.
pub async fn rollback(api: &Api, name: &str) -> Result<()> {
    exclusively(api, name, "rollback", Rights::rollback, async || steps(api, name).await).await
}

async fn steps(api: &Api, name: &str) -> Result<()> {
    let release = Release::find(api, name).await?;
    no_recovery(&release)?;
    let current = text(release.container()?, "/image").to_owned();
    let deployment = &release.deployment;
    let previous = annotation(deployment, "previous-image");
    let previous = previous.with_context(|| format!("{name} was not upgraded by `ferroflow ops upgrade`"))?;
    // `migrated` is set before the first table is changed, and the migration may have failed before that.
    if annotation(deployment, "migrated") == Some("yes") && !fits(api, &release, previous).await? {
        bail!(
            "the upgrade from {previous} to {current} changed tables, and there is no downgrade. Recover to the time \
             before it, which loses what was logged since: ferroflow ops recover --to {} (backup {}); then upgrade to \
             {previous}",
            annotation(deployment, "before").unwrap_or("TIME"),
            annotation(deployment, "backup").unwrap_or("unknown")
        );
    }
    let replicas = annotation(deployment, "replicas").and_then(|count| count.parse().ok());
    let replicas: u64 = replicas.unwrap_or_else(|| release.replicas()).max(1);
    if let Some(begun) = annotation(deployment, "upgrading").filter(|begun| *begun != current) {
        // The upgrade was interrupted before it changed the server.
        images::replace(api, &release, begun, previous).await?;
    }
    images::replace(api, &release, &current, previous).await?;
    scale(api, name, replicas).await?;
    api.change(DEPLOYMENTS, name, "the rollback is complete", |deployment| {
        for what in ["upgrading", "previous-image", "migrated", "before", "backup", "replicas"] {
            remove_annotation(deployment, what);
        }
        Ok(())
    })
    .await?;
    print_step(&format!("\n{name} runs {previous} again. Put its tag back into your file of values, too"));
    Ok(())
}

/// Whether the schema is that of an image.
async fn fits(api: &Api, release: &Release, image: &str) -> Result<bool> {
    let contents = probe::contents(api, release, &release.cluster, Some(image)).await?;
    Ok(contents.is_some_and(|contents| contents.iter().all(|contents| contents.pending == Some(0))))
}
