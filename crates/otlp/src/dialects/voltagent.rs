//! [VoltAgent](https://voltagent.dev/docs/observability/overview/). A child span has the `entity.type` of its agent, so
//! `span.type` comes first.

use super::{Dialect, Key, More};

pub(super) const DIALECT: Dialect = Dialect {
    types: &[("agent", "AGENT"), ("llm", "LLM"), ("tool", "TOOL"), ("memory", "MEMORY")],
    span_type: Some(|attributes| {
        let keys = ["span.type", "entity.type"];
        keys.iter().find_map(|key| DIALECT.type_of(&attributes.string_of(key)?))
    }),
    tokens: [
        &["usage.prompt_tokens", "llm.usage.prompt_tokens"],
        &["usage.completion_tokens", "llm.usage.completion_tokens"],
        &["usage.total_tokens", "llm.usage.total_tokens"],
        &[],
        &[],
    ],
    inputs: &[Key::Is("agent.messages"), Key::Is("llm.messages"), Key::Is("input")],
    outputs: &[Key::Is("output")],
    format: Some(|attributes| {
        let keys = ["voltagent.operation_id", "voltagent.conversation_id"];
        keys.iter().any(|key| attributes.has(key)).then_some("voltagent")
    }),
    more: More {
        models: &["llm.model", "ai.model.name"],
        sessions: &["voltagent.conversation_id", "conversation.id"],
        ..More::NONE
    },
    ..Dialect::NONE
};
