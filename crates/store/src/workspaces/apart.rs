//! Workspaces in a database of their own (`--workspace-store-uri`): it has the table of workspaces that is used, and the
//! tracking database everything that is in them.
//!
//! No transaction spans both databases, so a transaction of the tracking database that creates something in a workspace,
//! or deletes what is in one, runs inside a transaction of the other database that locks the row of the workspace: shared
//! to create, exclusively to delete. The order is always the same, so that no two wait for each other. The row is deleted
//! after everything in the workspace: whoever stops in between leaves an empty workspace, which can be deleted again.

use ferroflow_model::{Error, Result};

use crate::{
    Scoped, Store,
    db::{BackendUri, Db, DbOptions, Tx},
    schema::{self, SchemaError},
    workspace::Workspace,
    workspaces::is_default,
};

/// Opens the database of the workspaces, and creates its tables if it is empty.
///
/// # Errors
/// It cannot be reached, or has another schema revision.
pub(crate) async fn open(uri: &BackendUri, options: DbOptions) -> Result<Db, SchemaError> {
    let opened = async {
        let db = Db::open(uri, options)?;
        schema::prepare_tables(&db).await?;
        Ok::<_, SchemaError>(db)
    };
    opened.await.map_err(|error| SchemaError::Refused(format!("the workspace store {uri} cannot be opened: {error}")))
}

impl Store {
    /// The database with the table of workspaces.
    pub(crate) fn workspace_db(&self) -> &Db {
        self.workspace_db.as_ref().unwrap_or(&self.db)
    }

    /// Refuses a new workspace whose name resources have that are in no workspace: they were left by another server with
    /// these workspaces, which deleted theirs, and would be in the new one.
    ///
    /// # Errors
    /// There are some.
    pub(super) async fn check_is_empty(&self, name: &str) -> Result<()> {
        if self.workspace_db.is_none() {
            return Ok(());
        }
        match self.resources(name).await? {
            None => Ok(()),
            // They may be those of a workspace that exists, also now: another server may have deleted it.
            Some(_) if self.get_workspace_record(name).await.is_ok() => Ok(()),
            Some((table, count)) => Err(Error::invalid_state(format!(
                "Cannot create workspace '{name}': table '{table}' of the tracking database still contains {count} \
                 resource(s) of a deleted workspace with this name. Delete the workspace again, with the mode CASCADE or \
                 SET_DEFAULT."
            ))),
        }
    }

    /// The first table with resources of a workspace, and how many.
    pub(super) async fn resources(&self, name: &str) -> Result<Option<(&'static str, i64)>> {
        let workspace = &Workspace::found(name);
        Ok(self.db.transact(|tx| async move { super::delete::resources(&tx, workspace).await }).await?)
    }
}

impl Scoped<'_> {
    /// [`Scoped::creating`] where the workspaces are in a database of their own.
    pub(super) async fn creating_apart<T, Fut>(&self, work: impl Fn(Tx, String) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        let work = &work;
        let create = async |root: String| {
            let root = &root;
            self.store.db.transaction(|tx| work(tx, root.clone())).await
        };
        if is_default(self.workspace.name()) {
            // It is never deleted.
            return create(self.artifact_root().await?.0).await;
        }
        // Not ended by the database while it waits for the other one.
        let kept = |held: Tx| async move {
            let root = self.artifact_root_kept(&held).await?;
            create(root).await
        };
        self.store.workspace_db().transaction_once(kept).await
    }
}
