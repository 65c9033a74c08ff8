//! What a database has in each workspace, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    db::{Access, BackendUri, DbError, Direct, Row, Statement, Upkeep},
    upkeep::snapshot::SnapshotError,
    workspaces::delete::RESOURCES,
};

/// The workspaces of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSummary {
    /// Number of resources by workspace and table. A workspace without any is listed too.
    pub resources: BTreeMap<String, BTreeMap<String, i64>>,
    /// Workspaces that resources are in, and that do not exist.
    pub missing: Vec<String>,
    /// Pairs of workspaces, of which the first has its artifact root in that of the second.
    pub nested: Vec<(String, String)>,
}

/// The workspaces of a tracking database at a head, whose rows are in `apart` if they have a database of their own.
///
/// # Errors
/// A database cannot be read.
pub async fn workspaces(uri: &BackendUri, apart: Option<&BackendUri>) -> Result<WorkspaceSummary, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let names = match apart {
        Some(other) => names(&Direct::open(other, Access::Inspect).await?).await?,
        None => names(&direct).await?,
    };
    // Those of MLflow 3.18.
    let has_skills = crate::migrations::tables(&direct).await?.iter().any(|table| table == "skills");
    let counts: Vec<String> = RESOURCES
        .into_iter()
        .chain(has_skills.then_some("skills"))
        .map(|table| format!("SELECT CAST('{table}' AS TEXT), workspace, COUNT(*) FROM {table} GROUP BY workspace"))
        .collect();
    let read = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?));
    let counts = direct.query(unscoped(&counts.join(" UNION ALL ")), read).await?;
    let mut summary = WorkspaceSummary { nested: nested(&names), ..WorkspaceSummary::default() };
    let mut missing = BTreeSet::new();
    summary.resources = names.into_iter().map(|(name, _)| (name, BTreeMap::new())).collect();
    for (table, workspace, count) in counts {
        if !summary.resources.contains_key(&workspace) {
            missing.insert(workspace.clone());
        }
        summary.resources.entry(workspace).or_default().insert(table, count);
    }
    summary.missing = missing.into_iter().collect();
    Ok(summary)
}

/// The workspaces with their roots, ordered by name.
async fn names(direct: &Direct) -> Result<Vec<(String, Option<String>)>, DbError> {
    let read = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<Option<String>>(1)?));
    direct.query(unscoped("SELECT name, default_artifact_root FROM workspaces ORDER BY name"), read).await
}

fn unscoped(sql: &str) -> Statement {
    Statement::unscoped(Upkeep::Backup, sql.to_owned(), Vec::new())
}

/// The pairs of which the first root is the second one, or lies in it.
fn nested(workspaces: &[(String, Option<String>)]) -> Vec<(String, String)> {
    let roots: Vec<(&String, &str)> = workspaces
        .iter()
        .filter_map(|(name, root)| Some((name, root.as_deref()?.trim_end_matches('/'))))
        .filter(|(_, root)| !root.is_empty())
        .collect();
    let is_in =
        |root: &str, other: &str| root.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut found = Vec::new();
    for (name, root) in &roots {
        for (other, of_other) in &roots {
            let is_same = root == of_other;
            if name != other && is_in(root, of_other) && (!is_same || name < other) {
                found.push(((*name).clone(), (*other).clone()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_in_another_is_found() {
        let of = |name: &str, root: Option<&str>| (name.to_owned(), root.map(str::to_owned));
        let found = nested(&[
            of("a", Some("s3://b/root/a")),
            of("b", Some("s3://b/root/")),
            of("c", Some("s3://b/rooted")),
            of("d", Some("s3://b/rooted/")),
            of("e", None),
            of("f", Some("")),
        ]);
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(found, [pair("a", "b"), pair("c", "d")]);
    }
}
