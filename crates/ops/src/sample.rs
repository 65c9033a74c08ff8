//! Reads a sample of the artifacts that a database refers to: after a recovery, which restores the database but not the
//! artifacts.

use anyhow::Result;
use ferroflow_artifacts::{ArtifactPath, Location, Locations};
use ferroflow_model::ErrorCode;
use ferroflow_store::{
    db::BackendUri,
    upkeep::artifact_refs::{self, ArtifactRefs},
};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

/// Maximum bytes read per file. Of a longer one, existence and size are checked.
const MAX_READ: u64 = 1024 * 1024;

/// Maximum depth of directories searched for a file.
const MAX_DEPTH: usize = 5;

/// Number of failures after which the sample stops.
const MAX_FAILURES: usize = 5;

/// The result of a sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Number of runs and logged models sampled.
    pub owners: usize,
    /// Number of them whose artifacts are in a store that this program cannot access.
    pub elsewhere: usize,
    /// Number of files read.
    pub read: usize,
    /// Their total size in bytes.
    pub bytes: u64,
    /// Files that the database refers to and that do not exist.
    pub missing: Vec<String>,
    /// Files that cannot be read, with the reason.
    pub unreadable: Vec<String>,
}

impl Sample {
    /// Whether all sampled files were read.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.missing.is_empty() && self.unreadable.is_empty()
    }

    /// A report, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let read = format!(
            "artifacts: {} files of the newest {} runs and logged models were read, {} bytes in all",
            self.read, self.owners, self.bytes
        );
        let elsewhere = (self.elsewhere > 0)
            .then(|| format!("artifacts of {} of them are in another store, and were not read", self.elsewhere));
        let missing = self.missing.iter().map(|what| format!("MISSING {what}"));
        let unreadable = self.unreadable.iter().map(|what| format!("UNREADABLE {what}"));
        [read].into_iter().chain(elsewhere).chain(missing).chain(unreadable).collect()
    }

    /// Why the artifacts cannot be relied on. Single missing files are not a failure: they may have been deleted.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let first = self.unreadable.first().or(self.missing.first()).filter(|_| self.read == 0)?;
        Some(format!("no artifact can be read, check the bucket: {first}"))
    }

    fn add(&mut self, size: u64) {
        self.read += 1;
        self.bytes += size;
    }
}

/// Reads one file of each of the newest `count` runs and as many logged models, and all of their files that the
/// database refers to.
///
/// # Errors
/// The database cannot be read.
pub async fn take(uri: &BackendUri, locations: &Locations, count: u32) -> Result<Sample> {
    let mut taken = Sample::default();
    let all = artifact_refs::artifacts(uri, count).await?;
    // One check first: otherwise each of them would time out if the store does not respond.
    if let Err(error) = locations.destination().map_err(to_anyhow)?.check_reading().await {
        taken.unreadable.push(error.message);
        return Ok(taken);
    }
    for refs in all {
        if taken.unreadable.len() >= MAX_FAILURES {
            break;
        }
        taken.owners += 1;
        let Ok(location) = locations.resolve(&refs.location) else {
            taken.elsewhere += 1;
            continue;
        };
        if let Err(error) = check(&refs, &location, &mut taken).await {
            taken.unreadable.push(format!("{}: {}", refs.owner, error.message));
        }
    }
    Ok(taken)
}

async fn check(refs: &ArtifactRefs, location: &Location, taken: &mut Sample) -> ferroflow_model::Result<()> {
    for file in &refs.files {
        let path = ArtifactPath::parse(file)?.below(&location.base);
        match read(location, &path).await {
            Ok(size) => taken.add(size),
            Err(error) if is_missing(&error) => taken.missing.push(format!("{}: {file}", refs.owner)),
            Err(error) => return Err(error),
        }
    }
    if !refs.files.is_empty() {
        return Ok(());
    }
    match some_file(location).await? {
        Some(path) => taken.add(read(location, &path).await?),
        None if refs.must_have_files => taken.missing.push(format!("{}: all of {}", refs.owner, refs.location)),
        None => {}
    }
    Ok(())
}

/// The first file found, if any.
async fn some_file(location: &Location) -> ferroflow_model::Result<Option<ArtifactPath>> {
    let mut place = location.base.clone();
    for _ in 0..MAX_DEPTH {
        let entries = location.repository.list(&place).await?;
        let Some(entry) = entries.iter().find(|entry| !entry.is_dir).or(entries.first()) else { return Ok(None) };
        place = ArtifactPath::parse(&entry.name)?.below(&place);
        if !entry.is_dir {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Reads a file, or the beginning of a long one; returns its size.
async fn read(location: &Location, path: &ArtifactPath) -> ferroflow_model::Result<u64> {
    let stat = location.repository.stat(path).await?;
    let wanted = stat.size.min(MAX_READ);
    let opened = location.repository.open(path, Some(0..wanted), None).await?;
    let broken = |error: std::io::Error| ferroflow_model::Error::unavailable(format!("{path}: {error}"));
    let read = opened.body.try_fold(0, async |read, chunk| Ok(read + chunk.len() as u64)).await.map_err(broken)?;
    if read == wanted {
        return Ok(stat.size);
    }
    Err(ferroflow_model::Error::unavailable(format!("{path}: {read} bytes instead of {wanted} were read")))
}

fn to_anyhow(error: ferroflow_model::Error) -> anyhow::Error {
    anyhow::anyhow!(error.message)
}

fn is_missing(error: &ferroflow_model::Error) -> bool {
    error.code == ErrorCode::ResourceDoesNotExist
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_reported_and_a_missing_bucket_is_a_failure() {
        let missing = vec!["run a: t.json".to_owned()];
        let some = Sample { owners: 2, read: 1, bytes: 5, missing: missing.clone(), ..Sample::default() };
        assert_eq!(some.failure(), None);
        assert!(!some.is_right());
        assert!(some.lines().contains(&"MISSING run a: t.json".to_owned()));
        assert!(Sample { owners: 2, missing, ..Sample::default() }.failure().is_some());
        // Runs may have no artifacts.
        assert_eq!(Sample { owners: 2, ..Sample::default() }.failure(), None);
    }
}
