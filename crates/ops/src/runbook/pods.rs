//! Why pods do not start, and whether they still can.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::Value;

use super::{
    api::{Api, PODS, items, print_step, text},
    release::condition,
};

/// Maximum age of a reason that may resolve itself, such as a registry that does not answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Number of restarts after which a container is treated as unable to start.
const RESTARTS: u64 = 3;

/// Messages of image pulls that fail at every repetition.
const NO_IMAGE: [&str; 9] = [
    "not found",
    "manifest unknown",
    "manifest_unknown",
    "repository does not exist",
    "denied",
    "unauthorized",
    "no match for platform",
    "no matching manifest",
    "invalid reference",
];

/// Why a pod does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waits {
    what: String,
    chance: Chance,
}

/// Whether a pod may still start.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chance {
    /// It will, as far as its status shows.
    Good,
    /// If the reason resolves itself within [`PATIENCE`].
    Soon,
    /// It will not.
    None,
    /// It will not: this container has ended [`RESTARTS`] times.
    Restarts(String),
}

/// Watches the pods of an object: prints why they do not start, when that changes, and fails if they cannot start.
pub(super) struct Pods<'a> {
    api: &'a Api,
    selector: String,
    /// Only pods with a container of this image, so that pods of an earlier revision are left out; empty for all.
    image: String,
    printed: BTreeMap<String, (String, Instant)>,
}

impl<'a> Pods<'a> {
    pub(super) fn new(api: &'a Api, selector: String, image: String) -> Self {
        Self { api, selector, image, printed: BTreeMap::new() }
    }

    /// Reads the pods once.
    ///
    /// # Errors
    /// One of them cannot start.
    pub(super) async fn look(&mut self) -> Result<()> {
        for pod in self.api.list(PODS, &self.selector).await? {
            let name = text(&pod, "/metadata/name").to_owned();
            let has_image = items(&pod, "/spec/containers").iter().any(|one| text(one, "/image") == self.image);
            if !self.image.is_empty() && !has_image {
                continue;
            }
            let Some(Waits { what, chance }) = waits(&pod) else {
                self.printed.remove(&name);
                continue;
            };
            let since = match self.printed.get(&name) {
                Some((before, since)) if *before == what => *since,
                before => {
                    // A pull alternates between ErrImagePull and ImagePullBackOff.
                    let since =
                        before.filter(|_| chance == Chance::Soon).map_or_else(Instant::now, |(_, since)| *since);
                    print_step(&format!("  pod {name} {what}"));
                    since
                }
            };
            self.printed.insert(name.clone(), (what.clone(), since));
            match chance {
                Chance::Good => {}
                Chance::Soon if since.elapsed() < PATIENCE => {}
                Chance::Soon | Chance::None => bail!("the pod {name} does not start: it {what}"),
                Chance::Restarts(container) => {
                    let said = match self.api.logs(&name, &container, true).await {
                        Ok(said) => Ok(said),
                        Err(_) => self.api.logs(&name, &container, false).await,
                    };
                    let said = said.map_or_else(|error| format!("{error:#}"), |said| last_lines(&said));
                    bail!(
                        "the pod {name} does not start: it {what}. The log of its container {container} ends with: {said}"
                    )
                }
            }
        }
        Ok(())
    }
}

/// Returns why a pod does not start; `None` if it is ready or has succeeded.
fn waits(pod: &Value) -> Option<Waits> {
    let good = |what: String| Some(Waits { what, chance: Chance::Good });
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return good("is terminating".to_owned());
    }
    match text(pod, "/status/phase") {
        "Succeeded" => return None,
        "Failed" => {
            let why = [text(pod, "/status/reason"), text(pod, "/status/message")].join(" ");
            return good(format!("failed {why}").trim_end().to_owned());
        }
        _ => {}
    }
    let mut statuses =
        items(pod, "/status/initContainerStatuses").iter().chain(items(pod, "/status/containerStatuses"));
    for status in statuses.clone() {
        if let Some(found) = container(status) {
            return Some(found);
        }
    }
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|scheduled| scheduled["status"] == "False") {
        return good(format!("has no node: {}", text(scheduled, "/message")));
    }
    let initial = items(pod, "/status/initContainerStatuses").iter().find(|one| one["state"]["running"].is_object());
    if let Some(initial) = initial {
        return good(format!("waits in its init container {}", text(initial, "/name")));
    }
    let unready = statuses.rfind(|status| status["state"]["running"].is_object() && status["ready"] == false);
    unready.and_then(|status| {
        let pod = text(pod, "/metadata/name");
        good(format!("runs, and {} is not ready: kubectl logs {pod}", text(status, "/name")))
    })
}

/// Returns why a container does not start.
fn container(status: &Value) -> Option<Waits> {
    let (name, waiting) = (text(status, "/name"), &status["state"]["waiting"]);
    let (reason, message) = (text(waiting, "/reason"), text(waiting, "/message"));
    let restarts = status["restartCount"].as_u64().unwrap_or_default();
    let chance = match reason {
        "" | "PodInitializing" | "ContainerCreating" => return None,
        "ErrImagePull" | "ImagePullBackOff" => {
            let message = message.to_lowercase();
            if NO_IMAGE.iter().any(|words| message.contains(words)) { Chance::None } else { Chance::Soon }
        }
        "CreateContainerConfigError" if message.contains("failed to sync") => Chance::Soon,
        // A missing Secret is not created while a runbook waits.
        "InvalidImageName" | "CreateContainerConfigError" => Chance::None,
        "CrashLoopBackOff" if restarts >= RESTARTS => Chance::Restarts(name.to_owned()),
        "CrashLoopBackOff" => Chance::Good,
        _ => Chance::Soon,
    };
    let ended = &status["lastState"]["terminated"];
    let ended = match ended["exitCode"].as_i64() {
        Some(code) => format!(", ended with {code} {} after {restarts} restarts", text(ended, "/reason")),
        None => String::new(),
    };
    Some(Waits { what: format!("waits: {name}: {reason} {message}").trim_end().to_owned() + &ended, chance })
}

/// Returns the last five lines of a log, joined.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Value {
        json!({"metadata": {"name": "p"}, "status": status})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        pod(json!({"containerStatuses": [{"name": "mlflow", "state": state, "restartCount": 3}]}))
    }

    #[test]
    fn permanent_reasons_are_distinguished_from_transient_ones() {
        let chance = |reason, message| waits(&waiting(reason, message)).map(|waits| waits.chance);
        assert_eq!(chance("ImagePullBackOff", "manifest unknown"), Some(Chance::None));
        assert_eq!(chance("ErrImagePull", "failed to do request: i/o timeout"), Some(Chance::Soon));
        assert_eq!(chance("CreateContainerConfigError", "secret \"x\" not found"), Some(Chance::None));
        assert_eq!(chance("CrashLoopBackOff", "back-off"), Some(Chance::Restarts("mlflow".into())));
        assert_eq!(chance("ContainerCreating", ""), None);
    }

    #[test]
    fn the_reason_of_a_pod_is_described() {
        let what = |status| waits(&pod(status)).map(|waits| waits.what).unwrap_or_default();
        let message = "0/3 nodes are available: 3 Insufficient memory.";
        let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]});
        assert_eq!(what(unscheduled), format!("has no node: {message}"));
        let runs = json!([{"name": "wait", "state": {"running": {}}}]);
        assert_eq!(what(json!({"initContainerStatuses": runs})), "waits in its init container wait");
        let unready = json!([{"name": "mlflow", "state": {"running": {}}, "ready": false}]);
        assert_eq!(what(json!({"containerStatuses": unready})), "runs, and mlflow is not ready: kubectl logs p");
        assert_eq!(what(json!({"phase": "Failed", "reason": "Evicted"})), "failed Evicted");
        assert_eq!(what(json!({"phase": "Succeeded"})), "");
    }
}
