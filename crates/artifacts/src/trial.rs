//! Tests whether a store can be used: a small file is written, read back, downloaded by a presigned URL and deleted,
//! like the server and its clients do. Failures are reported in the store's own words.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use crate::{ArtifactPath, ArtifactRepository};

/// The content of the file.
pub(crate) const CONTENT: &[u8] = b"ferroflow tries whether it can write here, and deletes this at once\n";

/// The result of a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The first step that failed.
    pub failed: Option<Failure>,
    /// How far the store's clock is ahead of this machine's, in seconds.
    pub skew: Option<i64>,
    /// The result of a presigned URL, if the store supports them.
    pub presigned: Option<Presigned>,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `write`, `read` or `delete`.
    pub step: String,
    /// The reason, in the store's words.
    pub reason: String,
}

/// The result of a presigned URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presigned {
    /// Its scheme, host and port; no credentials.
    pub origin: String,
    /// Why the download failed.
    pub failed: Option<String>,
    /// Whether there was any response.
    pub answered: bool,
}

impl Trial {
    pub(crate) fn fail(&mut self, step: &str, reason: String) {
        self.failed.get_or_insert(Failure { step: step.to_owned(), reason });
    }
}

impl ArtifactRepository {
    /// Runs the test. `presign`: clients access the store with presigned URLs.
    pub async fn try_out(&self, presign: bool) -> Trial {
        match self {
            Self::Local(_) => self.try_directory().await,
            Self::Bucket(bucket) => bucket.try_out(presign).await,
        }
    }

    async fn try_directory(&self) -> Trial {
        let mut trial = Trial::default();
        let path = match file() {
            Ok(path) => path,
            Err(error) => {
                trial.fail("write", error.message);
                return trial;
            }
        };
        let body = Box::pin(futures_util::stream::iter([Ok(bytes::Bytes::from_static(CONTENT))]));
        if let Err(error) = self.write(&path, body, None).await {
            trial.fail("write", error.message);
            return trial;
        }
        if let Err(reason) = self.read_back(&path).await {
            trial.fail("read", reason);
        }
        if let Err(error) = self.delete(&path).await {
            trial.fail("delete", error.message);
        }
        trial
    }

    async fn read_back(&self, path: &ArtifactPath) -> Result<(), String> {
        let body = self.open(path, None, None).await.map_err(|error| error.message)?.body;
        let bytes: Vec<_> = body.try_collect().await.map_err(|error| error.to_string())?;
        if bytes.concat() == CONTENT { Ok(()) } else { Err("other bytes were read than written".to_owned()) }
    }
}

/// A unique name.
pub(crate) fn file() -> ferroflow_model::Result<ArtifactPath> {
    ArtifactPath::parse(&format!(".ferroflow-try-{:032x}", rand::random::<u128>()))
}

/// How far another clock is ahead of the local one, in seconds: it assigned the time `stored` between the local times
/// `before` and `after`. Stores have a resolution of one second.
pub(crate) fn skew(before: SystemTime, stored: SystemTime, after: SystemTime) -> i64 {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    if let Ok(ahead) = stored.duration_since(after) {
        return seconds(ahead);
    }
    before.duration_since(stored + Duration::from_secs(1)).map_or(0, |behind| -seconds(behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalRepository;

    #[test]
    fn skew_is_measured_between_two_readings_of_the_local_clock() {
        let at = |seconds: f64| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds);
        assert_eq!(skew(at(100.8), at(100.0), at(101.1)), 0);
        assert_eq!(skew(at(100.8), at(101.0), at(101.1)), 0);
        assert_eq!(skew(at(100.8), at(400.0), at(101.1)), 298);
        assert_eq!(skew(at(100.8), at(40.0), at(101.1)), -59);
    }

    #[tokio::test]
    async fn a_directory_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = folder.path().join("artifacts");
        let repository = ArtifactRepository::Local(LocalRepository::new(&artifacts));
        assert_eq!(repository.try_out(true).await, Trial::default());
        assert_eq!(std::fs::read_dir(&artifacts).unwrap().count(), 0);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let repository = ArtifactRepository::Local(LocalRepository::new(folder.path().join("file")));
        assert_eq!(repository.try_out(false).await.failed.unwrap().step, "write");
    }

    #[tokio::test]
    async fn what_is_read_back_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let repository = ArtifactRepository::Local(LocalRepository::new(folder.path()));
        let path = ArtifactPath::parse("x").unwrap();
        for (stored, right) in [(CONTENT, true), (&CONTENT[1..], false), (b"", false)] {
            std::fs::write(folder.path().join("x"), stored).unwrap();
            assert_eq!(repository.read_back(&path).await.is_ok(), right);
        }
    }
}
