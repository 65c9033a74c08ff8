//! [Laminar](https://docs.lmnr.ai/): its own inputs and outputs, the rest by the `gen_ai` conventions.

use super::{Dialect, Key, More};

pub(super) const DIALECT: Dialect = Dialect {
    kind: "lmnr.span.type",
    types: &[
        ("LLM", "LLM"),
        ("TOOL", "TOOL"),
        ("DEFAULT", "CHAIN"),
        ("PIPELINE", "CHAIN"),
        ("EXECUTOR", "AGENT"),
        ("EVALUATOR", "EVALUATOR"),
        ("HUMAN_EVALUATOR", "EVALUATOR"),
        ("EVALUATION", "EVALUATOR"),
        ("CACHED", "LLM"),
    ],
    tokens: [&["gen_ai.usage.input_tokens"], &["gen_ai.usage.output_tokens"], &[], &[], &[]],
    inputs: &[Key::Is("lmnr.span.input")],
    outputs: &[Key::Is("lmnr.span.output")],
    models: &["gen_ai.response.model", "gen_ai.request.model"],
    provider: "gen_ai.system",
    format: Some(|attributes| attributes.has("lmnr.span.type").then_some("openai")),
    more: More {
        costs: ["gen_ai.usage.input_cost", "gen_ai.usage.output_cost", "gen_ai.usage.cost"],
        sessions: &["lmnr.association.properties.session_id"],
        users: &["lmnr.association.properties.user_id"],
        ..More::NONE
    },
    ..Dialect::NONE
};
