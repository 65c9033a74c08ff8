//! Finds artifact folders that nothing refers to: left by a crash, or by rows that were deleted by hand.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, FileInfo, Locations};
use ferroflow_model::Error;
use ferroflow_store::{Store, upkeep::gc::Owner};

use crate::report::{complete, out};

/// Number of ids per query.
const CHUNK: usize = 500;

/// Prints the folders. The layout is the one of the server: `experiment/run/artifacts`,
/// `experiment/models/model/artifacts`, `experiment/traces/trace/artifacts`. A folder whose name is not an experiment
/// id is not the server's, and is skipped.
pub(super) async fn report(store: &Store, locations: &Locations) -> Result<()> {
    let to_anyhow = |error: Error| anyhow!(error.message);
    let repository = locations.destination().map_err(to_anyhow)?;
    let mut found = 0;
    for experiment in folders(&repository, "").await.map_err(to_anyhow)? {
        if !experiment.chars().all(|char| char.is_ascii_digit()) {
            continue;
        }
        let mut owners: BTreeMap<&str, (Owner, Vec<String>)> = BTreeMap::new();
        for (folder, kind) in [("models/", Owner::LoggedModel), ("traces/", Owner::Trace)] {
            let names = folders(&repository, &format!("{experiment}/{folder}")).await.map_err(to_anyhow)?;
            owners.insert(folder, (kind, names));
        }
        let mut runs = folders(&repository, &experiment).await.map_err(to_anyhow)?;
        // Run ids have 32 hexadecimal digits; folders with other names are not the server's.
        runs.retain(|name| name.len() == 32 && name.chars().all(|char| char.is_ascii_hexdigit()));
        owners.insert("", (Owner::Run, runs));
        for (folder, (kind, names)) in owners {
            for chunk in names.chunks(CHUNK) {
                for name in store.unknown(kind, chunk.to_vec()).await.map_err(to_anyhow)? {
                    out!("{experiment}/{folder}{name}");
                    found += 1;
                }
            }
        }
    }
    out!("{found} folders below {} belong to nothing in the database.", repository.name());
    complete()
}

/// The names of the subdirectories of a directory.
async fn folders(repository: &ArtifactRepository, path: &str) -> ferroflow_model::Result<Vec<String>> {
    let entries = repository.list(&ArtifactPath::parse(path)?).await?;
    Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|FileInfo { name, .. }| name).collect())
}
