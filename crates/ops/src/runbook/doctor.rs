//! Checks an installation for known problems, and names the value to change.

mod database;
mod hosts;
mod inside;
mod secrets;
mod tls;
mod versions;

use anyhow::{Result, bail};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    api::{Api, DEPLOYMENTS, PODS, items, print_step, text},
    release::{Release, annotation},
};

/// Maximum clock skew: beyond it signed requests fail, and `--to` refers to another time.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// The results of the checks.
#[derive(Default)]
struct Findings {
    wrong: usize,
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

    fn check(&mut self, is_right: bool, what: &str, wrong: &str, remedy: &str) {
        if is_right { ok(what) } else { self.wrong(wrong, remedy) }
    }
}

/// Checks an installation and prints its problems. With `look_inside` a Job inspects the databases and tests the
/// bucket; nothing else is changed.
///
/// # Errors
/// There are problems.
pub async fn doctor(api: &Api, name: &str, look_inside: bool) -> Result<()> {
    let mut found = Findings::default();
    clock(api, &mut found).await?;
    kinds(api, &mut found).await?;
    let Some(deployment) = api.get(DEPLOYMENTS, name).await? else {
        bail!("there is no Deployment {name} in the namespace {}: say --release and --namespace", api.namespace);
    };
    rollout(api, &deployment, name, &mut found).await?;
    let before = found.wrong;
    secrets::secrets(api, &deployment, &mut found).await?;
    let has_secrets = found.wrong == before;
    hosts::hosts(api, &deployment, name, &mut found).await?;
    match Release::find(api, name).await {
        Ok(release) => {
            let has_cluster = database::cluster(api, &release, &mut found).await?;
            if look_inside && has_cluster && has_secrets {
                inside::inside(api, &release, &mut found).await;
            } else if look_inside {
                note("the databases and the bucket are inspected when the Secrets and the Cluster are right");
            }
        }
        Err(error) => note(&format!("{error:#}")),
    }
    if found.wrong > 0 {
        bail!("{} problems were found", found.wrong);
    }
    Ok(())
}

async fn clock(api: &Api, found: &mut Findings) -> Result<()> {
    let (version, clock) = api.get_path("/version").await?;
    let version = version.map(|version| text(&version, "/gitVersion").to_owned()).unwrap_or_default();
    ok(&format!("the API server answers, Kubernetes {version}"));
    if let Some(clock) = clock {
        let apart = crate::clock::now().duration_since(clock).abs();
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
    let (operator, _) = api.get_path("/apis/postgresql.cnpg.io/v1").await?;
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
    for what in ["recovering", "upgrading"] {
        if let Some(begun) = annotation(deployment, what) {
            found.wrong(&format!("{what} {begun} was begun and not completed"), "run that runbook again: it continues");
        }
    }
    if wanted == 0 {
        let remedy =
            format!("kubectl scale deployment/{name} --replicas=1, and leave mlflow.replicas out of values.yaml");
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
    for pod in api.list(PODS, &format!("app.kubernetes.io/instance={name}")).await? {
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
