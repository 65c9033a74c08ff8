//! Permissions of roles.

use ferroflow_model::{Error, Result, permission};

use crate::{
    accounts::{
        roles::{check_length, key, role_in},
        users::UserStore,
    },
    db::Anywhere,
    db::{DbError, Row, Statement},
    statements::statements,
};

statements! {
    static PERMISSION: Anywhere =
        "SELECT id, role_id, resource_type, resource_pattern, permission FROM role_permissions \
         WHERE id = $1";
    static ADD_PERMISSION: Anywhere =
        "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) \
         VALUES ($1, $2, $3, $4) RETURNING id";
    static SET_PERMISSION: Anywhere =
        "UPDATE role_permissions SET permission = $2 WHERE id = $1";
    static REMOVE_PERMISSION: Anywhere =
        "DELETE FROM role_permissions WHERE id = $1";
}

/// A permission of a role on resources of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePermission {
    /// The key.
    pub id: i64,
    /// The role.
    pub role_id: i64,
    /// The kind of resource.
    pub resource_type: String,
    /// The resources: an id, or `*` for all.
    pub resource_pattern: String,
    /// The name of the permission.
    pub permission: String,
}

impl UserStore {
    /// Adds a permission to a role.
    ///
    /// # Errors
    /// No role has the id, the permission is not valid, or the role has one on the same resources.
    pub async fn add_role_permission(
        &self,
        role_id: i64,
        resource_type: &str,
        resource_pattern: &str,
        permission: &str,
    ) -> Result<RolePermission> {
        permission::check_grant(permission, resource_type)?;
        permission::check_pattern(resource_pattern, resource_type)?;
        check_length("resource_pattern", resource_pattern, 255)?;
        let id = self
            .db
            .transaction(|tx| async move {
                role_in(&tx, role_id).await?;
                let values = vec![role_id.into(), resource_type.into(), resource_pattern.into(), permission.into()];
                let id = match tx.query_opt(Statement::new(&ADD_PERMISSION, values), |row| row.get::<i64>(0)).await {
                    Err(DbError::Unique(_)) => {
                        return Err(Error::already_exists(format!(
                            "Role permission (role_id={role_id}, resource_type={resource_type}, \
                         resource_pattern={resource_pattern}) already exists."
                        )));
                    }
                    other => other?.ok_or_else(|| Error::internal("The new permission has no id."))?,
                };
                Ok(id)
            })
            .await?;
        Ok(RolePermission {
            id,
            role_id,
            resource_type: resource_type.to_owned(),
            resource_pattern: resource_pattern.to_owned(),
            permission: permission.to_owned(),
        })
    }

    /// Returns one permission.
    ///
    /// # Errors
    /// No permission has the id.
    pub async fn get_role_permission(&self, id: i64) -> Result<RolePermission> {
        let statement = Statement::new(&PERMISSION, vec![key(id).into()]);
        let found = self.db.query(statement, permission_from_row).await?;
        found.into_iter().next().ok_or_else(|| no_permission(id))
    }

    /// Removes a permission from its role.
    ///
    /// # Errors
    /// No permission has the id.
    pub async fn remove_role_permission(&self, id: i64) -> Result<()> {
        self.db
            .transaction(|tx| async move {
                match tx.execute(Statement::new(&REMOVE_PERMISSION, vec![key(id).into()])).await? {
                    0 => Err(no_permission(id)),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Changes a permission.
    ///
    /// # Errors
    /// No permission has the id, or the new permission is not valid.
    pub async fn update_role_permission(&self, id: i64, permission: &str) -> Result<RolePermission> {
        let mut found = self.get_role_permission(id).await?;
        permission::check_grant(permission, &found.resource_type)?;
        self.db
            .transaction(|tx| async move {
                let set = Statement::new(&SET_PERMISSION, vec![id.into(), permission.into()]);
                if tx.execute(set).await? == 0 { Err(no_permission(id)) } else { Ok(()) }
            })
            .await?;
        permission.clone_into(&mut found.permission);
        Ok(found)
    }
}

pub(crate) fn permission_from_row(row: &Row<'_>) -> Result<RolePermission, DbError> {
    Ok(RolePermission {
        id: row.get(0)?,
        role_id: row.get(1)?,
        resource_type: row.get(2)?,
        resource_pattern: row.get(3)?,
        permission: row.get(4)?,
    })
}

fn no_permission(id: i64) -> Error {
    Error::not_found(format!("Role permission with id={id} not found"))
}
