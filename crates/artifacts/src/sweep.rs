//! Cleanup of abandoned uploads, in any kind of repository.

use std::time::{Duration, SystemTime};

use ferroflow_model::{Result, clock};

use crate::{ArtifactRepository, local::Walk};

/// Maximum number of steps of a walk in one sweep. The next sweep continues it.
const STEPS: usize = 200;

/// Pause between two steps: a sweep is not urgent, and other requests need the disk.
const PAUSE: Duration = Duration::from_millis(20);

/// Removes abandoned uploads.
#[derive(Debug)]
pub struct Sweeper {
    repository: ArtifactRepository,
    walk: Walk,
}

impl Sweeper {
    /// Creates it for a repository.
    #[must_use]
    pub fn new(repository: ArtifactRepository) -> Self {
        Self { repository, walk: Walk::default() }
    }

    /// Removes uploads that have been idle for a time and returns their number. In a directory it visits up to 200,000
    /// entries.
    ///
    /// # Errors
    /// The store cannot list its uploads.
    pub async fn sweep(&mut self, idle: Duration) -> Result<usize> {
        let local = match &self.repository {
            ArtifactRepository::Bucket(bucket) => return bucket.sweep(idle).await,
            ArtifactRepository::Local(local) => local,
        };
        let before = clock::now().checked_sub(idle).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut all = 0;
        for _ in 0..STEPS {
            let (walk, swept) = local.sweep(std::mem::take(&mut self.walk), before).await?;
            self.walk = walk;
            all += swept;
            if self.walk.is_over() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(all)
    }
}
