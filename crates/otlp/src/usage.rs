//! Token usage and cost of a span, and their sum over the spans of a trace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{json::Json, keys, message::SpanId, text};

/// The names of the counts, in the order of their columns.
pub const TOKENS: [&str; 6] = [
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];

/// The names of the costs, in the order of their columns.
pub const COSTS: [&str; 3] = ["input_cost", "output_cost", "total_cost"];

/// Counts of tokens, in the order of [`TOKENS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Usage(pub [Option<i64>; 6]);

/// Costs in USD, in the order of [`COSTS`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost(pub [Option<f64>; 3]);

impl Usage {
    /// Reads the value of `mlflow.chat.tokenUsage`; `None` if it is no object.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Json::parse(text).and_then(|value| Self::of(&value))
    }

    pub(crate) fn of(value: &Json<'_>) -> Option<Self> {
        let Json::Object(_) = value else { return None };
        Some(Self(TOKENS.map(|name| value.get(name).and_then(count))))
    }

    /// The value of `mlflow.chat.tokenUsage`.
    pub(crate) fn json(self) -> String {
        let mut out = String::from("{");
        for (name, count) in TOKENS.iter().zip(self.0) {
            if let Some(count) = count {
                let _ = write!(out, "{}\"{name}\": {count}", if out.len() > 1 { ", " } else { "" });
            }
        }
        out.push('}');
        out
    }
}

/// A count: an integer, or a float without a fraction.
fn count(value: &Json<'_>) -> Option<i64> {
    value.int().or_else(|| {
        let float = value.float().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is small")]
        Some(float as i64)
    })
}

impl Cost {
    /// Reads the value of `mlflow.llm.cost`; `None` if it is no object.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Json::parse(text).and_then(|value| Self::of(&value))
    }

    pub(crate) fn of(value: &Json<'_>) -> Option<Self> {
        let Json::Object(_) = value else { return None };
        Some(Self(COSTS.map(|name| value.get(name)?.float().filter(|cost| cost.is_finite()))))
    }

    /// The value of `mlflow.llm.cost`.
    pub(crate) fn json(self) -> String {
        let mut out = String::from("{");
        for (name, cost) in COSTS.iter().zip(self.0) {
            if let Some(cost) = cost {
                let _ = write!(out, "{}\"{name}\": ", if out.len() > 1 { ", " } else { "" });
                text::float(cost, &mut out);
            }
        }
        out.push('}');
        out
    }

    /// The bits of the costs, which have a total order.
    fn bits(self) -> [Option<u64>; 3] {
        self.0.map(|cost| cost.map(f64::to_bits))
    }
}

/// What a span adds to the sums of its trace. Small, because a trace may have many spans, of which few have usage or a cost.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// The end of the span in nanoseconds, 0 if it has not ended: of two versions of a span, the later one counts.
    pub end_ns: u64,
    /// The span above.
    pub parent: Option<SpanId>,
    /// Its usage and its cost, if it has one of them.
    sums: Option<Box<(Option<Usage>, Option<Cost>)>>,
}

impl Node {
    /// The node of a span. Usage is `Some` even if it has no count, and the cost even if it has no amount.
    #[must_use]
    pub fn new(end_ns: u64, parent: Option<SpanId>, usage: Option<Usage>, cost: Option<Cost>) -> Self {
        let has_some = usage.is_some() || cost.is_some();
        Self { end_ns, parent, sums: has_some.then(|| Box::new((usage, cost))) }
    }

    /// Reads the node of a stored span from its columns and content.
    #[must_use]
    pub fn stored(parent: Option<SpanId>, end_ns: u64, content: &str) -> Self {
        let bare = Self::new(end_ns, parent, None, None);
        // Most spans have neither.
        if !content.contains(keys::USAGE) && !content.contains(keys::COST) {
            return bare;
        }
        let Some(span) = Json::parse(content) else { return bare };
        let Some(attributes) = span.get("attributes") else { return bare };
        let usage = match attributes.get(keys::USAGE) {
            Some(Json::Text(text)) => Usage::parse(text),
            other => other.and_then(Usage::of),
        };
        let cost = match attributes.get(keys::COST) {
            Some(Json::Text(text)) => Cost::parse(text),
            other => other.and_then(Cost::of),
        };
        Self::new(end_ns, parent, usage, cost)
    }

    /// The usage; `None` if the span has none.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.sums.as_ref().and_then(|sums| sums.0)
    }

    /// The cost; `None` if the span has none.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        self.sums.as_ref().and_then(|sums| sums.1)
    }

    /// A total order of the versions of a span.
    fn rank(&self) -> impl Ord {
        (self.end_ns, self.parent, self.usage(), self.cost().map(Cost::bits))
    }

    /// Replaces this version of a span by another one if that one counts.
    pub(crate) fn merge(&mut self, other: Self) {
        if other.rank() > self.rank() {
            *self = other;
        }
    }
}

/// The usage of a trace. A span whose ancestors have usage is not counted, because some clients set the sum of the
/// children on the parent.
#[must_use]
pub fn total_usage(nodes: &BTreeMap<SpanId, Node>) -> Option<Usage> {
    let mut sums = [Some(0_i128), Some(0), Some(0), None, None, None];
    let mut found = false;
    for id in counted(nodes, |node| node.usage().is_some()) {
        let Some(usage) = nodes[&id].usage() else { continue };
        found = true;
        for (sum, count) in sums.iter_mut().zip(usage.0) {
            if let Some(count) = count {
                *sum = Some(sum.unwrap_or_default() + i128::from(count));
            }
        }
    }
    found.then(|| Usage(sums.map(|sum| sum.and_then(|sum| i64::try_from(sum).ok()))))
}

/// The cost of a trace, by the rule of [`total_usage`]. It is added up in the order of the span ids, so that the sum is
/// the same whatever arrived first.
#[must_use]
pub fn total_cost(nodes: &BTreeMap<SpanId, Node>) -> Option<Cost> {
    let mut sums = [0.0; 3];
    let mut found = false;
    for id in counted(nodes, |node| node.cost().is_some()) {
        let Some(cost) = nodes[&id].cost() else { continue };
        found = true;
        for (sum, cost) in sums.iter_mut().zip(cost.0) {
            *sum += cost.unwrap_or_default();
        }
    }
    found.then(|| Cost(sums.map(|sum: f64| Some(sum).filter(|sum| sum.is_finite()))))
}

/// The spans that have data while none of their ancestors has. A loop of parents is cut at its lowest id.
fn counted(nodes: &BTreeMap<SpanId, Node>, has: fn(&Node) -> bool) -> BTreeSet<SpanId> {
    let mut children: BTreeMap<SpanId, Vec<SpanId>> = BTreeMap::new();
    let mut stack = Vec::new();
    for (id, node) in nodes {
        match node.parent.filter(|parent| nodes.contains_key(parent)) {
            Some(parent) => children.entry(parent).or_default().push(*id),
            None => stack.push((*id, false)),
        }
    }
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut rest = nodes.keys();
    loop {
        while let Some((id, is_below)) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            let has = has(&nodes[&id]);
            if has && !is_below {
                found.insert(id);
            }
            let below = children.get(&id).into_iter().flatten();
            stack.extend(below.map(|child| (*child, is_below || has)));
        }
        // What is left is in a loop, or below one.
        match rest.find(|id| !seen.contains(id)) {
            Some(id) => stack.push((*id, false)),
            None => return found,
        }
    }
}
