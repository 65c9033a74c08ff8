//! The row of a trace after a batch, from what is stored and what the batch adds.

use std::collections::BTreeMap;

use ferroflow_otlp::{Node, People, SpanId, total_cost, total_usage};

use super::{
    merge::Merged,
    read::{Stored, StoredRoot},
};

/// The row of a trace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TraceRow {
    pub(super) timestamp_ms: i64,
    pub(super) execution_time_ms: Option<i64>,
    pub(super) status: String,
    pub(super) request_preview: Option<String>,
    pub(super) response_preview: Option<String>,
    pub(super) name: Option<String>,
    pub(super) session: Option<String>,
    pub(super) tokens: [Option<i64>; 6],
    pub(super) costs: [Option<f64>; 3],
    /// The user, if it is another than the stored one.
    pub(super) new_user: Option<String>,
    /// Whether the root span of the batch is the first one of the trace.
    pub(super) is_root_new: bool,
    /// Whether the root span ends a trace that was closed because it was abandoned.
    pub(super) is_revived: bool,
}

/// The token usage and the cost of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sums {
    pub(super) tokens: [Option<i64>; 6],
    pub(super) costs: [Option<f64>; 3],
}

impl Sums {
    /// Adds up the spans of a trace.
    pub(super) fn of(nodes: &BTreeMap<SpanId, Node>) -> Self {
        Self {
            tokens: total_usage(nodes).map(|usage| usage.0).unwrap_or_default(),
            costs: total_cost(nodes).map(|cost| cost.0).unwrap_or_default(),
        }
    }
}

/// What is read, besides the trace, to compute its row.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// The sums of the spans before the batch.
    pub(super) before: Sums,
    /// The sums with the batch; `None` if they did not change.
    pub(super) after: Option<Sums>,
    /// The session and the user, if stored ones and those of the batch differ.
    pub(super) people: Option<People>,
}

/// States of traces that are not finished.
const UNFINISHED: [&str; 2] = ["IN_PROGRESS", "STATE_UNSPECIFIED"];

impl Stored {
    /// Whether the client that started the trace has said how it ended: that is not changed.
    fn is_settled(&self) -> bool {
        self.is_finalized && !self.is_unfinished()
    }

    /// Whether the state is not known yet.
    fn is_unfinished(&self) -> bool {
        self.is_abandoned || UNFINISHED.contains(&self.status.as_str())
    }
}

impl Merged<'_> {
    /// Whether the sums of the trace must be added up again.
    pub(super) fn changes_sums(&self) -> bool {
        self.stored.as_ref().is_some_and(Stored::has_sums)
            || self.spans.values().any(|span| span.usage.is_some() || span.cost.is_some())
    }

    /// Whether the trace has a session or a user that the batch may replace.
    pub(super) fn disputes_people(&self) -> bool {
        let Some(stored) = self.stored.as_ref().filter(|stored| !stored.is_finalized) else { return false };
        let differs = |stored: &Option<String>, new: Option<&String>| {
            stored.is_some() && new.is_some_and(|new| Some(new) != stored.as_ref())
        };
        differs(&stored.session, self.delta.session.as_ref().map(|pick| &pick.value))
            || differs(&stored.user, self.delta.user.as_ref().map(|pick| &pick.value))
    }

    /// The row after the batch.
    pub(super) fn row(&self, evidence: &Evidence) -> TraceRow {
        match &self.stored {
            Some(stored) => self.changed(stored, evidence),
            None => self.created(),
        }
    }

    /// The row of a trace that does not exist.
    fn created(&self) -> TraceRow {
        let delta = &self.delta;
        let root = delta.root.as_ref().map(|pick| &pick.value);
        let Sums { tokens, costs } = Sums::of(&self.spans.iter().map(|(id, span)| (*id, span.node())).collect());
        TraceRow {
            timestamp_ms: delta.start_ms,
            execution_time_ms: delta.duration_ms(),
            status: delta.state().to_owned(),
            request_preview: root.and_then(|root| root.request_preview.clone()),
            response_preview: root.and_then(|root| root.response_preview.clone()),
            name: delta.name.as_ref().map(|pick| pick.value.clone()),
            session: delta.session.as_ref().map(|pick| pick.value.clone()),
            tokens,
            costs,
            new_user: delta.user.as_ref().map(|pick| pick.value.clone()),
            is_root_new: true,
            is_revived: false,
        }
    }

    fn changed(&self, stored: &Stored, evidence: &Evidence) -> TraceRow {
        let delta = &self.delta;
        let is_root_new = self.is_root_new(stored);
        let (timestamp_ms, execution_time_ms) = self.times(stored);
        let root = delta.root.as_ref().map(|pick| &pick.value);
        let preview = |known: &Option<String>, new: Option<&String>| match root {
            Some(_) if is_root_new && !stored.is_finalized => new.cloned(),
            Some(_) if known.is_none() && stored.is_finalized => new.cloned(),
            _ => known.clone(),
        };
        let people = evidence.people.as_ref();
        let session = match (&stored.session, people) {
            (Some(known), None) => Some(known.clone()),
            (known, Some(people)) => people.session.clone().or_else(|| known.clone()),
            (None, None) => delta.session.as_ref().map(|pick| pick.value.clone()),
        };
        let user = match (&stored.user, people) {
            (Some(_), None) => None,
            (_, Some(people)) => people.user.clone(),
            (None, None) => delta.user.as_ref().map(|pick| pick.value.clone()),
        };
        let Sums { tokens, costs } = sums(stored, evidence);
        let sets_state = root.is_some() && is_root_new && !stored.is_settled();
        TraceRow {
            timestamp_ms,
            execution_time_ms,
            status: if sets_state { delta.state().to_owned() } else { stored.status.clone() },
            request_preview: preview(&stored.request_preview, root.and_then(|root| root.request_preview.as_ref())),
            response_preview: preview(&stored.response_preview, root.and_then(|root| root.response_preview.as_ref())),
            name: match (&stored.name, &delta.name) {
                (Some(known), _) if stored.is_finalized || !is_root_new => Some(known.clone()),
                (_, Some(pick)) => Some(pick.value.clone()),
                (known, None) => known.clone(),
            },
            session,
            tokens,
            costs,
            new_user: user.filter(|user| Some(user) != stored.user.as_ref()),
            is_root_new,
            is_revived: sets_state && stored.is_abandoned,
        }
    }

    /// Whether the root span of the batch goes before all stored ones, or is a later version of the first one.
    fn is_root_new(&self, stored: &Stored) -> bool {
        let Some(pick) = &self.delta.root else { return false };
        let Some(StoredRoot { start_ns, span, end_ns }) = stored.root else { return true };
        if (pick.start_ns, pick.span) == (start_ns, span) {
            // It may be a repetition, while the state is not known yet.
            return pick.end_ns > end_ns || stored.is_unfinished();
        }
        (pick.start_ns, pick.span) < (start_ns, span)
    }

    /// The start and the duration.
    fn times(&self, stored: &Stored) -> (i64, Option<i64>) {
        let start =
            if stored.is_finalized { stored.timestamp_ms } else { stored.timestamp_ms.min(self.delta.start_ms) };
        let known = stored.execution_time_ms.map(|duration| stored.timestamp_ms.saturating_add(duration));
        let end = if stored.is_settled() && known.is_some() { known } else { known.max(self.delta.end_ms) };
        // A client that started the trace may have another clock.
        (start, end.map(|end| end.saturating_sub(start).max(0)))
    }
}

/// The sums of a trace. Those that do not follow from the stored spans are what a client said: they stay if it has
/// started the trace, or if the spans say nothing.
fn sums(stored: &Stored, evidence: &Evidence) -> Sums {
    let known = Sums { tokens: stored.tokens, costs: stored.costs };
    let Some(after) = evidence.after else { return known };
    Sums {
        tokens: settle(stored.is_finalized, known.tokens, evidence.before.tokens, after.tokens),
        costs: settle(stored.is_finalized, known.costs, evidence.before.costs, after.costs),
    }
}

/// Which of the sums before and after a batch counts.
fn settle<T: PartialEq + Copy, const N: usize>(
    is_finalized: bool,
    known: [Option<T>; N],
    before: [Option<T>; N],
    after: [Option<T>; N],
) -> [Option<T>; N] {
    let is_known = known.iter().any(Option::is_some);
    let is_found = after.iter().any(Option::is_some);
    let is_claimed = is_known && known != before;
    if is_claimed && (is_finalized || !is_found) { known } else { after }
}
