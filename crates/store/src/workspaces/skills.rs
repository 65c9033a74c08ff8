//! The skills of MLflow 3.18 in a workspace that is deleted, or when all workspaces become one. The server does not serve
//! them, but a database at the later head has them. Their children follow by foreign keys.

use ferroflow_model::{Error, python};

use crate::{
    db::{DbError, Row, Statement, Tx, upkeep::Move},
    migrations::TRACKING,
    schema,
    statements::statements,
    workspace::Workspace,
};

/// The revision that adds the tables.
const REVISION: &str = "e7d1f4b2a9c6";

statements! {
    static COUNT: Workspace = "SELECT count(*) FROM skills s WHERE {ws:s}";
    static DELETE: Workspace = "DELETE FROM skills AS s WHERE {ws:s}";
    static TO_DEFAULT: Workspace = "UPDATE skills AS s SET workspace = 'default' WHERE {ws:s}";
    /// Versions whose files are in the workspace's folder.
    static WITH_FILES: Workspace = "SELECT 1 FROM skill_versions v WHERE {ws:v} AND v.source_type = 'mlflow' LIMIT 1";
    static TAKEN: Workspace =
        "SELECT s.organization, s.name FROM skills s WHERE {ws:s} AND EXISTS (SELECT 1 FROM skills o \
         WHERE o.workspace = 'default' AND o.organization = s.organization AND o.name = s.name) ORDER BY 1, 2 LIMIT $1";

    static COUNT_OUTSIDE: Move = "SELECT COUNT(*) FROM skills WHERE workspace <> 'default'";
    static ALL_TO_DEFAULT: Move = "UPDATE skills SET workspace = 'default' WHERE workspace <> 'default'";
    static WITH_FILES_OUTSIDE: Move =
        "SELECT 1 FROM skill_versions WHERE workspace <> 'default' AND source_type = 'mlflow' LIMIT 1";
    static DUPLICATES: Move =
        "SELECT s.organization || '/' || s.name, s.workspace, NULL FROM skills s JOIN \
         (SELECT organization, name FROM skills GROUP BY organization, name HAVING COUNT(*) > 1) d \
         ON d.organization = s.organization AND d.name = s.name ORDER BY 1, 2";
}

/// The skills of a database that has their tables.
pub(crate) struct Skills<'a>(&'a Tx);

impl<'a> Skills<'a> {
    /// `None` for a database without the tables.
    pub(crate) async fn of(tx: &'a Tx) -> Result<Option<Self>, DbError> {
        let revision = schema::revision_of(tx).await?;
        Ok(TRACKING.has(revision.as_deref(), REVISION).then_some(Self(tx)))
    }

    pub(crate) async fn count(&self, workspace: &Workspace) -> Result<i64, DbError> {
        let counted = self.0.query_opt(Statement::within(workspace, &COUNT, Vec::new()), |row| row.get(0)).await?;
        Ok(counted.unwrap_or_default())
    }

    pub(crate) async fn delete(&self, workspace: &Workspace) -> Result<(), DbError> {
        self.0.execute(Statement::within(workspace, &DELETE, Vec::new())).await?;
        Ok(())
    }

    pub(crate) async fn move_to_default(&self, workspace: &Workspace) -> Result<(), DbError> {
        self.0.execute(Statement::within(workspace, &TO_DEFAULT, Vec::new())).await?;
        Ok(())
    }

    /// The error if versions would lose their files by a move to the default workspace.
    pub(crate) async fn refusal(&self, workspace: &Workspace) -> Result<Option<Error>, DbError> {
        let found = self.0.query_opt(Statement::within(workspace, &WITH_FILES, Vec::new()), |_| Ok(())).await?;
        Ok(found.map(|()| {
            Error::invalid_state(format!(
                "Cannot move workspace '{}' to the default workspace: MLflow-backed skill versions would lose access to \
                 their artifact content. Remove or re-register those versions before retrying.",
                workspace.name()
            ))
        }))
    }

    /// At most `most` skills that the default workspace has too, as lines of an error.
    pub(crate) async fn conflicts(&self, workspace: &Workspace, most: i64) -> Result<Vec<String>, DbError> {
        let line = |row: &Row<'_>| {
            let (organization, name) = (row.get::<String>(0)?, row.get::<String>(1)?);
            Ok(format!("  - skills: organization={}, name={}", python::repr(&organization), python::repr(&name)))
        };
        self.0.query(Statement::within(workspace, &TAKEN, vec![most.into()]), line).await
    }

    /// Skills outside the default workspace.
    pub(crate) async fn count_outside(&self) -> Result<i64, DbError> {
        let counted = self.0.query_opt(Statement::new(&COUNT_OUTSIDE, Vec::new()), |row| row.get(0)).await?;
        Ok(counted.unwrap_or_default())
    }

    /// The names that are in several workspaces, each with its workspace.
    pub(crate) async fn duplicates(&self) -> Result<Vec<(String, String, Option<String>)>, DbError> {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, None));
        self.0.query(Statement::new(&DUPLICATES, Vec::new()), read).await
    }

    /// The error if versions of any workspace would lose their files.
    pub(crate) async fn refusal_outside(&self) -> Result<Option<Error>, DbError> {
        let found = self.0.query_opt(Statement::new(&WITH_FILES_OUTSIDE, Vec::new()), |_| Ok(())).await?;
        Ok(found.map(|()| {
            Error::invalid(
                "Move aborted: MLflow-backed skill versions would lose access to their artifact content in the default \
                 workspace. Remove or re-register those versions before retrying.",
            )
        }))
    }

    pub(crate) async fn move_all_to_default(&self) -> Result<(), DbError> {
        self.0.execute(Statement::new(&ALL_TO_DEFAULT, Vec::new())).await?;
        Ok(())
    }
}
