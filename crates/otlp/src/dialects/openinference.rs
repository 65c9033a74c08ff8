//! [OpenInference](https://github.com/Arize-ai/openinference): Arize Phoenix and its instrumentations.

use super::{Dialect, Key, More};

pub(super) const DIALECT: Dialect = Dialect {
    kind: "openinference.span.kind",
    types: &[
        ("TOOL", "TOOL"),
        ("CHAIN", "CHAIN"),
        ("LLM", "LLM"),
        ("RETRIEVER", "RETRIEVER"),
        ("EMBEDDING", "EMBEDDING"),
        ("AGENT", "AGENT"),
        ("RERANKER", "RERANKER"),
        ("UNKNOWN", "UNKNOWN"),
        ("GUARDRAIL", "GUARDRAIL"),
        ("EVALUATOR", "EVALUATOR"),
    ],
    tokens: [
        &["llm.token_count.prompt"],
        &["llm.token_count.completion"],
        &["llm.token_count.total"],
        &["llm.token_count.prompt_details.cache_read"],
        &["llm.token_count.prompt_details.cache_write"],
    ],
    inputs: &[Key::Is("input.value")],
    outputs: &[Key::Is("output.value")],
    models: &["llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"],
    provider: "llm.provider",
    more: More { costs: ["llm.cost.prompt", "llm.cost.completion", "llm.cost.total"], ..More::NONE },
    ..Dialect::NONE
};
