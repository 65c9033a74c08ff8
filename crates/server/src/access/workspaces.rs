//! What callers have to do with workspaces themselves: which they may name and see, and the roles of one that is created
//! or deleted.

use std::sync::Arc;

use ferroflow_auth::Caller;
use ferroflow_model::{Result, messages::service::Workspace as WorkspaceRecord};

use super::Access;
use crate::app::Cx;

impl Access {
    /// Whether a caller may name a workspace as that of a request. Where not, the answer is that there is no such
    /// workspace, and the store is not asked whether there is: neither the text nor the time tells.
    pub(crate) async fn may_enter(&self, caller: &Arc<Caller>, workspace: &str) -> Result<bool> {
        self.auth.may_enter(caller, workspace).await
    }
}

impl Cx {
    /// The name of the workspace of the request, on a server with workspaces.
    pub(crate) fn workspace_name(&self) -> Option<&str> {
        self.app.store.has_workspaces().then(|| self.workspace.name())
    }

    /// Those workspaces that the caller may see in a list.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn listed(&self, mut workspaces: Vec<WorkspaceRecord>) -> Result<Vec<WorkspaceRecord>> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(workspaces) };
        if !caller.is_admin {
            let caller = access.auth.reload(caller).await?;
            workspaces.retain(|found| caller.as_ref().is_some_and(|caller| caller.lists_workspace(found.name())));
        }
        Ok(workspaces)
    }

    /// Before a workspace is created: roles that an interrupted deletion has left under its name are deleted.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn before_workspace_is_created(&self, name: &str) -> Result<()> {
        let Some(access) = &self.app.access else { return Ok(()) };
        if self.app.store.workspace(Some(name)).await.is_ok() {
            return Ok(());
        }
        access.auth.users().finish_workspace_deletion(name).await
    }

    /// After a workspace was created: it gets a role for its managers and one for its members, unless that is switched
    /// off. The workspace stands even if it gets none.
    pub(crate) async fn after_workspace_was_created(&self, name: &str) {
        let Some(access) = self.app.access.as_ref().filter(|access| access.auth.seeds_workspace_roles()) else {
            return;
        };
        if let Err(error) = access.auth.users().seed_workspace_roles(name).await {
            tracing::error!(
                workspace = name,
                message = error.message,
                "the roles of the new workspace were not created"
            );
        }
    }

    /// Deletes a workspace by `delete`, and then its roles with the grants to single users. If the roles cannot be
    /// deleted any more, they are before a workspace of that name is created.
    ///
    /// # Errors
    /// Those of `delete`, or the users database failed before.
    pub(crate) async fn with_roles_of_workspace(
        &self,
        name: &str,
        delete: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let Some(access) = &self.app.access else { return delete.await };
        let users = access.auth.users();
        let is_first = users.mark_workspace_deletion(name).await?;
        let deleted = delete.await;
        let cleaned = match &deleted {
            Ok(()) => users.delete_workspace_roles(name).await,
            Err(_) if is_first => users.unmark_workspace_deletion(name).await,
            // An interrupted deletion has left it.
            Err(_) => Ok(()),
        };
        if let Err(error) = cleaned {
            tracing::error!(workspace = name, message = error.message, "the roles of the workspace were not deleted");
        }
        deleted
    }
}
