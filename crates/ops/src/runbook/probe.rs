//! Inspects a database from inside the cluster: a Job with the server's image, environment and secrets runs `ferroflow
//! db …`, and its log is the result. So only the API server must be reachable from here.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use ferroflow_artifacts::Trial;
use ferroflow_store::{accounts::roster::Roster, schema::own::is_own, upkeep::workspace_summary::WorkspaceSummary};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ANNOTATION_PREFIX,
    api::{Api, JOBS, PODS, items, print_step, text},
    pods::{Pods, last_lines},
    release::{Release, retarget, server},
};
use crate::{clock, sample::Sample};

/// Timeout of a read-only Job.
const READ_TIMEOUT: Duration = Duration::from_secs(900);

/// Timeout of a Job that changes tables.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// A line of output of `ferroflow db rows`.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
pub(super) struct Contents {
    pub(super) chain: String,
    pub(super) revision: Option<String>,
    /// The release whose head the revision is; `None` between two of them, and from older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<String>,
    pub(super) head: String,
    /// Number of revisions between both, if the current one is known.
    pub(super) pending: Option<usize>,
    /// Milliseconds since the Unix epoch.
    pub(super) newest: Option<i64>,
    pub(super) rows: BTreeMap<String, i64>,
    /// The users of a users database; `None` from older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) users: Option<Roster>,
    /// The workspaces of a tracking database at a head; `None` from older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) workspaces: Option<WorkspaceSummary>,
    /// The rollups of a tracking database; `None` from older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rollups: Option<Rollups>,
    /// Those of ferroflow's own indexes that are missing; `None` from older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missing_indexes: Option<Vec<String>>,
}

/// Who builds the rollups of traces.
#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize)]
pub(super) struct Rollups {
    /// Whether the server uses them.
    pub(super) enabled: bool,
    /// Milliseconds since a server of the database began to build some; `None` if none ever did.
    pub(super) pass_age_ms: Option<i64>,
}

/// The line of output of `ferroflow storage check`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Storage {
    /// The name for operators.
    pub(super) storage: String,
    pub(super) trial: Trial,
}

/// The line of output of `ferroflow storage sample`.
#[derive(Debug, Clone, Deserialize)]
struct SampleLine {
    sample: Sample,
}

/// The results of a Job.
#[derive(Debug, Clone, Default)]
pub(super) struct Inspection {
    pub(super) contents: Vec<Contents>,
    pub(super) sample: Option<Sample>,
    pub(super) storage: Option<Storage>,
    /// The error, if there is no sample or storage where one is expected.
    pub(super) error: String,
}

/// The task of a Job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Print the contents of both databases.
    Rows,
    /// The same, and read some of the artifacts that they refer to.
    Sample,
    /// Print the contents of both databases, and test the bucket.
    Check,
    /// Upgrade both databases.
    Upgrade,
    /// Invalidate all browser sessions.
    EndSessions,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Sample => "sample",
            Self::Check => "check",
            Self::Upgrade => "upgrade",
            Self::EndSessions => "sessions",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Rows | Self::Sample | Self::Check => "ferroflow db rows",
            Self::EndSessions => "ferroflow user end-sessions",
            Self::Upgrade => "ferroflow db upgrade",
        }
    }

    /// The command after that. Its failure does not fail the Job: the output has the result.
    fn storage_command(self) -> &'static str {
        match self {
            Self::Rows | Self::Upgrade | Self::EndSessions => "",
            Self::Sample => "ferroflow storage sample \"$MLFLOW_BACKEND_STORE_URI\" || true\n",
            Self::Check => "ferroflow storage check || true\n",
        }
    }
}

/// Runs a Job against a database and returns its output. `image` replaces the server's.
pub(super) async fn run(
    api: &Api,
    release: &Release,
    work: Work,
    cluster: &str,
    image: Option<&str>,
) -> Result<Option<String>> {
    let job = job(release, work, cluster, image)?;
    let why = format!("`{}` on {cluster}", work.command());
    let created = api.create(JOBS, &why, job).await?;
    let name = text(&created, "/metadata/name").to_owned();
    let timeout = if matches!(work, Work::Upgrade) { UPGRADE_TIMEOUT } else { READ_TIMEOUT };
    let mut pods = Pods::new(api, format!("batch.kubernetes.io/job-name={name}"), String::new());
    let poll = async || {
        let job = api.get_required(JOBS, &name).await?;
        let count = |field: &str| job["status"][field].as_u64().unwrap_or_default();
        if count("succeeded") + count("failed") > 0 {
            return Ok(Some(count("succeeded") > 0));
        }
        pods.look().await?;
        Ok(None)
    };
    let Some(succeeded) = api.wait(&format!("Job {name} has ended"), timeout, poll).await? else { return Ok(None) };
    let pods = api.list(PODS, &format!("batch.kubernetes.io/job-name={name}")).await?;
    let pod = pods.first().map(|pod| text(pod, "/metadata/name")).unwrap_or_default();
    let said = api.logs(pod, "ops", false).await?;
    if !succeeded {
        bail!("the Job {name} failed, it is kept for inspection. Its output: {}", last_lines(&said));
    }
    api.delete(JOBS, &created, "its task is complete").await?;
    Ok(Some(said))
}

/// The contents of the databases of a cluster.
pub(super) async fn contents(
    api: &Api,
    release: &Release,
    cluster: &str,
    image: Option<&str>,
) -> Result<Option<Vec<Contents>>> {
    Ok(inspect(api, release, Work::Rows, cluster, image).await?.map(|inspection| inspection.contents))
}

/// Inspects a cluster with a Job.
pub(super) async fn inspect(
    api: &Api,
    release: &Release,
    work: Work,
    cluster: &str,
    image: Option<&str>,
) -> Result<Option<Inspection>> {
    let Some(said) = run(api, release, work, cluster, image).await? else { return Ok(None) };
    let mut inspection = Inspection::default();
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let value: Value = serde_json::from_str(line).with_context(|| format!("its output: {line}"))?;
        let unreadable = || format!("its output: {line}");
        if value["chain"].is_string() {
            inspection.contents.push(serde_json::from_value(value).with_context(unreadable)?);
        } else if value["sample"].is_object() {
            inspection.sample = Some(serde_json::from_value::<SampleLine>(value).with_context(unreadable)?.sample);
        } else if value["storage"].is_string() {
            inspection.storage = Some(serde_json::from_value(value).with_context(unreadable)?);
        }
    }
    let error = said.lines().rev().find_map(|line| line.strip_prefix("Error: "));
    error
        .unwrap_or("the ferroflow in the server's image does not support `ferroflow storage`")
        .clone_into(&mut inspection.error);
    ensure!(
        inspection.contents.iter().any(|contents| contents.chain == "tracking"),
        "its output lacks the tracking database: {said}"
    );
    Ok(Some(inspection))
}

/// Compares a restored cluster with the live one, prints the row counts of all tables, and returns the problems.
/// `is_latest`: it should have all data.
pub(super) fn compare(live: &[Contents], restored: &[Contents], is_latest: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for old in live {
        let chain = &old.chain;
        let Some(new) = restored.iter().find(|new| new.chain == *chain) else {
            wrong.push(format!("the {chain} database is not there"));
            continue;
        };
        if is_latest && old.revision != new.revision {
            let (old, new) = (shown(old.revision.as_ref()), shown(new.revision.as_ref()));
            wrong.push(format!("the {chain} database is at revision {new}, the live one at {old}"));
        }
        if new.revision.is_none() {
            wrong.push(format!("the {chain} database has no tables"));
        }
        for (table, rows) in &old.rows {
            let there = new.rows.get(table).copied();
            if *rows > 0 || there.unwrap_or_default() > 0 {
                print_step(&format!("  {chain}.{table}: {rows} rows live, {} restored", there.unwrap_or_default()));
            }
            // The server's own tables may become empty, such as the outbox and failed logins.
            if is_latest && *rows > 0 && there.unwrap_or_default() == 0 && !is_own(table) {
                wrong.push(format!("{chain}.{table} came back empty"));
            }
        }
        if let (Some(old), Some(new)) = (old.newest, new.newest) {
            print_step(&format!("  {chain}: the newest change is {} s behind the live one", (old - new).max(0) / 1000));
        }
    }
    wrong
}

/// How the users of a recovered cluster differ from those of the live one.
pub(super) fn users(live: &[Contents], recovered: &[Contents]) -> Vec<String> {
    let of = |all: &[Contents]| all.iter().find_map(|contents| contents.users.clone());
    of(live).zip(of(recovered)).map(|(live, recovered)| recovered.differences(&live)).unwrap_or_default()
}

/// What a restored cluster lacks, compared with one without writes since it was inspected.
pub(super) fn missing_data(live: &[Contents], restored: &[Contents]) -> Vec<String> {
    let mut wrong = Vec::new();
    for old in live {
        let chain = &old.chain;
        let Some(new) = restored.iter().find(|new| new.chain == *chain) else { continue };
        if let Some(lag) = old.newest.zip(new.newest).map(|(old, new)| old - new).filter(|lag| *lag > 0) {
            wrong.push(format!("{chain}: the newest change is {} s behind", (lag + 999) / 1000));
        }
        for (table, rows) in old.rows.iter().filter(|(table, _)| !is_own(table)) {
            // `compare` reports a table that came back empty.
            if let Some(there) = new.rows.get(table).filter(|there| **there > 0 && *there < rows) {
                wrong.push(format!("{chain}.{table} lacks {} rows", rows - there));
            }
        }
    }
    wrong
}

/// Prints which artifacts were read, and returns the failure if any.
pub(super) fn sampled(inspection: &Inspection, work: Work) -> Option<String> {
    if !matches!(work, Work::Sample) {
        return None;
    }
    let Some(sample) = &inspection.sample else {
        print_step(&format!("  artifacts were not read: {}", inspection.error));
        return None;
    };
    sample.lines().iter().for_each(|line| print_step(&format!("  {line}")));
    sample.failure()
}

/// Seconds between the newest changes of both.
pub(super) fn lag(live: &[Contents], restored: &[Contents]) -> Option<i64> {
    let newest = |all: &[Contents]| all.iter().find(|one| one.chain == "tracking").and_then(|one| one.newest);
    Some((newest(live)? - newest(restored)?).max(0) / 1000)
}

fn shown(revision: Option<&String>) -> &str {
    revision.map_or("none", String::as_str)
}

fn job(release: &Release, work: Work, cluster: &str, image: Option<&str>) -> Result<Value> {
    let main = server(&release.deployment)?;
    let template = &release.deployment["spec"]["template"]["spec"];
    let mut container = json!({"name": "ops", "command": ["bash", "-c"], "args": [script(main, work)]});
    for field in ["image", "imagePullPolicy", "env", "envFrom", "resources", "securityContext", "volumeMounts"] {
        if !main[field].is_null() {
            container[field] = main[field].clone();
        }
    }
    let mut pod = json!({"restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false});
    for field in ["serviceAccountName", "securityContext", "imagePullSecrets", "nodeSelector", "tolerations", "volumes"]
    {
        if !template[field].is_null() {
            pod[field] = template[field].clone();
        }
    }
    if let Some(image) = image {
        container["image"] = json!(image);
    }
    pod["containers"] = json!([container]);
    // Bypasses PgBouncer: it does not support session-level advisory locks, and a scratch cluster has none.
    retarget(&mut pod, &format!("{}-pooler", release.cluster), &release.cluster);
    retarget(&mut pod, &release.cluster, cluster);
    let labels = json!({
        "app.kubernetes.io/name": "mlflow-ops",
        "app.kubernetes.io/component": "ops",
        "app.kubernetes.io/part-of": "mlflow",
        format!("{ANNOTATION_PREFIX}/release"): release.name,
    });
    let time = clock::now().strftime("%Y%m%d%H%M%S%3f").to_string();
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": format!("{}-{}-{time}", release.name, work.name()), "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": if matches!(work, Work::Upgrade) { UPGRADE_TIMEOUT.as_secs() } else { READ_TIMEOUT.as_secs() },
            "ttlSecondsAfterFinished": 86400,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }))
}

/// Reads the URI of the users database from the basic-auth configuration.
const USERS: &str = "users=$(sed -n 's/^[[:space:]]*database_uri[[:space:]]*[=:][[:space:]]*//p' \
                     \"$MLFLOW_AUTH_CONFIG_PATH\" | tail -n 1)";

/// The commands of the server's own script before its `exec`, followed by those of the task.
fn script(main: &Value, work: Work) -> String {
    let is_script = main["command"] == json!(["bash", "-c"]);
    let prologue = items(main, "/args").first().and_then(Value::as_str).filter(|_| is_script).unwrap_or("set -eu");
    let prologue: Vec<_> = prologue.lines().take_while(|line| !line.trim_start().starts_with("exec ")).collect();
    let command = work.command();
    if matches!(work, Work::EndSessions) {
        return format!(
            r#"{}
if test -n "${{MLFLOW_AUTH_CONFIG_PATH:-}}"; then
  {USERS}
  {command} --database "$users" || echo "Error: the sessions were not ended"
fi"#,
            prologue.join("\n")
        );
    }
    format!(
        r#"{}
{command} "$MLFLOW_BACKEND_STORE_URI"
if test -n "${{MLFLOW_AUTH_CONFIG_PATH:-}}"; then
  {USERS}
  {command} --auth "$users"
fi
{}"#,
        prologue.join("\n"),
        work.storage_command()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(rows: &[(&str, i64)], newest: i64) -> Contents {
        let rows = rows.iter().map(|(table, rows)| ((*table).to_owned(), *rows)).collect();
        Contents {
            chain: "tracking".into(),
            revision: Some("b".into()),
            release: None,
            head: "b".into(),
            pending: Some(0),
            newest: Some(newest),
            rows,
            users: None,
            workspaces: None,
            rollups: None,
            missing_indexes: None,
        }
    }

    #[test]
    fn what_came_back_empty_or_at_another_revision_is_wrong() {
        // Deliveries in the outbox have been sent since.
        let live = [contents(&[("runs", 5), ("tags", 0), ("ff_webhook_deliveries", 3)], 9_000)];
        let mut restored = [contents(&[("runs", 4), ("tags", 0)], 2_000)];
        assert!(compare(&live, &restored, true).is_empty());
        assert_eq!(lag(&live, &restored), Some(7));
        let lacks = ["tracking: the newest change is 7 s behind", "tracking.runs lacks 1 rows"];
        assert_eq!(missing_data(&live, &restored), lacks);
        assert!(missing_data(&live, &live).is_empty());
        restored[0].revision = Some("a".into());
        restored[0].rows.insert("runs".into(), 0);
        assert_eq!(compare(&live, &restored, true).len(), 2);
        // For an older recovery target both are fine.
        assert!(compare(&live, &restored, false).is_empty());
        assert_eq!(compare(&live, &[], false).len(), 1);
    }

    #[test]
    fn the_servers_own_preparation_is_kept_and_the_server_is_not_started() {
        let main =
            json!({"command": ["bash", "-c"], "args": ["set -eu\nexport A=1\nexec ferroflow server \"$@\"", "x"]});
        let script = script(&main, Work::Rows);
        assert!(script.starts_with("set -eu\nexport A=1\nferroflow db rows \"$MLFLOW_BACKEND_STORE_URI\""), "{script}");
        assert!(!script.contains("server \"$@\""));
    }
}
