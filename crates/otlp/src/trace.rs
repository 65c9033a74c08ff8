//! What a request adds to a trace. Increments of one trace can be merged in any order, in any grouping and repeatedly:
//! each part is a minimum or maximum by a total order.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    message::SpanId,
    usage::{Cost, Node, Usage, total_cost, total_usage},
};

/// A value of a trace that several spans may have. The one of the span that starts first counts, then that of the
/// smaller id; of two versions of a span, that of the one that ends later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick<T> {
    /// 0 if the value goes before those of spans with a higher number.
    pub rank: u8,
    /// The start of the span in nanoseconds.
    pub start_ns: u64,
    /// The span.
    pub span: SpanId,
    /// Its end in nanoseconds.
    pub end_ns: u64,
    /// The value.
    pub value: T,
}

impl<T: Ord> Pick<T> {
    fn is_better(&self, other: &Self) -> bool {
        let place = |pick: &Self| (pick.rank, pick.start_ns, pick.span);
        let version = |pick: &Self| pick.end_ns;
        place(self)
            .cmp(&place(other))
            .then_with(|| version(other).cmp(&version(self)))
            .then_with(|| other.value.cmp(&self.value))
            .is_lt()
    }

    fn merge(known: &mut Option<Self>, other: Option<Self>) {
        if let Some(other) = other
            && known.as_ref().is_none_or(|known| other.is_better(known))
        {
            *known = Some(other);
        }
    }
}

/// What a root span says about its trace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// Whether the trace failed; otherwise its state is `OK`.
    pub is_error: bool,
    /// The preview of the inputs.
    pub request_preview: Option<String>,
    /// The preview of the outputs.
    pub response_preview: Option<String>,
}

/// What spans say about their trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceDelta {
    /// The start of the first span in milliseconds.
    pub start_ms: i64,
    /// The end of the last one, if any has ended.
    pub end_ms: Option<i64>,
    /// The root span; without one the trace is in progress.
    pub root: Option<Pick<Root>>,
    /// The name that the client gave the trace.
    pub name: Option<Pick<String>>,
    /// The session.
    pub session: Option<Pick<String>>,
    /// The user, for the metadata `mlflow.trace.user`.
    pub user: Option<Pick<String>>,
    /// Tags: those of a root span (rank 0) go before attributes of resources (rank 1).
    pub tags: BTreeMap<String, Pick<String>>,
    /// The spans with their usage and cost.
    pub nodes: BTreeMap<SpanId, Node>,
}

impl TraceDelta {
    /// What a trace without spans would be.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            start_ms: i64::MAX,
            end_ms: None,
            root: None,
            name: None,
            session: None,
            user: None,
            tags: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Adds another increment of the same trace.
    pub fn merge(&mut self, other: Self) {
        self.start_ms = self.start_ms.min(other.start_ms);
        self.end_ms = self.end_ms.max(other.end_ms);
        Pick::merge(&mut self.root, other.root);
        Pick::merge(&mut self.name, other.name);
        Pick::merge(&mut self.session, other.session);
        Pick::merge(&mut self.user, other.user);
        for (key, tag) in other.tags {
            self.tag(key, tag);
        }
        for (span, node) in other.nodes {
            self.node(span, node);
        }
    }

    pub(crate) fn tag(&mut self, key: String, tag: Pick<String>) {
        match self.tags.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(tag)),
            Entry::Occupied(mut entry) if tag.is_better(entry.get()) => drop(entry.insert(tag)),
            Entry::Occupied(_) => {}
        }
    }

    /// Adds a span, such as one that was stored before.
    pub fn node(&mut self, span: SpanId, node: Node) {
        match self.nodes.entry(span) {
            Entry::Vacant(entry) => drop(entry.insert(node)),
            Entry::Occupied(mut entry) => entry.get_mut().merge(node),
        }
    }

    /// The duration in milliseconds, if any span has ended.
    #[must_use]
    pub fn duration_ms(&self) -> Option<i64> {
        Some(self.end_ms?.saturating_sub(self.start_ms))
    }

    /// The state of the trace.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match &self.root {
            None => "IN_PROGRESS",
            Some(root) if root.value.is_error => "ERROR",
            Some(_) => "OK",
        }
    }

    /// The usage of the spans that are known.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        total_usage(&self.nodes)
    }

    /// The cost of the spans that are known.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        total_cost(&self.nodes)
    }
}
