//! Deletes the artifacts of a purged object.

use ferroflow_artifacts::{ArtifactPath, Location, Locations};
use ferroflow_model::{Error, Result, archived_trace, uri};
use ferroflow_store::{SpansLocation, TraceLocations, upkeep::gc::DeletedEntity};

/// Deletes the folder of an experiment, if it is an empty local directory.
pub(super) async fn delete_folder(locations: &Locations, found: DeletedEntity) -> Result<()> {
    let location = found.location.unwrap_or_default();
    // One that cannot be resolved has no artifacts, or they were reported as kept.
    let Ok(place) = locations.resolve(&location) else { return Ok(()) };
    if place.base.name() != found.id {
        return Ok(());
    }
    for folder in ["models", "traces"] {
        place.repository.delete_empty(&ArtifactPath::parse(folder)?.below(&place.base)).await?;
    }
    place.repository.delete_empty(&place.base).await
}

/// Deletes the artifacts of an object, whose location contains its id.
pub(super) async fn delete_artifacts(locations: &Locations, found: DeletedEntity) -> Result<()> {
    match place(locations, found.location, &found.id)? {
        Some(place) => delete(place, &found.id).await,
        None => Ok(()),
    }
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
pub(super) async fn delete_trace_artifacts(locations: &Locations, id: &str, trace: TraceLocations) -> Result<()> {
    let archive = trace.archive.filter(|_| trace.spans == Some(SpansLocation::Archive));
    let (archive, artifacts) = (place(locations, archive, id)?, place(locations, trace.artifacts, id)?);
    if let Some(place) = archive {
        place.repository.delete(&ArtifactPath::parse(archived_trace::FILE)?.below(&place.base)).await?;
    }
    match artifacts {
        Some(place) => delete(place, id).await,
        None => Ok(()),
    }
}

/// The location of an object with an id.
fn place(locations: &Locations, location: Option<String>, id: &str) -> Result<Option<Location>> {
    let Some(location) = location.filter(|location| !location.is_empty()) else { return Ok(None) };
    let proxied = matches!(uri::scheme(&location).as_deref(), Some("mlflow-artifacts" | "http" | "https"));
    if proxied && locations.destination.is_none() {
        return Err(Error::invalid(format!(
            "its artifacts at {location} are served by a server: give the --artifacts-destination of that server"
        )));
    }
    // A folder without the id may be shared, and must not be deleted.
    if !location.split('/').any(|component| component == id) {
        return Err(Error::invalid(format!("the location of its artifacts, {location}, is not its own")));
    }
    locations.resolve(&location).map(Some)
}
