//! Everything that is known to go wrong, looked for, with the value to change.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    api::{
        Api, CLUSTERS, DEPLOYMENTS, INGRESSES, OBJECT_STORES, PODS, ROUTES, SCHEDULED_BACKUPS, SECRETS, items, tell,
        text,
    },
    backup::{newest, plugin},
    probe,
    release::{Release, condition, configuration, is_ready, remembered, server, variable},
};

/// A backup is taken every day: later than this one is missing.
const BACKUP_AGE: SignedDuration = SignedDuration::from_hours(26);

/// Clocks further apart than this make signed requests fail.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// What was looked at.
#[derive(Default)]
struct Findings {
    wrong: usize,
}

fn ok(what: &str) {
    tell(&format!("ok    {what}"));
}

impl Findings {
    fn wrong(&mut self, what: &str, remedy: &str) {
        self.wrong += 1;
        tell(&format!("WRONG {what}\n      {remedy}"));
    }

    fn check(&mut self, is_right: bool, what: &str, wrong: &str, remedy: &str) {
        if is_right { ok(what) } else { self.wrong(wrong, remedy) }
    }
}

/// Looks at an installation, changes nothing, and tells what is wrong. `look_inside` has a Job look into the databases.
///
/// # Errors
/// Something is wrong.
pub async fn doctor(api: &Api, name: &str, look_inside: bool) -> Result<()> {
    let mut found = Findings::default();
    clock(api, &mut found).await?;
    kinds(api, &mut found).await?;
    let Some(deployment) = api.get(DEPLOYMENTS, name).await? else {
        bail!("there is no Deployment {name} in the namespace {}: say --release and --namespace", api.namespace);
    };
    rollout(api, &deployment, name, &mut found).await?;
    secrets(api, &deployment, &mut found).await?;
    hosts(api, &deployment, name, &mut found).await?;
    match Release::find(api, name).await {
        Ok(release) => {
            let has_cluster = cluster(api, &release, &mut found).await?;
            if look_inside && has_cluster && found.wrong == 0 {
                revisions(api, &release, &mut found).await?;
            } else if look_inside {
                tell("-     the databases are looked into when nothing else is wrong");
            }
        }
        Err(error) => tell(&format!("-     {error:#}")),
    }
    if found.wrong > 0 {
        bail!("{} things are wrong", found.wrong);
    }
    Ok(())
}

async fn clock(api: &Api, found: &mut Findings) -> Result<()> {
    let (version, clock) = api.ask("/version").await?;
    let version = version.map(|version| text(&version, "/gitVersion").to_owned()).unwrap_or_default();
    ok(&format!("the API server answers, Kubernetes {version}"));
    if let Some(clock) = clock {
        let apart = Timestamp::now().duration_since(clock).abs();
        let what = format!("the clock of this machine and the cluster's are {} s apart", apart.as_secs());
        found.check(
            apart <= CLOCKS,
            &what,
            &what,
            "set this machine's clock: `--to` would name another moment than you mean",
        );
    }
    Ok(())
}

async fn kinds(api: &Api, found: &mut Findings) -> Result<()> {
    let (operator, _) = api.ask("/apis/postgresql.cnpg.io/v1").await?;
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
        if let Some(begun) = remembered(deployment, what) {
            found.wrong(&format!("{what} {begun} was begun and not ended"), "run that runbook again: it goes on");
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

/// Every Secret that the server needs, and every key in it.
async fn secrets(api: &Api, deployment: &Value, found: &mut Findings) -> Result<()> {
    let mut needed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut need = |secret: &str, key: &str| {
        let keys = needed.entry(secret.to_owned()).or_default();
        if !key.is_empty() {
            keys.push(key.to_owned());
        }
    };
    let container = server(deployment)?;
    for variable in items(container, "/env") {
        let reference = &variable["valueFrom"]["secretKeyRef"];
        if reference.is_object() && reference["optional"] != true {
            need(text(reference, "/name"), text(reference, "/key"));
        }
    }
    for source in items(container, "/envFrom").iter().filter(|source| source["secretRef"].is_object()) {
        need(text(source, "/secretRef/name"), "");
    }
    for volume in items(deployment, "/spec/template/spec/volumes").iter().filter(|volume| volume["secret"].is_object())
    {
        let name = text(volume, "/secret/secretName");
        need(name, "");
        for item in items(volume, "/secret/items") {
            need(name, text(item, "/key"));
        }
    }
    let in_bucket = variable(deployment, "MLFLOW_ARTIFACTS_DESTINATION").is_some_and(|place| place.starts_with("s3:"));
    let auth = configuration(deployment);
    let given: Vec<_> = items(container, "/env").iter().map(|variable| text(variable, "/name")).collect();
    for (name, keys) in &needed {
        let Some(secret) = api.get(SECRETS, name).await? else {
            found.wrong(&format!("there is no Secret {name}"), &remedy(name));
            continue;
        };
        let has = |key: &str| secret["data"][key].as_str().is_some_and(|value| !value.is_empty());
        let missing: Vec<_> = keys.iter().filter(|key| !has(key)).cloned().collect();
        let what = format!("the Secret {name} has what the server takes from it");
        found.check(
            missing.is_empty(),
            &what,
            &format!("the Secret {name} has no {}", missing.join(", ")),
            &remedy(name),
        );
        let from = items(container, "/envFrom").iter().any(|source| text(source, "/secretRef/name") == name);
        if from && in_bucket {
            for key in
                ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].iter().filter(|key| !has(key) && !given.contains(*key))
            {
                let value = if *key == "AWS_ACCESS_KEY_ID" { "s3.accessKeyIdKey" } else { "s3.secretAccessKeyKey" };
                found.wrong(&format!("the Secret {name} has no {key}"), &format!("set {value} to the key that it has"));
            }
        }
        for key in keys.iter().filter(|key| auth.as_ref() == Some(&(name.as_str(), key.as_str()))) {
            let ini = secret["data"][key].as_str().and_then(|value| BASE64_STANDARD.decode(value).ok());
            if let Some(ini) = ini.and_then(|ini| String::from_utf8(ini).ok()) {
                login(name, &ini, found);
            }
        }
    }
    Ok(())
}

fn remedy(secret: &str) -> String {
    match secret {
        "mlflow-auth-config" => {
            "kubectl create secret generic mlflow-auth-config --from-file=basic-auth.ini=env/basic-auth.ini".to_owned()
        }
        "s3-credentials" => {
            "kubectl create secret generic s3-credentials --from-env-file=env/s3-credentials".to_owned()
        }
        _ if secret.ends_with("-app") || secret.ends_with("-ca") => {
            "the operator makes it with the cluster: see postgresql.clusterName, and whether the Cluster is there"
                .to_owned()
        }
        _ => format!("create the Secret {secret}, or name another one in values.yaml"),
    }
}

fn login(secret: &str, ini: &str, found: &mut Findings) {
    let value = |name: &str| {
        let lines = ini.lines().filter_map(|line| line.split_once(['=', ':']));
        lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next_back()
    };
    if !ini.lines().any(|line| line.trim() == "[mlflow]") {
        found.wrong(&format!("the configuration in {secret} has no section [mlflow]"), "begin it with a line [mlflow]");
    }
    for name in
        ["admin_username", "admin_password"].iter().filter(|name| value(name).is_none_or(|value| value.is_empty()))
    {
        found.wrong(&format!("the configuration in {secret} has no {name}"), "add it, and create the Secret anew");
    }
    if value("admin_password").is_some_and(|password| password == "password1234" || password == "password") {
        found.wrong(
            &format!("the configuration in {secret} has the well-known admin_password"),
            "choose another one: the server refuses to make an administrator with it",
        );
    }
}

/// Every name that people call the server by is one that it answers to.
async fn hosts(api: &Api, deployment: &Value, name: &str, found: &mut Findings) -> Result<()> {
    let allowed = variable(deployment, "MLFLOW_SERVER_ALLOWED_HOSTS").unwrap_or_default();
    let allowed: Vec<_> = allowed.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
    let mut called = Vec::new();
    for route in api.list(ROUTES, "").await?.iter().filter(|route| text(route, "/spec/to/name") == name) {
        called.push(text(route, "/spec/host").to_owned());
    }
    for ingress in api.list(INGRESSES, "").await? {
        for rule in items(&ingress, "/spec/rules") {
            let leads_here = items(rule, "/http/paths").iter().any(|path| text(path, "/backend/service/name") == name);
            if leads_here {
                called.push(text(rule, "/host").to_owned());
            }
        }
    }
    for host in called.iter().filter(|host| !host.is_empty()) {
        let is_allowed = allowed.is_empty() || allowed.iter().any(|pattern| matches(pattern, host));
        found.check(
            is_allowed,
            &format!("the server answers to {host}"),
            &format!("the server answers 403 to {host}"),
            &format!("set route.host or ingress.hosts to it, or mlflow.allowedHosts: [{host}]"),
        );
    }
    Ok(())
}

/// Whether a text is of a form with `*` for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    text.strip_prefix(head)
        .is_some_and(|text| (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..])))
}

async fn cluster(api: &Api, release: &Release, found: &mut Findings) -> Result<bool> {
    let name = &release.cluster;
    let Some(cluster) = api.get(CLUSTERS, name).await? else {
        found.wrong(
            &format!("there is no Cluster {name}"),
            "set postgresql.clusterName to one that is there, or recover",
        );
        return Ok(false);
    };
    let phase = text(&cluster, "/status/phase");
    found.check(
        is_ready(&cluster),
        &format!("Cluster {name} is ready"),
        &format!("Cluster {name} is not ready: {phase} {}", text(&cluster, "/status/phaseReason")),
        &format!("kubectl describe clusters.postgresql.cnpg.io/{name}"),
    );
    let archiving = condition(&cluster, "ContinuousArchiving");
    let has_backups = plugin(&cluster).is_some() || cluster["spec"]["backup"].is_object();
    if !has_backups {
        found.wrong(&format!("Cluster {name} has no backups"), "set backup.enabled=true");
        return Ok(is_ready(&cluster));
    }
    found.check(
        archiving.is_none_or(|archiving| archiving["status"] == "True"),
        "the write-ahead log is archived",
        &format!(
            "the write-ahead log is not archived: {}",
            archiving.map(|it| text(it, "/message")).unwrap_or_default()
        ),
        "look at the keys in the Secret, s3.bucket and s3.endpointUrl; an archive that is not empty wants another \
         backup.serverName",
    );
    if let Some(plugin) = plugin(&cluster) {
        let (kinds, _) = api.ask("/apis/barmancloud.cnpg.io/v1").await?;
        found.check(
            kinds.is_some(),
            "the Barman Cloud plugin is installed",
            "the Barman Cloud plugin is not installed",
            "install it beside the operator, or set backup.method=inTree (operators before 1.31)",
        );
        let store = text(plugin, "/parameters/barmanObjectName");
        if kinds.is_some() && api.get(OBJECT_STORES, store).await?.is_none() {
            found.wrong(&format!("there is no ObjectStore {store}"), "helm upgrade makes it anew");
        }
    }
    schedules(api, name, found).await?;
    let age = newest(&cluster).map(|newest| Timestamp::now().duration_since(newest));
    found.check(
        age.is_some_and(|age| age < BACKUP_AGE),
        "there is a backup of the last day",
        &age.map_or_else(
            || "there is no backup yet".to_owned(),
            |age| format!("the newest backup is {} hours old", age.as_hours()),
        ),
        "ferroflow ops backup takes one now and says why it fails",
    );
    Ok(is_ready(&cluster))
}

async fn schedules(api: &Api, cluster: &str, found: &mut Findings) -> Result<()> {
    let all = api.list(SCHEDULED_BACKUPS, "").await?;
    let own: Vec<_> = all.iter().filter(|schedule| text(schedule, "/spec/cluster/name") == cluster).collect();
    let runs = own.iter().any(|schedule| schedule["spec"]["suspend"] != true);
    let wrong = format!("no backups of {cluster} are scheduled");
    found.check(
        runs,
        &format!("backups of {cluster} are scheduled"),
        &wrong,
        "set backup.enabled=true and helm upgrade",
    );
    for schedule in own {
        let fields = text(schedule, "/spec/schedule").split_whitespace().count();
        if fields != 6 {
            let wrong = format!("the schedule '{}' has {fields} fields", text(schedule, "/spec/schedule"));
            found.wrong(&wrong, "the operator takes six, seconds first: backup.schedule: \"0 0 0 * * *\"");
        }
    }
    Ok(())
}

async fn revisions(api: &Api, release: &Release, found: &mut Findings) -> Result<()> {
    match probe::contents(api, release, &release.cluster, None).await {
        Ok(contents) => {
            for contents in contents.iter().flatten() {
                let revision = contents.revision.as_deref().unwrap_or("none");
                let what = format!("the {} database is at {revision}", contents.chain);
                let wrong = format!("{what}, and the server wants {}", contents.head);
                found.check(contents.pending == Some(0), &what, &wrong, "ferroflow ops upgrade, or run the migration");
            }
        }
        Err(error) => found.wrong(&format!("the databases can not be looked into: {error:#}"), "kubectl get jobs"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_stars_for_any_text() {
        assert!(matches("mlflow-*.apps.*", "mlflow-ns.apps.example.org"));
        assert!(matches("*", "x"));
        assert!(matches("a.b", "a.b"));
        assert!(!matches("a.b", "a.bc"));
        assert!(!matches("10.*", "110.0.0.1"));
    }
}
