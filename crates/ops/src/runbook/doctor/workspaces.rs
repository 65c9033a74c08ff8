//! Whether the workspaces of the database are those that the server serves.

use ferroflow_model::permission::DEFAULT_WORKSPACE;
use ferroflow_store::upkeep::workspace_summary::WorkspaceSummary;
use serde_json::Value;

use super::{
    super::api::{items, text},
    Findings, ok,
};

/// The variable that switches workspaces on.
const ENABLE: &str = "MLFLOW_ENABLE_WORKSPACES";

/// Reports workspaces that the server does not serve, that do not exist, and that have their artifacts in those of another.
pub(super) fn workspaces(seen: &WorkspaceSummary, deployment: &Value, found: &mut Findings) {
    let others = seen.resources.iter().filter(|(name, tables)| *name != DEFAULT_WORKSPACE && !tables.is_empty());
    let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
    let is_on = is_enabled(deployment);
    if !others.is_empty() && !is_on {
        let what = format!("the database has resources in the workspaces {}, and the server has none", some(&others));
        let remedy =
            format!("set {ENABLE}=true in mlflow.extraEnv, or move them: `ferroflow db migrate-to-default-workspace`");
        found.wrong(&what, &remedy);
    } else if is_on {
        ok(&format!("the server has {} workspaces", seen.resources.len() - seen.missing.len()));
    }
    if !seen.missing.is_empty() {
        let names: Vec<&str> = seen.missing.iter().map(String::as_str).collect();
        found.wrong(
            &format!("resources are in workspaces that do not exist: {}", some(&names)),
            "create the workspaces again, and move the resources with `ferroflow db move-resources`",
        );
    }
    for (name, other) in &seen.nested {
        found.wrong(
            &format!("the artifact root of the workspace {name} is in that of the workspace {other}"),
            "set another default_artifact_root for one of them: each could reach artifacts of the other",
        );
    }
}

/// Up to five names.
fn some(names: &[&str]) -> String {
    let more = if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
    format!("{}{more}", names[..names.len().min(5)].join(", "))
}

/// Whether the server of a Deployment has workspaces, by its variables and arguments.
fn is_enabled(deployment: &Value) -> bool {
    items(deployment, "/spec/template/spec/containers").iter().any(|container| {
        let by_variable = items(container, "/env").iter().any(|variable| {
            text(variable, "/name") == ENABLE
                && matches!(text(variable, "/value").to_ascii_lowercase().as_str(), "true" | "1")
        });
        let by_flag = ["/args", "/command"]
            .iter()
            .any(|place| items(container, place).iter().any(|word| word.as_str() == Some("--enable-workspaces")));
        by_variable || by_flag
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn wrong(seen: &WorkspaceSummary, container: &Value) -> usize {
        let mut found = Findings::default();
        let deployment = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        workspaces(seen, &deployment, &mut found);
        found.wrong
    }

    #[test]
    fn a_server_without_the_workspaces_of_its_database_is_found() {
        let tables = BTreeMap::from([("experiments".to_owned(), 1)]);
        let mut seen = WorkspaceSummary::default();
        seen.resources.insert("default".into(), tables.clone());
        seen.resources.insert("empty".into(), BTreeMap::new());
        assert_eq!(wrong(&seen, &json!({})), 0);
        seen.resources.insert("team".into(), tables);
        assert_eq!(wrong(&seen, &json!({})), 1);
        assert_eq!(wrong(&seen, &json!({"args": ["server", "--enable-workspaces"]})), 0);
        assert_eq!(wrong(&seen, &json!({"env": [{"name": ENABLE, "value": "True"}]})), 0);
        assert_eq!(wrong(&seen, &json!({"env": [{"name": ENABLE, "value": "false"}]})), 1);
        seen.missing.push("team".into());
        seen.nested.push(("a".into(), "b".into()));
        assert_eq!(wrong(&seen, &json!({})), 3);
    }
}
