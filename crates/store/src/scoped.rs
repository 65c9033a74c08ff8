//! The ways to the data of a store: within a workspace, or in all workspaces for upkeep.

use ferroflow_model::{Error, Result, validation::Limits};

use crate::{
    Store,
    db::{Anywhere, Statement, Upkeep},
    statements::statements,
    workspace::Workspace,
};

statements! {
    static EXISTS: Anywhere = "SELECT 1 FROM workspaces WHERE name = $1";
}

/// The store within a workspace. The methods of each resource are with its statements.
#[derive(Clone, Copy)]
pub struct Scoped<'a> {
    pub(crate) store: &'a Store,
    pub(crate) workspace: &'a Workspace,
}

/// The store without a workspace, for upkeep.
#[derive(Clone, Copy)]
pub struct Unscoped<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The workspace with a name.
    ///
    /// # Errors
    /// There is no such workspace.
    pub async fn workspace(&self, name: &str) -> Result<Workspace> {
        let found = self.db.query(Statement::new(&EXISTS, vec![name.into()]), |_| Ok(())).await?;
        if found.is_empty() {
            return Err(Error::not_found(format!("Workspace '{name}' not found")));
        }
        Ok(Workspace::found(name))
    }

    /// The data in a workspace.
    #[must_use]
    pub fn within<'a>(&'a self, workspace: &'a Workspace) -> Scoped<'a> {
        Scoped { store: self, workspace }
    }

    /// The data in all workspaces, for upkeep.
    #[must_use]
    pub fn unscoped(&self, _why: Upkeep) -> Unscoped<'_> {
        Unscoped { store: self }
    }
}

impl Scoped<'_> {
    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        self.workspace
    }

    /// The limits of values.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.store.limits
    }
}
