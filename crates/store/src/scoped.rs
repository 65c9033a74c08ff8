//! The ways to the data of a store: within a workspace, or in all workspaces for upkeep.

use ferroflow_model::validation::Limits;

use crate::{Store, db::Upkeep, workspace::Workspace};

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
    /// The data in a workspace.
    #[must_use]
    pub fn within<'a>(&'a self, workspace: &'a Workspace) -> Scoped<'a> {
        // `Workspace::only` has no conditions: it must not reach the data of a store with workspaces.
        let workspace = match &self.default_workspace {
            Some(default) if workspace.parameter().is_none() => default,
            _ => workspace,
        };
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
