//! Workspaces as the scope of data.

use std::sync::Arc;

/// The workspace that a request works in. Only [`Store::workspace`](crate::Store::workspace) and
/// [`Workspace::only`] make one, so a value says that the workspace exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workspace(Option<Arc<str>>);

impl Workspace {
    /// The default workspace of a server without workspaces, where it is all there is. On a server with workspaces,
    /// [`Store::within`](crate::Store::within) takes it as the default workspace, one of several.
    #[must_use]
    pub fn only() -> &'static Self {
        static ONLY: Workspace = Workspace(None);
        &ONLY
    }

    /// A workspace that the store has found.
    pub(crate) fn found(name: &str) -> Self {
        Self(Some(name.into()))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.as_deref().unwrap_or(ferroflow_model::permission::DEFAULT_WORKSPACE)
    }

    /// Its name, if the server has several.
    pub(crate) fn parameter(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }
}
