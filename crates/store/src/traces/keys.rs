//! The key of a trace: its id, after a statement in the workspace has found it.
//!
//! Every writer of a trace locks its row first, so that the writers of one trace run one after another and cannot
//! deadlock. In SQLite, which has one writer, a transaction is that lock.

use crate::{
    db::{DbError, Key, ScopeKind, Scoping, Statement, Tx, Value},
    statements::statements,
    workspace::Workspace,
};

statements! {
    /// In PostgreSQL, writers of the trace wait for each other; readers and foreign keys do not. The row is read after
    /// the wait. What is in other tables must be read by a later statement, which sees what the other writer committed.
    static LOCK: Workspace =
        "SELECT t.experiment_id, t.timestamp_ms FROM trace_info t WHERE t.request_id = $1 AND {ws of t} \
         {FOR NO KEY UPDATE OF t}";
}

/// A trace in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceKey {
    id: String,
}

/// A trace whose row is locked until the end of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedTrace {
    pub(crate) key: TraceKey,
    pub(crate) experiment_id: i64,
    pub(crate) timestamp_ms: i64,
}

impl Scoping for TraceKey {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Key for TraceKey {
    fn value(&self) -> Value {
        self.id.as_str().into()
    }
}

impl TraceKey {
    /// The key of a trace that a statement with the key of its experiment has inserted.
    pub(in crate::traces) fn inserted(id: &str) -> Self {
        Self { id: id.to_owned() }
    }
}

impl LockedTrace {
    /// Locks a trace.
    pub(crate) async fn find(workspace: &Workspace, tx: &Tx, id: &str) -> Result<Option<Self>, DbError> {
        let key = TraceKey { id: id.to_owned() };
        let lock = Statement::within(workspace, &LOCK, vec![id.into()]);
        let found = tx.query_opt(lock, |row| Ok((row.get(0)?, row.get(1)?))).await?;
        Ok(found.map(|(experiment_id, timestamp_ms)| Self { key, experiment_id, timestamp_ms }))
    }
}
