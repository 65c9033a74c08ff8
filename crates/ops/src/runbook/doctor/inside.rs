//! Checks that must run inside the cluster: the databases, the bucket, and the bucket by the URLs for clients.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

use super::{
    super::{
        api::Api,
        probe::{self, Contents, Inspection, Storage, Work},
        release::Release,
    },
    CLOCKS, Findings, note, ok, workspaces,
};

/// Timeout of the bucket's response to this machine.
const BUCKET_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time since a server began to build rollups while some wait: they are built once a day.
const LATEST_PASS: SignedDuration = SignedDuration::from_hours(49);

/// Where environment variables of the server are set.
const VARIABLE: &str = "in mlflow.extraEnv";

/// Runs the checks with a Job.
pub(super) async fn inside(api: &Api, release: &Release, deployment: &Value, found: &mut Findings) {
    let seen = match probe::inspect(api, release, Work::Check, &release.cluster, None).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return,
        Err(error) => {
            found.wrong(&format!("the databases cannot be inspected: {error:#}"), "kubectl get jobs");
            return;
        }
    };
    revisions(&seen, found);
    for workspaces in seen.contents.iter().filter_map(|contents| contents.workspaces.as_ref()) {
        workspaces::workspaces(workspaces, deployment, found);
    }
    seen.contents.iter().for_each(|contents| {
        rollups(contents, found);
        indexes(contents);
    });
    match &seen.storage {
        Some(storage) => bucket(storage, found).await,
        None => found.wrong(
            &format!("the bucket cannot be tested: {}", seen.error),
            "check the values of s3 and the Secret of s3.existingSecret",
        ),
    }
}

fn revisions(seen: &Inspection, found: &mut Findings) {
    for contents in &seen.contents {
        let revision = contents.revision.as_deref().unwrap_or("none");
        let release = contents.release.as_ref().map(|release| format!(" ({release})")).unwrap_or_default();
        let what = format!("the {} database is at {revision}{release}", contents.chain);
        let wrong = format!("{what}, and the server wants {}", contents.head);
        found.check(contents.pending == Some(0), &what, &wrong, "ferroflow ops upgrade, or run the migration");
    }
}

/// The tables of rollups of traces, and the queue of days that are to be built again.
const ROLLUPS: [&str; 3] =
    ["sql_trace_metric_daily_rollups", "sql_span_cost_daily_rollups", "sql_assessment_daily_rollups"];
const ROLLUP_QUEUE: &str = "sql_trace_rollup_rebuild_queue";

/// Whether all servers of the database agree about rollups of traces, and one of them builds them.
fn rollups(contents: &Contents, found: &mut Findings) {
    let Some(rollups) = contents.rollups else { return };
    let rows = |table: &str| contents.rows.get(table).copied().unwrap_or_default();
    let (built, waiting) = (ROLLUPS.iter().map(|table| rows(table)).sum::<i64>(), rows(ROLLUP_QUEUE));
    if !rollups.enabled {
        if built + waiting > 0 {
            found.wrong(
                &format!(
                    "the database has {built} rollups of traces and {waiting} days that wait, and this server does not \
                     use them: its writes would make them wrong"
                ),
                &format!(
                    "set MLFLOW_SQL_TRACE_ROLLUPS_ENABLED=true for all servers of the database, {VARIABLE}, or stop them \
                     and run `ferroflow db delete-trace-rollups`"
                ),
            );
        }
        return;
    }
    let is_late = rollups.pass_age_ms.is_none_or(|age| i128::from(age) > LATEST_PASS.as_millis());
    let last = match rollups.pass_age_ms {
        Some(age) => format!("the last pass began {} hours ago", age / 3_600_000),
        None => "no server has begun a pass".to_owned(),
    };
    let what = format!("{waiting} days of traces wait to be summed up, {last}");
    found.check(
        waiting == 0 || !is_late,
        &what,
        &what,
        &format!(
            "set MLFLOW_SERVER_ENABLE_JOB_EXECUTION and MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS to true for one server, \
             {VARIABLE}, and look for \"days of traces cannot be summed up\" in its log"
        ),
    );
}

/// Names those of ferroflow's own indexes that are missing: searches take longer, and nothing is wrong.
fn indexes(contents: &Contents) {
    match contents.missing_indexes.as_deref() {
        None => {}
        Some([]) => ok("ferroflow's own indexes are there"),
        Some(missing) => note(&format!(
            "searches in a large database take longer, because these indexes are missing: {}. A server creates them in \
             the background, or `ferroflow db tune`, which with --dry-run reports their size",
            missing.join(", ")
        )),
    }
}

async fn bucket(storage: &Storage, found: &mut Findings) {
    let (name, trial) = (&storage.storage, &storage.trial);
    match &trial.failed {
        None => ok(&format!("{name} can be written, read and deleted from")),
        Some(failure) => {
            let what = format!("the server cannot {} in {name}: {}", failure.step, failure.reason);
            found.wrong(&what, remedy(&failure.step, &failure.reason));
        }
    }
    if let Some(skew) = trial.skew {
        let what = format!("the clocks of the node and of the bucket are {} s apart", skew.abs());
        let limit = CLOCKS.as_secs();
        found.check(skew.abs() <= limit, &what, &what, "set the clock of the node (chrony), or of the store");
    }
    let Some(presigned) = &trial.presigned else { return };
    let origin = &presigned.origin;
    let Some(reason) = &presigned.failed else {
        ok(&format!("a signed URL at {origin} answers the server"));
        if let Err(reason) = ferroflow_artifacts::responds(origin, BUCKET_TIMEOUT).await {
            note(&format!(
                "{origin} does not answer this machine ({reason}): where clients are as far away, set \
                 FERROFLOW_S3_PUBLIC_ENDPOINT_URL to an address that they reach, or FERROFLOW_PRESIGNED_TRANSFERS=false, \
                 {VARIABLE}"
            ));
        }
        return;
    };
    // Not reachable from inside is fine if clients are outside and can reach it.
    if !presigned.answered && ferroflow_artifacts::responds(origin, BUCKET_TIMEOUT).await.is_ok() {
        note(&format!("{origin}, where clients are sent, answers this machine, and not the server ({reason})"));
        return;
    }
    let remedy = if trial.failed.is_some() {
        "solve the problem of the bucket first".to_owned()
    } else {
        format!(
            "set FERROFLOW_S3_PUBLIC_ENDPOINT_URL to the address by which clients reach the bucket, or \
             FERROFLOW_PRESIGNED_TRANSFERS=false, {VARIABLE}"
        )
    };
    found.wrong(&format!("a signed URL at {origin}, where clients are sent, does not answer: {reason}"), &remedy);
}

/// The value to change, by the store's error.
fn remedy(step: &str, reason: &str) -> &'static str {
    let code = reason.split(':').next().unwrap_or_default();
    match code {
        "NoSuchBucket" | "the bucket does not exist" => "set s3.bucket to an existing bucket, or create it",
        "InvalidAccessKeyId" | "NotSignedUp" => {
            "set AWS_ACCESS_KEY_ID in the Secret of s3.existingSecret to a key that the store knows"
        }
        "SignatureDoesNotMatch" => "set AWS_SECRET_ACCESS_KEY in the Secret of s3.existingSecret to that of the key",
        "RequestTimeTooSkewed" => "set the clock of the node (chrony), or of the store",
        "AuthorizationHeaderMalformed" | "PermanentRedirect" => "set s3.region to the bucket's",
        "AccessDenied" | "access denied" => match step {
            "read" => "give the key in the Secret of s3.existingSecret the right s3:GetObject",
            "delete" => "give the key in the Secret of s3.existingSecret the right s3:DeleteObject: gc needs it",
            _ => {
                "give the key in the Secret of s3.existingSecret the rights s3:PutObject, s3:GetObject, s3:DeleteObject \
                  and s3:ListBucket"
            }
        },
        _ => "check s3.endpointUrl, s3.bucket, s3.ca and the network (networkPolicy.egressPorts)",
    }
}
