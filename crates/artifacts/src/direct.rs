//! The default artifact root, where it is not served: clients write to it themselves, and the server reads it for its UI.
//! The server may lack the credentials, or the directory, that the clients have. So nothing depends on it; it is told.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ArtifactRepository;

/// The store of such a root, and what it said last.
#[derive(Debug, Clone)]
pub struct DirectRoot {
    repository: ArtifactRepository,
    last: Arc<Mutex<Option<Result<(), String>>>>,
}

impl DirectRoot {
    /// Of a repository, which is not asked yet.
    #[must_use]
    pub fn new(repository: ArtifactRepository) -> Self {
        Self { repository, last: Arc::default() }
    }

    /// The store.
    #[must_use]
    pub fn repository(&self) -> &ArtifactRepository {
        &self.repository
    }

    /// Asks it whether it can be read. Gives the outcome when it is another one than the last.
    pub async fn ask(&self) -> Option<Result<(), String>> {
        let outcome = self.repository.check_reading().await.map_err(|error| error.message);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let news = last.as_ref() != Some(&outcome);
        *last = Some(outcome.clone());
        news.then_some(outcome)
    }

    /// What it said last, for probes, which must not wait for it. `None`: it has not answered yet.
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
    async fn what_changes_is_news_and_nothing_else() {
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
