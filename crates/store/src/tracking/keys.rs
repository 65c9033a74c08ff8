//! Keys: ids of rows that a statement in a workspace has found. A statement on the children of a row takes its key
//! instead of a loose id ([`Statement::of`]).
//!
//! Only this folder makes keys, from the rows of its lookups.

use ferroflow_model::messages::service::RunInfo;

use crate::{
    db::{Conn, DbError, Key, Row, ScopeKind, Scoping, Sql, Statement, Tx, Value},
    statements::statements,
    workspace::Workspace,
};

statements! {
    static RUN: Workspace = "SELECT lifecycle_stage, experiment_id FROM runs r WHERE r.run_uuid = $1 AND {ws of r}";

    /// In PostgreSQL, transactions that read a run before they write to it wait for each other.
    static LOCKED_RUN: Workspace =
        "SELECT lifecycle_stage, experiment_id FROM runs r WHERE r.run_uuid = $1 AND {ws of r} {FOR NO KEY UPDATE}";

    static EXPERIMENT: Workspace =
        "SELECT lifecycle_stage FROM experiments e WHERE e.experiment_id = $1 AND {ws of e}";

    static LOCATED_EXPERIMENT: Workspace =
        "SELECT lifecycle_stage, artifact_location FROM experiments e WHERE e.experiment_id = $1 AND {ws of e}";

    static LOGGED_MODEL: Workspace =
        "SELECT experiment_id FROM logged_models m WHERE m.model_id = $1 AND {ws of m}";

    static LOCKED_LOGGED_MODEL: Workspace =
        "SELECT experiment_id FROM logged_models m \
         WHERE m.model_id = $1 AND m.lifecycle_stage <> 'deleted' AND {ws of m} {FOR NO KEY UPDATE}";
}

/// An experiment in the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExperimentKey(i64);

/// A run in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunKey {
    id: String,
    experiment: ExperimentKey,
}

/// A logged model in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelKey {
    id: String,
    experiment: ExperimentKey,
}

impl Scoping for ExperimentKey {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Scoping for RunKey {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Scoping for ModelKey {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Key for ExperimentKey {
    fn value(&self) -> Value {
        self.0.into()
    }
}

impl Key for RunKey {
    fn value(&self) -> Value {
        self.id.as_str().into()
    }
}

impl Key for ModelKey {
    fn value(&self) -> Value {
        self.id.as_str().into()
    }
}

impl ExperimentKey {
    /// The key of an experiment that a statement in the workspace has found or changed.
    pub(in crate::tracking) fn found(id: i64) -> Self {
        Self(id)
    }

    /// An experiment and its lifecycle stage, deleted or not.
    pub(crate) async fn find(workspace: &Workspace, tx: &Tx, id: i64) -> Result<Option<(Self, String)>, DbError> {
        let statement = Statement::within(workspace, &EXPERIMENT, vec![id.into()]);
        tx.query_opt(statement, move |row| Ok((Self(id), row.get(0)?))).await
    }

    /// [`ExperimentKey::find`] with the location of the experiment's artifacts.
    pub(crate) async fn find_located(
        workspace: &Workspace,
        tx: &Tx,
        id: i64,
    ) -> Result<Option<(Self, String, String)>, DbError> {
        let statement = Statement::within(workspace, &LOCATED_EXPERIMENT, vec![id.into()]);
        let read = move |row: &Row<'_>| Ok((Self(id), row.get(0)?, row.get::<Option<String>>(1)?.unwrap_or_default()));
        tx.query_opt(statement, read).await
    }

    /// [`ExperimentKey::find`] outside of a transaction.
    pub(crate) async fn read(workspace: &Workspace, conn: &Conn, id: i64) -> Result<Option<(Self, String)>, DbError> {
        let statement = Statement::within(workspace, &EXPERIMENT, vec![id.into()]);
        conn.query_opt(statement, move |row| Ok((Self(id), row.get(0)?))).await
    }
}

impl RunKey {
    /// The key of a run that a statement in the workspace has found or changed.
    pub(in crate::tracking) fn found(id: &str, experiment: i64) -> Self {
        Self { id: id.to_owned(), experiment: ExperimentKey(experiment) }
    }

    /// The key of a run that a statement in the workspace has returned.
    pub(in crate::tracking) fn of(info: &RunInfo) -> Self {
        Self::found(info.run_id(), info.experiment_id().parse().unwrap_or_default())
    }

    /// A run and its lifecycle stage, deleted or not.
    pub(crate) async fn find(workspace: &Workspace, tx: &Tx, id: &str) -> Result<Option<(Self, String)>, DbError> {
        Self::read(workspace, &RUN, tx, id).await
    }

    /// [`RunKey::find`] with a lock on the run in PostgreSQL.
    pub(crate) async fn lock(workspace: &Workspace, tx: &Tx, id: &str) -> Result<Option<(Self, String)>, DbError> {
        Self::read(workspace, &LOCKED_RUN, tx, id).await
    }

    async fn read(
        workspace: &Workspace,
        sql: &'static Sql<Workspace>,
        tx: &Tx,
        id: &str,
    ) -> Result<Option<(Self, String)>, DbError> {
        let statement = Statement::within(workspace, sql, vec![id.into()]);
        let found = tx.query_opt(statement, |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?))).await?;
        Ok(found.map(|(stage, experiment)| (Self::found(id, experiment), stage)))
    }

    /// The run's experiment.
    pub(crate) fn experiment(&self) -> ExperimentKey {
        self.experiment
    }
}

impl ModelKey {
    /// A logged model, deleted or not.
    pub(crate) async fn find(workspace: &Workspace, tx: &Tx, id: &str) -> Result<Option<Self>, DbError> {
        Self::read(workspace, &LOGGED_MODEL, tx, id).await
    }

    /// A logged model that is not deleted, locked in PostgreSQL.
    pub(crate) async fn lock(workspace: &Workspace, tx: &Tx, id: &str) -> Result<Option<Self>, DbError> {
        Self::read(workspace, &LOCKED_LOGGED_MODEL, tx, id).await
    }

    async fn read(
        workspace: &Workspace,
        sql: &'static Sql<Workspace>,
        tx: &Tx,
        id: &str,
    ) -> Result<Option<Self>, DbError> {
        let statement = Statement::within(workspace, sql, vec![id.into()]);
        let found = tx.query_opt(statement, |row| row.get::<i64>(0)).await?;
        Ok(found.map(|experiment| Self { id: id.to_owned(), experiment: ExperimentKey(experiment) }))
    }

    /// The model's experiment.
    pub(crate) fn experiment(&self) -> ExperimentKey {
        self.experiment
    }
}
