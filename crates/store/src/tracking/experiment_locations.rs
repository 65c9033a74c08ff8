//! Artifact locations of experiments and workspaces.

use ferroflow_model::{Result, uri};

use crate::{
    Unscoped,
    db::{DbError, Row, Statement, upkeep::Locations},
    statements::statements,
};

statements! {
    /// Experiments whose location is neither the default one nor that of their workspace's folder.
    static CUSTOM: Locations =
        "SELECT experiment_id, artifact_location, workspace FROM experiments WHERE artifact_location IS NOT NULL \
         AND artifact_location <> CAST($1 AS TEXT) || CAST(experiment_id AS TEXT) \
         AND artifact_location <> CAST($1 AS TEXT) || 'workspaces/' || workspace || '/' || CAST(experiment_id AS TEXT) \
         ORDER BY experiment_id";
    static WORKSPACE_OF: Locations = "SELECT workspace FROM experiments WHERE experiment_id = $1";
    static ROOTS: Locations =
        "SELECT name, default_artifact_root, trace_archival_location FROM workspaces \
         WHERE default_artifact_root IS NOT NULL OR trace_archival_location IS NOT NULL ORDER BY name";
}

/// An experiment with a location of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomLocation {
    /// The id of the experiment.
    pub id: i64,
    /// Its location.
    pub location: String,
    /// Its workspace.
    pub workspace: String,
}

/// The roots of a workspace with roots of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRoots {
    /// The name of the workspace.
    pub name: String,
    /// The root of the artifacts of its experiments.
    pub artifacts: Option<String>,
    /// Where its traces are archived.
    pub archive: Option<String>,
}

impl Unscoped<'_> {
    /// The default location of an experiment.
    ///
    /// # Errors
    /// The default artifact root has a query component that locations must not have.
    pub fn default_location(&self, experiment_id: &str) -> Result<String> {
        uri::append_path(&self.store.artifact_root, experiment_id)
    }

    /// The experiments with a location other than the default ones, deleted ones included.
    ///
    /// # Errors
    /// Those of [`Unscoped::default_location`], and database errors.
    pub async fn custom_locations(&self) -> Result<Vec<CustomLocation>> {
        let first = self.default_location("0")?;
        // If the location does not end with the id, every location is treated as a custom one.
        let root = first.strip_suffix('0').unwrap_or_default().to_owned();
        let read = |row: &Row<'_>| -> std::result::Result<_, DbError> {
            Ok(CustomLocation { id: row.get(0)?, location: row.get(1)?, workspace: row.get(2)? })
        };
        Ok(self.store.db.query(Statement::new(&CUSTOM, vec![root.into()]), read).await?)
    }

    /// The workspaces with roots of their own.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn workspace_roots(&self) -> Result<Vec<WorkspaceRoots>> {
        let read = |row: &Row<'_>| -> std::result::Result<_, DbError> {
            Ok(WorkspaceRoots { name: row.get(0)?, artifacts: row.get(1)?, archive: row.get(2)? })
        };
        Ok(self.store.workspace_db().query(Statement::new(&ROOTS, Vec::new()), read).await?)
    }

    /// The workspace of an experiment, deleted or not; `None` if there is no such experiment.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn workspace_of_experiment(&self, id: i64) -> Result<Option<String>> {
        let found = self.store.db.query(Statement::new(&WORKSPACE_OF, vec![id.into()]), |row| row.get(0)).await?;
        Ok(found.into_iter().next())
    }
}
