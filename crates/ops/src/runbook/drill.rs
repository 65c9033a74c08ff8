//! A recovery drill: restores the newest backup into a scratch cluster, compares it with the live one, and deletes it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ANNOTATION_PREFIX,
    api::{Api, CLUSTERS, print_step, text},
    backup::earliest,
    exclusive::exclusively,
    probe::{self, Work},
    recover::successor,
    release::{Release, annotation, cluster_ready, set_annotation},
    rights::Rights,
};
use crate::clock;

/// Options of a drill.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    /// Timeout of the restore.
    pub deadline: Duration,
    /// Maximum lag of the newest change, in seconds.
    pub max_lag: u64,
    /// Do not read artifacts.
    pub no_artifacts: bool,
}

/// Runs a drill.
///
/// # Errors
/// The backup cannot be restored, or lacks data of the live cluster.
pub async fn drill(api: &Api, name: &str, options: &DrillOptions) -> Result<()> {
    exclusively(api, name, "drill", Rights::drill, async || steps(api, name, options).await).await
}

async fn steps(api: &Api, name: &str, options: &DrillOptions) -> Result<()> {
    let release = Release::find(api, name).await?;
    let live = api.get_required(CLUSTERS, &release.cluster).await?;
    clean_up(api, &release.cluster).await?;
    ensure!(earliest(&live).is_some(), "{} has no backup: take one with `ferroflow ops backup`", release.cluster);

    let start = Instant::now();
    let scratch = api.create(CLUSTERS, "restores the newest backup", scratch(&live, options)).await?;
    let outcome = rehearse(api, &release, text(&scratch, "/metadata/name"), options, start).await;
    // Whatever the outcome.
    let removed = api.delete(CLUSTERS, &scratch, "it was created for the drill").await;
    let wrong = outcome?;
    removed?;
    if !wrong.is_empty() {
        bail!("the drill failed: {}", wrong.join("; "));
    }
    if !api.dry_run {
        print_step("\nthe backup can be restored");
    }
    Ok(())
}

async fn rehearse(
    api: &Api,
    release: &Release,
    scratch: &str,
    options: &DrillOptions,
    start: Instant,
) -> Result<Vec<String>> {
    cluster_ready(api, scratch, options.deadline).await?;
    let recovery = start.elapsed().as_secs();
    let live = probe::contents(api, release, &release.cluster, None).await?;
    let work = if options.no_artifacts { Work::Rows } else { Work::Sample };
    let restored = probe::inspect(api, release, work, scratch, None).await?;
    let (Some(live), Some(restored)) = (live, restored) else { return Ok(Vec::new()) };
    let mut wrong = probe::compare(&live, &restored.contents, true);
    wrong.extend(probe::sampled(&restored, work));
    let lag = probe::lag(&live, &restored.contents);
    print_step(&format!(
        "\nrecovery time: {recovery} s\ndata loss: {}",
        lag.map_or_else(
            || "unknown, there are no runs".to_owned(),
            |lag| format!("the newest change is {lag} s behind")
        )
    ));
    if let Some(lag) = lag.filter(|lag| *lag > i64::try_from(options.max_lag).unwrap_or(i64::MAX)) {
        wrong.push(format!("the newest change is {lag} s behind, more than {} s", options.max_lag));
    }
    Ok(wrong)
}

/// Deletes expired clusters of earlier drills. A running drill is an error.
async fn clean_up(api: &Api, cluster: &str) -> Result<()> {
    for left in api.list(CLUSTERS, &format!("{ANNOTATION_PREFIX}/drill-of={cluster}")).await? {
        let until = annotation(&left, "until").and_then(|until| until.parse::<Timestamp>().ok());
        ensure!(
            until.is_some_and(|until| until < clock::now()),
            "another drill is running in {} (until {}): wait, or delete that Cluster",
            text(&left, "/metadata/name"),
            until.map_or_else(|| "an unknown time".to_owned(), |until| until.to_string())
        );
        api.delete(CLUSTERS, &left, "it is left over from an earlier drill").await?;
    }
    Ok(())
}

/// A small cluster like the live one, without archiving: it cannot write to the bucket.
fn scratch(live: &Value, options: &DrillOptions) -> Value {
    let cluster = text(live, "/metadata/name");
    let time = clock::now();
    let stem: String = cluster.chars().take(30).collect();
    let name = format!("{stem}-drill-{}", time.strftime("%m%d%H%M%S"));
    let mut scratch = successor(live, &name, None);
    let spec = &mut scratch["spec"];
    for field in ["plugins", "backup", "managed", "replica", "walStorage"] {
        if let Some(spec) = spec.as_object_mut() {
            spec.remove(field);
        }
    }
    spec["instances"] = json!(1);
    // Helm and people must not take it for their own.
    scratch["metadata"] = json!({"name": name, "labels": {format!("{ANNOTATION_PREFIX}/drill-of"): cluster}});
    scratch["metadata"]["annotations"] = json!({});
    // The Jobs that inspect it run after the restore.
    let until = time + options.deadline + Duration::from_secs(3600);
    set_annotation(&mut scratch, "until", until.to_string());
    scratch
}
