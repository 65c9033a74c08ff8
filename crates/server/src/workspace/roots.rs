//! The artifact roots that namespaces choose, and the rows of their workspaces, which have the root of the last experiment.

use ferroflow_model::{Error, Result};
use ferroflow_store::WorkspaceValues;

use crate::{api::system::workspaces::artifact_root, app::Cx};

impl Cx {
    /// Before an experiment is created: the workspace gets the artifact root that its namespace has chosen, or the default
    /// one, if it is a namespace that may choose.
    ///
    /// # Errors
    /// What the namespace has chosen cannot be read, is not valid, or overlaps with the artifacts of another workspace.
    pub(crate) async fn follow_artifact_root(&self) -> Result<()> {
        let Some((namespaces, _)) = self.namespaces().filter(|(namespaces, _)| namespaces.have_artifact_roots()) else {
            return Ok(());
        };
        let (name, store) = (self.workspace.name(), self.app.store.workspaces());
        let root = match namespaces.artifact_root(name).await? {
            Some(root) => artifact_root(self, &root)?,
            None => String::new(),
        };
        let before = store.get_workspace_record(name).await?.default_artifact_root.unwrap_or_default();
        if before == root {
            return Ok(());
        }
        let values =
            |root: &str| WorkspaceValues { default_artifact_root: Some(root.to_owned()), ..WorkspaceValues::default() };
        self.check_root(&root).await?;
        store.update_workspace(name, &values(&root)).await?;
        // Another namespace may have chosen the same at this moment: the one that is second sees the other.
        if let Err(error) = self.check_root(&root).await {
            store.update_workspace(name, &values(&before)).await?;
            return Err(error);
        }
        tracing::info!(workspace = name, root, "the artifact root of a workspace has changed");
        Ok(())
    }

    /// Refuses a root that overlaps with the artifacts of another workspace. An empty one is the default root.
    async fn check_root(&self, root: &str) -> Result<()> {
        if root.is_empty() || !self.is_root_of_others(root).await? {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "The artifact root '{root}' of workspace '{}' is not possible: there are artifacts of other workspaces.",
            self.workspace.name()
        )))
    }
}
