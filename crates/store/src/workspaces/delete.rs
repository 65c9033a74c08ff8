//! Deletes a workspace: alone, with what is in it, or after moving that to the default workspace.
//!
//! The row of the workspace is locked first. Transactions that create something in a workspace hold a share of that lock
//! (`Scoped::keep`), so that nothing is left in a workspace without a row.

pub(crate) mod moved;
pub(crate) mod rows;

use ferroflow_model::{Error, Result};

use self::{moved::move_to_default, rows::delete_rows};
use crate::{
    Store,
    db::{Anywhere, Db, DbError, Row, Sql, Statement, Tx},
    statements::statements,
    workspace::Workspace,
    workspaces::{is_default, no_workspace, skills::Skills},
};

/// What happens to the resources of a workspace that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionMode {
    /// They move to the default workspace.
    SetDefault,
    /// They are deleted.
    Cascade,
    /// If there are any, the workspace is not deleted.
    Restrict,
}

/// The tables whose rows are resources of a workspace, in the order in which the reference reports them.
pub(crate) const RESOURCES: [&str; 11] = [
    "registered_models",
    "experiments",
    "evaluation_datasets",
    "webhooks",
    "secrets",
    "endpoints",
    "model_definitions",
    "budget_policies",
    "guardrails",
    "jobs",
    "mcp_servers",
];

statements! {
    static LOCK: Anywhere = "SELECT 1 FROM workspaces WHERE name = $1 {FOR UPDATE}";
    static DELETE: Anywhere = "DELETE FROM workspaces WHERE name = $1";
    /// A workspace may be larger than what the statements of a request have time for.
    static NO_TIMEOUT: Anywhere = "SELECT {postgres:set_config('statement_timeout', '0', TRUE)}{sqlite:1}";

    /// Columns in the order of [`RESOURCES`]. Nothing deletes the row of a deleted webhook.
    static COUNTS: Workspace =
        "SELECT (SELECT count(*) FROM registered_models a WHERE {ws:a}), \
         (SELECT count(*) FROM experiments b WHERE {ws:b}), \
         (SELECT count(*) FROM evaluation_datasets c WHERE {ws:c}), \
         (SELECT count(*) FROM webhooks d WHERE {ws:d} AND d.deleted_timestamp IS NULL), \
         (SELECT count(*) FROM secrets e WHERE {ws:e}), \
         (SELECT count(*) FROM endpoints f WHERE {ws:f}), \
         (SELECT count(*) FROM model_definitions g WHERE {ws:g}), \
         (SELECT count(*) FROM budget_policies h WHERE {ws:h}), \
         (SELECT count(*) FROM guardrails i WHERE {ws:i}), \
         (SELECT count(*) FROM jobs j WHERE {ws:j}), \
         (SELECT count(*) FROM mcp_servers k WHERE {ws:k})";

    static DELETE_DELETED_WEBHOOKS: Workspace =
        "DELETE FROM webhooks AS a WHERE {ws:a} AND a.deleted_timestamp IS NOT NULL";
}

impl Store {
    /// Deletes a workspace, in one transaction; where workspaces have a database of their own, in one of each, of which the
    /// last deletes the row. There, what is left of a workspace without a row is deleted too.
    ///
    /// # Errors
    /// It does not exist or is the default one, it has resources that may not be deleted, or names that the default
    /// workspace has too.
    pub async fn delete_workspace(&self, name: &str, mode: DeletionMode) -> Result<()> {
        if is_default(name) {
            return Err(Error::invalid_state("Cannot delete the reserved 'default' workspace"));
        }
        let outcome = match &self.workspace_db {
            None => self.delete_with_row(name, mode).await,
            Some(workspaces) => Box::pin(self.delete_apart(workspaces, name, mode)).await,
        };
        self.known_workspaces.remove(name);
        outcome
    }

    async fn delete_with_row(&self, name: &str, mode: DeletionMode) -> Result<()> {
        let workspace = &Workspace::found(name);
        let outcome = self
            .db
            .transact(|tx| async move {
                if !lock(&tx, name).await? {
                    return Err(Failure::Refused(no_workspace(name)));
                }
                self.empty(&tx, workspace, mode).await?;
                tx.execute(Statement::new(&DELETE, vec![name.into()])).await?;
                Ok(())
            })
            .await;
        outcome.map_err(|failure| failure.of(name))
    }

    async fn delete_apart(&self, workspaces: &Db, name: &str, mode: DeletionMode) -> Result<()> {
        let workspace = &Workspace::found(name);
        workspaces
            .transaction_once(|held| async move {
                if !lock(&held, name).await? && self.resources(name).await?.is_none() {
                    return Err(no_workspace(name));
                }
                let emptied = self.db.transact(|tx| async move { self.empty(&tx, workspace, mode).await }).await;
                emptied.map_err(|failure: Failure| failure.of(name))?;
                held.execute(Statement::new(&DELETE, vec![name.into()])).await?;
                Ok(())
            })
            .await
    }

    /// Deletes or moves what is in a workspace, or refuses to.
    async fn empty(&self, tx: &Tx, workspace: &Workspace, mode: DeletionMode) -> Result<(), Failure> {
        tx.query(Statement::new(&NO_TIMEOUT, Vec::new()), |_| Ok(())).await?;
        match mode {
            DeletionMode::Restrict => restrict(tx, workspace).await,
            DeletionMode::SetDefault => move_to_default(tx, workspace).await,
            DeletionMode::Cascade => Ok(delete_rows(tx, workspace, self.outbox.is_ready()).await?),
        }
    }
}

/// Why a workspace is not deleted.
enum Failure {
    Refused(Error),
    Db(DbError),
}

impl Failure {
    /// The error for the client.
    fn of(self, name: &str) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Db(DbError::Unique(_)) => Error::invalid_state(format!(
                "Cannot delete workspace '{name}': resources in this workspace conflict with existing resources in the \
                 'default' workspace. Resolve naming conflicts before deleting."
            )),
            Self::Db(DbError::ForeignKey(_)) => Error::invalid_state(format!(
                "Cannot delete workspace '{name}': deletion failed due to database integrity constraints. This often \
                 indicates that related resources still reference this workspace."
            )),
            Self::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Locks the row of a workspace, if there is one.
async fn lock(tx: &Tx, name: &str) -> Result<bool, DbError> {
    Ok(tx.query_opt(Statement::new(&LOCK, vec![name.into()]), |_| Ok(())).await?.is_some())
}

async fn restrict(tx: &Tx, workspace: &Workspace) -> Result<(), Failure> {
    tx.execute(Statement::within(workspace, &DELETE_DELETED_WEBHOOKS, Vec::new())).await?;
    match resources(tx, workspace).await? {
        None => Ok(()),
        Some((table, count)) => Err(still_there(workspace, table, count)),
    }
}

/// The first table with resources of a workspace, and how many.
pub(super) async fn resources(tx: &Tx, workspace: &Workspace) -> Result<Option<(&'static str, i64)>, DbError> {
    let read = |row: &Row<'_>| (0..RESOURCES.len()).map(|column| row.get::<i64>(column)).collect::<Result<Vec<_>, _>>();
    let counts = tx.query_opt(Statement::within(workspace, &COUNTS, Vec::new()), read).await?.unwrap_or_default();
    if let Some((table, count)) = RESOURCES.into_iter().zip(counts).find(|(_, count)| *count > 0) {
        return Ok(Some((table, count)));
    }
    match Skills::of(tx).await? {
        Some(skills) => Ok(Some(("skills", skills.count(workspace).await?)).filter(|(_, count)| *count > 0)),
        None => Ok(None),
    }
}

/// How many resources of a table keep the workspace from being deleted.
fn still_there(workspace: &Workspace, table: &str, count: i64) -> Failure {
    Failure::Refused(Error::invalid_state(format!(
        "Cannot delete workspace '{}': table '{table}' still contains {count} resource(s). Remove or reassign them before \
         deleting the workspace.",
        workspace.name()
    )))
}

async fn run_all(tx: &Tx, workspace: &Workspace, statements: &[&'static Sql<Workspace>]) -> Result<(), DbError> {
    for statement in statements {
        tx.execute(Statement::within(workspace, statement, Vec::new())).await?;
    }
    Ok(())
}
