//! Checks an installation for known problems, and names the value to change.

mod database;
mod hosts;
mod inside;
mod secrets;
mod tls;
mod versions;
mod workspaces;

use anyhow::{Result, bail, ensure};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    api::{Api, DEPLOYMENTS, Denied, PODS, items, print_step, text},
    exclusive::exclusively,
    release::{Release, annotation},
    rights::Rights,
};

/// Maximum clock skew: beyond it signed requests fail, and `--to` refers to another time.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// The results of the checks.
#[derive(Default)]
struct Findings {
    wrong: usize,
    /// Reads that the API server refused because the user lacks the right.
    unseen: Vec<String>,
}

fn ok(what: &str) {
    print_step(&format!("ok    {what}"));
}

/// Prints information that is not a problem.
fn note(what: &str) {
    print_step(&format!("-     {what}"));
}

impl Findings {
    fn wrong(&mut self, what: &str, remedy: &str) {
        self.wrong += 1;
        print_step(&format!("WRONG {what}\n      {remedy}"));
    }

    /// Returns what was read; `None` if the user lacks the right, which is printed and counted.
    fn see<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) => match error.downcast::<Denied>() {
                Ok(Denied(what)) => {
                    if !self.unseen.contains(&what) {
                        print_step(&format!("?     {what}"));
                        self.unseen.push(what);
                    }
                    Ok(None)
                }
                Err(other) => Err(other),
            },
        }
    }

    fn check(&mut self, is_right: bool, what: &str, wrong: &str, remedy: &str) {
        if is_right { ok(what) } else { self.wrong(wrong, remedy) }
    }
}

/// Checks an installation and prints its problems. With `look_inside` a Job inspects the databases and tests the
/// bucket; nothing else is changed.
///
/// # Errors
/// There are problems, or checks for which the user lacks rights.
pub async fn doctor(api: &Api, name: &str, look_inside: bool) -> Result<()> {
    let mut found = Findings::default();
    clock(api, &mut found).await?;
    kinds(api, &mut found).await?;
    let read = api.get(DEPLOYMENTS, name).await;
    if let Some(deployment) = found.see(read)? {
        let Some(deployment) = deployment else {
            bail!("there is no Deployment {name} in the namespace {}: say --release and --namespace", api.namespace);
        };
        installation(api, &deployment, name, look_inside, &mut found).await?;
    }
    let (wrong, unseen) = (found.wrong, found.unseen.len());
    let missing =
        format!("{unseen} checks were not made, because you lack rights: the chart has a Role with them (ops.role)");
    ensure!(wrong == 0 || unseen == 0, "{wrong} problems were found, and {missing}");
    ensure!(wrong == 0, "{wrong} problems were found");
    ensure!(unseen == 0, "{missing}");
    Ok(())
}

async fn installation(
    api: &Api,
    deployment: &Value,
    name: &str,
    look_inside: bool,
    found: &mut Findings,
) -> Result<()> {
    rollout(api, deployment, name, found).await?;
    let before = found.wrong;
    secrets::secrets(api, deployment, found).await?;
    let has_secrets = found.wrong == before;
    hosts::hosts(api, deployment, name, found).await?;
    match Release::find(api, name).await {
        Ok(release) => {
            let has_cluster = database::cluster(api, &release, found).await?;
            if look_inside && has_cluster && has_secrets {
                // It creates a Job, so it needs the lease.
                let looked = exclusively(api, name, "doctor --look-inside", Rights::look_inside, async || {
                    inside::inside(api, &release, deployment, found).await;
                    Ok(())
                })
                .await;
                if let Err(error) = looked {
                    found.wrong(
                        &format!("the databases were not inspected: {error:#}"),
                        "run it again when that is resolved",
                    );
                }
            } else if look_inside {
                note("the databases and the bucket are inspected when the Secrets and the Cluster are right");
            }
        }
        Err(error) => note(&format!("{error:#}")),
    }
    Ok(())
}

async fn clock(api: &Api, found: &mut Findings) -> Result<()> {
    let read = api.get_path("/version").await;
    let version = found.see(read)?.flatten();
    let version = version.map(|version| text(&version, "/gitVersion").to_owned()).unwrap_or_default();
    ok(&format!("the API server answers, Kubernetes {version}"));
    if let Some(ahead) = api.clock_ahead() {
        let apart = ahead.abs();
        let what = format!("the clock of this machine and the cluster's are {} s apart", apart.as_secs());
        found.check(
            apart <= CLOCKS,
            &what,
            &what,
            "set this machine's clock: `--to` would refer to another time than intended",
        );
    }
    Ok(())
}

async fn kinds(api: &Api, found: &mut Findings) -> Result<()> {
    let read = api.get_path("/apis/postgresql.cnpg.io/v1").await;
    let Some(operator) = found.see(read)? else { return Ok(()) };
    found.check(
        operator.is_some(),
        "the operator CloudNativePG is installed",
        "the operator CloudNativePG is not installed",
        "install it (https://cloudnative-pg.io), or set postgresql.mode=external",
    );
    Ok(())
}

async fn rollout(api: &Api, deployment: &Value, name: &str, found: &mut Findings) -> Result<()> {
    let number = |place: &str| deployment.pointer(place).and_then(Value::as_u64).unwrap_or_default();
    let (wanted, ready) = (deployment["spec"]["replicas"].as_u64().unwrap_or(1), number("/status/readyReplicas"));
    let read = api.holder(name).await;
    let holder = found.see(read)?.flatten();
    if let Some(holder) = &holder {
        note(&format!("a runbook is running: `{holder}`"));
    }
    for what in ["recovering", "upgrading"] {
        if let Some(begun) = annotation(deployment, what).filter(|_| holder.is_none()) {
            found.wrong(&format!("{what} {begun} was begun and not completed"), "run that runbook again: it continues");
        }
    }
    if wanted == 0 {
        let remedy = format!(
            "kubectl scale deployment/{name} --replicas=1, and leave mlflow.replicas out of your file of values"
        );
        found.wrong("the server is scaled to 0", &remedy);
        return Ok(());
    }
    let what = format!("{ready} of {wanted} servers are ready");
    found.check(
        ready == wanted,
        &what,
        &what,
        &format!("kubectl describe deployment/{name}; kubectl logs deployment/{name}"),
    );
    let read = api.list(PODS, &format!("app.kubernetes.io/instance={name}")).await;
    for pod in found.see(read)?.unwrap_or_default() {
        for status in
            items(&pod, "/status/containerStatuses").iter().chain(items(&pod, "/status/initContainerStatuses"))
        {
            let reason = text(status, "/state/waiting/reason");
            if !matches!(reason, "" | "PodInitializing" | "ContainerCreating") {
                let pod = text(&pod, "/metadata/name");
                found.wrong(&format!("the pod {pod} waits: {reason}"), text(status, "/state/waiting/message"));
            }
        }
    }
    Ok(())
}
