//! Purges soft-deleted objects, children first: runs, logged models, traces, then experiments.

mod age;
mod artifacts;
mod deleted_workspaces;

use std::{collections::HashSet, num::ParseIntError};

use ferroflow_artifacts::Locations;
use ferroflow_model::{Error, Result, clock};
use ferroflow_store::{
    Unscoped,
    upkeep::gc::{DeletedEntity, PurgeLimits, PurgeOutcome, Purgeable},
};

use self::artifacts::{delete_artifacts, delete_folder, delete_trace_artifacts};
pub use self::{age::Age, deleted_workspaces::purge_deleted_workspaces};

/// What to purge.
#[derive(Debug, Clone, Default)]
pub struct PurgeOptions {
    /// Only what is in this workspace, if not in all of them.
    pub workspace: Option<String>,
    /// Only what was deleted longer ago than this.
    pub older_than: Option<Age>,
    /// These runs instead of all deleted ones.
    pub run_ids: Option<Vec<String>>,
    /// These experiments instead of all deleted ones.
    pub experiment_ids: Option<Vec<String>>,
    /// These logged models instead of all deleted ones.
    pub logged_model_ids: Option<Vec<String>>,
    /// Whether to purge finished jobs, too.
    pub jobs: bool,
    /// These finished jobs.
    pub job_ids: Option<Vec<String>>,
    /// Whether to report what would be purged, and to purge nothing.
    pub dry_run: bool,
}

/// What happened to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurgeReport {
    /// It was purged, or would be in a run that is not dry.
    Purged,
    /// It was restored or purged by another process meanwhile.
    NotFound,
    /// It is kept because something in it is kept, or refers to it.
    NotEmpty,
    /// It is kept because its artifacts or its rows could not be deleted, with the reason.
    Failed(String),
}

/// The number of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PurgeTotals {
    /// Those that were purged, or would be.
    pub purged: usize,
    /// Those that were to be purged, and are kept.
    pub kept: usize,
}

/// A purge in progress. `R` gets the report on each object, with its name.
pub struct Purge<'a, R> {
    store: Unscoped<'a>,
    locations: &'a Locations,
    options: &'a PurgeOptions,
    report: R,
    /// Milliseconds since the Unix epoch; what was deleted later is kept.
    before: i64,
    /// Names that a dry run has reported: nothing is deleted in between, so the experiment lists them again.
    reported: HashSet<String>,
    totals: PurgeTotals,
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

impl<'a, R: FnMut(&str, PurgeReport)> Purge<'a, R> {
    /// Creates it.
    #[must_use]
    pub fn new(store: Unscoped<'a>, locations: &'a Locations, options: &'a PurgeOptions, report: R) -> Self {
        let before = clock::unix_millis() - options.older_than.as_ref().map_or(0, |age| age.ms);
        let (reported, totals) = (HashSet::new(), PurgeTotals::default());
        Self { store, locations, options, report, before, reported, totals }
    }

    /// Purges.
    ///
    /// # Errors
    /// One of the given ids cannot be purged, and nothing was; or the database failed.
    pub async fn run(mut self) -> Result<PurgeTotals> {
        let experiments = self.check().await?;
        match &self.options.run_ids {
            Some(ids) => self.each(Kind::Run, entities(ids)).await?,
            None => self.pages(Kind::Run, Purgeable::Runs).await?,
        }
        match &self.options.logged_model_ids {
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
        Ok(self.totals)
    }

    /// Checks all given ids first: nothing is deleted if one of them cannot be purged.
    async fn check(&self) -> Result<Option<Vec<i64>>> {
        let limits = PurgeLimits {
            workspace: self.options.workspace.as_deref(),
            before: self.before,
            age: self.options.older_than.as_ref().map(|age| age.text.as_str()),
        };
        if let Some(ids) = &self.options.run_ids {
            self.store.check_purgeable_runs(ids, limits).await?;
        }
        if let Some(ids) = &self.options.logged_model_ids {
            self.store.check_purgeable_logged_models(ids, limits).await?;
        }
        match &self.options.experiment_ids {
            Some(ids) => self.store.check_purgeable_experiments(ids, limits).await.map(Some),
            None => Ok(None),
        }
    }

    async fn experiments(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.page(Purgeable::Experiments, after.as_deref()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for experiment in &page {
                let id = experiment.id.parse().map_err(|error: ParseIntError| Error::internal(error.to_string()))?;
                self.experiment(id).await?;
            }
        }
    }

    async fn page(&self, what: Purgeable, after: Option<&str>) -> Result<Vec<DeletedEntity>> {
        self.store.purgeable(what, self.options.workspace.as_deref(), self.before, after).await
    }

    async fn experiment(&mut self, id: i64) -> Result<()> {
        // Its runs have been purged by now, unless ids were given.
        let kept = self.totals.kept;
        self.pages(Kind::Run, Purgeable::RunsOf(id)).await?;
        self.pages(Kind::LoggedModel, Purgeable::LoggedModelsOf(id)).await?;
        self.pages(Kind::Trace, Purgeable::TracesOf(id)).await?;
        let name = format!("Experiment with ID {id}");
        let outcome = if self.options.dry_run {
            PurgeReport::Purged
        } else if self.totals.kept > kept {
            PurgeReport::NotEmpty
        } else {
            let delete_artifacts = |found: DeletedEntity| delete_folder(self.locations, found);
            self.store.purge_experiment(id, self.before, delete_artifacts).await?.into()
        };
        self.record(&name, outcome);
        Ok(())
    }

    /// Page by page, by keyset: what is kept is not listed again.
    async fn pages(&mut self, kind: Kind, what: Purgeable) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.page(what, after.as_deref()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            self.each(kind, page).await?;
        }
    }

    async fn each(&mut self, kind: Kind, found: Vec<DeletedEntity>) -> Result<()> {
        for DeletedEntity { id, location, .. } in found {
            let name = format!("{} with ID {id}", kind.name());
            if self.options.dry_run {
                if self.reported.insert(name.clone()) {
                    let place = location.map(|location| format!(" ({location})")).unwrap_or_default();
                    self.record(&format!("{name}{place}"), PurgeReport::Purged);
                }
                continue;
            }
            let delete_artifacts = |found: DeletedEntity| delete_artifacts(self.locations, found);
            let purged = match kind {
                Kind::Run => self.store.purge_run(&id, self.before, delete_artifacts).await,
                Kind::LoggedModel => self.store.purge_logged_model(&id, self.before, delete_artifacts).await,
                Kind::Trace => {
                    let delete_artifacts = |trace, workspace: String| {
                        let (locations, id) = (self.locations, &id);
                        async move { delete_trace_artifacts(locations, id, trace, &workspace).await }
                    };
                    self.store.purge_trace(&id, self.before, delete_artifacts).await
                }
            };
            self.record(&name, purged.map_or_else(|error| PurgeReport::Failed(error.message), PurgeReport::from));
        }
        Ok(())
    }

    async fn jobs(&mut self) -> Result<()> {
        if !self.options.jobs && self.options.job_ids.is_none() {
            return Ok(());
        }
        let before = self.options.older_than.as_ref().filter(|age| age.ms > 0).map(|_| self.before);
        let (workspace, ids) = (self.options.workspace.as_deref(), self.options.job_ids.as_deref());
        let jobs = if self.options.dry_run {
            self.store.purgeable_jobs(workspace, before, ids).await
        } else {
            self.store.purge_jobs(workspace, before, ids).await
        };
        for job in jobs? {
            self.record(&format!("Job with ID {job}"), PurgeReport::Purged);
        }
        Ok(())
    }

    fn record(&mut self, name: &str, outcome: PurgeReport) {
        match outcome {
            PurgeReport::Purged => self.totals.purged += 1,
            PurgeReport::NotFound => {}
            PurgeReport::NotEmpty | PurgeReport::Failed(_) => self.totals.kept += 1,
        }
        (self.report)(name, outcome);
    }
}

impl From<PurgeOutcome> for PurgeReport {
    fn from(outcome: PurgeOutcome) -> Self {
        match outcome {
            PurgeOutcome::Purged => Self::Purged,
            PurgeOutcome::NotFound => Self::NotFound,
            PurgeOutcome::NotEmpty => Self::NotEmpty,
        }
    }
}

fn entities(ids: &[String]) -> Vec<DeletedEntity> {
    let mut ids: Vec<_> = ids.to_vec();
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| DeletedEntity { id, location: None, workspace: String::new() }).collect()
}
