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
        models: &["langfuse.observation.model.name", "langfuse.observation.model"],
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
    let read = count(["cache_read_input_tokens", "input_cached_tokens", "input_cache_read"]);
    let written = count(["cache_creation_input_tokens", "input_cache_creation", "input_cache_write"]);
    // Langfuse counts the tokens of the cache beside the input, `OpenAI` and MLflow in it.
    let beside = details.get("input").and_then(Json::int);
    let input = beside
        .map(|input| input.saturating_add(read.unwrap_or(0)).saturating_add(written.unwrap_or(0)))
        .or_else(|| count(["prompt_tokens", "input_tokens", "promptTokens"]));
    let output = count(["output", "completion_tokens", "output_tokens"]);
    complete(input, output, count(["total", "total_tokens", "totalTokens"]), || (read, written))
}

fn cost(attributes: &Attributes<'_>) -> Option<Cost> {
    let text = attributes.text(attributes.find("langfuse.observation.cost_details")?);
    let details = Json::parse(&text)?;
    let amount = |name: &str| details.get(name)?.float();
    priced(amount("input"), amount("output"), amount("total"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AnyValue, KeyValue, TraceId};

    #[test]
    fn tokens_of_the_cache_are_input() {
        for (details, expected) in [
            (
                r#"{"input": 5, "output": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 1}"#,
                [Some(9), Some(2), Some(11), Some(3), Some(1), None],
            ),
            (
                r#"{"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "input_cached_tokens": 3}"#,
                [Some(5), Some(2), Some(7), Some(3), None, None],
            ),
        ] {
            let value = AnyValue::Text(details.into());
            let pairs = [KeyValue { key: "langfuse.observation.usage_details".into(), value }];
            assert_eq!(usage(&Attributes::new(&pairs, TraceId(1))), Some(Usage(expected)), "{details}");
        }
    }
}
