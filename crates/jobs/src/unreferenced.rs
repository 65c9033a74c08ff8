//! Finds artifact folders that nothing refers to: left by a crash, or by rows that were deleted by hand.

use std::collections::BTreeMap;

use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, FileInfo, workspaces::WORKSPACES};
use ferroflow_model::Result;
use ferroflow_store::{Unscoped, upkeep::gc::Owner};

/// Number of ids per query.
const CHUNK: usize = 500;

/// Passes each such folder of a repository to `found`, and returns their number. The layout is the one of the server:
/// `experiment/run/artifacts`, `experiment/models/model/artifacts`, `experiment/traces/trace/artifacts`, and the same
/// below `workspaces/name`. A folder whose name is not an experiment id is not the server's, and is skipped.
///
/// # Errors
/// The database or the repository failed.
pub async fn unreferenced(
    store: Unscoped<'_>,
    repository: &ArtifactRepository,
    mut found: impl FnMut(&str),
) -> Result<usize> {
    let mut count = 0;
    let mut experiments = experiments(repository, "").await?;
    for workspace in folders(repository, WORKSPACES).await? {
        experiments.extend(self::experiments(repository, &format!("{WORKSPACES}/{workspace}/")).await?);
    }
    for experiment in experiments {
        unreferenced_of(store, repository, &experiment, |folder| {
            found(folder);
            count += 1;
        })
        .await?;
    }
    Ok(count)
}

/// Passes each folder in that of an experiment to `found`.
pub(crate) async fn unreferenced_of(
    store: Unscoped<'_>,
    repository: &ArtifactRepository,
    experiment: &str,
    mut found: impl FnMut(&str),
) -> Result<()> {
    let mut owners: BTreeMap<&str, (Owner, Vec<String>)> = BTreeMap::new();
    for (folder, kind) in [("models/", Owner::LoggedModel), ("traces/", Owner::Trace)] {
        let names = folders(repository, &format!("{experiment}/{folder}")).await?;
        owners.insert(folder, (kind, names));
    }
    let mut runs = folders(repository, experiment).await?;
    // Run ids have 32 hexadecimal digits; folders with other names are not the server's.
    runs.retain(|name| name.len() == 32 && name.chars().all(|char| char.is_ascii_hexdigit()));
    owners.insert("", (Owner::Run, runs));
    for (folder, (kind, names)) in owners {
        for chunk in names.chunks(CHUNK) {
            for name in store.unknown(kind, chunk.to_vec()).await? {
                found(&format!("{experiment}/{folder}{name}"));
            }
        }
    }
    Ok(())
}

/// The folders of experiments in a directory.
pub(crate) async fn experiments(repository: &ArtifactRepository, directory: &str) -> Result<Vec<String>> {
    let mut found = folders(repository, directory).await?;
    found.retain(|name| name.chars().all(|char| char.is_ascii_digit()));
    Ok(found.into_iter().map(|name| format!("{directory}{name}")).collect())
}

/// The names of the subdirectories of a directory.
async fn folders(repository: &ArtifactRepository, path: &str) -> Result<Vec<String>> {
    let entries = repository.list(&ArtifactPath::parse(path)?).await?;
    Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|FileInfo { name, .. }| name).collect())
}
