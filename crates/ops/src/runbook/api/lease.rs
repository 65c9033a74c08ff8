//! The lease that excludes a second runbook on the same release.
//!
//! It is a `coordination.k8s.io/v1` Lease. Its times are by the API server's clock, so the clocks of two machines need
//! not agree. Every change checks it first: a runbook that lost it, because it was suspended or the Lease was deleted,
//! makes no further change.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use ferroflow_model::Environment;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    connection::{Connection, Failure, REQUEST},
    kinds::LEASES,
    print_step, text,
};
use crate::clock;

/// Seconds after which a lease that is not renewed expires.
const SECONDS: u64 = 20;

/// Age from which a lease is renewed. With the time limit of a request it stays below [`SECONDS`].
const RENEW: Duration = Duration::from_secs(3);
const _: () = assert!(RENEW.as_secs() + REQUEST.as_secs() < SECONDS);

/// Allowance for the clock of the API server, which it reports in whole seconds.
const ROUNDING: SignedDuration = SignedDuration::from_secs(2);

/// A lease, or the intention to acquire one.
#[derive(Debug)]
pub(super) struct Lease {
    path: String,
    name: String,
    /// The holder, unique to this process.
    holder: String,
    state: Mutex<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    version: Value,
    uid: Value,
    renewed: Instant,
}

impl Held {
    fn of(lease: &Value) -> Self {
        let metadata = &lease["metadata"];
        Self { version: metadata["resourceVersion"].clone(), uid: metadata["uid"].clone(), renewed: Instant::now() }
    }
}

/// Who runs this process: `ann@laptop (4711)`.
pub(super) fn operator(environment: &Environment) -> String {
    let variable = |names: &[&str]| names.iter().find_map(|name| environment.get(name));
    let user = variable(&["USER", "LOGNAME"]).unwrap_or("unknown");
    let host = variable(&["HOSTNAME"]).map(str::to_owned).or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.map_or_else(|| "unknown".to_owned(), |host| host.trim().to_owned());
    format!("{user}@{host} ({})", std::process::id())
}

/// The holder of a lease: `recover by ann@laptop (4711), begun 2026-01-02T03:04:05Z`.
fn holder(runbook: &str, operator: &str) -> String {
    format!("{runbook} by {operator}, begun {}", clock::now())
}

/// The name of the Lease of a release.
pub(super) fn name(release: &str) -> String {
    format!("{release}-ops")
}

/// Returns the holder of a lease that has not expired.
pub(super) fn live_holder(lease: &Value, now: Timestamp) -> Option<&str> {
    let holder = text(lease, "/spec/holderIdentity");
    let renewed: Option<Timestamp> = text(lease, "/spec/renewTime").parse().ok();
    let seconds = lease["spec"]["leaseDurationSeconds"].as_i64().unwrap_or_default();
    let until = renewed?.checked_add(SignedDuration::from_secs(seconds)).ok()?.checked_add(ROUNDING).ok()?;
    (!holder.is_empty() && now < until).then_some(holder)
}

impl Lease {
    /// Acquires the lease. A holder that was killed does not renew its lease: this waits until it has expired.
    pub(super) async fn acquire(
        connection: &Connection,
        namespace: &str,
        release: &str,
        runbook: &str,
        operator: &str,
    ) -> Result<Self, Failure> {
        let (name, holder) = (name(release), holder(runbook, operator));
        let path = format!("/{}/namespaces/{namespace}/{}", LEASES.api, LEASES.plural);
        let mut seen: Option<(String, String)> = None;
        loop {
            let there = read(connection, &format!("{path}/{name}")).await?;
            let now = connection.now();
            let Some(lease) = there else {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "mlflow"}},
                    "spec": spec(&holder, now),
                });
                let body = Some(("application/json", &lease));
                match connection.persist(async |_| connection.send(Method::POST, &path, body).await).await {
                    Ok(made) => return Ok(Self::new(path, name, holder, &parse(&made))),
                    // Another runbook was faster, or the response to this request was lost.
                    Err(failure) if failure.code() == Some(409) => continue,
                    Err(failure) => return Err(failure),
                }
            };
            if text(&lease, "/spec/holderIdentity") == holder {
                return Ok(Self::new(path, name, holder, &lease));
            }
            let Some(other) = live_holder(&lease, now) else {
                let mut edit = json!({"spec": spec(&holder, now)});
                edit["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"].clone();
                match patch(connection, &format!("{path}/{name}"), &edit).await {
                    Ok(taken) => return Ok(Self::new(path, name, holder, &taken)),
                    Err(failure) if matches!(failure.code(), Some(404 | 409)) => continue,
                    Err(failure) => return Err(failure),
                }
            };
            let renewed = text(&lease, "/spec/renewTime").to_owned();
            match &seen {
                None => print_step(&format!("`{other}` has the lease {name}: wait for a renewal, at most {SECONDS} s")),
                Some((before, since)) if before == other && *since == renewed => {}
                Some(_) => {
                    return Err(Failure::Stopped(format!(
                        "another runbook is running: `{other}`. Wait for its end. To stop it before its next change: \
                         kubectl delete lease/{name}"
                    )));
                }
            }
            seen.get_or_insert((other.to_owned(), renewed));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn new(path: String, name: String, holder: String, lease: &Value) -> Self {
        Self { path: format!("{path}/{name}"), name, holder, state: Mutex::new(Held::of(lease)) }
    }

    fn held(&self) -> Held {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn keep(&self, lease: &Value) {
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Held::of(lease);
    }

    /// Checks that this process has the lease, and renews it.
    pub(super) async fn hold(&self, connection: &Connection) -> Result<(), Failure> {
        let mut held = self.held();
        if held.renewed.elapsed() < RENEW {
            return Ok(());
        }
        loop {
            let mut edit = json!({"spec": {"renewTime": micro(connection.now())}});
            edit["metadata"]["resourceVersion"] = held.version.clone();
            match connection.send(Method::PATCH, &self.path, Some(("application/merge-patch+json", &edit))).await {
                Ok(renewed) => {
                    self.keep(&parse(&renewed));
                    return Ok(());
                }
                // The response to an earlier renewal was lost, or another runbook has the lease.
                Err(failure) if failure.code() == Some(409) => {
                    let there = parse(&connection.send(Method::GET, &self.path, None).await?);
                    if text(&there, "/spec/holderIdentity") != self.holder {
                        let other = text(&there, "/spec/holderIdentity");
                        return Err(Failure::Stopped(format!(
                            "the lease {} was lost to `{other}`: this runbook makes no further change",
                            self.name
                        )));
                    }
                    held = Held::of(&there);
                }
                Err(failure) if failure.code() == Some(404) => {
                    return Err(Failure::Stopped(format!(
                        "the lease {} was deleted: this runbook makes no further change. Run it again to continue",
                        self.name
                    )));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Releases the lease. After a failure it expires.
    pub(super) async fn release(&self, connection: &Connection) {
        for _ in 0..3 {
            let held = self.held();
            let options = json!({
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": {"uid": held.uid, "resourceVersion": held.version},
            });
            let body = Some(("application/json", &options));
            match connection.send(Method::DELETE, &self.path, body).await {
                Err(failure) if failure.code() == Some(409) => {
                    // The response to a renewal was lost.
                    match read(connection, &self.path).await {
                        Ok(Some(lease)) if text(&lease, "/spec/holderIdentity") == self.holder => self.keep(&lease),
                        _ => return,
                    }
                }
                Err(Failure::Away(_)) => {}
                _ => return,
            }
        }
    }
}

fn spec(holder: &str, now: Timestamp) -> Value {
    json!({"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "acquireTime": micro(now), "renewTime": micro(now)})
}

/// A time as Kubernetes' `MicroTime`.
fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// A Lease, if it exists.
async fn read(connection: &Connection, path: &str) -> Result<Option<Value>, Failure> {
    match connection.persist(async |_| connection.send(Method::GET, path, None).await).await {
        Ok(found) => Ok(Some(parse(&found))),
        Err(failure) if failure.code() == Some(404) => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn patch(connection: &Connection, path: &str, edit: &Value) -> Result<Value, Failure> {
    let body = Some(("application/merge-patch+json", edit));
    let answer = connection.persist(async |_| connection.send(Method::PATCH, path, body).await).await;
    answer.map(|bytes| parse(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_live_until_it_expires() {
        let renewed: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let lease = json!({"spec": spec("recover by ann@laptop", renewed)});
        let after = |seconds: i64| renewed + SignedDuration::from_secs(seconds);
        assert_eq!(live_holder(&lease, after(21)), Some("recover by ann@laptop"));
        assert_eq!(live_holder(&lease, after(23)), None);
        assert_eq!(live_holder(&json!({"spec": {"holderIdentity": "x"}}), renewed), None);
    }

    #[test]
    fn two_holders_of_one_process_differ() {
        assert_ne!(holder("recover", "ann@laptop (1)"), holder("recover", "ann@laptop (1)"));
    }
}
