//! Merges the requests of a batch by trace, and refuses what may not be written.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
};

use ferroflow_model::{Error, ErrorCode, Result, uri};
use ferroflow_otlp::{SpanId, StoredSpan, TraceDelta, TraceId};

use super::{
    SpanWrite, SpansLogged,
    read::{Found, Stored, Wanted},
};
use crate::tracking::experiments::no_experiment;

/// What a batch writes to a trace.
pub(super) struct Merged<'a> {
    /// The trace's id.
    pub(super) id: String,
    /// Its experiment.
    pub(super) experiment: i64,
    /// The location of the artifacts of a new trace.
    pub(super) artifact_location: Option<String>,
    pub(super) delta: Cow<'a, TraceDelta>,
    pub(super) spans: BTreeMap<SpanId, &'a StoredSpan>,
    /// The runs that it is linked to.
    pub(super) runs: BTreeSet<&'a str>,
    /// What is stored; `None` for a new trace.
    pub(super) stored: Option<Stored>,
}

/// A merged batch.
pub(super) struct Batch<'a> {
    pub(super) traces: BTreeMap<TraceId, Merged<'a>>,
    /// One for each request, in order.
    pub(super) outcomes: Vec<Result<SpansLogged>>,
}

impl Wanted {
    pub(super) fn of(writes: &[&SpanWrite]) -> Self {
        let traces = || writes.iter().flat_map(|write| &write.batch.traces);
        Self {
            traces: traces().map(|(trace, _)| *trace).collect(),
            roots: traces().filter(|(_, delta)| delta.root.is_some()).map(|(trace, _)| *trace).collect(),
            experiments: writes.iter().map(|write| write.experiment).collect(),
            runs: writes.iter().filter_map(|write| write.run.clone()).collect(),
        }
    }
}

/// The traces of a request that are refused.
#[derive(Default)]
struct Refused {
    archived: BTreeSet<TraceId>,
    elsewhere: BTreeSet<TraceId>,
    denied: BTreeSet<TraceId>,
    /// Their ids are those of traces in other workspaces, and an id is unique on the server.
    taken: BTreeSet<TraceId>,
}

impl Refused {
    fn contains(&self, trace: &TraceId) -> bool {
        [&self.archived, &self.elsewhere, &self.denied, &self.taken].iter().any(|traces| traces.contains(trace))
    }

    /// Why, in the words of the reference where it refuses too.
    fn fault(&self) -> Option<Error> {
        let list = |traces: &BTreeSet<TraceId>| {
            traces.iter().take(10).map(|trace| format!("'{trace}'")).collect::<Vec<_>>().join(", ")
        };
        let (archived, elsewhere) = (list(&self.archived), list(&self.elsewhere));
        if !self.denied.is_empty() {
            let message =
                format!("Spans cannot be added to these traces of other experiments: {}.", list(&self.denied));
            return Some(Error::new(ErrorCode::PermissionDenied, message));
        }
        if !self.taken.is_empty() {
            // What `StartTraceV3` answers.
            return Some(Error::not_found(match self.taken.len() {
                1 => format!("Trace with ID {} no longer exists.", list(&self.taken)),
                _ => format!("Traces with IDs {} no longer exist.", list(&self.taken)),
            }));
        }
        Some(Error::invalid(match (archived.as_str(), elsewhere.as_str()) {
            ("", "") => return None,
            (archived, "") => format!("Cannot log spans to archived traces: {archived}."),
            (archived, elsewhere) => {
                let archived = if archived.is_empty() { String::new() } else { format!("archived={archived}; ") };
                format!(
                    "Cannot log spans because one or more traces are unavailable for DB-backed span writes: \
                     {archived}other={elsewhere}"
                )
            }
        }))
    }
}

impl<'a> Batch<'a> {
    /// Merges the requests.
    pub(super) fn merge(writes: &[&'a SpanWrite], mut found: Found) -> Self {
        let mut batch = Self { traces: BTreeMap::new(), outcomes: Vec::with_capacity(writes.len()) };
        for write in writes {
            let outcome = batch.add(write, &mut found);
            batch.outcomes.push(outcome);
        }
        batch
    }

    fn add(&mut self, write: &'a SpanWrite, found: &mut Found) -> Result<SpansLogged> {
        let mut refused = Refused::default();
        let mut new = Vec::new();
        for trace in write.batch.traces.keys() {
            let known = match self.traces.get(trace) {
                Some(merged) => Some((merged.experiment, merged.stored.as_ref())),
                None => found.traces.get(trace).map(|stored| (stored.experiment, Some(stored))),
            };
            let Some((experiment, stored)) = known else {
                new.push(*trace);
                continue;
            };
            if stored.is_some_and(|stored| !stored.is_in_workspace) {
                refused.taken.insert(*trace);
            } else if experiment != write.experiment && !write.joins.allow(experiment) {
                refused.denied.insert(*trace);
            } else {
                match stored.and_then(|stored| stored.location.as_deref()) {
                    None | Some("TRACKING_STORE") => {}
                    Some("ARCHIVE_REPO") => drop(refused.archived.insert(*trace)),
                    Some(_) => drop(refused.elsewhere.insert(*trace)),
                }
            }
        }
        let mut locations = BTreeMap::new();
        // Whether an id is taken is no answer to a request whose experiment does not exist.
        if !new.is_empty() || !refused.taken.is_empty() {
            let root = found.experiments.get(&write.experiment).ok_or_else(|| no_experiment(write.experiment))?;
            for trace in new {
                locations.insert(trace, uri::append_path(root, &format!("traces/{trace}/artifacts"))?);
            }
        }
        let rejected = write.batch.spans.iter().filter(|span| refused.contains(&span.trace)).count();
        let fault = refused.fault();
        if let Some(fault) = &fault
            && rejected == write.batch.spans.len()
        {
            return Err(fault.clone());
        }
        for (trace, delta) in &write.batch.traces {
            if refused.contains(trace) {
                continue;
            }
            let merged = match self.traces.entry(*trace) {
                Entry::Occupied(entry) => {
                    let merged = entry.into_mut();
                    merged.delta.to_mut().merge(delta.clone());
                    merged
                }
                Entry::Vacant(entry) => {
                    let stored = found.traces.remove(trace);
                    entry.insert(Merged {
                        id: trace.to_string(),
                        experiment: stored.as_ref().map_or(write.experiment, |stored| stored.experiment),
                        artifact_location: locations.remove(trace),
                        delta: Cow::Borrowed(delta),
                        spans: BTreeMap::new(),
                        runs: BTreeSet::new(),
                        stored,
                    })
                }
            };
            if delta.root.is_some() {
                merged.runs.extend(write.run.as_deref().filter(|run| found.runs.contains(*run)));
            }
        }
        for span in &write.batch.spans {
            let Some(merged) = self.traces.get_mut(&span.trace).filter(|_| !refused.contains(&span.trace)) else {
                continue;
            };
            let known = merged.spans.entry(span.span).or_insert(span);
            if span.replaces(known) {
                *known = span;
            }
        }
        Ok(SpansLogged { rejected: rejected as u64, fault })
    }
}
