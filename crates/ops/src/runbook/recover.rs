//! Recovers into a new cluster. The old one stays unchanged.

mod abandon;
mod jobs;
mod login;

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::abandon::abandon;
use super::{
    api::{Api, CLUSTERS, CRON_JOBS, DEPLOYMENTS, Kind, POOLERS, SCHEDULED_BACKUPS, print_step, text},
    archives,
    backup::{self, PLUGIN, earliest, newest, plugin, server_name},
    exclusive::exclusively,
    helm,
    probe::{self, Contents, Inspection, Work},
    release::{
        RECOVERY_TIMEOUT, Release, annotation, cluster_ready, is_ready, remove_annotation, scale, set_annotation,
    },
    rights::Rights,
};
use crate::clock;

/// Maximum length of a cluster name: the operator appends to it.
const LONGEST_NAME: usize = 50;

/// The command that abandons a recovery.
const ABANDON: &str = "ferroflow ops recover --abandon";

/// Shown instead of a time.
const LATEST: &str = "the latest state";

/// Options of a recovery.
#[derive(Debug, Clone, Default)]
pub struct RecoverOptions {
    /// The recovery target time; `None` for the latest state.
    pub to: Option<Timestamp>,
    /// The name of the new cluster; `None` for that of the old one with the next number.
    pub name: Option<String>,
    /// Do not read artifacts.
    pub no_artifacts: bool,
    /// Recover a cluster that is itself the result of a recovery.
    pub again: bool,
}

/// Runs a recovery.
///
/// # Errors
/// It is not possible, or was interrupted: running it again continues it.
pub async fn recover(api: &Api, name: &str, options: &RecoverOptions) -> Result<()> {
    exclusively(api, name, "recover", Rights::recover, async || steps(api, name, options).await).await
}

async fn steps(api: &Api, name: &str, options: &RecoverOptions) -> Result<()> {
    let start = Instant::now();
    let release = Release::find(api, name).await?;
    if begun(&release.deployment).is_none() && !options.again && is_done(api, &release, options).await? {
        return Ok(());
    }
    // If the server already uses the new cluster, only the last steps of an interrupted recovery remain.
    let (old, new) = begun(&release.deployment)
        .unwrap_or_else(|| (release.cluster.clone(), options.name.clone().unwrap_or_else(|| next(&release.cluster))));
    if let Some(moment) = annotation(&release.deployment, "moment") {
        let wanted = options.to.map_or_else(|| LATEST.to_owned(), |to| to.to_string());
        ensure!(
            moment == wanted,
            "a recovery from {old} to {new} at {moment} was begun: finish it first, with that time, or abandon it: \
             {ABANDON}"
        );
    }
    if let Some(wanted) = options.name.as_ref().filter(|wanted| **wanted != new) {
        bail!(
            "a recovery from {old} to {new} was begun: finish it first, without --name {wanted}, or abandon it: {ABANDON}"
        );
    }
    let release = Release { cluster: old.clone(), ..release };
    let live = api.get_required(CLUSTERS, &old).await?;
    let target = check(api, &live, &new, options).await?;

    print_step(&format!("1. record that {old} is recovered to {new}"));
    let replicas = servers(&release);
    api.change(DEPLOYMENTS, name, "so that the recovery can be continued", |deployment| {
        set_annotation(deployment, "recovering", format!("{old} to {new}"));
        set_annotation(deployment, "moment", target.as_deref().unwrap_or(LATEST));
        set_annotation(deployment, "replicas", replicas.to_string());
        Ok(())
    })
    .await?;

    print_step("2. stop the server");
    if release.cluster == Release::find(api, name).await?.cluster {
        jobs::suspend_gc(api, name).await?;
        scale(api, name, 0).await?;
    }
    let before = if is_ready(&live) { probe::contents(api, &release, &old, None).await? } else { None };

    print_step(&format!("3. create {new} from the backups of {old}, which is kept"));
    create_cluster(api, &live, &new, target.as_deref()).await?;

    print_step("4. wait for the database");
    let ready = cluster_ready(api, &new, RECOVERY_TIMEOUT).await;
    ready.with_context(|| format!("{new} does not become ready. To abandon the recovery: {ABANDON}"))?;

    print_step("5. schedule backups of the new cluster, and suspend those of the old one");
    copy_for(api, SCHEDULED_BACKUPS, &old, &new, true).await?;
    copy_for(api, POOLERS, &old, &new, false).await?;

    print_step("6. compare the databases, and read some of the artifacts that they refer to");
    let work = if options.no_artifacts { Work::Rows } else { Work::Sample };
    let after = probe::inspect(api, &release, work, &new, None).await?;
    if let Some(after) = &after {
        verify(before.as_deref(), after, work, &old, target.is_none()).with_context(|| {
            format!(
                "{new} failed the checks. The server is still stopped; {old} is unchanged. To return to it: \
                 {ABANDON}"
            )
        })?;
    }

    print_step(&format!("7. point the server and its Jobs to {new}"));
    login::retarget(api, &release, &old, &new).await?;
    jobs::retarget_all(api, name, &old, &new).await?;
    // Before it serves: sessions that were ended since that time must not become valid again.
    let ended = probe::run(api, &Release::find(api, name).await?, Work::EndSessions, &new, None).await?;
    if ended.is_some_and(|said| said.contains("Error: ")) {
        print_step(
            "  SESSIONS of browsers were not ended: the ferroflow in the server's image does not support it. To end them, \
             change flaskSecretKey",
        );
    }
    if let Some((before, after)) = before.as_ref().zip(after.as_ref()) {
        let differences = probe::users(before, &after.contents);
        if !differences.is_empty() {
            print_step(&format!("  USERS went back in time, too. Differences from {old}:"));
            for line in &differences {
                print_step(&format!("    {line}"));
            }
            print_step("  to remove access again: ferroflow user delete, passwd, admin, revoke");
        }
    }

    // The schema is from before an upgrade: the upgraded image refuses it.
    let unfit = after.iter().flat_map(|after| &after.contents).find(|contents| contents.pending != Some(0));
    if let Some(Contents { chain, revision, .. }) = unfit {
        let revision = revision.as_deref().unwrap_or("no revision");
        print_step(&format!(
            "8. leave the server stopped: the {chain} database is at {revision}, which its image refuses"
        ));
    } else {
        print_step(&format!("8. start the server, {replicas} of it"));
        scale(api, name, replicas).await?;
    }
    // A later upgrade takes the number of replicas from there.
    let over: &[_] = if unfit.is_some() { &["upgrading"] } else { &["replicas"] };
    api.change(DEPLOYMENTS, name, "the recovery is complete", |deployment| {
        ["recovering", "moment"].iter().chain(over).for_each(|what| remove_annotation(deployment, what));
        Ok(())
    })
    .await?;

    report(&live, &new, target.as_deref(), start);
    if api.get(CRON_JOBS, &format!("{name}-drill")).await?.is_some() {
        print_step(&format!("Until then, {name}-drill tries the backups of {old}"));
    }
    if let Some(made) = api.get(CLUSTERS, &new).await? {
        for archive in archives::retired(api, &made).await? {
            print_step(&format!("\n{}", archive.description()));
        }
    }
    let missing = after.as_ref().and_then(|after| after.sample.as_ref()).map_or(0, |sample| sample.missing.len());
    if missing > 0 {
        print_step(&format!(
            "\n{missing} of the sampled artifacts are MISSING, see above: deleted since, by users or by gc. The database \
             went back in time, the bucket did not."
        ));
    }
    if unfit.is_some() {
        let image = annotation(&release.deployment, "previous-image").unwrap_or("IMAGE");
        print_step(&format!(
            "\nThe server is stopped. Start it with the image of this schema: ferroflow ops upgrade --image {image}"
        ));
    }
    Ok(())
}

/// Returns whether the server uses the result of this recovery already.
///
/// # Errors
/// It uses the result of another one.
async fn is_done(api: &Api, release: &Release, options: &RecoverOptions) -> Result<bool> {
    let cluster = &release.cluster;
    let Some(live) = api.get(CLUSTERS, cluster).await? else { return Ok(false) };
    let recovery = &live["spec"]["bootstrap"]["recovery"];
    if !recovery.is_object() {
        return Ok(false);
    }
    let target = recovery["recoveryTarget"].as_object().filter(|target| !target.is_empty());
    let time = target.and_then(|target| target.get("targetTime")).and_then(Value::as_str);
    let is_same_target = match options.to {
        None => target.is_none(),
        Some(to) => time.and_then(|time| time.parse().ok()) == Some(to),
    };
    let to = target.map_or_else(|| LATEST.to_owned(), |target| Value::from(target.clone()).to_string());
    let result = format!(
        "{} uses {cluster}, which was recovered from {} to {to} at {}",
        release.name,
        text(recovery, "/source"),
        text(&live, "/metadata/creationTimestamp")
    );
    let remedy = "To recover it from its own backups: ferroflow ops recover --again";
    ensure!(is_same_target && options.name.as_ref().is_none_or(|name| name == cluster), "{result}. {remedy}");
    print_step(&format!("{result}: there is nothing to do. {remedy}"));
    Ok(true)
}

/// The old and new cluster of a recovery that was begun.
fn begun(deployment: &Value) -> Option<(String, String)> {
    let (old, new) = annotation(deployment, "recovering")?.split_once(" to ")?;
    Some((old.to_owned(), new.to_owned()))
}

/// The number of replicas before a runbook stopped them.
fn servers(release: &Release) -> u64 {
    let replicas = annotation(&release.deployment, "replicas").and_then(|count| count.parse().ok());
    replicas.unwrap_or_else(|| release.replicas()).max(1)
}

/// Creates the new cluster. A live old one is backed up first: the end of its WAL may be minutes old and not archived
/// yet.
async fn create_cluster(api: &Api, live: &Value, new: &str, target: Option<&str>) -> Result<()> {
    if let Some(there) = api.get(CLUSTERS, new).await? {
        return api.inherit(CLUSTERS, there, live).await.map(drop);
    }
    let old = text(live, "/metadata/name");
    if is_ready(live) && target.is_none() {
        let taken = backup::take_of_primary(api, old).await;
        taken.with_context(|| {
            format!(
                "{old} is running, and changes that it has not archived would be lost. The server is still stopped. To \
                 return to {old}: {ABANDON}"
            )
        })?;
    }
    let made = successor(live, new, target);
    api.create_like(CLUSTERS, &format!("recovers {}", server_name(live)), made, live).await.map(drop)
}

/// Whether a recovered cluster has the expected data; prints the row counts. `before`: the contents of the old one, if
/// it still responds.
fn verify(before: Option<&[Contents]>, after: &Inspection, work: Work, old: &str, is_latest: bool) -> Result<()> {
    let mut wrong = Vec::new();
    if let Some(before) = before {
        wrong = probe::compare(before, &after.contents, is_latest);
        if is_latest {
            wrong.extend(probe::missing_data(before, &after.contents));
        }
    } else {
        print_step(&format!("  {old} does not answer, so there is nothing to compare with"));
        let runs = after.contents.iter().find_map(|contents| contents.rows.get("runs"));
        if runs.is_none_or(|runs| *runs == 0) {
            wrong.push("it has no runs".to_owned());
        }
    }
    wrong.extend(probe::sampled(after, work));
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Preconditions, checked before any change. Returns the recovery target time for the operator.
async fn check(api: &Api, live: &Value, new: &str, options: &RecoverOptions) -> Result<Option<String>> {
    let old = text(live, "/metadata/name");
    let is_name = new.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-');
    ensure!(
        is_name && new.len() <= LONGEST_NAME && new.starts_with(|char: char| char.is_ascii_lowercase()),
        "'{new}' cannot be the name of a cluster: lower case, digits and '-', at most {LONGEST_NAME} characters"
    );
    let server = server_name(live);
    ensure!(new != old && new != server, "{new} has the backups: a recovery needs another name");
    let target = options.to.map(|to| to.to_string());
    if let Some(there) = api.get(CLUSTERS, new).await? {
        let made_of = text(&there, "/spec/bootstrap/recovery/source");
        ensure!(
            made_of == server,
            "there is a Cluster {new} already, and it is not a recovery of {server}: give another --name"
        );
        let made_to = text(&there, "/spec/bootstrap/recovery/recoveryTarget/targetTime");
        ensure!(
            made_to == target.as_deref().unwrap_or_default(),
            "the Cluster {new} is being recovered to {}: run it with that time, or give another --name",
            if made_to.is_empty() { LATEST } else { made_to }
        );
        return Ok(target);
    }
    let earliest =
        earliest(live).with_context(|| format!("{old} has no backup yet: take one with `ferroflow ops backup`"))?;
    if let Some(to) = options.to {
        ensure!(to >= earliest, "the backups begin at {earliest}: {to} cannot be recovered");
        ensure!(to <= clock::now(), "{to} is in the future: leave --to out for the latest state");
    }
    print_step(&format!(
        "{old}: the backups begin at {earliest}, the newest ended at {}",
        newest(live).map_or_else(|| "an unknown time".to_owned(), |time| time.to_string())
    ));
    Ok(target)
}

/// `pg-cluster-v1` → `pg-cluster-v2`.
fn next(name: &str) -> String {
    let stem = name.trim_end_matches(|char: char| char.is_ascii_digit());
    match name[stem.len()..].parse::<u64>() {
        Ok(number) => format!("{stem}{}", number + 1),
        Err(_) => format!("{name}-v2"),
    }
}

/// The manifest of the new cluster: that of the old one, recovered from its backups, archiving under its own name.
/// Equal to what the chart creates.
pub(super) fn successor(old: &Value, new: &str, target: Option<&str>) -> Value {
    let server = server_name(old);
    let mut spec = old["spec"].clone();
    let bootstrap = &old["spec"]["bootstrap"];
    let was = if bootstrap["recovery"].is_object() { &bootstrap["recovery"] } else { &bootstrap["initdb"] };
    let mut recovery = json!({"source": server});
    for field in ["database", "owner", "secret"] {
        if !was[field].is_null() {
            recovery[field] = was[field].clone();
        }
    }
    if let Some(time) = target {
        recovery["recoveryTarget"] = json!({"targetTime": time});
    }
    let mut source = json!({"name": server});
    if let Some(plugin) = plugin(old) {
        let store = plugin["parameters"]["barmanObjectName"].clone();
        source["plugin"] = json!({"name": PLUGIN, "parameters": {"barmanObjectName": store, "serverName": server}});
        for entry in spec["plugins"].as_array_mut().into_iter().flatten().filter(|entry| entry["name"] == PLUGIN) {
            entry["parameters"]["serverName"] = json!(new);
        }
    } else {
        source["barmanObjectStore"] = old["spec"]["backup"]["barmanObjectStore"].clone();
        source["barmanObjectStore"]["serverName"] = json!(server);
        spec["backup"]["barmanObjectStore"]["serverName"] = json!(new);
    }
    spec["bootstrap"] = json!({"recovery": recovery});
    spec["externalClusters"] = json!([source]);
    json!({
        "apiVersion": old["apiVersion"],
        "kind": "Cluster",
        "metadata": metadata(old, new),
        "spec": spec,
    })
}

/// Labels and annotations of the old object, so that Helm adopts the new one.
fn metadata(old: &Value, name: &str) -> Value {
    let kept = |place: &str| -> BTreeMap<String, Value> {
        let found = old.pointer(place).and_then(Value::as_object).cloned().unwrap_or_default();
        found
            .into_iter()
            .filter(|(key, _)| !key.starts_with("kubectl.kubernetes.io/") && !key.starts_with("cnpg.io/"))
            .collect()
    };
    json!({"name": name, "labels": kept("/metadata/labels"), "annotations": kept("/metadata/annotations")})
}

/// Creates, for the new cluster, the objects of a kind that the old one has. Their cluster is immutable.
async fn copy_for(api: &Api, kind: Kind, old: &str, new: &str, suspend: bool) -> Result<()> {
    for object in api.list(kind, "app.kubernetes.io/part-of=mlflow").await? {
        let name = text(&object, "/metadata/name");
        if text(&object, "/spec/cluster/name") != old {
            continue;
        }
        let successor = match name.strip_prefix(old) {
            Some(rest) => format!("{new}{rest}"),
            None => format!("{new}-{name}"),
        };
        if let Some(there) = api.get(kind, &successor).await? {
            api.inherit(kind, there, &object).await?;
        } else {
            let mut spec = object["spec"].clone();
            spec["cluster"]["name"] = json!(new);
            let made = json!({
                "apiVersion": object["apiVersion"],
                "kind": kind.name,
                "metadata": metadata(&object, &successor),
                "spec": spec,
            });
            api.create_like(kind, &format!("for {new}"), made, &object).await?;
        }
        if suspend {
            api.change(kind, name, "the server does not use that cluster any more", |object| {
                jobs::suspend(object);
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

fn report(live: &Value, new: &str, target: Option<&str>, start: Instant) {
    let old = text(live, "/metadata/name");
    let time = target.map(|time| format!(",\"{time}\"")).unwrap_or_default();
    print_step(&format!(
        "\nThe server uses {new}, recovered in {} s. Put this into your file of values, then `helm upgrade`:\n",
        start.elapsed().as_secs()
    ));
    print_step(&format!("postgresql:\n  clusterName: {new}\nrecovery:\n  serverName: {}", server_name(live)));
    if target.is_some() {
        print_step(&format!("  targetTime: {}", &time[1..]));
    }
    print_step(&format!("\n{}", helm::recovered(old)));
    print_step(&format!(
        "\n{old} and its volumes still exist. When they are no longer needed: kubectl delete \
         clusters.postgresql.cnpg.io/{old}"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_name_has_the_next_number() {
        assert_eq!(next("pg-cluster-v1"), "pg-cluster-v2");
        assert_eq!(next("pg-cluster-v9"), "pg-cluster-v10");
        assert_eq!(next("pg"), "pg-v2");
    }
}
