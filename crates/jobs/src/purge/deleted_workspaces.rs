//! Deletes the artifacts of workspaces that were deleted with everything in them, which no row names any more.

use ferroflow_artifacts::{
    ArtifactPath, ArtifactRepository, Locations,
    workspaces::{Place, WORKSPACES, resolve_in},
};
use ferroflow_model::{Error, Result, permission::DEFAULT_WORKSPACE, validation};
use ferroflow_store::Unscoped;

use super::{PurgeReport, PurgeTotals};
use crate::unreferenced::{experiments, unreferenced_of};

/// Deletes the folders of runs, logged models and traces below `workspaces/name` of the served store that no row names, and
/// the directories that are empty then; `report` gets the report on each folder. An experiment that was moved to another
/// workspace keeps its artifacts there, and so does every location of an experiment or a workspace. Folders that are not the
/// server's are left.
///
/// # Errors
/// One of the workspaces exists or has no valid name, and nothing was deleted; or the database or the store failed.
pub async fn purge_deleted_workspaces(
    store: Unscoped<'_>,
    locations: &Locations,
    names: &[String],
    dry_run: bool,
    mut report: impl FnMut(&str, PurgeReport),
) -> Result<PurgeTotals> {
    let repository = locations.destination()?;
    for name in names {
        validation::workspace_name(name)?;
    }
    check_deleted(store, names).await?;
    let owned = owned(store, locations).await?;
    let mut totals = PurgeTotals::default();
    for name in names {
        let folder = format!("{WORKSPACES}/{name}");
        for experiment in experiments(&repository, &format!("{folder}/")).await? {
            let path = ArtifactPath::parse(&experiment)?;
            if locations.served_store().is_some_and(|served| is_owned(&owned, &served, &path)) {
                report(&experiment, PurgeReport::NotEmpty);
                continue;
            }
            let mut found = Vec::new();
            unreferenced_of(store, &repository, &experiment, |folder| found.push(folder.to_owned())).await?;
            if !dry_run {
                // One that was created again has files of its own, which were there before they were listed.
                check_deleted(store, std::slice::from_ref(name)).await?;
            }
            for folder in found {
                let deleted = if dry_run { Ok(()) } else { repository.delete(&ArtifactPath::parse(&folder)?).await };
                let outcome = deleted.map_or_else(|error| PurgeReport::Failed(error.message), |()| PurgeReport::Purged);
                match outcome {
                    PurgeReport::Purged => totals.purged += 1,
                    _ => totals.kept += 1,
                }
                report(&folder, outcome);
            }
            if !dry_run {
                delete_empty(&repository, &experiment).await?;
            }
        }
        if !dry_run {
            repository.delete_empty(&ArtifactPath::parse(&folder)?).await?;
        }
    }
    Ok(totals)
}

/// Refuses names of workspaces that exist, or that an experiment is in.
async fn check_deleted(store: Unscoped<'_>, names: &[String]) -> Result<()> {
    let there = store.existing_workspaces(names.to_vec()).await?;
    match names.iter().find(|name| *name == DEFAULT_WORKSPACE || there.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "The workspace '{name}' exists. Its artifacts are deleted by `ferroflow gc --workspace {name}`."
        ))),
    }
}

/// The places of experiments and workspaces with locations of their own.
async fn owned(store: Unscoped<'_>, locations: &Locations) -> Result<Vec<Place>> {
    let mut found = Vec::new();
    for custom in store.custom_locations().await? {
        found.extend(locations.place(&custom.location));
        // Through the server, a location may mean a path in the folder of its workspace.
        for place in resolve_in(locations, &custom.location, &custom.workspace).unwrap_or_default() {
            let is_served = place.repository.name() == locations.destination()?.name();
            found.extend(locations.served_store().filter(|_| is_served).map(|served| served.join(&place.base)));
        }
    }
    for roots in store.workspace_roots().await? {
        found.extend(roots.artifacts.iter().chain(&roots.archive).filter_map(|root| locations.place(root)));
    }
    Ok(found)
}

/// Whether a folder of the served store is in an owned place, or has one in it. A place that has all of the store in it is
/// that of no one.
fn is_owned(owned: &[Place], served: &Place, folder: &ArtifactPath) -> bool {
    let folder = served.join(folder);
    let (served, folder) = (served.components(), folder.components());
    owned
        .iter()
        .map(Place::components)
        .any(|place| place.starts_with(folder) || (folder.starts_with(place) && !served.starts_with(place)))
}

/// Removes what is empty of the directory of an experiment.
async fn delete_empty(repository: &ArtifactRepository, experiment: &str) -> Result<()> {
    for folder in ["/models", "/traces", ""] {
        repository.delete_empty(&ArtifactPath::parse(&format!("{experiment}{folder}"))?).await?;
    }
    Ok(())
}
