//! A request as rows: its spans, and what they add to their traces.

use std::collections::{BTreeMap, HashMap};

use ferroflow_model::validation;

use crate::{
    Encoding, Limits, RequestError, SpanError,
    attributes::{Attributes, Found},
    content::content,
    decode,
    json::Json,
    keys,
    limits::{MAX_MODEL, MAX_TRACE_NAME},
    message::{AnyValue, Code, KeyValue, Span, SpanId, TraceId},
    people::{session, shown, user},
    preview::preview,
    price::Prices,
    text,
    trace::{Pick, Root, TraceDelta},
    translate::{Facts, translate},
    usage::{Cost, Node, Usage},
};

/// A row of the table of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSpan {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// The span above.
    pub parent: Option<SpanId>,
    /// The name.
    pub name: String,
    /// MLflow's type.
    pub span_type: Option<String>,
    /// `UNSET`, `OK` or `ERROR`.
    pub status: &'static str,
    /// The start in nanoseconds.
    pub start_ns: i64,
    /// The end in nanoseconds, if the span has ended.
    pub end_ns: Option<i64>,
    /// The span as JSON.
    pub content: String,
    /// The cost.
    pub cost: Option<Cost>,
    /// The token usage, which is in the content too.
    pub usage: Option<Usage>,
    /// The name of the model.
    pub model: Option<String>,
    /// The provider of the model.
    pub provider: Option<String>,
}

impl StoredSpan {
    /// Whether this version of a span replaces another one: it ends later, or at the same time with a greater content.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        (self.end_ns, &self.content) > (other.end_ns, &other.content)
    }

    /// What it adds to the sums of its trace.
    #[must_use]
    pub fn node(&self) -> Node {
        let end_ns = self.end_ns.and_then(|end| u64::try_from(end).ok()).unwrap_or_default();
        Node::new(end_ns, self.parent, self.usage, self.cost)
    }
}

/// What a request is read with.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'s> {
    /// The bounds of a request.
    pub limits: Limits,
    /// The bounds of tags.
    pub tags: validation::Limits,
    /// The prices of models; without any, only clients' costs are stored.
    pub prices: &'s Prices,
}

/// The content of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The spans in the order of the request, each once: of two versions, the one that ends later.
    pub spans: Vec<StoredSpan>,
    /// What they add to their traces.
    pub traces: BTreeMap<TraceId, TraceDelta>,
    /// The number of spans that are refused.
    pub rejected: u64,
    /// Why the first of them is refused.
    pub fault: Option<SpanError>,
}

impl Batch {
    /// Why the first refused span is refused; empty without any.
    #[must_use]
    pub fn message(&self) -> String {
        self.fault.map(|fault| fault.to_string()).unwrap_or_default()
    }

    /// Reads a request.
    ///
    /// # Errors
    /// The whole request is refused. A fault of a span is in [`Batch::fault`].
    pub fn read(body: &[u8], encoding: Encoding, settings: &Settings<'_>) -> Result<Self, RequestError> {
        let mut batch = Self::default();
        let mut positions = HashMap::new();
        decode::spans(body, encoding, &settings.limits, &mut |resource, span| {
            let added = span.and_then(|span| batch.add(resource, &span, settings, &mut positions));
            if let Err(error) = added {
                batch.rejected += 1;
                batch.fault = batch.fault.or(Some(error));
            }
        })?;
        Ok(batch)
    }

    fn add(
        &mut self,
        resource: &[KeyValue<'_>],
        span: &Span<'_>,
        settings: &Settings<'_>,
        positions: &mut HashMap<(TraceId, SpanId), usize>,
    ) -> Result<(), SpanError> {
        let (row, delta) = stored(resource, span, settings)?;
        match positions.get(&(row.trace, row.span)) {
            None => {
                positions.insert((row.trace, row.span), self.spans.len());
                self.spans.push(row);
            }
            Some(&index) => {
                let known = &mut self.spans[index];
                if row.replaces(known) {
                    *known = row;
                }
            }
        }
        self.traces.entry(span.trace).or_insert_with(TraceDelta::empty).merge(delta);
        Ok(())
    }
}

/// The row of a span, and what the span adds to its trace.
fn stored(
    resource: &[KeyValue<'_>],
    span: &Span<'_>,
    settings: &Settings<'_>,
) -> Result<(StoredSpan, TraceDelta), SpanError> {
    let start_ns = i64::try_from(span.start).map_err(|_| SpanError::Time("start_time_unix_nano"))?;
    let end_ns = i64::try_from(span.end).map_err(|_| SpanError::Time("end_time_unix_nano"))?;
    // A span without an end is in progress.
    let end_ns = Some(end_ns).filter(|end| *end != 0);
    if end_ns.is_some_and(|end| end < start_ns) {
        return Err(SpanError::EndsBeforeStart);
    }
    if span.parent == Some(span.id) {
        return Err(SpanError::OwnParent);
    }
    if span.name.contains('\0') {
        return Err(SpanError::Nul);
    }
    let mut attributes = Attributes::new(&span.attributes, span.trace);
    if span.parent.is_none()
        && let Some(service) = known_service(resource)
    {
        attributes.set(keys::SERVICE, Found::Text(format!("\"{service}\"")));
    }
    let facts = translate(&mut attributes, &span.events, settings.prices);
    let delta = delta(resource, span, &attributes, &facts, settings)?;
    let column = |key: &str| {
        let shown = attributes.shown(key)?;
        Some(text::storable(text::cut(&shown, MAX_MODEL)))
    };
    let row = StoredSpan {
        trace: span.trace,
        span: span.id,
        parent: span.parent,
        name: span.name.clone().into_owned(),
        span_type: attributes
            .shown(keys::SPAN_TYPE)
            .filter(|found| found != "null")
            .map(|found| text::storable(text::cut(&found, MAX_MODEL))),
        status: span.status.code.name(),
        start_ns,
        end_ns,
        content: content(span, &attributes, size(span)),
        cost: facts.cost,
        usage: facts.usage,
        model: column(keys::MODEL),
        provider: column(keys::PROVIDER),
    };
    Ok((row, delta))
}

/// About the size of a span's content, so that it is allocated once.
fn size(span: &Span<'_>) -> usize {
    let texts = span.attributes.iter().map(|pair| match &pair.value {
        AnyValue::Text(text) => pair.key.len() + 2 * text.len() + 16,
        _ => pair.key.len() + 40,
    });
    512 + texts.sum::<usize>() + 256 * (span.events.len() + span.links.len())
}

/// The name of the service, if the reference copies it to root spans.
fn known_service<'r>(resource: &'r [KeyValue<'_>]) -> Option<&'r str> {
    match &resource.iter().find(|pair| pair.key == keys::SERVICE)?.value {
        AnyValue::Text(name) if keys::KNOWN_SERVICES.contains(&name.as_ref()) => Some(name),
        _ => None,
    }
}

fn delta(
    resource: &[KeyValue<'_>],
    span: &Span<'_>,
    attributes: &Attributes<'_>,
    facts: &Facts,
    settings: &Settings<'_>,
) -> Result<TraceDelta, SpanError> {
    let milliseconds = |ns: u64| i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX);
    let mut delta = TraceDelta::empty();
    delta.start_ms = milliseconds(span.start);
    delta.end_ms = (span.end != 0).then(|| milliseconds(span.end));
    delta.node(span.id, Node::new(span.end, span.parent, facts.usage, facts.cost));
    delta.session = session(attributes)?.map(|value| pick(span, 0, value));
    delta.user = user(attributes).map(|value| pick(span, 0, value));
    resource_tags(resource, settings, |key, value| delta.tag(key, pick(span, 1, value)));
    if span.parent.is_none() {
        let shown = |key: &str, role: &str| Some(preview(&attributes.text(attributes.find(key)?), role));
        delta.root = Some(pick(
            span,
            0,
            Root {
                is_error: span.status.code == Code::Error,
                request_preview: shown(keys::INPUTS, "user"),
                response_preview: shown(keys::OUTPUTS, "assistant"),
            },
        ));
        root_tags(span, attributes, settings, &mut delta)?;
    }
    Ok(delta)
}

fn pick<T>(span: &Span<'_>, rank: u8, value: T) -> Pick<T> {
    Pick { rank, start_ns: span.start, span: span.id, end_ns: span.end, value }
}

/// The attributes of a resource are tags of the trace, except those of SDKs and of MLflow.
fn resource_tags(resource: &[KeyValue<'_>], settings: &Settings<'_>, mut add: impl FnMut(String, String)) {
    for (first, last) in text::distinct(resource) {
        let key = resource[first].key.as_ref();
        if key.starts_with("telemetry.sdk.") || key.starts_with("mlflow.") {
            continue;
        }
        let value = match &resource[last].value {
            AnyValue::Text(text) => text.clone().into_owned(),
            other => {
                let mut inner = String::new();
                text::any(other, &mut inner);
                let mut out = String::new();
                Json::parse(&inner).unwrap_or(Json::Null).dump(true, &mut out);
                out
            }
        };
        // A tag that is not valid is left out, as in the reference.
        if let Ok(value) = settings.tags.trace_tag(key, &text::storable(&value)) {
            add(key.to_owned(), value);
        }
    }
}

/// The tags that the SDK sends with a root span. Those that only the server writes are left out.
fn root_tags(
    span: &Span<'_>,
    attributes: &Attributes<'_>,
    settings: &Settings<'_>,
    delta: &mut TraceDelta,
) -> Result<(), SpanError> {
    for (index, key) in attributes.keys() {
        let Some(key) = key.strip_prefix(keys::TAG_PREFIX) else { continue };
        if keys::SYSTEM_TAGS.contains(&key) {
            continue;
        }
        let value = text::storable(&shown(attributes, index));
        let Ok(value) = settings.tags.trace_tag(key, &value) else { continue };
        if key != keys::TRACE_NAME {
            delta.tag(key.to_owned(), pick(span, 0, value));
        } else if value.chars().count() > MAX_TRACE_NAME {
            return Err(SpanError::TraceName);
        } else {
            delta.name = Some(pick(span, 0, value));
        }
    }
    Ok(())
}
