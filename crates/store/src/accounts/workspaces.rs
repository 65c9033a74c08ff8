//! The roles of a workspace when it is created and deleted.
//!
//! A workspace is a row of the tracking database, its roles are rows of the users database. So that a crash between them
//! leaves no roles to a new workspace of the same name, a mark is set before a workspace is deleted, and is looked for
//! before one is created. The mark is a role without permissions and users, under a name that no user's own role has.

use ferroflow_model::{
    Result,
    permission::{ANY, Permission, ResourceType},
};

use crate::{
    accounts::users::UserStore,
    db::Anywhere,
    db::{Op, Sql, Statement},
    statements::statements,
};

/// The name of the mark: users are numbered from 1.
const MARK: &str = "__user_0__";

/// The roles that a new workspace has: name, permission on the workspace, description. As in the reference.
const SEEDED: [(&str, Permission, &str); 2] = [
    ("admin", Permission::Manage, "Full MANAGE authority over the workspace."),
    (
        "user",
        Permission::Use,
        "Read every resource in the workspace and create new experiments and registered models; the creator-as-owner \
         mechanism grants MANAGE on what you create, with no write or delete access to resources owned by other users.",
    ),
];

statements! {
    static SEED: Anywhere =
        "INSERT INTO roles (name, workspace, description) VALUES ($1, $2, $3) \
         ON CONFLICT (workspace, name) DO NOTHING RETURNING id";
    static SEED_PERMISSION: Anywhere =
        "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) VALUES ($1, $2, $3, $4)";
    static SET_MARK: Anywhere =
        "INSERT INTO roles (name, workspace, description) VALUES ($1, $2, NULL) ON CONFLICT (workspace, name) DO NOTHING";
    static HAS_MARK: Anywhere =
        "SELECT 1 FROM roles WHERE workspace = $2 AND name = $1";
    static REMOVE_MARK: Anywhere =
        "DELETE FROM roles WHERE workspace = $2 AND name = $1";
    static DELETE_PERMISSIONS: Anywhere =
        "DELETE FROM role_permissions WHERE role_id IN (SELECT id FROM roles WHERE workspace = $1)";
    static DELETE_ASSIGNMENTS: Anywhere =
        "DELETE FROM user_role_assignments WHERE role_id IN (SELECT id FROM roles WHERE workspace = $1)";
    static DELETE: Anywhere =
        "DELETE FROM roles WHERE workspace = $1";
}

/// Deletes the roles of a workspace, with the grants to single users.
static DELETE_ROLES: [&Sql<Anywhere>; 3] = [&DELETE_PERMISSIONS, &DELETE_ASSIGNMENTS, &DELETE];

impl UserStore {
    /// Creates the roles of a new workspace: one for its managers and one for its members. A role that exists is kept.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn seed_workspace_roles(&self, workspace: &str) -> Result<()> {
        self.db
            .transaction(|tx| async move {
                for (name, permission, description) in SEEDED {
                    let seed = Statement::new(&SEED, vec![name.into(), workspace.into(), description.into()]);
                    let Some(role) = tx.query_opt(seed, |row| row.get::<i64>(0)).await? else { continue };
                    let kind = ResourceType::Workspace.name();
                    let values = vec![role.into(), kind.into(), ANY.into(), permission.name().into()];
                    tx.execute(Statement::new(&SEED_PERMISSION, values)).await?;
                }
                Ok(())
            })
            .await
    }

    /// Marks a workspace that is about to be deleted. Whether it was not marked before.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn mark_workspace_deletion(&self, workspace: &str) -> Result<bool> {
        let mark = || Statement::new(&SET_MARK, vec![MARK.into(), workspace.into()]);
        self.db.transaction(|tx| async move { Ok(tx.execute(mark()).await? > 0) }).await
    }

    /// Removes the mark of a workspace that was not deleted.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn unmark_workspace_deletion(&self, workspace: &str) -> Result<()> {
        let mark = Statement::new(&REMOVE_MARK, vec![MARK.into(), workspace.into()]);
        self.db.unit(vec![Op::Execute(mark)]).await?;
        Ok(())
    }

    /// Deletes the roles of a deleted workspace, with the grants to single users and the mark.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_workspace_roles(&self, workspace: &str) -> Result<()> {
        let delete = |sql: &&'static Sql<Anywhere>| Op::Execute(Statement::new(sql, vec![workspace.into()]));
        self.db.unit(DELETE_ROLES.iter().map(delete).collect()).await?;
        Ok(())
    }

    /// Deletes what is left of the roles of a workspace whose deletion was interrupted. Not called while the workspace
    /// exists. Roles that were created for a workspace that is to come are kept.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn finish_workspace_deletion(&self, workspace: &str) -> Result<()> {
        let mark = Statement::new(&HAS_MARK, vec![MARK.into(), workspace.into()]);
        if self.db.query(mark, |_| Ok(())).await?.is_empty() {
            return Ok(());
        }
        self.delete_workspace_roles(workspace).await
    }
}
