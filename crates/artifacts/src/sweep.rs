//! What uploads that nobody finishes leave behind, in any kind of repository.

use std::time::{Duration, SystemTime};

use ferroflow_model::Result;

use crate::{ArtifactRepository, local::Walk};

/// Steps of a walk through a directory in one sweep. The next sweep goes on where one has stopped.
const STEPS: usize = 200;

/// Between two steps: nobody waits for a sweep, and others wait for the disk.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes back what uploads have left behind.
#[derive(Debug)]
pub struct Sweeper {
    repository: ArtifactRepository,
    walk: Walk,
}

impl Sweeper {
    /// Of a repository.
    #[must_use]
    pub fn new(repository: ArtifactRepository) -> Self {
        Self { repository, walk: Walk::default() }
    }

    /// Takes back the uploads for which nothing has come for a time; gives their number. Of a directory, up to 200,000
    /// entries are looked at.
    ///
    /// # Errors
    /// The storage does not tell.
    pub async fn sweep(&mut self, idle: Duration) -> Result<usize> {
        let local = match &self.repository {
            ArtifactRepository::Bucket(bucket) => return bucket.sweep(idle).await,
            ArtifactRepository::Local(local) => local,
        };
        let before = SystemTime::now().checked_sub(idle).unwrap_or(SystemTime::UNIX_EPOCH);
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
