//! Keys of evaluation data, as those of tracking (`crate::tracking::keys`).

use crate::{
    db::{Conn, DbError, Key, ScopeKind, Scoping, Sql, Statement, Tx, Value},
    statements::statements,
    workspace::Workspace,
};

statements! {
    static DATASET: Workspace = "SELECT d.name, d.schema, d.profile FROM evaluation_datasets d \
         WHERE d.dataset_id = $1 AND {ws:d}";

    /// Writers of a dataset's records wait for each other in PostgreSQL: its schema and profile depend on all of them.
    static LOCKED_DATASET: Workspace = "SELECT d.name, d.schema, d.profile FROM evaluation_datasets d \
         WHERE d.dataset_id = $1 AND {ws:d} {FOR NO KEY UPDATE}";

    static QUEUE: Workspace = "SELECT q.experiment_id FROM review_queues q WHERE q.queue_id = $1 AND {ws of q}";

    /// Items are not added while the questions of a queue change.
    static LOCKED_QUEUE: Workspace =
        "SELECT q.experiment_id FROM review_queues q WHERE q.queue_id = $1 AND {ws of q} {FOR NO KEY UPDATE}";
}

/// An evaluation dataset in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatasetKey(String);

/// A scorer in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScorerKey(String);

/// A review queue in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueKey(String);

/// What writers of a dataset need to know of it.
#[derive(Debug, Clone)]
pub(crate) struct DatasetState {
    /// The name.
    pub(crate) name: String,
    /// The schema, as JSON.
    pub(crate) schema: Option<String>,
    /// The profile, as JSON.
    pub(crate) profile: Option<String>,
}

impl Scoping for DatasetKey {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Key for DatasetKey {
    fn value(&self) -> Value {
        self.0.as_str().into()
    }
}

impl Scoping for ScorerKey {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Key for ScorerKey {
    fn value(&self) -> Value {
        self.0.as_str().into()
    }
}

impl ScorerKey {
    /// The key of a scorer that a statement on an experiment has found or created.
    pub(in crate::evaluation) fn found(id: String) -> Self {
        Self(id)
    }

    /// The id.
    pub(in crate::evaluation) fn id(&self) -> &str {
        &self.0
    }
}

impl Scoping for QueueKey {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Key for QueueKey {
    fn value(&self) -> Value {
        self.0.as_str().into()
    }
}

impl QueueKey {
    /// The key of a queue that a statement in the workspace has found or created.
    pub(in crate::evaluation) fn found(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// A queue and its experiment, locked in PostgreSQL.
    pub(crate) async fn lock(workspace: &Workspace, tx: &Tx, id: &str) -> Result<Option<(Self, i64)>, DbError> {
        let statement = Statement::within(workspace, &LOCKED_QUEUE, vec![id.into()]);
        let experiment = tx.query_opt(statement, |row| row.get::<i64>(0)).await?;
        Ok(experiment.map(|experiment| (Self::found(id), experiment)))
    }

    /// A queue.
    pub(crate) async fn find(workspace: &Workspace, tx: &Tx, id: &str) -> Result<Option<Self>, DbError> {
        let statement = Statement::within(workspace, &QUEUE, vec![id.into()]);
        Ok(tx.query_opt(statement, |_| Ok(())).await?.map(|()| Self::found(id)))
    }

    /// A queue, for reading.
    pub(crate) async fn read_only(workspace: &Workspace, conn: &Conn, id: &str) -> Result<Option<Self>, DbError> {
        let statement = Statement::within(workspace, &QUEUE, vec![id.into()]);
        Ok(conn.query_opt(statement, |_| Ok(())).await?.map(|()| Self::found(id)))
    }
}

impl DatasetKey {
    /// A dataset.
    pub(crate) async fn find(
        workspace: &Workspace,
        tx: &Tx,
        id: &str,
    ) -> Result<Option<(Self, DatasetState)>, DbError> {
        Self::read(workspace, &DATASET, tx, id).await
    }

    /// A dataset, locked in PostgreSQL.
    pub(crate) async fn lock(
        workspace: &Workspace,
        tx: &Tx,
        id: &str,
    ) -> Result<Option<(Self, DatasetState)>, DbError> {
        Self::read(workspace, &LOCKED_DATASET, tx, id).await
    }

    /// A dataset, for reading.
    pub(crate) async fn read_only(workspace: &Workspace, conn: &Conn, id: &str) -> Result<Option<Self>, DbError> {
        let statement = Statement::within(workspace, &DATASET, vec![id.into()]);
        Ok(conn.query_opt(statement, |_| Ok(())).await?.map(|()| Self(id.to_owned())))
    }

    async fn read(
        workspace: &Workspace,
        sql: &'static Sql<Workspace>,
        tx: &Tx,
        id: &str,
    ) -> Result<Option<(Self, DatasetState)>, DbError> {
        let statement = Statement::within(workspace, sql, vec![id.into()]);
        let found = tx
            .query_opt(statement, |row| {
                Ok(DatasetState { name: row.get(0)?, schema: row.get(1)?, profile: row.get(2)? })
            })
            .await?;
        Ok(found.map(|state| (Self(id.to_owned()), state)))
    }
}
