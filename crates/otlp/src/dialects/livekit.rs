//! [LiveKit Agents](https://docs.livekit.io/agents/observability/): the `gen_ai` conventions, and types that follow
//! from the names of attributes.

use super::{Dialect, Key, More, genai};
use crate::attributes::Attributes;

pub(super) const DIALECT: Dialect = Dialect {
    span_type: Some(span_type),
    inputs: &[
        Key::Is("lk.user_input"),
        Key::Is("lk.user_transcript"),
        Key::Is("lk.chat_ctx"),
        Key::Is("lk.input_text"),
    ],
    outputs: &[Key::Is("lk.response.text"), Key::Is("lk.response.function_calls")],
    // The reference reads the events of the `gen_ai` conventions here, for spans of all clients.
    event_input: Some(genai::event_input),
    event_output: Some(genai::event_output),
    format: Some(|attributes| attributes.keys().any(|(_, key)| key.starts_with("lk.")).then_some("livekit")),
    more: More::NONE,
    ..genai::DIALECT
};

fn span_type(attributes: &Attributes<'_>) -> Option<&'static str> {
    if attributes.has("gen_ai.request.model") {
        return Some("LLM");
    }
    let operation = attributes.shown("gen_ai.operation.name");
    if let Some(found) = operation.and_then(|name| DIALECT.type_of(&name.to_lowercase())) {
        return Some(found);
    }
    attributes.keys().find_map(|(_, key)| match key {
        "lk.retry_count" => Some("LLM"),
        key if key.starts_with("lk.function_tool") => Some("TOOL"),
        "lk.agent_name" | "lk.instructions" | "lk.generation_id" => Some("AGENT"),
        key if key.starts_with("lk.tts") => Some("UNKNOWN"),
        "lk.input_text" | "lk.user_transcript" | "lk.transcript_confidence" | "lk.transcription_delay" => {
            Some("UNKNOWN")
        }
        _ => None,
    })
}
