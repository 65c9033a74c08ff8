//! The bytes of the artifacts in a store, by experiment.

use std::{cmp::Reverse, collections::BTreeMap};

use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, workspaces::WORKSPACES};
use ferroflow_model::Result;
use futures_util::{StreamExt as _, stream};

/// Number of folders that are listed at a time.
const AT_ONCE: usize = 16;

/// What a store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArtifactBytes {
    /// Number of files.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Folders of experiments with their files and bytes, largest first: `7`, `workspaces/team/7`. Anything else in the
    /// store is in the totals only.
    pub experiments: Vec<(String, i64, i64)>,
}

/// Lists a store, folder by folder. `progress` is told how many folders have been listed.
///
/// # Errors
/// The repository failed.
pub async fn artifact_bytes(repository: &ArtifactRepository, mut progress: impl FnMut(u64)) -> Result<ArtifactBytes> {
    let mut found = ArtifactBytes::default();
    let mut experiments: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut waiting = vec![String::new()];
    let mut folders = 0;
    while !waiting.is_empty() {
        let next = waiting.split_off(waiting.len().saturating_sub(AT_ONCE));
        let listed = stream::iter(next).map(|folder| async move {
            let entries = repository.list(&ArtifactPath::parse(&folder)?).await?;
            Ok::<_, ferroflow_model::Error>((folder, entries))
        });
        let mut listed = listed.buffer_unordered(AT_ONCE);
        while let Some(entries) = listed.next().await {
            let (folder, entries) = entries?;
            folders += 1;
            progress(folders);
            for entry in entries {
                let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
                if entry.is_dir {
                    waiting.push(path);
                    continue;
                }
                let bytes = entry.size.and_then(|size| i64::try_from(size).ok()).unwrap_or_default();
                found.files += 1;
                found.bytes += bytes;
                if let Some(experiment) = experiment_of(&path) {
                    let (files, sum) = experiments.entry(experiment.to_owned()).or_default();
                    *files += 1;
                    *sum += bytes;
                }
            }
        }
    }
    found.experiments = experiments.into_iter().map(|(folder, (files, bytes))| (folder, files, bytes)).collect();
    found.experiments.sort_by_key(|(_, _, bytes)| Reverse(*bytes));
    Ok(found)
}

/// The folder of an experiment that a file is in.
fn experiment_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(WORKSPACES).and_then(|rest| rest.strip_prefix('/'));
    let below = match rest {
        Some(rest) => rest.split_once('/')?.1,
        None => path,
    };
    let (id, _) = below.split_once('/')?;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| &path[..path.len() - below.len() + id.len()])
}

#[cfg(test)]
mod tests {
    use ferroflow_artifacts::LocalRepository;

    use super::*;

    #[test]
    fn a_file_is_of_an_experiment() {
        for (path, experiment) in [
            ("7/run/artifacts/a", Some("7")),
            ("workspaces/team/7/run/artifacts/a", Some("workspaces/team/7")),
            ("7", None),
            ("other/7/a", None),
            ("workspaces/7", None),
            ("workspaces/team/7", None),
        ] {
            assert_eq!(experiment_of(path), experiment, "{path}");
        }
    }

    #[tokio::test]
    async fn files_are_counted_by_experiment() {
        let folder = tempfile::tempdir().unwrap();
        for (path, size) in [("0/r/artifacts/a", 10), ("0/r/artifacts/b/c", 20), ("workspaces/w/3/x", 50), ("else", 5)]
        {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; size]).unwrap();
        }
        let repository = ArtifactRepository::Local(LocalRepository::new(folder.path()));
        let found = artifact_bytes(&repository, |_| {}).await.unwrap();
        assert_eq!((found.files, found.bytes), (4, 85));
        assert_eq!(found.experiments, [("workspaces/w/3".to_owned(), 1, 50), ("0".to_owned(), 2, 30)]);
    }
}
