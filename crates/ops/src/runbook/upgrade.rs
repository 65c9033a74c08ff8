//! Upgrades to another image: with a backup first, as a rolling update if no table changes, else with downtime.

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    api::{Api, CLUSTERS, DEPLOYMENTS, print_step, text},
    backup,
    exclusive::{exclusively, no_recovery},
    helm, images,
    probe::{self, Contents, Work},
    release::{Release, annotation, is_ready, remove_annotation, scale, set_annotation},
    rights::Rights,
};
use crate::clock;

/// Options of an upgrade.
#[derive(Debug, Clone, Default)]
pub struct UpgradeOptions {
    /// The image, with its tag.
    pub image: String,
    /// Rely on the scheduled backups.
    pub no_backup: bool,
}

/// Runs an upgrade.
///
/// # Errors
/// It is not possible, or was interrupted: running it again continues it.
pub async fn upgrade(api: &Api, name: &str, options: &UpgradeOptions) -> Result<()> {
    split(&options.image)?;
    exclusively(api, name, "upgrade", Rights::upgrade, async || steps(api, name, options).await).await
}

async fn steps(api: &Api, name: &str, options: &UpgradeOptions) -> Result<()> {
    let image = options.image.as_str();
    let (repository, tag) = split(image)?;
    let release = Release::find(api, name).await?;
    no_recovery(&release)?;
    let current = text(release.container()?, "/image").to_owned();
    let begun = annotation(&release.deployment, "upgrading").map(str::to_owned);
    if let Some(other) = begun.as_ref().filter(|begun| *begun != image) {
        bail!("an upgrade to {other} was begun: finish it first, or return with `ferroflow ops rollback`");
    }
    if current == image && begun.is_none() {
        print_step(&format!("{name} runs {image} already"));
        return Ok(());
    }

    print_step("1. check the preconditions");
    let cluster = api.get_required(CLUSTERS, &release.cluster).await?;
    ensure!(is_ready(&cluster), "Cluster {} is not ready: {}", release.cluster, text(&cluster, "/status/phase"));
    let replicas = annotation(&release.deployment, "replicas").and_then(|count| count.parse().ok());
    let replicas: u64 = replicas.unwrap_or_else(|| release.replicas()).max(1);
    let before = probe::contents(api, &release, &release.cluster, Some(image)).await?;
    let pending = before.as_deref().map(|before| pending(before, image)).transpose()?;

    let saved = match annotation(&release.deployment, "backup") {
        Some(saved) if begun.is_some() => Some(saved.to_owned()),
        _ if options.no_backup => None,
        _ => {
            print_step("2. back up");
            Some(backup::take(api, &release.cluster, None).await?)
        }
    };
    let moment = clock::now();
    let previous = annotation(&release.deployment, "previous-image").filter(|_| begun.is_some()).unwrap_or(&current);
    let previous = previous.to_owned();
    let migrates = pending != Some(0);
    api.change(DEPLOYMENTS, name, "so that the upgrade can be rolled back", |deployment| {
        set_annotation(deployment, "upgrading", image);
        set_annotation(deployment, "previous-image", previous.as_str());
        set_annotation(deployment, "replicas", replicas.to_string());
        if begun.is_none() {
            set_annotation(deployment, "migrated", "no");
            set_annotation(deployment, "before", moment.to_string());
        }
        match &saved {
            Some(saved) => set_annotation(deployment, "backup", saved.as_str()),
            None => remove_annotation(deployment, "backup"),
        }
        Ok(())
    })
    .await?;

    match pending {
        Some(0) => print_step("3. no table changes: a rolling update, without downtime"),
        Some(count) => print_step(&format!("3. {count} revisions change tables: the server is stopped meanwhile")),
        None => print_step("3. if tables change, the server is stopped meanwhile; otherwise a rolling update"),
    }
    if migrates {
        scale(api, name, 0).await?;
        if !api.dry_run {
            api.change(DEPLOYMENTS, name, "from here on, only a recovery returns to the old version", |deployment| {
                set_annotation(deployment, "migrated", "yes");
                Ok(())
            })
            .await?;
        }
        probe::run(api, &release, Work::Upgrade, &release.cluster, Some(image)).await?;
    }
    // Not the current image: an upgrade that was interrupted here has changed some of the objects.
    images::replace(api, &release, &previous, image).await?;
    print_step(&format!("4. wait for {replicas} servers"));
    scale(api, name, replicas).await?;

    print_step("5. inspect the databases again");
    let after = probe::contents(api, &release, &release.cluster, Some(image)).await?;
    if let (Some(before), Some(after)) = (&before, &after) {
        verify(before, after)?;
    }
    api.change(DEPLOYMENTS, name, "the upgrade is complete", |deployment| {
        remove_annotation(deployment, "upgrading");
        remove_annotation(deployment, "replicas");
        Ok(())
    })
    .await?;
    print_step(&format!(
        "\n{name} runs {image}. Put this into your file of values:\n\nmlflow:\n  image:\n    repository: {repository}\n    tag: {tag}\n\n\
         To return to {previous}: ferroflow ops rollback\n{}",
        helm::IMAGE
    ));
    Ok(())
}

fn split(image: &str) -> Result<(&str, &str)> {
    let found = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/') && !tag.is_empty() && *tag != "latest");
    found.with_context(|| format!("'{image}' has no tag that identifies a version"))
}

/// The number of pending revisions.
fn pending(before: &[Contents], image: &str) -> Result<usize> {
    let mut all = 0;
    for contents in before {
        let revision = contents.revision.as_deref();
        let chain = &contents.chain;
        let pending = match (revision, contents.pending) {
            (_, Some(pending)) => pending,
            (None, None) => bail!("the {chain} database has no revision"),
            (Some(revision), None) => bail!(
                "the {chain} database is at {revision}, which {image} does not know: it is older than the running version. \
                 To return to an older version: `ferroflow ops rollback`, or a recovery"
            ),
        };
        print_step(&format!("  {chain}: {} to {}, {pending} revisions", revision.unwrap_or("none"), contents.head));
        all += pending;
    }
    Ok(all)
}

fn verify(before: &[Contents], after: &[Contents]) -> Result<()> {
    for new in after {
        let chain = &new.chain;
        ensure!(new.pending == Some(0), "the {chain} database is at {:?} and not at {}", new.revision, new.head);
        let old = before.iter().find(|old| old.chain == *chain);
        // Tables that an upgrade drops or splits are not compared.
        for (table, rows) in old.into_iter().flat_map(|old| &old.rows) {
            let Some(there) = new.rows.get(table) else { continue };
            let is_core = matches!(table.as_str(), "runs" | "experiments" | "registered_models" | "users");
            if is_core {
                print_step(&format!("  {chain}.{table}: {rows} rows before, {there} after"));
            }
            ensure!(*rows == 0 || *there > 0, "{chain}.{table} had {rows} rows and has none");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_tag_that_says_something() {
        assert_eq!(split("ghcr.io/x/ferroflow:0.2").unwrap(), ("ghcr.io/x/ferroflow", "0.2"));
        assert_eq!(split("host:5000/x:1").unwrap(), ("host:5000/x", "1"));
        for image in ["x", "host:5000/x", "x:latest", "x:"] {
            assert!(split(image).is_err(), "{image}");
        }
    }
}
