//! The conventions of instrumentations: which attributes hold what MLflow shows. A dialect is a table; what a table
//! cannot say is a function of its file. The order and the meaning of [`DIALECTS`] are the reference's. What it does
//! not read is in [`More`], which is asked only where the reference finds nothing.

mod claude_code;
mod gemini_cli;
mod genai;
mod google_adk;
mod laminar;
mod langfuse;
mod livekit;
mod openinference;
mod spring_ai;
mod traceloop;
mod vercel_ai;
mod voltagent;

use crate::{
    attributes::{Attributes, Found},
    message::Event,
    usage::{Cost, Usage},
};

/// A convention.
pub(crate) struct Dialect {
    /// The attribute with the kind of a span.
    kind: &'static str,
    /// Kinds and the types that MLflow has for them.
    types: &'static [(&'static str, &'static str)],
    /// Finds the type instead of `kind` and `types`.
    span_type: Option<fn(&Attributes<'_>) -> Option<&'static str>>,
    /// The attributes with counts of tokens: input, output, total, read from and written to the cache. The first one
    /// that is present counts.
    tokens: [&'static [&'static str]; 5],
    /// Finds the usage instead of `tokens`.
    usage: Option<fn(&Attributes<'_>) -> Option<Usage>>,
    /// The attributes with the inputs, the first one that is not empty.
    inputs: &'static [Key],
    outputs: &'static [Key],
    /// Finds the inputs instead of `inputs`, and may add attributes.
    input: Option<fn(&mut Attributes<'_>) -> Option<Found>>,
    output: Option<fn(&Attributes<'_>) -> Option<Found>>,
    /// Finds inputs in events, if no dialect finds some in attributes.
    event_input: Option<ReadEvents>,
    event_output: Option<ReadEvents>,
    models: &'static [&'static str],
    provider: &'static str,
    tools: &'static str,
    /// Finds the format of messages that the UI shall expect.
    format: Option<fn(&Attributes<'_>) -> Option<&'static str>>,
    more: More,
}

/// Reads a text of a span's events.
type ReadEvents = fn(&[Event<'_>], &Attributes<'_>) -> Option<String>;

/// The name of an attribute.
enum Key {
    Is(&'static str),
    Like(fn(&str) -> bool),
}

/// What the reference does not read.
struct More {
    /// Attributes that only spans of this type have.
    types: &'static [(&'static str, &'static str)],
    tokens: [&'static [&'static str]; 5],
    usage: Option<fn(&Attributes<'_>) -> Option<Usage>>,
    models: &'static [&'static str],
    providers: &'static [&'static str],
    /// Attributes with the cost of the input, the output and both.
    costs: [&'static str; 3],
    cost: Option<fn(&Attributes<'_>) -> Option<Cost>>,
    sessions: &'static [&'static str],
    users: &'static [&'static str],
}

impl More {
    const NONE: Self = Self {
        types: &[],
        tokens: [&[]; 5],
        usage: None,
        models: &[],
        providers: &[],
        costs: [""; 3],
        cost: None,
        sessions: &[],
        users: &[],
    };
}

impl Dialect {
    const NONE: Self = Self {
        kind: "",
        types: &[],
        span_type: None,
        tokens: [&[]; 5],
        usage: None,
        inputs: &[],
        outputs: &[],
        input: None,
        output: None,
        event_input: None,
        event_output: None,
        models: &[],
        provider: "",
        tools: "",
        format: None,
        more: More::NONE,
    };

    /// The attribute with the kind, and the types of kinds.
    const fn kinds(&self) -> Kinds {
        (self.kind, self.types)
    }

    /// The type of a kind.
    fn type_of(&self, kind: &str) -> Option<&'static str> {
        self.types.iter().find(|(name, _)| *name == kind).map(|(_, found)| *found)
    }
}

/// An attribute with the kind of a span, and the types that MLflow has for its values.
pub(crate) type Kinds = (&'static str, &'static [(&'static str, &'static str)]);

/// The kinds of conventions by which older spans get a type when they are archived.
pub(crate) mod kinds {
    use super::{Kinds, gemini_cli, genai, laminar, langfuse, openinference, traceloop, vercel_ai, voltagent};

    pub(crate) const OPEN_INFERENCE: Kinds = openinference::DIALECT.kinds();
    pub(crate) const GEN_AI: Kinds = genai::DIALECT.kinds();
    /// In the attribute of [`GEN_AI`].
    pub(crate) const GEMINI_CLI: Kinds = (GEN_AI.0, gemini_cli::DIALECT.kinds().1);
    pub(crate) const TRACELOOP: Kinds = traceloop::DIALECT.kinds();
    pub(crate) const VERCEL: Kinds = vercel_ai::DIALECT.kinds();
    /// In either attribute.
    pub(crate) const VOLT_AGENT: [Kinds; 2] =
        [("span.type", voltagent::DIALECT.kinds().1), ("entity.type", voltagent::DIALECT.kinds().1)];
    pub(crate) const LAMINAR: Kinds = laminar::DIALECT.kinds();
    pub(crate) const LANGFUSE: Kinds = langfuse::DIALECT.kinds();
}

/// The conventions in the order in which they are asked.
static DIALECTS: [Dialect; 12] = [
    openinference::DIALECT,
    gemini_cli::DIALECT,
    claude_code::DIALECT,
    genai::DIALECT,
    spring_ai::DIALECT,
    traceloop::DIALECT,
    google_adk::DIALECT,
    vercel_ai::DIALECT,
    voltagent::DIALECT,
    livekit::DIALECT,
    laminar::DIALECT,
    langfuse::DIALECT,
];

/// The conventions with events, in the order in which they are asked.
static WITH_EVENTS: [&Dialect; 3] = [&DIALECTS[4], &DIALECTS[9], &DIALECTS[2]];

/// The type of a span.
pub(crate) fn span_type(attributes: &Attributes<'_>) -> Option<&'static str> {
    let find = |dialect: &Dialect| match dialect.span_type {
        Some(find) => find(attributes),
        None => dialect.type_of(&attributes.string_of(dialect.kind)?),
    };
    let more =
        |dialect: &Dialect| dialect.more.types.iter().find(|(key, _)| attributes.has(key)).map(|(_, found)| *found);
    DIALECTS.iter().find_map(find).or_else(|| DIALECTS.iter().find_map(more))
}

/// The inputs of a span.
pub(crate) fn inputs(attributes: &mut Attributes<'_>, events: &[Event<'_>]) -> Option<Found> {
    for dialect in &DIALECTS {
        let found = match dialect.input {
            Some(find) => find(attributes),
            None => first_full(dialect.inputs, attributes).map(Found::At),
        };
        if found.is_some() {
            return found;
        }
    }
    in_events(events, attributes, |dialect| dialect.event_input)
}

/// The outputs of a span.
pub(crate) fn outputs(attributes: &Attributes<'_>, events: &[Event<'_>]) -> Option<Found> {
    let find = |dialect: &Dialect| match dialect.output {
        Some(find) => find(attributes),
        None => first_full(dialect.outputs, attributes).map(Found::At),
    };
    DIALECTS.iter().find_map(find).or_else(|| in_events(events, attributes, |dialect| dialect.event_output))
}

fn in_events(
    events: &[Event<'_>],
    attributes: &Attributes<'_>,
    read: fn(&Dialect) -> Option<ReadEvents>,
) -> Option<Found> {
    if events.is_empty() {
        return None;
    }
    WITH_EVENTS.iter().find_map(|dialect| read(dialect)?(events, attributes)).map(Found::Text)
}

fn first_full(keys: &[Key], attributes: &Attributes<'_>) -> Option<usize> {
    keys.iter().find_map(|key| match key {
        Key::Is(key) => attributes.full(key),
        Key::Like(matches) => {
            attributes.keys().find(|(index, key)| matches(key) && attributes.is_full(*index)).map(|(index, _)| index)
        }
    })
}

/// The token usage of a span.
pub(crate) fn usage(attributes: &Attributes<'_>) -> Option<Usage> {
    let find = |dialect: &Dialect| match dialect.usage {
        Some(find) => find(attributes),
        None => usage_of(attributes, &dialect.tokens),
    };
    let more = |dialect: &Dialect| match dialect.more.usage {
        Some(find) => find(attributes),
        None => usage_of(attributes, &dialect.more.tokens),
    };
    DIALECTS.iter().find_map(find).or_else(|| DIALECTS.iter().find_map(more))
}

fn usage_of(attributes: &Attributes<'_>, tokens: &[&[&str]; 5]) -> Option<Usage> {
    let count = |keys: &[&str]| attributes.count(keys.iter().find(|key| attributes.has(key))?);
    let [input, output, total, read, written] = tokens;
    complete(count(input), count(output), count(total), || (count(read), count(written)))
}

/// A usage with its total, if there is any count.
fn complete(
    input: Option<i64>,
    output: Option<i64>,
    total: Option<i64>,
    cache: impl FnOnce() -> (Option<i64>, Option<i64>),
) -> Option<Usage> {
    let total = total.or_else(|| input?.checked_add(output?));
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    let (read, written) = cache();
    Some(Usage([input, output, total, read, written, None]))
}

/// The name of the model.
pub(crate) fn model(attributes: &Attributes<'_>) -> Option<usize> {
    DIALECTS.iter().find_map(|dialect| attributes.first_full(dialect.models))
}

/// The name of the model where the reference does not look.
pub(crate) fn more_model(attributes: &Attributes<'_>) -> Option<usize> {
    DIALECTS.iter().find_map(|dialect| attributes.first_full(dialect.more.models))
}

/// The name of the model's provider.
pub(crate) fn provider(attributes: &Attributes<'_>) -> Option<usize> {
    let more = || DIALECTS.iter().find_map(|dialect| attributes.first_full(dialect.more.providers));
    DIALECTS.iter().find_map(|dialect| attributes.full(dialect.provider)).or_else(more)
}

/// The definitions of tools.
pub(crate) fn tools(attributes: &Attributes<'_>) -> Option<usize> {
    DIALECTS.iter().find_map(|dialect| attributes.full(dialect.tools))
}

/// The format of messages.
pub(crate) fn format(attributes: &Attributes<'_>) -> Option<&'static str> {
    DIALECTS.iter().find_map(|dialect| dialect.format?(attributes))
}

/// The cost that the client computed.
pub(crate) fn cost(attributes: &Attributes<'_>) -> Option<Cost> {
    DIALECTS.iter().find_map(|dialect| {
        if let Some(find) = dialect.more.cost {
            return find(attributes);
        }
        let [input, output, total] = dialect.more.costs.map(|key| attributes.number(key));
        priced(input, output, total)
    })
}

/// A cost with its total, if there is any amount.
fn priced(input: Option<f64>, output: Option<f64>, total: Option<f64>) -> Option<Cost> {
    let total = total.or_else(|| Some(input? + output?));
    let cost = [input, output, total].map(|amount| amount.filter(|amount| amount.is_finite()));
    cost.iter().any(Option::is_some).then_some(Cost(cost))
}

/// The session of a span, where the reference does not look.
pub(crate) fn session(attributes: &Attributes<'_>) -> Option<usize> {
    DIALECTS.iter().find_map(|dialect| attributes.first_full(dialect.more.sessions))
}

/// The user of a span, where the reference does not look.
pub(crate) fn user(attributes: &Attributes<'_>) -> Option<usize> {
    DIALECTS.iter().find_map(|dialect| attributes.first_full(dialect.more.users))
}
