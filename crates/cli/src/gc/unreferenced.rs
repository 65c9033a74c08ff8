//! Folders of artifacts that belong to nothing: left by a crash, or by rows that somebody deleted by hand.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, FileInfo, Locations};
use ferroflow_model::Error;
use ferroflow_store::{Store, gc::Owner};

use crate::report::{complete, out};

/// Ids that are looked up at once.
const CHUNK: usize = 500;

/// Prints the folders. The layout is the one of the server: `experiment/run/artifacts`,
/// `experiment/models/model/artifacts`, `experiment/traces/trace/artifacts`. A folder that is not named
/// as an experiment is somebody's own, and is not looked at.
pub(super) async fn report(store: &Store, locations: &Locations) -> Result<()> {
    let told = |error: Error| anyhow!(error.message);
    let repository = locations.destination().map_err(told)?;
    let mut found = 0;
    for experiment in folders(&repository, "").await.map_err(told)? {
        if !experiment.chars().all(|char| char.is_ascii_digit()) {
            continue;
        }
        let mut owners: BTreeMap<&str, (Owner, Vec<String>)> = BTreeMap::new();
        for (folder, kind) in [("models/", Owner::LoggedModel), ("traces/", Owner::Trace)] {
            let names = folders(&repository, &format!("{experiment}/{folder}")).await.map_err(told)?;
            owners.insert(folder, (kind, names));
        }
        let mut runs = folders(&repository, &experiment).await.map_err(told)?;
        // Ids of runs are 32 hexadecimal digits; what is named otherwise was put there by somebody.
        runs.retain(|name| name.len() == 32 && name.chars().all(|char| char.is_ascii_hexdigit()));
        owners.insert("", (Owner::Run, runs));
        for (folder, (kind, names)) in owners {
            for chunk in names.chunks(CHUNK) {
                for name in store.unknown(kind, chunk.to_vec()).await.map_err(told)? {
                    out!("{experiment}/{folder}{name}");
                    found += 1;
                }
            }
        }
    }
    out!("{found} folders below {} belong to nothing in the database.", repository.name());
    complete()
}

/// The names of the directories in a directory.
async fn folders(repository: &ArtifactRepository, path: &str) -> ferroflow_model::Result<Vec<String>> {
    let entries = repository.list(&ArtifactPath::parse(path)?).await?;
    Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|FileInfo { name, .. }| name).collect())
}
