//! Finds the workspace that a request names.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_model::{Result, cache::Cache};

use crate::{
    Store,
    db::{Anywhere, Statement, Tx},
    statements::statements,
    workspace::Workspace,
    workspaces::no_workspace,
};

statements! {
    static EXISTS: Anywhere = "SELECT 1 FROM workspaces WHERE name = $1";
    static ADOPT: Anywhere = "INSERT INTO workspaces (name) VALUES ($1) ON CONFLICT DO NOTHING";
}

/// How long a workspace that was found is taken to exist. A transaction that creates rows looks again.
const MEMORY: Duration = Duration::from_secs(1);

/// Maximum number of remembered workspaces.
const CAPACITY: usize = 10_000;

/// The workspaces that were found, and when.
#[derive(Debug)]
pub(crate) struct Known(Cache<Arc<str>, (Workspace, Instant)>);

impl Default for Known {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl Known {
    /// Forgets a workspace that this process has deleted.
    pub(crate) fn remove(&self, name: &str) {
        self.0.remove(name);
    }
}

impl Store {
    /// The workspace with a name. One that was found is remembered for a second.
    ///
    /// # Errors
    /// There is no such workspace.
    pub async fn workspace(&self, name: &str) -> Result<Workspace> {
        if let Some((found, at)) = self.known_workspaces.0.get(name)
            && at.elapsed() < MEMORY
        {
            return Ok(found);
        }
        let asked = Instant::now();
        let found = self.workspace_db().query(Statement::new(&EXISTS, vec![name.into()]), |_| Ok(())).await?;
        if found.is_empty() {
            self.known_workspaces.remove(name);
            return Err(no_workspace(name));
        }
        Ok(self.remember(name, asked))
    }

    /// The workspace with a name that another source of workspaces vouches for, such as a namespace of Kubernetes. Its
    /// row is created if it is missing.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn adopt_workspace(&self, name: &str) -> Result<Workspace> {
        match self.workspace(name).await {
            Err(error) if error == no_workspace(name) => {}
            outcome => return outcome,
        }
        let asked = Instant::now();
        let adopt = |tx: Tx| async move { tx.execute(Statement::new(&ADOPT, vec![name.into()])).await };
        self.workspace_db().transact(adopt).await?;
        Ok(self.remember(name, asked))
    }

    fn remember(&self, name: &str, at: Instant) -> Workspace {
        let found = Workspace::found(name);
        self.known_workspaces.0.insert(name.into(), (found.clone(), at));
        found
    }
}
