//! For restores: the users of a database as a list that can be compared with another one, and repairs to a users
//! database that is kept while the tracking database is restored.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ferroflow_model::permission::{ANY, is_user_role};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    db::Anywhere,
    db::{Access, BackendUri, Direct, Statement, Value},
    migrations,
    statements::statements,
    upkeep::snapshot::SnapshotError,
};

statements! {
    static USERS: Anywhere =
        "SELECT u.username, u.password_hash, COALESCE(u.is_admin, FALSE), r.name, p.resource_type, p.resource_pattern, \
         p.permission FROM users u \
         LEFT JOIN user_role_assignments a ON a.user_id = u.id \
         LEFT JOIN roles r ON r.id = a.role_id \
         LEFT JOIN role_permissions p ON p.role_id = r.id";
    static NAMED_GRANTS: Anywhere =
        "SELECT id, resource_type, resource_pattern FROM role_permissions WHERE resource_pattern <> $1 ORDER BY id";
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
        let grant = (row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
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

type Grant = (Option<String>, Option<String>, Option<String>, Option<String>);

/// Describes a grant: `EDIT on experiment 3`, followed by the role unless it is a per-user role.
fn described((role, kind, pattern, permission): Grant) -> Option<String> {
    let role = role?;
    let grant = kind.zip(pattern).zip(permission).map(|((kind, pattern), permission)| {
        let what = if pattern == ANY { format!("every {kind}") } else { format!("{kind} {pattern}") };
        format!("{permission} on {what}")
    });
    match grant {
        grant if is_user_role(&role) => grant,
        Some(grant) => Some(format!("{grant} by the role {role}")),
        None => Some(format!("the role {role}")),
    }
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
/// does not have: otherwise they would apply to whatever gets the same id or name next. Returns what was deleted.
///
/// # Errors
/// A file cannot be read, or the users cannot be written.
pub async fn drop_orphaned_grants(users: &Path, tracking: &Path) -> Result<Vec<String>, SnapshotError> {
    let there = Direct::open(&BackendUri::Sqlite(tracking.to_owned()), Access::Inspect).await?;
    let ids = there.texts("SELECT CAST(experiment_id AS TEXT) FROM experiments").await?;
    let names = there.texts("SELECT name FROM registered_models").await?;
    let (ids, names): (BTreeSet<_>, BTreeSet<_>) = (ids.into_iter().collect(), names.into_iter().collect());
    let users = Direct::open(&BackendUri::Sqlite(users.to_owned()), Access::Migrate).await?;
    let grants = Statement::new(&NAMED_GRANTS, vec![ANY.into()]);
    let mut grants =
        users.query(grants, |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))).await?;
    grants.retain(|(_, kind, pattern)| match kind.as_str() {
        "experiment" => !ids.contains(pattern),
        "scorer" => !ids.contains(pattern.split('/').next().unwrap_or_default()),
        "registered_model" | "prompt" => !names.contains(pattern),
        _ => false,
    });
    let ids = grants.iter().map(|(id, ..)| vec![Value::from(*id)]).collect();
    users.execute_each(|id| Statement::new(&DROP_GRANT, id), ids).await?;
    Ok(grants.into_iter().map(|(_, kind, pattern)| format!("{kind} {pattern}")).collect())
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
