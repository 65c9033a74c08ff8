//! Roles in the users database, and their assignment to users.

use std::collections::HashMap;

use ferroflow_model::{Error, Result, permission::USER_ROLE_PREFIX, python};

use crate::{
    accounts::{
        role_permissions::{RolePermission, permission_from_row},
        users::UserStore,
    },
    db::Anywhere,
    db::{Conn, DbError, Op, Row, Statement, Tx},
    statements::statements,
};

statements! {
    static BY_ID: Anywhere =
        "SELECT id, name, workspace, description FROM roles WHERE id = $1";
    static OF_PERMISSION: Anywhere =
        "SELECT r.id, r.name, r.workspace, r.description FROM roles r \
         JOIN role_permissions p ON p.role_id = r.id WHERE p.id = $1";
    static ALL: Anywhere =
        "SELECT id, name, workspace, description FROM roles ORDER BY id";
    static IN_WORKSPACES: Anywhere =
        "SELECT id, name, workspace, description FROM roles WHERE workspace {in $1} ORDER BY id";
    static INSERT: Anywhere =
        "INSERT INTO roles (name, workspace, description) VALUES ($1, $2, $3) RETURNING id";
    static UPDATE: Anywhere =
        "UPDATE roles SET name = COALESCE($2, name), description = COALESCE($3, description) WHERE id = $1";
    static DELETE_PERMISSIONS: Anywhere =
        "DELETE FROM role_permissions WHERE role_id = $1";
    static DELETE_ASSIGNMENTS: Anywhere =
        "DELETE FROM user_role_assignments WHERE role_id = $1";
    static DELETE: Anywhere =
        "DELETE FROM roles WHERE id = $1";
    static PERMISSIONS: Anywhere =
        "SELECT id, role_id, resource_type, resource_pattern, permission FROM role_permissions \
         WHERE role_id {in $1} ORDER BY id";
    static ASSIGN: Anywhere =
        "INSERT INTO user_role_assignments (user_id, role_id) VALUES ($1, $2) RETURNING id";
    static UNASSIGN: Anywhere =
        "DELETE FROM user_role_assignments WHERE user_id = $1 AND role_id = $2";
    static USERS: Anywhere =
        "SELECT id, user_id, role_id FROM user_role_assignments WHERE role_id = $1 ORDER BY id";
    static OF_ALL: Anywhere =
        "SELECT r.id, r.name, r.workspace, r.description, a.user_id FROM roles r \
         JOIN user_role_assignments a ON a.role_id = r.id ORDER BY a.id";
    static OF_ONE: Anywhere =
        "SELECT r.id, r.name, r.workspace, r.description, a.user_id FROM roles r \
         JOIN user_role_assignments a ON a.role_id = r.id WHERE a.user_id = $1 ORDER BY a.id";
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The key.
    pub id: i64,
    /// The name, which is unique in the workspace.
    pub name: String,
    /// The workspace that its permissions apply to.
    pub workspace: String,
    /// The description.
    pub description: Option<String>,
    /// Its permissions.
    pub permissions: Vec<RolePermission>,
}

/// The assignment of a role to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The key.
    pub id: i64,
    /// The user.
    pub user_id: i64,
    /// The role.
    pub role_id: i64,
}

impl UserStore {
    /// Creates a role without permissions.
    ///
    /// # Errors
    /// The name is reserved or taken, or a text is too long.
    pub async fn create_role(&self, name: &str, workspace: &str, description: Option<&str>) -> Result<Role> {
        check_name(name)?;
        check_length("Role name", name, 255)?;
        check_length("Workspace", workspace, 63)?;
        check_length("Role description", description.unwrap_or_default(), 1024)?;
        let insert = || Statement::new(&INSERT, vec![name.into(), workspace.into(), description.into()]);
        let id = self
            .db
            .transaction(|tx| async move {
                match tx.query_opt(insert(), |row| row.get::<i64>(0)).await {
                    Err(DbError::Unique(_)) => {
                        let text = format!("Role (name={name}, workspace={workspace}) already exists.");
                        Err(Error::already_exists(text))
                    }
                    id => id?.ok_or_else(|| Error::internal("The new role has no id.")),
                }
            })
            .await?;
        Ok(Role {
            id,
            name: name.to_owned(),
            workspace: workspace.to_owned(),
            description: description.map(str::to_owned),
            permissions: Vec::new(),
        })
    }

    /// One role.
    ///
    /// # Errors
    /// No role has the id.
    pub async fn get_role(&self, id: i64) -> Result<Role> {
        let conn = self.db.reader().await?;
        let found = conn.query_opt(Statement::new(&BY_ID, vec![key(id).into()]), role_from_row).await?;
        let mut roles = vec![found.ok_or_else(|| no_role(id))?];
        attach(&conn, &mut roles).await?;
        roles.pop().ok_or_else(|| no_role(id))
    }

    /// One role without its permissions.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn find_role(&self, id: i64) -> Result<Option<Role>> {
        let found = self.db.query(Statement::new(&BY_ID, vec![key(id).into()]), role_from_row).await?;
        Ok(found.into_iter().next())
    }

    /// The role of a permission, without its permissions.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn find_role_of_permission(&self, id: i64) -> Result<Option<Role>> {
        let found = self.db.query(Statement::new(&OF_PERMISSION, vec![key(id).into()]), role_from_row).await?;
        Ok(found.into_iter().next())
    }

    /// The roles of `workspaces`, or all roles.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn list_roles(&self, workspaces: Option<Vec<String>>) -> Result<Vec<Role>> {
        let conn = self.db.reader().await?;
        let statement = match workspaces {
            None => Statement::new(&ALL, Vec::new()),
            Some(names) => Statement::new(&IN_WORKSPACES, vec![names.into()]),
        };
        let mut roles = conn.query(statement, role_from_row).await?;
        attach(&conn, &mut roles).await?;
        Ok(roles)
    }

    /// Changes the name or the description of a role; `None` keeps it.
    ///
    /// # Errors
    /// No role has the id, the name is reserved or taken, or a text is too long.
    pub async fn update_role(&self, id: i64, name: Option<&str>, description: Option<&str>) -> Result<Role> {
        if let Some(name) = name {
            check_name(name)?;
            check_length("Role name", name, 255)?;
        }
        check_length("Role description", description.unwrap_or_default(), 1024)?;
        self.db
            .transaction(|tx| async move {
                let found = tx.query_opt(Statement::new(&BY_ID, vec![key(id).into()]), role_from_row).await?;
                let role = found.ok_or_else(|| no_role(id))?;
                let values = vec![role.id.into(), name.into(), description.into()];
                match tx.execute(Statement::new(&UPDATE, values)).await {
                    Err(DbError::Unique(_)) => Err(Error::already_exists(format!(
                        "Role with name={} already exists in workspace={}",
                        name.unwrap_or_default(),
                        role.workspace
                    ))),
                    outcome => Ok(outcome.map(|_| ())?),
                }
            })
            .await?;
        self.get_role(id).await
    }

    /// Deletes a role with its permissions and assignments.
    ///
    /// # Errors
    /// No role has the id.
    pub async fn delete_role(&self, id: i64) -> Result<()> {
        self.db
            .transaction(|tx| async move {
                role_in(&tx, id).await?;
                let delete = |sql| Op::Execute(Statement::new(sql, vec![id.into()]));
                tx.run([&DELETE_PERMISSIONS, &DELETE_ASSIGNMENTS, &DELETE].map(delete).into()).await?;
                Ok(())
            })
            .await
    }

    /// Assigns a role to a user.
    ///
    /// # Errors
    /// No role has the id, or it is assigned to the user already.
    pub async fn assign_role(&self, user_id: i64, role_id: i64) -> Result<Assignment> {
        self.db
            .transaction(|tx| async move {
                role_in(&tx, role_id).await?;
                let statement = Statement::new(&ASSIGN, vec![user_id.into(), role_id.into()]);
                let id = match tx.query_opt(statement, |row| row.get::<i64>(0)).await {
                    Err(DbError::Unique(_)) => {
                        return Err(Error::already_exists(format!(
                            "User role assignment (user_id={user_id}, role_id={role_id}) already exists"
                        )));
                    }
                    other => other?.ok_or_else(|| Error::internal("The new assignment has no id."))?,
                };
                Ok(Assignment { id, user_id, role_id })
            })
            .await
    }

    /// Removes a role from a user.
    ///
    /// # Errors
    /// The role is not assigned to the user.
    pub async fn unassign_role(&self, user_id: i64, role_id: i64) -> Result<()> {
        self.db
            .transaction(|tx| async move {
                let unassign = Statement::new(&UNASSIGN, vec![user_id.into(), key(role_id).into()]);
                if tx.execute(unassign).await? == 0 {
                    return Err(Error::not_found(format!(
                        "User role assignment (user_id={user_id}, role_id={role_id}) not found"
                    )));
                }
                Ok(())
            })
            .await
    }

    /// The roles of a user.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn list_user_roles(&self, user_id: i64) -> Result<Vec<Role>> {
        let conn = self.db.reader().await?;
        Ok(roles_of(&conn, Some(user_id)).await?.remove(&user_id).unwrap_or_default())
    }

    /// The assignments of a role.
    ///
    /// # Errors
    /// No role has the id.
    pub async fn list_role_users(&self, id: i64) -> Result<Vec<Assignment>> {
        let conn = self.db.reader().await?;
        let statements =
            vec![Statement::new(&BY_ID, vec![key(id).into()]), Statement::new(&USERS, vec![key(id).into()])];
        let (exists, users) = conn
            .fold_all(statements, (false, Vec::new()), |(exists, users), which, row| {
                if which == 0 {
                    *exists = true;
                } else {
                    users.push(Assignment { id: row.get(0)?, user_id: row.get(1)?, role_id: row.get(2)? });
                }
                Ok(())
            })
            .await?;
        if exists { Ok(users) } else { Err(no_role(id)) }
    }
}

/// The roles of one user, or of all users, by user.
pub(crate) async fn roles_of(conn: &Conn, user_id: Option<i64>) -> Result<HashMap<i64, Vec<Role>>, DbError> {
    let statement = match user_id {
        Some(id) => Statement::new(&OF_ONE, vec![id.into()]),
        None => Statement::new(&OF_ALL, Vec::new()),
    };
    let rows = conn.query(statement, |row| Ok((row.get::<i64>(4)?, role_from_row(row)?))).await?;
    let (owners, mut roles): (Vec<i64>, Vec<Role>) = rows.into_iter().unzip();
    attach(conn, &mut roles).await?;
    let mut by_user: HashMap<i64, Vec<Role>> = HashMap::new();
    for (owner, role) in owners.into_iter().zip(roles) {
        by_user.entry(owner).or_default().push(role);
    }
    Ok(by_user)
}

/// Loads the permissions of roles with one query.
async fn attach(conn: &Conn, roles: &mut [Role]) -> Result<(), DbError> {
    if roles.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = roles.iter().map(|role| role.id).collect();
    let mut by_role: HashMap<i64, Vec<RolePermission>> = HashMap::new();
    for found in conn.query(Statement::new(&PERMISSIONS, vec![ids.into()]), permission_from_row).await? {
        by_role.entry(found.role_id).or_default().push(found);
    }
    for role in roles {
        role.permissions = by_role.get(&role.id).cloned().unwrap_or_default();
    }
    Ok(())
}

pub(crate) async fn role_in(tx: &Tx, id: i64) -> Result<Role> {
    let found = tx.query_opt(Statement::new(&BY_ID, vec![key(id).into()]), role_from_row).await?;
    found.ok_or_else(|| no_role(id))
}

fn role_from_row(row: &Row<'_>) -> Result<Role, DbError> {
    Ok(Role {
        id: row.get(0)?,
        name: row.get(1)?,
        workspace: row.get(2)?,
        description: row.get(3)?,
        permissions: Vec::new(),
    })
}

/// The key of a role or permission; -1 for a number out of the column's range.
pub(crate) fn key(id: i64) -> i64 {
    if i32::try_from(id).is_ok() { id } else { -1 }
}

/// Refuses names with the reserved prefix of per-user roles.
fn check_name(name: &str) -> Result<()> {
    if name.starts_with(USER_ROLE_PREFIX) {
        return Err(Error::invalid(format!(
            "Role name {} uses the reserved '__user_' prefix, which is held for the per-user permission \
             representation. Choose a different name.",
            python::repr(name)
        )));
    }
    Ok(())
}

/// Checks that a text fits its column.
pub(crate) fn check_length(what: &str, text: &str, limit: usize) -> Result<()> {
    if text.chars().count() > limit {
        return Err(Error::invalid(format!("{what} must be at most {limit} characters.")));
    }
    Ok(())
}

fn no_role(id: i64) -> Error {
    Error::not_found(format!("Role with id={id} not found"))
}
