//! Grants to one user: the permissions of a hidden role that only this user has, one per workspace.

use ferroflow_model::{Error, Result, permission, python};

use crate::{
    accounts::{
        roles::check_length,
        user_db::UserDb,
        users::{UserStore, id_of},
    },
    db::Anywhere,
    db::{Op, Statement, Tx, Value},
    statements::statements,
};

statements! {
    static INSERT_ROLE: Anywhere =
        "INSERT INTO roles (name, workspace, description) VALUES ($1, $2, NULL) \
         ON CONFLICT (workspace, name) DO NOTHING";
    static ROLE: Anywhere =
        "SELECT id FROM roles WHERE workspace = $2 AND name = $1";
    static ASSIGNED: Anywhere =
        "SELECT user_id FROM user_role_assignments WHERE role_id = $1";
    static ASSIGN: Anywhere =
        "INSERT INTO user_role_assignments (user_id, role_id) VALUES ($2, $1) \
         ON CONFLICT (user_id, role_id) DO NOTHING";
    static SET: Anywhere =
        "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) \
         VALUES ($1, $2, $3, $4) \
         ON CONFLICT (role_id, resource_type, resource_pattern) DO UPDATE SET permission = excluded.permission";
    static ADD: Anywhere =
        "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (role_id, resource_type, resource_pattern) DO NOTHING";
    static CHANGE: Anywhere =
        "UPDATE role_permissions SET permission = $4 \
         WHERE role_id = $1 AND resource_type = $2 AND resource_pattern = $3";
    static REMOVE: Anywhere =
        "DELETE FROM role_permissions \
         WHERE role_id = $1 AND resource_type = $2 AND resource_pattern = $3";
    /// `__user_` is the prefix of the per-user roles; role names are checked on creation, so that no other role has it.
    static DELETE_ALL: Anywhere =
        "DELETE FROM role_permissions WHERE resource_type = $1 AND resource_pattern = $2 \
         AND role_id IN (SELECT id FROM roles WHERE workspace = $3 AND substr(name, 1, 7) = '__user_')";
    static RENAME_ALL: Anywhere =
        "UPDATE role_permissions SET resource_pattern = $4 \
         WHERE resource_type = $1 AND resource_pattern = $2 \
         AND role_id IN (SELECT id FROM roles WHERE workspace = $3 AND substr(name, 1, 7) = '__user_')";
    /// Existing grants with the new name are left over from a deleted resource.
    static CLEAR_NEW: Anywhere =
        "DELETE FROM role_permissions WHERE resource_type = $1 AND resource_pattern = $4 \
         AND role_id IN (SELECT p.role_id FROM role_permissions p JOIN roles r ON r.id = p.role_id \
         WHERE r.workspace = $3 AND substr(r.name, 1, 7) = '__user_' \
         AND p.resource_type = $1 AND p.resource_pattern = $2)";
}

/// A grant to one user.
#[derive(Debug, Clone, Copy)]
struct UserGrant<'a> {
    username: &'a str,
    resource_type: &'a str,
    pattern: &'a str,
    permission: &'a str,
}

impl UserGrant<'_> {
    fn values(self, role: i64) -> Vec<Value> {
        vec![role.into(), self.resource_type.into(), self.pattern.into(), self.permission.into()]
    }
}

/// The grants to single users in one workspace.
#[derive(Clone, Copy)]
pub struct Grants<'a> {
    db: &'a UserDb,
    workspace: &'a str,
}

impl UserStore {
    /// The grants to single users in a workspace.
    #[must_use]
    pub fn grants<'a>(&'a self, workspace: &'a str) -> Grants<'a> {
        Grants { db: &self.db, workspace }
    }
}

impl Grants<'_> {
    /// Grants a user a permission, replacing an existing grant on the same resources.
    ///
    /// # Errors
    /// No user has the name, or the grant is not valid.
    pub async fn set(self, username: &str, resource_type: &str, pattern: &str, permission: &str) -> Result<()> {
        permission::check_pattern(pattern, resource_type)?;
        permission::check_grant(permission, resource_type)?;
        check_length("resource_pattern", pattern, 255)?;
        let given = UserGrant { username, resource_type, pattern, permission };
        self.db
            .transaction(|tx| async move {
                let role = role_of(&tx, self.workspace, given.username).await?;
                tx.execute(Statement::new(&SET, given.values(role))).await?;
                Ok(())
            })
            .await
    }

    /// Grants a user a permission on resources without an existing grant.
    ///
    /// # Errors
    /// No user has the name, the grant is not valid, or a grant exists already: that error has the message `taken`.
    pub async fn add(
        self,
        username: &str,
        resource_type: &str,
        pattern: &str,
        permission: &str,
        taken: &str,
    ) -> Result<()> {
        permission::check_pattern(pattern, resource_type)?;
        permission::check_grant(permission, resource_type)?;
        check_length("resource_pattern", pattern, 255)?;
        let given = UserGrant { username, resource_type, pattern, permission };
        self.db
            .transaction(|tx| async move {
                let role = role_of(&tx, self.workspace, given.username).await?;
                if tx.execute(Statement::new(&ADD, given.values(role))).await? == 0 {
                    return Err(Error::already_exists(taken));
                }
                Ok(())
            })
            .await
    }

    /// Changes the permission of a user's grant.
    ///
    /// # Errors
    /// No user has the name, the permission is not valid, or there is no such grant: that error has the message
    /// `missing`.
    pub async fn change(
        self,
        username: &str,
        resource_type: &str,
        pattern: &str,
        permission: &str,
        missing: &str,
    ) -> Result<()> {
        permission::check_grant(permission, resource_type)?;
        let given = UserGrant { username, resource_type, pattern, permission };
        self.db
            .transaction(|tx| async move {
                let role = find_role(&tx, self.workspace, given.username).await?.unwrap_or(-1);
                if tx.execute(Statement::new(&CHANGE, given.values(role))).await? == 0 {
                    return Err(Error::not_found(missing));
                }
                Ok(())
            })
            .await
    }

    /// Revokes a user's grant.
    ///
    /// # Errors
    /// No user has the name, or there is no such grant: that error has the message `missing`.
    pub async fn remove(self, username: &str, resource_type: &str, pattern: &str, missing: &str) -> Result<()> {
        self.db
            .transaction(|tx| async move {
                let role = find_role(&tx, self.workspace, username).await?.unwrap_or(-1);
                let values = vec![role.into(), resource_type.into(), pattern.into()];
                if tx.execute(Statement::new(&REMOVE, values)).await? == 0 {
                    return Err(Error::not_found(missing));
                }
                Ok(())
            })
            .await
    }

    /// Revokes the grants of all users on a deleted resource. Permissions of shared roles are kept.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_all(self, resource_types: &[&str], pattern: &str) -> Result<()> {
        // Grants on all resources of a type are kept, even if a resource is named `*`.
        if pattern == permission::ANY {
            return Ok(());
        }
        let statement = |kind: &&str| {
            Op::Execute(Statement::new(&DELETE_ALL, vec![(*kind).into(), pattern.into(), self.workspace.into()]))
        };
        self.db.unit(resource_types.iter().map(statement).collect()).await?;
        Ok(())
    }

    /// Moves the grants of all users on a resource to its new name. Permissions of shared roles are kept.
    ///
    /// # Errors
    /// The new name is too long, or the database failed.
    pub async fn rename_all(self, resource_types: &[&str], pattern: &str, new_pattern: &str) -> Result<()> {
        check_length("resource_pattern", new_pattern, 255)?;
        if [pattern, new_pattern].contains(&permission::ANY) {
            return Ok(());
        }
        let statements = |kind: &&str| {
            let values = || vec![(*kind).into(), pattern.into(), self.workspace.into(), new_pattern.into()];
            [Statement::new(&CLEAR_NEW, values()), Statement::new(&RENAME_ALL, values())].map(Op::Execute)
        };
        self.db.unit(resource_types.iter().flat_map(statements).collect()).await?;
        Ok(())
    }
}

/// Finds or creates the per-user role of a user in a workspace. Looks first, because `ON CONFLICT DO NOTHING` consumes
/// ids.
async fn role_of(tx: &Tx, workspace: &str, username: &str) -> Result<i64> {
    let user = id_of(tx, username).await?;
    let name = permission::user_role(user);
    let values = || vec![name.as_str().into(), workspace.into()];
    let find = || tx.query_opt(Statement::new(&ROLE, values()), |row| row.get::<i64>(0));
    let role = if let Some(role) = find().await? {
        role
    } else {
        tx.execute(Statement::new(&INSERT_ROLE, values())).await?;
        find().await?.ok_or_else(|| Error::internal("The role of a user was deleted meanwhile."))?
    };
    let assigned = tx.query(Statement::new(&ASSIGNED, vec![role.into()]), |row| row.get::<i64>(0)).await?;
    if let Some(other) = assigned.iter().find(|other| **other != user) {
        return Err(Error::invalid(format!(
            "Role {} in workspace {} collides with the reserved '__user_<id>__' synthetic namespace but is already \
             assigned to user_id={other}. Rename or delete the conflicting role before granting per-user permissions.",
            python::repr(&name),
            python::repr(workspace)
        )));
    }
    if assigned.is_empty() {
        tx.execute(Statement::new(&ASSIGN, vec![role.into(), user.into()])).await?;
    }
    Ok(role)
}

async fn find_role(tx: &Tx, workspace: &str, username: &str) -> Result<Option<i64>> {
    let name = permission::user_role(id_of(tx, username).await?);
    let values = vec![name.into(), workspace.into()];
    Ok(tx.query_opt(Statement::new(&ROLE, values), |row| row.get::<i64>(0)).await?)
}
