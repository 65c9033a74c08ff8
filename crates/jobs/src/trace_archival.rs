//! Moves the spans of old traces from the database to the archive. Every server that runs jobs and has these settings
//! does it, and any number of them at the same time: a trace that another one has locked or archived is skipped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use ferroflow_artifacts::{ArtifactPath, Locations};
use ferroflow_model::{
    Error, Result, archived_trace, clock,
    trace_archival::{ArchiveNow, TraceArchival, duration_ms},
    uri,
};
use ferroflow_store::{ArchivableSpans, ArchiveOutcome, ArchiveRequest, Candidate, Due, Store, db::Upkeep};
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use crate::{Backoff, Job, JobMetrics, Kind, Next, Schedule, Stop};

/// Maximum delay from the start to the first pass. It is random, so that replicas start at different times.
const MAX_FIRST_DELAY: Duration = Duration::from_secs(10);

/// Number of candidate traces fetched at a time.
const PAGE: usize = 1000;

/// Number of consecutive failures that end a pass: the next one retries.
const MAX_FAILURES: usize = 5;

/// The wait after the first pass that failed, unless the interval is shorter.
const RETRY: Duration = Duration::from_secs(30);

/// The job.
pub struct ArchivalJob {
    store: Arc<Store>,
    locations: Locations,
    settings: TraceArchival,
    metrics: JobMetrics,
}

impl ArchivalJob {
    /// Creates it for the traces of a database.
    #[must_use]
    pub fn new(store: Arc<Store>, locations: Locations, settings: TraceArchival, metrics: JobMetrics) -> Self {
        Self { store, locations, settings, metrics }
    }
}

impl Job for ArchivalJob {
    const KIND: Kind = Kind {
        name: "trace_archival",
        failure: "an archival pass failed",
        recovery: "an archival pass succeeded again",
    };

    fn schedule(&self) -> Schedule {
        let interval = Duration::from_secs(self.settings.interval_seconds);
        let backoff = Backoff { first: RETRY.min(interval), most: interval };
        Schedule { first_within: MAX_FIRST_DELAY.min(interval), backoff, ..Schedule::every(interval) }
    }

    /// Makes a pass. When the server stops, the trace in progress is finished.
    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        let start = Instant::now();
        let mut pass = Pass::new(self, stop);
        let outcome = pass.run().await;
        let (archived, malformed, failed) = (pass.archived, pass.malformed, pass.failed);
        if archived + malformed + failed > 0 {
            let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(archived, malformed, failed, ms, "traces were archived");
        }
        pass.log_faults();
        outcome.map(|()| Next::OnSchedule)
    }
}

/// One pass over all due traces, with its results.
struct Pass<'a> {
    job: &'a ArchivalJob,
    stop: &'a Stop,
    /// All traces that were tried: the maximum per pass applies to them.
    attempted: usize,
    archived: usize,
    malformed: usize,
    failed: usize,
    /// The first trace that cannot be archived.
    first_malformed: Option<String>,
    /// The first trace that failed, and why.
    first_failure: Option<(String, String)>,
    /// Failures since the last success.
    consecutive_failures: usize,
    /// Experiments with traces that failed: their archive requests stay open.
    unfinished: HashSet<i64>,
    /// The settings of each workspace, if the server has workspaces; `None` for one with settings that are not valid.
    workspaces: HashMap<String, Option<TraceArchival>>,
}

impl<'a> Pass<'a> {
    fn new(job: &'a ArchivalJob, stop: &'a Stop) -> Self {
        Self {
            job,
            stop,
            attempted: 0,
            archived: 0,
            malformed: 0,
            failed: 0,
            first_malformed: None,
            first_failure: None,
            consecutive_failures: 0,
            unfinished: HashSet::new(),
            workspaces: HashMap::new(),
        }
    }

    /// The settings for the experiments of a workspace. Those of one that is not known yet are found by the next pass.
    fn settings_of(&self, workspace: &str) -> Option<&TraceArchival> {
        if !self.job.store.has_workspaces() {
            return Some(&self.job.settings);
        }
        self.workspaces.get(workspace)?.as_ref()
    }

    /// Logs one line for all traces that cannot be archived, and one for all that failed.
    fn log_faults(&self) {
        if let Some(first) = &self.first_malformed {
            let traces = self.malformed;
            tracing::warn!(traces, first, "the spans of traces cannot be archived: they are marked as malformed");
        }
        if let Some((first, error)) = &self.first_failure {
            tracing::warn!(traces = self.failed, first, error, "traces are not archived now");
        }
    }

    async fn run(&mut self) -> Result<()> {
        let now = clock::unix_millis();
        self.workspaces = self.job.settings_of_workspaces().await?;
        let (mut requests, mut regular) = (Vec::new(), Vec::new());
        for tags in self.job.store.unscoped(Upkeep::Archival).archival_tags().await? {
            let id = tags.experiment_id;
            let Some(settings) = self.settings_of(&tags.workspace) else { continue };
            let request = tags.archive_now.and_then(|value| Some((ArchiveNow::from_tag(&value)?, value)));
            if let Some((request, value)) = request {
                let until = request.older_than_ms.map_or(i64::MAX, |age| now.saturating_sub(age));
                requests.push(ArchiveRequest { due: Due { experiment_id: id, until }, value });
            }
            let retention = settings.retention_of(&id.to_string(), tags.retention.as_deref());
            regular.push(Due { experiment_id: id, until: now.saturating_sub(duration_ms(&retention)) });
        }
        let urgent: Vec<Due> = requests.iter().map(|request| request.due).collect();
        self.archive_due(&urgent).await?;
        self.archive_due(&regular).await?;
        requests.retain(|request| !self.unfinished.contains(&request.due.experiment_id));
        if requests.is_empty() {
            Ok(())
        } else {
            self.job.store.unscoped(Upkeep::Archival).end_archive_requests(&requests).await
        }
    }

    /// Archives the oldest first, by keyset pagination, which skips traces that failed.
    async fn archive_due(&mut self, due: &[Due]) -> Result<()> {
        let mut after: Option<Candidate> = None;
        while !due.is_empty() {
            let max_traces = self.job.settings.max_traces_per_pass.unwrap_or(u64::MAX);
            let left = usize::try_from(max_traces).unwrap_or(usize::MAX).saturating_sub(self.attempted);
            let page = self
                .job
                .store
                .unscoped(Upkeep::Archival)
                .archivable_traces(due, after.as_ref(), left.min(PAGE))
                .await?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            for candidate in page {
                if self.stop.is_requested() {
                    self.unfinished.extend(due.iter().map(|due| due.experiment_id));
                    return Ok(());
                }
                self.archive(&candidate).await?;
            }
        }
        Ok(())
    }

    async fn archive(&mut self, candidate: &Candidate) -> Result<()> {
        let id = candidate.trace_id.as_str();
        self.attempted += 1;
        let pass = &*self;
        let outcome = pass
            .job
            .store
            .unscoped(Upkeep::Archival)
            .archive_trace(id, |spans| async move {
                // The experiment may have been moved to another workspace since the beginning of the pass.
                let settings = pass.settings_of(&spans.workspace);
                let root = settings.map(|settings| settings.location.as_str());
                let root = root.ok_or_else(|| Error::internal("The workspace has no archive."))?;
                pass.job.write_to_archive(id, spans, root).await
            })
            .await;
        self.job.metrics.record_archival(match &outcome {
            Ok(ArchiveOutcome::Archived) => "archived",
            Ok(ArchiveOutcome::Malformed) => "malformed",
            Ok(ArchiveOutcome::Skipped) => "skipped",
            Err(_) => "failed",
        });
        match outcome {
            Ok(ArchiveOutcome::Archived) => self.archived += 1,
            Ok(ArchiveOutcome::Skipped) => {}
            Ok(ArchiveOutcome::Malformed) => {
                self.malformed += 1;
                self.first_malformed.get_or_insert_with(|| id.to_owned());
            }
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| (id.to_owned(), error.message.clone()));
                self.consecutive_failures += 1;
                self.unfinished.insert(candidate.experiment_id);
                return if self.consecutive_failures < MAX_FAILURES { Ok(()) } else { Err(error) };
            }
        }
        self.consecutive_failures = 0;
        Ok(())
    }
}

impl ArchivalJob {
    /// The settings of each workspace. Nothing is archived in one whose own settings are not valid.
    async fn settings_of_workspaces(&self) -> Result<HashMap<String, Option<TraceArchival>>> {
        let mut found = HashMap::new();
        if self.store.has_workspaces() {
            for workspace in self.store.list_workspaces().await? {
                let name = workspace.name();
                let settings = self.settings.within(name, workspace.trace_archival_config.as_ref());
                if let Err(reason) = &settings {
                    tracing::warn!(workspace = name, reason, "the traces of a workspace are not archived");
                }
                found.insert(name.to_owned(), settings.ok());
            }
        }
        Ok(found)
    }

    /// Writes the spans of a trace to the archive at `root`, at the reference's location. `None` if they cannot be
    /// archived.
    async fn write_to_archive(&self, id: &str, spans: ArchivableSpans, root: &str) -> Result<Option<String>> {
        let ArchivableSpans { experiment_id, contents, .. } = spans;
        // An id that is valid and unambiguous as a component of a URI.
        let is_name = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let payload = tokio::task::spawn_blocking(move || ferroflow_otlp::payload(&contents)).await;
        let payload: Bytes = match payload.map_err(|error| Error::internal(error.to_string()))? {
            Ok(payload) if is_name => payload,
            _ => return Ok(None),
        };
        let location = uri::append_path(root, &format!("{experiment_id}/traces/{id}/artifacts"))?;
        let target = self.locations.resolve(&location)?;
        let path = ArtifactPath::parse(archived_trace::FILE)?.below(&target.base);
        let length = payload.len() as u64;
        target.repository.write(&path, stream::iter([Ok(payload)]).boxed(), Some(length)).await?;
        Ok(Some(location))
    }
}
