//! Secrets and their keys.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::{
    super::{
        api::{Api, SECRETS, decoded, items, text},
        release::{configuration, server, variable},
    },
    Findings,
};

/// Checks every Secret that the server needs, and every key in it.
pub(super) async fn secrets(api: &Api, deployment: &Value, found: &mut Findings) -> Result<()> {
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
        let read = api.get(SECRETS, name).await;
        let Some(secret) = found.see(read)? else { continue };
        let Some(secret) = secret else {
            found.wrong(&format!("there is no Secret {name}"), &remedy(name));
            continue;
        };
        let has = |key: &str| secret["data"][key].as_str().is_some_and(|value| !value.is_empty());
        let missing: Vec<_> = keys.iter().filter(|key| !has(key)).cloned().collect();
        let what = format!("the Secret {name} has all keys that the server reads");
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
            if let Some(ini) = decoded(&secret, key) {
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
            "the operator creates it with the cluster: check postgresql.clusterName, and whether the Cluster exists"
                .to_owned()
        }
        _ => format!("create the Secret {secret}, or name another one in your file of values"),
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
        found.wrong(&format!("the configuration in {secret} has no {name}"), "add it, and create the Secret again");
    }
    if value("admin_password").is_some_and(|password| password == "password1234" || password == "password") {
        found.wrong(
            &format!("the configuration in {secret} has the well-known admin_password"),
            "choose another one: the server refuses to create an admin with it",
        );
    }
}
