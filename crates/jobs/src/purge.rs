//! Purges soft-deleted objects, children first: runs, logged models, traces, then experiments.

use std::collections::HashSet;

use anyhow::{Result, bail};
use ferroflow_artifacts::{ArtifactPath, Location, Locations};
use ferroflow_model::{Error, archived_trace, clock, uri};
use ferroflow_store::{
    SpansLocation, Store, TraceLocations,
    upkeep::gc::{DeletedEntity, PurgeOutcome, Purgeable},
};

use super::GcArgs;
use crate::report::{err, out};

/// A purge in progress.
pub(super) struct Purge<'a> {
    store: &'a Store,
    locations: &'a Locations,
    args: &'a GcArgs,
    /// Milliseconds since the Unix epoch; what was deleted later is kept.
    before: i64,
    /// Labels that a dry run has printed: nothing is deleted in between, so the experiment lists them again.
    printed: HashSet<String>,
    purged: usize,
    kept: usize,
}

/// The kind of a purged object.
#[derive(Clone, Copy)]
enum Kind {
    Run,
    LoggedModel,
    Trace,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Run => "Run",
            Self::LoggedModel => "Logged model",
            Self::Trace => "Trace",
        }
    }
}

impl<'a> Purge<'a> {
    pub(super) fn new(store: &'a Store, locations: &'a Locations, args: &'a GcArgs) -> Self {
        let before = clock::unix_millis() - args.older_than.as_ref().map_or(0, |age| age.ms);
        Self { store, locations, args, before, printed: HashSet::new(), purged: 0, kept: 0 }
    }

    pub(super) async fn run(mut self) -> Result<()> {
        let experiments = self.check().await.map_err(to_anyhow)?;
        match &self.args.run_ids {
            Some(ids) => self.each(Kind::Run, entities(ids)).await?,
            None => self.pages(Kind::Run, Purgeable::Runs).await?,
        }
        match &self.args.logged_model_ids {
            Some(ids) => self.each(Kind::LoggedModel, entities(ids)).await?,
            None => self.pages(Kind::LoggedModel, Purgeable::LoggedModels).await?,
        }
        match experiments {
            Some(ids) => {
                for id in ids {
                    self.experiment(id).await?;
                }
            }
            None => self.experiments().await?,
        }
        self.jobs().await?;
        let verb = if self.args.dry_run { "would be deleted" } else { "deleted" };
        out!("{} {verb}, {} kept.", self.purged, self.kept);
        if self.kept > 0 {
            bail!("some objects were kept, see the lines above; run the command again to retry");
        }
        Ok(())
    }

    /// Checks all given ids first: nothing is deleted if one of them cannot be purged.
    async fn check(&self) -> ferroflow_model::Result<Option<Vec<i64>>> {
        let age = self.args.older_than.as_ref().map(|age| age.text.as_str());
        if let Some(ids) = &self.args.run_ids {
            self.store.check_purgeable_runs(ids, self.before, age).await?;
        }
        if let Some(ids) = &self.args.logged_model_ids {
            self.store.check_purgeable_logged_models(ids, self.before, age).await?;
        }
        match &self.args.experiment_ids {
            Some(ids) => self.store.check_purgeable_experiments(ids, self.before, age).await.map(Some),
            None => Ok(None),
        }
    }

    async fn experiments(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let page =
                self.store.purgeable(Purgeable::Experiments, self.before, after.as_deref()).await.map_err(to_anyhow)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for experiment in &page {
                self.experiment(experiment.id.parse()?).await?;
            }
        }
    }

    async fn experiment(&mut self, id: i64) -> Result<()> {
        // Its runs have been purged by now, unless ids were given.
        let kept = self.kept;
        self.pages(Kind::Run, Purgeable::RunsOf(id)).await?;
        self.pages(Kind::LoggedModel, Purgeable::LoggedModelsOf(id)).await?;
        self.pages(Kind::Trace, Purgeable::TracesOf(id)).await?;
        if self.args.dry_run {
            return self.report(&format!("Experiment with ID {id}"), PurgeOutcome::Purged);
        }
        if self.kept > kept {
            return self.report(&format!("Experiment with ID {id}"), PurgeOutcome::NotEmpty);
        }
        let delete_artifacts = |found: DeletedEntity| delete_folder(self.locations, found);
        let purged = self.store.purge_experiment(id, self.before, delete_artifacts).await.map_err(to_anyhow)?;
        self.report(&format!("Experiment with ID {id}"), purged)
    }

    /// Page by page, by keyset: what is kept is not listed again.
    async fn pages(&mut self, kind: Kind, what: Purgeable) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.purgeable(what, self.before, after.as_deref()).await.map_err(to_anyhow)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            self.each(kind, page).await?;
        }
    }

    async fn each(&mut self, kind: Kind, found: Vec<DeletedEntity>) -> Result<()> {
        for DeletedEntity { id, location } in found {
            let label = format!("{} with ID {id}", kind.name());
            if self.args.dry_run {
                if !self.printed.insert(label.clone()) {
                    continue;
                }
                let place = location.map(|location| format!(" ({location})")).unwrap_or_default();
                self.report(&format!("{label}{place}"), PurgeOutcome::Purged)?;
                continue;
            }
            let delete_artifacts = |found: DeletedEntity| delete_artifacts(self.locations, found);
            let purged = match kind {
                Kind::Run => self.store.purge_run(&id, self.before, delete_artifacts).await,
                Kind::LoggedModel => self.store.purge_logged_model(&id, self.before, delete_artifacts).await,
                Kind::Trace => {
                    let delete_artifacts = |trace| delete_trace_artifacts(self.locations, &id, trace);
                    self.store.purge_trace(&id, self.before, delete_artifacts).await
                }
            };
            match purged {
                Ok(purged) => self.report(&label, purged)?,
                Err(error) => {
                    self.kept += 1;
                    err!("{label} is kept: {}", error.message);
                }
            }
        }
        Ok(())
    }

    async fn jobs(&mut self) -> Result<()> {
        if !self.args.jobs && self.args.job_ids.is_none() {
            return Ok(());
        }
        let before = self.args.older_than.as_ref().filter(|age| age.ms > 0).map(|_| self.before);
        let ids = self.args.job_ids.as_deref();
        let jobs = if self.args.dry_run {
            self.store.purgeable_jobs(before, ids).await
        } else {
            self.store.purge_jobs(before, ids).await
        };
        for job in jobs.map_err(to_anyhow)? {
            self.report(&format!("Job with ID {job}"), PurgeOutcome::Purged)?;
        }
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "the end of functions that may fail")]
    fn report(&mut self, label: &str, purged: PurgeOutcome) -> Result<()> {
        match purged {
            PurgeOutcome::Purged if self.args.dry_run => out!("{label} would be deleted."),
            PurgeOutcome::Purged => out!("{label} has been permanently deleted."),
            PurgeOutcome::NotFound => {
                out!("{label} is no longer marked as deleted.");
                return Ok(());
            }
            PurgeOutcome::NotEmpty => {
                self.kept += 1;
                err!("{label} is kept: something in it is not deleted, or refers to it.");
                return Ok(());
            }
        }
        self.purged += 1;
        Ok(())
    }
}

/// Deletes the folder of an experiment, if it is an empty local directory.
async fn delete_folder(locations: &Locations, found: DeletedEntity) -> ferroflow_model::Result<()> {
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
async fn delete_artifacts(locations: &Locations, found: DeletedEntity) -> ferroflow_model::Result<()> {
    match place(locations, found.location, &found.id)? {
        Some(place) => delete(place, &found.id).await,
        None => Ok(()),
    }
}

/// Deletes a location; in a directory, also the empty parents that belong to the object.
async fn delete(place: Location, id: &str) -> ferroflow_model::Result<()> {
    place.repository.delete(&place.base).await?;
    let mut path = place.base.parent();
    while path.components().iter().any(|component| component == id) {
        place.repository.delete_empty(&path).await?;
        path = path.parent();
    }
    Ok(())
}

/// Deletes the artifacts of a trace, and the file with its spans in the archive: other files beside it are unknown.
async fn delete_trace_artifacts(locations: &Locations, id: &str, trace: TraceLocations) -> ferroflow_model::Result<()> {
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
fn place(locations: &Locations, location: Option<String>, id: &str) -> ferroflow_model::Result<Option<Location>> {
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

fn entities(ids: &[String]) -> Vec<DeletedEntity> {
    let mut ids: Vec<_> = ids.to_vec();
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| DeletedEntity { id, location: None }).collect()
}

fn to_anyhow(error: Error) -> anyhow::Error {
    anyhow::anyhow!(error.message)
}
