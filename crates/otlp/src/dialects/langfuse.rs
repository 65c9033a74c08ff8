//! [Langfuse](https://langfuse.com/integrations/native/opentelemetry): observations as spans. Usage and cost are JSON
//! objects, which the reference does not read.

use super::{Dialect, Key, More, complete, priced};
use crate::{
    attributes::Attributes,
    json::Json,
    usage::{Cost, Usage},
};

pub(super) const DIALECT: Dialect = Dialect {
    kind: "langfuse.observation.type",
    types: &[
        ("generation", "LLM"),
        ("embedding", "EMBEDDING"),
        ("tool", "TOOL"),
        ("retriever", "RETRIEVER"),
        ("agent", "AGENT"),
        ("chain", "CHAIN"),
        ("evaluator", "EVALUATOR"),
        ("guardrail", "GUARDRAIL"),
        ("span", "UNKNOWN"),
    ],
    inputs: &[Key::Is("langfuse.observation.input")],
    outputs: &[Key::Is("langfuse.observation.output")],
    more: More {
        usage: Some(usage),
        models: &["langfuse.observation.model.name"],
        cost: Some(cost),
        sessions: &["langfuse.session.id"],
        users: &["langfuse.user.id"],
        ..More::NONE
    },
    ..Dialect::NONE
};

fn usage(attributes: &Attributes<'_>) -> Option<Usage> {
    let text = attributes.text(attributes.find("langfuse.observation.usage_details")?);
    let details = Json::parse(&text)?;
    let count = |names: [&str; 3]| names.iter().find_map(|name| details.get(name)?.int());
    complete(
        count(["input", "prompt_tokens", "input_tokens"]),
        count(["output", "completion_tokens", "output_tokens"]),
        count(["total", "total_tokens", "total_tokens"]),
        || {
            (
                count(["input_cached_tokens", "cache_read_input_tokens", "input_cache_read"]),
                count(["cache_creation_input_tokens", "input_cache_creation", "input_cache_creation"]),
            )
        },
    )
}

fn cost(attributes: &Attributes<'_>) -> Option<Cost> {
    let text = attributes.text(attributes.find("langfuse.observation.cost_details")?);
    let details = Json::parse(&text)?;
    let amount = |name: &str| details.get(name)?.float();
    priced(amount("input"), amount("output"), amount("total"))
}
