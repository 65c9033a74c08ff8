//! For restores: the users of a database as a list that can be compared with another one, and repairs to a users
//! database that is kept while the tracking database is restored.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ferroflow_model::permission::{ANY, DEFAULT_WORKSPACE, is_user_role};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    db::Anywhere,
    db::{Access, BackendUri, Direct, Row, Statement, Upkeep, Value},
    migrations,
    statements::statements,
    upkeep::snapshot::SnapshotError,
};

statements! {
    static USERS: Anywhere =
        "SELECT u.username, u.password_hash, COALESCE(u.is_admin, FALSE), r.name, r.workspace, p.resource_type, \
         p.resource_pattern, p.permission FROM users u \
         LEFT JOIN user_role_assignments a ON a.user_id = u.id \
         LEFT JOIN roles r ON r.id = a.role_id \
         LEFT JOIN role_permissions p ON p.role_id = r.id";
    static NAMED_GRANTS: Anywhere =
        "SELECT p.id, p.resource_type, p.resource_pattern, r.workspace FROM role_permissions p \
         JOIN roles r ON r.id = p.role_id WHERE p.resource_pattern <> $1 ORDER BY p.id";
    static DROP_GRANT: Anywhere =
        "DELETE FROM role_permissions WHERE id = $1";
}

/// Hexadecimal digits of a password's fingerprint: enough to detect a change, too few for guessing passwords.
const FINGERPRINT_DIGITS: usize = 8;

/// Users by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster(BTreeMap<String, Member>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    admin: bool,
    /// Fingerprint of the stored hash.
    password: String,
    grants: BTreeSet<String>,
}

/// The users of a database; `None` if it has no users table.
///
/// # Errors
/// The database cannot be read, or its schema is older than roles.
pub async fn roster(uri: &BackendUri) -> Result<Option<Roster>, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    if !migrations::tables(&direct).await?.iter().any(|table| table == "users") {
        return Ok(None);
    }
    let rows = direct.query(Statement::new(&USERS, Vec::new()), |row| {
        let role = row.get::<Option<String>>(3)?.zip(row.get::<Option<String>>(4)?);
        let grant = (role, row.get(5)?, row.get(6)?, row.get(7)?);
        Ok((row.get::<String>(0)?, row.get::<Option<String>>(1)?, row.get::<bool>(2)?, grant))
    });
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for (name, hash, admin, grant) in rows.await? {
        let member = members.entry(name).or_default();
        member.admin = admin;
        let mark = Sha256::digest(hash.unwrap_or_default().as_bytes());
        member.password.clear();
        for byte in mark.iter().take(FINGERPRINT_DIGITS / 2) {
            member.password += &format!("{byte:02x}");
        }
        member.grants.extend(described(grant));
    }
    Ok(Some(Roster(members)))
}

/// The role with its workspace, the kind, the pattern and the permission.
type Grant = (Option<(String, String)>, Option<String>, Option<String>, Option<String>);

/// Describes a grant: `EDIT on experiment 3`, followed by the role unless it is a per-user role, and by the workspace
/// unless it is the default one.
fn described((role, kind, pattern, permission): Grant) -> Option<String> {
    let (role, workspace) = role?;
    let place = within(&workspace);
    let grant = kind.zip(pattern).zip(permission).map(|((kind, pattern), permission)| {
        let what = if pattern == ANY { format!("every {kind}") } else { format!("{kind} {pattern}") };
        format!("{permission} on {what}")
    });
    match grant {
        grant if is_user_role(&role) => grant.map(|grant| format!("{grant}{place}")),
        Some(grant) => Some(format!("{grant} by the role {role}{place}")),
        None => Some(format!("the role {role}{place}")),
    }
}

fn within(workspace: &str) -> String {
    if workspace == DEFAULT_WORKSPACE { String::new() } else { format!(" in the workspace {workspace}") }
}

impl Roster {
    /// The differences of this roster from a newer one, one line each.
    #[must_use]
    pub fn differences(&self, newer: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(newer.0.keys()).collect();
        let mut lines = Vec::new();
        for name in names {
            match (self.0.get(name), newer.0.get(name)) {
                (Some(_), None) => lines.push(format!("'{name}' is a user again: deleted since")),
                (None, Some(_)) => lines.push(format!("'{name}' is no longer a user: created since")),
                (Some(old), Some(new)) => {
                    if old.password != new.password {
                        lines.push(format!("'{name}' has an older password again: changed since"));
                    }
                    match (old.admin, new.admin) {
                        (true, false) => lines.push(format!("'{name}' is an admin again")),
                        (false, true) => lines.push(format!("'{name}' is no longer an admin")),
                        _ => {}
                    }
                    let back = old.grants.difference(&new.grants).map(|grant| format!("'{name}' has again: {grant}"));
                    let gone =
                        new.grants.difference(&old.grants).map(|grant| format!("'{name}' no longer has: {grant}"));
                    lines.extend(back.chain(gone));
                }
                (None, None) => {}
            }
        }
        lines
    }
}

/// Deletes, from the users in a SQLite file, the grants on experiments, models and prompts that a tracking database
/// does not have in the workspace of the grant: otherwise they would apply to whatever gets the same id or name next.
/// Returns what was deleted.
///
/// # Errors
/// A file cannot be read, or the users cannot be written.
pub async fn drop_orphaned_grants(users: &Path, tracking: &Path) -> Result<Vec<String>, SnapshotError> {
    let there = Direct::open(&BackendUri::Sqlite(tracking.to_owned()), Access::Inspect).await?;
    let ids = names_in_workspaces(&there, "experiments", "CAST(experiment_id AS TEXT)").await?;
    let names = names_in_workspaces(&there, "registered_models", "name").await?;
    let users = Direct::open(&BackendUri::Sqlite(users.to_owned()), Access::Migrate).await?;
    let grants = Statement::new(&NAMED_GRANTS, vec![ANY.into()]);
    let read =
        |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<String>(2)?, row.get::<String>(3)?));
    let mut grants = users.query(grants, read).await?;
    grants.retain(|(_, kind, pattern, workspace)| {
        let is_in =
            |found: &BTreeSet<(String, String)>, name: &str| found.contains(&(workspace.clone(), name.to_owned()));
        match kind.as_str() {
            "experiment" => !is_in(&ids, pattern),
            "scorer" => !is_in(&ids, pattern.split('/').next().unwrap_or_default()),
            "registered_model" | "prompt" => !is_in(&names, pattern),
            _ => false,
        }
    });
    let ids = grants.iter().map(|(id, ..)| vec![Value::from(*id)]).collect();
    users.execute_each(|id| Statement::new(&DROP_GRANT, id), ids).await?;
    let shown = |(_, kind, pattern, workspace): (i64, String, String, String)| {
        format!("{kind} {pattern}{}", within(&workspace))
    };
    Ok(grants.into_iter().map(shown).collect())
}

/// The workspace and the name of each row of a table. In a database from before workspaces all are in the default one.
async fn names_in_workspaces(
    direct: &Direct,
    table: &'static str,
    name: &'static str,
) -> Result<BTreeSet<(String, String)>, SnapshotError> {
    let columns = format!("SELECT COUNT(*) FROM pragma_table_info('{table}') WHERE name = 'workspace'");
    let workspace = if direct.number(columns).await? > 0 { "workspace" } else { "'default'" };
    let sql = format!("SELECT {workspace}, {name} FROM {table}");
    let found =
        direct.query(Statement::unscoped(Upkeep::Backup, sql, Vec::new()), |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.await?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(members: &[(&str, bool, &str, &[&str])]) -> Roster {
        let member = |(name, admin, password, grants): &(&str, bool, &str, &[&str])| {
            let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
            ((*name).to_owned(), Member { admin: *admin, password: (*password).to_owned(), grants })
        };
        Roster(members.iter().map(member).collect())
    }

    #[test]
    fn every_regained_permission_is_listed() {
        let old = roster(&[
            ("ann", true, "a", &[]),
            ("bob", false, "b", &["EDIT on experiment 1"]),
            ("eve", false, "e", &[]),
        ]);
        let new = roster(&[
            ("ann", false, "a", &[]),
            ("bob", false, "c", &["READ on experiment 1"]),
            ("joe", false, "j", &[]),
        ]);
        assert_eq!(
            old.differences(&new),
            [
                "'ann' is an admin again",
                "'bob' has an older password again: changed since",
                "'bob' has again: EDIT on experiment 1",
                "'bob' no longer has: READ on experiment 1",
                "'eve' is a user again: deleted since",
                "'joe' is no longer a user: created since",
            ]
        );
        assert!(old.differences(&old).is_empty());
    }
}
