//! The default artifact root if it is not proxied: clients write to it directly, and the server reads it for its UI.
//! The server may lack the credentials or the directory that the clients have. So its state is reported, but nothing
//! depends on it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ArtifactRepository;

/// The store of such a root, with the result of its last check.
#[derive(Debug, Clone)]
pub struct DirectRoot {
    repository: ArtifactRepository,
    last: Arc<Mutex<Option<Result<(), String>>>>,
}

impl DirectRoot {
    /// Creates it without a check.
    #[must_use]
    pub fn new(repository: ArtifactRepository) -> Self {
        Self { repository, last: Arc::default() }
    }

    /// The store.
    #[must_use]
    pub fn repository(&self) -> &ArtifactRepository {
        &self.repository
    }

    /// Checks whether the store can be read. Returns the result if it differs from the last one.
    pub async fn ask(&self) -> Option<Result<(), String>> {
        let outcome = self.repository.check_reading().await.map_err(|error| error.message);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let news = last.as_ref() != Some(&outcome);
        *last = Some(outcome.clone());
        news.then_some(outcome)
    }

    /// The last result, for probes, which must not wait for the store. `None` before the first check has finished.
    #[must_use]
    pub fn last(&self) -> Option<Result<(), String>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalRepository;

    #[tokio::test]
    async fn only_a_changed_result_is_returned() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("root");
        let root = DirectRoot::new(ArtifactRepository::Local(LocalRepository::new(&place)));
        assert_eq!(root.last(), None);
        assert_eq!(root.ask().await, Some(Ok(())), "it may still be made");
        std::fs::write(&place, "").unwrap();
        let wrong = Err(format!("{} is not a directory", place.display()));
        assert_eq!(root.ask().await, Some(wrong.clone()));
        assert_eq!(root.ask().await, None);
        assert_eq!(root.last(), Some(wrong));
        std::fs::remove_file(&place).unwrap();
        assert_eq!(root.ask().await, Some(Ok(())));
    }
}
