//! Purges soft-deleted objects, children first: runs, logged models, traces, then experiments.

use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use ferroflow_artifacts::{ArtifactPath, Location, Locations};
use ferroflow_model::{Error, archived_trace, uri};
use ferroflow_store::{
    SpansLocation, Store, TracePlaces,
    gc::{Deleted, Doomed, Purged},
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
    told: HashSet<String>,
    gone: usize,
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let before = i64::try_from(now).unwrap_or(i64::MAX) - args.older_than.as_ref().map_or(0, |age| age.ms);
        Self { store, locations, args, before, told: HashSet::new(), gone: 0, kept: 0 }
    }

    pub(super) async fn run(mut self) -> Result<()> {
        let experiments = self.check().await.map_err(told)?;
        match &self.args.run_ids {
            Some(ids) => self.each(Kind::Run, given(ids)).await?,
            None => self.pages(Kind::Run, Doomed::Runs).await?,
        }
        match &self.args.logged_model_ids {
            Some(ids) => self.each(Kind::LoggedModel, given(ids)).await?,
            None => self.pages(Kind::LoggedModel, Doomed::LoggedModels).await?,
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
        out!("{} {verb}, {} kept.", self.gone, self.kept);
        if self.kept > 0 {
            bail!("something was kept: the lines above say why, and running this again goes on with it");
        }
        Ok(())
    }

    /// Checks all given ids first: nothing is deleted if one of them can not be purged.
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
            let page = self.store.doomed(Doomed::Experiments, self.before, after.as_deref()).await.map_err(told)?;
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
        self.pages(Kind::Run, Doomed::RunsOf(id)).await?;
        self.pages(Kind::LoggedModel, Doomed::LoggedModelsOf(id)).await?;
        self.pages(Kind::Trace, Doomed::TracesOf(id)).await?;
        if self.args.dry_run {
            return self.tell(&format!("Experiment with ID {id}"), Purged::Yes);
        }
        if self.kept > kept {
            return self.tell(&format!("Experiment with ID {id}"), Purged::NotEmpty);
        }
        let forget = |found: Deleted| forget_folder(self.locations, found);
        let purged = self.store.purge_experiment(id, self.before, forget).await.map_err(told)?;
        self.tell(&format!("Experiment with ID {id}"), purged)
    }

    /// Page by page, by keyset: what is kept is not listed again.
    async fn pages(&mut self, kind: Kind, what: Doomed) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.doomed(what, self.before, after.as_deref()).await.map_err(told)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            self.each(kind, page).await?;
        }
    }

    async fn each(&mut self, kind: Kind, found: Vec<Deleted>) -> Result<()> {
        for Deleted { id, location } in found {
            let label = format!("{} with ID {id}", kind.name());
            if self.args.dry_run {
                if !self.told.insert(label.clone()) {
                    continue;
                }
                let place = location.map(|location| format!(" ({location})")).unwrap_or_default();
                self.tell(&format!("{label}{place}"), Purged::Yes)?;
                continue;
            }
            let forget = |found: Deleted| forget(self.locations, found);
            let purged = match kind {
                Kind::Run => self.store.purge_run(&id, self.before, forget).await,
                Kind::LoggedModel => self.store.purge_logged_model(&id, self.before, forget).await,
                Kind::Trace => {
                    let forget = |places| forget_trace(self.locations, &id, places);
                    self.store.purge_trace(&id, self.before, forget).await
                }
            };
            match purged {
                Ok(purged) => self.tell(&label, purged)?,
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
            self.store.doomed_jobs(before, ids).await
        } else {
            self.store.purge_jobs(before, ids).await
        };
        for job in jobs.map_err(told)? {
            self.tell(&format!("Job with ID {job}"), Purged::Yes)?;
        }
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "the end of functions that may fail")]
    fn tell(&mut self, label: &str, purged: Purged) -> Result<()> {
        match purged {
            Purged::Yes if self.args.dry_run => out!("{label} would be deleted."),
            Purged::Yes => out!("{label} has been permanently deleted."),
            Purged::NotThere => {
                out!("{label} is no longer marked as deleted.");
                return Ok(());
            }
            Purged::NotEmpty => {
                self.kept += 1;
                err!("{label} is kept: something in it is not deleted, or refers to it.");
                return Ok(());
            }
        }
        self.gone += 1;
        Ok(())
    }
}

/// Deletes the folder of an experiment, if it is an empty local directory.
async fn forget_folder(locations: &Locations, found: Deleted) -> ferroflow_model::Result<()> {
    let location = found.location.unwrap_or_default();
    // One that can not be resolved has no artifacts, or they were reported as kept.
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
async fn forget(locations: &Locations, found: Deleted) -> ferroflow_model::Result<()> {
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
async fn forget_trace(locations: &Locations, id: &str, places: TracePlaces) -> ferroflow_model::Result<()> {
    let archive = places.archive.filter(|_| places.spans == Some(SpansLocation::Archive));
    let (archive, artifacts) = (place(locations, archive, id)?, place(locations, places.artifacts, id)?);
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
            "its artifacts at {location} are served by a server: give --artifacts-destination as that server has it"
        )));
    }
    // A folder without the id may be shared, and must not be deleted.
    if !location.split('/').any(|component| component == id) {
        return Err(Error::invalid(format!("the location of its artifacts, {location}, is not its own")));
    }
    locations.resolve(&location).map(Some)
}

fn given(ids: &[String]) -> Vec<Deleted> {
    let mut ids: Vec<_> = ids.to_vec();
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| Deleted { id, location: None }).collect()
}

fn told(error: Error) -> anyhow::Error {
    anyhow::anyhow!(error.message)
}
