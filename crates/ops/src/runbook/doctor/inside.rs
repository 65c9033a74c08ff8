//! Checks that must run inside the cluster: the databases, the bucket, and the bucket by the URLs for clients.

use std::time::Duration;

use serde_json::Value;

use super::{
    super::{
        api::Api,
        probe::{self, Inspection, Storage, Work},
        release::Release,
    },
    CLOCKS, Findings, note, ok, workspaces,
};

/// Timeout of the bucket's response to this machine.
const BUCKET_TIMEOUT: Duration = Duration::from_secs(10);

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
