//! Deletes the artifacts of a purged object.

use ferroflow_artifacts::{
    ArtifactPath, Location, Locations,
    workspaces::{is_proxied, resolve_in},
};
use ferroflow_model::{Error, Result, archived_trace, permission::DEFAULT_WORKSPACE};
use ferroflow_store::{SpansLocation, TraceLocations, upkeep::gc::DeletedEntity};

/// Deletes the folder of an experiment, if it is an empty local directory.
pub(super) async fn delete_folder(locations: &Locations, found: DeletedEntity) -> Result<()> {
    let location = found.location.unwrap_or_default();
    // One that cannot be resolved has no artifacts, or they were reported as kept.
    for place in resolve_in(locations, &location, &found.workspace).unwrap_or_default() {
        if place.base.name() != found.id {
            continue;
        }
        for folder in ["models", "traces"] {
            place.repository.delete_empty(&ArtifactPath::parse(folder)?.below(&place.base)).await?;
        }
        place.repository.delete_empty(&place.base).await?;
    }
    Ok(())
}

/// Deletes the artifacts of an object, whose location contains its id.
pub(super) async fn delete_artifacts(locations: &Locations, found: DeletedEntity) -> Result<()> {
    let places = places(locations, found.location, &found.id, &found.workspace)?;
    delete_all(places, &found.id).await
}

async fn delete_all(places: Vec<Location>, id: &str) -> Result<()> {
    for place in places {
        delete(place, id).await?;
    }
    Ok(())
}

/// Deletes a location; in a directory, also the empty parents that belong to the object.
async fn delete(place: Location, id: &str) -> Result<()> {
    place.repository.delete(&place.base).await?;
    let mut path = place.base.parent();
    while path.components().iter().any(|component| component == id) {
        place.repository.delete_empty(&path).await?;
        path = path.parent();
    }
    Ok(())
}

/// Deletes the artifacts of a trace, and the file with its spans in the archive: other files beside it are unknown.
pub(super) async fn delete_trace_artifacts(
    locations: &Locations,
    id: &str,
    trace: TraceLocations,
    workspace: &str,
) -> Result<()> {
    let archive = trace.archive.filter(|_| trace.spans == Some(SpansLocation::Archive));
    // The server writes the archive itself, as the location says in every workspace.
    let archive = places(locations, archive, id, DEFAULT_WORKSPACE)?;
    let artifacts = places(locations, trace.artifacts, id, workspace)?;
    for place in archive {
        place.repository.delete(&ArtifactPath::parse(archived_trace::FILE)?.below(&place.base)).await?;
    }
    delete_all(artifacts, id).await
}

/// Where the artifacts of an object with an id are.
fn places(locations: &Locations, location: Option<String>, id: &str, workspace: &str) -> Result<Vec<Location>> {
    let Some(location) = location.filter(|location| !location.is_empty()) else { return Ok(Vec::new()) };
    if is_proxied(&location) && locations.destination.is_none() {
        return Err(Error::invalid(format!(
            "its artifacts at {location} are served by a server: give the --artifacts-destination of that server"
        )));
    }
    // A folder without the id may be shared, and must not be deleted.
    if !location.split('/').any(|component| component == id) {
        return Err(Error::invalid(format!("the location of its artifacts, {location}, is not its own")));
    }
    resolve_in(locations, &location, workspace)
}
