//! Versions of the operator and of its backup plugin.

use anyhow::Result;
use serde_json::Value;

use super::{
    super::{
        api::{Api, PODS, items, text},
        backup::PLUGIN,
    },
    Findings, note, ok,
};

/// The annotation that the operator sets on all of its objects.
const OPERATOR: &str = "/metadata/annotations/cnpg.io~1operatorVersion";

/// The first version of the operator with backup plugins.
const PLUGINS: Version = (1, 26);

/// The first version of the operator without built-in backups.
const NO_IN_TREE: Version = (1, 31);

type Version = (u64, u64);

/// Checks that the operator supports what the cluster uses.
pub(super) async fn versions(api: &Api, cluster: &Value, by_plugin: bool, found: &mut Findings) -> Result<()> {
    let name = text(cluster, "/metadata/name");
    let read = api.list(PODS, &format!("cnpg.io/cluster={name}")).await;
    let pods = found.see(read)?.unwrap_or_default();
    let newest = pods.iter().map(|pod| text(pod, OPERATOR)).max_by_key(|version| parsed(version));
    let newest = newest.filter(|version| parsed(version).is_some());
    match (newest, newest.and_then(parsed)) {
        (Some(text), Some(version)) if by_plugin => found.check(
            version >= PLUGINS,
            &format!("the operator is CloudNativePG {text}"),
            &format!("the operator CloudNativePG {text} does not support backup plugins"),
            "upgrade it to 1.26 or newer, or set backup.method=inTree",
        ),
        (Some(text), Some(version)) => found.check(
            version < NO_IN_TREE,
            &format!("the operator is CloudNativePG {text}"),
            &format!("the operator CloudNativePG {text} has no built-in backups any more"),
            "install the Barman Cloud plugin and set backup.method=plugin",
        ),
        _ => note("the pods of the cluster do not show the version of the operator"),
    }
    if by_plugin {
        let loaded = items(cluster, "/status/pluginStatus").iter().find(|plugin| plugin["name"] == PLUGIN);
        match loaded {
            Some(plugin) => ok(&format!("the Barman Cloud plugin {} is loaded", text(plugin, "/version"))),
            None => found.wrong(
                "the operator has not loaded the Barman Cloud plugin",
                "kubectl logs of the operator say why: the plugin runs in the operator's own namespace, and needs \
                 certificates of cert-manager",
            ),
        }
    }
    Ok(())
}

/// `1.26.1` → (1, 26).
fn parsed(text: &str) -> Option<Version> {
    let mut parts = text.trim_start_matches('v').split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(parsed("1.26.1"), Some((1, 26)));
        assert_eq!(parsed("v1.9.0-rc1"), Some((1, 9)));
        assert_eq!(parsed(""), None);
        assert!(parsed("1.9.0") < parsed("1.26.0"));
    }
}
