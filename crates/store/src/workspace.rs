//! Workspaces as the scope of data.

use std::sync::Arc;

use ferroflow_search::QueryId;

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

    /// The id of a query in this workspace, to which its page tokens belong: in another workspace it is another query.
    /// On a server without workspaces it is that of the texts and lists alone.
    pub(crate) fn query<'a>(&'a self, texts: impl IntoIterator<Item = &'a str>, lists: &[&[String]]) -> QueryId {
        QueryId::new(self.0.as_deref().into_iter().chain(texts), lists)
    }

    /// The id of a list of all there is of a kind, whose page tokens are bound to the workspace only.
    pub(crate) fn list(&self) -> Option<QueryId> {
        self.0.as_ref().map(|_| self.query([], &[]))
    }

    /// Its name, if the server has several.
    pub(crate) fn parameter(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }
}
