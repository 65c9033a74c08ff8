//! The default artifact root if it is not proxied: clients write to it directly, and the server reads it for its UI.
//! The server may lack the credentials or the directory that the clients have. So its state is reported, but nothing
//! depends on it.

use std::sync::{Arc, Mutex, PoisonError};

use ferroflow_model::Result;

use crate::ArtifactRepository;

/// The result of a check, with the reason if it failed.
type LastCheck = std::result::Result<(), String>;

/// The store of such a root, with the result of its last check.
#[derive(Debug, Clone)]
pub struct DirectRoot {
    repository: ArtifactRepository,
    last: Arc<Mutex<Option<LastCheck>>>,
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

    /// Checks whether the store can be read.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn check(&self) -> Result<()> {
        let outcome = self.repository.check_reading().await;
        let last = outcome.clone().map_err(|error| error.message);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        outcome
    }

    /// The last result, for probes, which must not wait for the store. `None` before the first check has finished.
    #[must_use]
    pub fn last(&self) -> Option<LastCheck> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalRepository;

    #[tokio::test]
    async fn the_last_result_is_kept_for_probes() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("root");
        let root = DirectRoot::new(ArtifactRepository::Local(LocalRepository::new(&place)));
        assert_eq!(root.last(), None);
        root.check().await.expect("it may still be created");
        assert_eq!(root.last(), Some(Ok(())));
        std::fs::write(&place, "").unwrap();
        let wrong = format!("{} is not a directory", place.display());
        assert_eq!(root.check().await.unwrap_err().message, wrong);
        assert_eq!(root.last(), Some(Err(wrong)));
        std::fs::remove_file(&place).unwrap();
        root.check().await.unwrap();
        assert_eq!(root.last(), Some(Ok(())));
    }
}
