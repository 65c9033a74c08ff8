//! The host names of the server, and their certificates.

use anyhow::Result;
use serde_json::Value;

use super::{
    super::{
        api::{Api, HTTP_ROUTES, INGRESSES, ROUTES, SECRETS, decoded, items, text},
        release::variable,
    },
    Findings, tls,
};

/// A host name, and the value that it comes from.
struct ConfiguredHost {
    host: String,
    value: &'static str,
}

/// Checks that every host name is allowed by the server and has a valid certificate.
pub(super) async fn hosts(api: &Api, deployment: &Value, name: &str, found: &mut Findings) -> Result<()> {
    let mut called = routes(api, name, found).await?;
    called.extend(ingresses(api, name, found).await?);
    called.extend(http_routes(api, name, found).await?);
    let allowed = variable(deployment, "MLFLOW_SERVER_ALLOWED_HOSTS").unwrap_or_default();
    let allowed: Vec<_> = allowed.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
    for ConfiguredHost { host, value } in called.iter().filter(|called| !called.host.is_empty()) {
        let is_allowed = allowed.is_empty() || allowed.iter().any(|pattern| matches(pattern, host));
        found.check(
            is_allowed,
            &format!("the server answers to {host}"),
            &format!("the server answers 403 to {host}"),
            &format!("set {value} to it, or mlflow.allowedHosts: [{host}]"),
        );
    }
    Ok(())
}

/// OpenShift Routes. One without a certificate uses the router's own.
async fn routes(api: &Api, name: &str, found: &mut Findings) -> Result<Vec<ConfiguredHost>> {
    let mut called = Vec::new();
    let read = api.list(ROUTES, "").await;
    let all = found.see(read)?.unwrap_or_default();
    for route in all.iter().filter(|route| text(route, "/spec/to/name") == name) {
        let given = text(route, "/spec/host");
        let host = if given.is_empty() { text(route, "/status/ingress/0/host") } else { given };
        let inline = text(route, "/spec/tls/certificate");
        let external = text(route, "/spec/tls/externalCertificate/name");
        if !inline.is_empty() {
            let what = format!("the certificate in the Route {}", text(route, "/metadata/name"));
            tls::check(inline, &what, &[host], found);
        } else if !external.is_empty() {
            secret(api, external, &[host], "the Route's externalCertificate", found).await?;
        }
        called.push(ConfiguredHost { host: host.to_owned(), value: "route.host" });
    }
    Ok(called)
}

async fn ingresses(api: &Api, name: &str, found: &mut Findings) -> Result<Vec<ConfiguredHost>> {
    let mut called = Vec::new();
    let read = api.list(INGRESSES, "").await;
    for ingress in found.see(read)?.unwrap_or_default() {
        let rules = items(&ingress, "/spec/rules")
            .iter()
            .filter(|rule| items(rule, "/http/paths").iter().any(|path| text(path, "/backend/service/name") == name));
        let hosts: Vec<_> = rules.map(|rule| text(rule, "/host")).collect();
        for tls in items(&ingress, "/spec/tls") {
            let listed = items(tls, "/hosts").iter().filter_map(Value::as_str);
            let listed: Vec<_> = listed.filter(|host| hosts.contains(host)).collect();
            let name = text(tls, "/secretName");
            if !name.is_empty() && !listed.is_empty() {
                secret(api, name, &listed, "ingress.tls", found).await?;
            }
        }
        called.extend(hosts.iter().map(|host| ConfiguredHost { host: (*host).to_owned(), value: "ingress.hosts" }));
    }
    Ok(called)
}

/// Their certificates belong to the Gateway, which is seldom in this namespace.
async fn http_routes(api: &Api, name: &str, found: &mut Findings) -> Result<Vec<ConfiguredHost>> {
    let mut called = Vec::new();
    let read = api.list(HTTP_ROUTES, "").await;
    for route in found.see(read)?.unwrap_or_default() {
        let leads_here = items(&route, "/spec/rules")
            .iter()
            .flat_map(|rule| items(rule, "/backendRefs"))
            .any(|backend| text(backend, "/name") == name);
        if leads_here {
            let hosts = items(&route, "/spec/hostnames").iter().filter_map(Value::as_str);
            called.extend(hosts.map(|host| ConfiguredHost { host: host.to_owned(), value: "httpRoute.hostnames" }));
        }
    }
    Ok(called)
}

/// Checks a Secret with a certificate for hosts.
async fn secret(api: &Api, name: &str, hosts: &[&str], value: &str, found: &mut Findings) -> Result<()> {
    let read = api.get(SECRETS, name).await;
    let Some(secret) = found.see(read)? else { return Ok(()) };
    let Some(secret) = secret else {
        let remedy = format!("create it (kubectl create secret tls {name} --cert=… --key=…), or change {value}");
        found.wrong(&format!("there is no Secret {name} with the certificate of {}", hosts.join(", ")), &remedy);
        return Ok(());
    };
    match decoded(&secret, "tls.crt") {
        Some(pem) => tls::check(&pem, &format!("the certificate in the Secret {name}"), hosts, found),
        None => found.wrong(&format!("the Secret {name} has no tls.crt"), "create it with kubectl create secret tls"),
    }
    Ok(())
}

/// Whether a text matches a pattern, in which `*` matches any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    text.strip_prefix(head)
        .is_some_and(|text| (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..])))
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
