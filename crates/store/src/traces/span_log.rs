//! The spans that clients send over OpenTelemetry's protocol, and what they add to their traces.
//!
//! The spans of a trace may be written by several requests and servers in any order, before or after the trace is
//! started. Every writer of a trace locks its row in `trace_info` first. Times, state, previews, session and user are a
//! minimum or maximum over the spans; token usage and cost are added up again from the stored spans, because a span's
//! usage counts only if no span above it has some.

mod days;
pub(crate) mod lanes;
mod merge;
pub(crate) mod read;
mod resolve;
pub(crate) mod rows;
mod write;

use std::collections::BTreeSet;

use ferroflow_model::{Error, Result, quotas::Counted};
use ferroflow_otlp::Batch;

use crate::{Scoped, tracking::experiments::id_of, workspace::Workspace};

/// The experiments, besides that of the request, whose traces a request may add spans to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joins {
    /// All: the caller has no restrictions.
    Any,
    /// Those with these ids.
    Only(BTreeSet<i64>),
}

impl Joins {
    fn allow(&self, experiment: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ids) => ids.contains(&experiment),
        }
    }
}

/// What one request writes.
#[derive(Debug)]
pub(crate) struct SpanWrite {
    /// The workspace that experiment and traces must be in.
    workspace: Workspace,
    /// The experiment of traces that do not exist yet.
    experiment: i64,
    joins: Joins,
    /// The run that finished traces are linked to.
    run: Option<String>,
    batch: Batch,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpansLogged {
    /// The number of spans that were refused because of their traces.
    pub rejected: u64,
    /// Why.
    pub fault: Option<Error>,
}

impl SpanWrite {
    /// About the memory that the write takes, in bytes.
    fn size(&self) -> usize {
        self.batch.spans.iter().map(|span| 512 + 2 * span.content.len()).sum()
    }
}

impl Scoped<'_> {
    /// Writes the spans of a request, and what they add to their traces. Traces that do not exist are created in the
    /// experiment. Those that have a root span in the request are linked to the run, if there is such a run.
    ///
    /// Spans of a trace that is archived, or in an experiment that the request may not join, are refused; the others are
    /// written.
    ///
    /// # Errors
    /// All spans are refused, the experiment does not exist, too many spans wait to be written, or the database failed.
    pub async fn log_spans(
        &self,
        experiment_id: &str,
        joins: Joins,
        run_id: Option<String>,
        batch: Batch,
    ) -> Result<SpansLogged> {
        let experiment = id_of(experiment_id)?;
        if batch.spans.is_empty() {
            return Ok(SpansLogged::default());
        }
        self.check_quota(&[Counted::Traces], experiment)?;
        let workspace = self.workspace.clone();
        self.store.spans.write(SpanWrite { workspace, experiment, joins, run: run_id, batch }).await
    }
}
