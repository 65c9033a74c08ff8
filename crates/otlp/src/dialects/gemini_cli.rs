//! [Gemini CLI](https://github.com/google-gemini/gemini-cli): the `gen_ai` conventions with kinds and messages of its
//! own.

use super::{Dialect, genai};
use crate::{
    attributes::{Attributes, Found},
    json::Json,
    text,
};

pub(super) const DIALECT: Dialect = Dialect {
    types: &[("llm_call", "LLM"), ("tool_call", "TOOL"), ("agent_call", "AGENT")],
    span_type: Some(|attributes| {
        is_gemini_cli(attributes).then(|| attributes.string_of(DIALECT.kind))?.and_then(|kind| DIALECT.type_of(&kind))
    }),
    input: Some(|attributes| {
        let index = is_gemini_cli(attributes).then(|| super::first_full(DIALECT.inputs, attributes))??;
        Some(wrapped_input(&attributes.text(index)).map_or(Found::At(index), Found::Text))
    }),
    output: Some(|attributes| {
        let index = is_gemini_cli(attributes).then(|| super::first_full(DIALECT.outputs, attributes))??;
        Some(wrapped_output(&attributes.text(index)).map_or(Found::At(index), Found::Text))
    }),
    format: Some(|attributes| is_gemini_cli(attributes).then_some("gemini")),
    more: super::More::NONE,
    ..genai::DIALECT
};

fn is_gemini_cli(attributes: &Attributes<'_>) -> bool {
    attributes.string_of("gen_ai.agent.name").is_some_and(|name| name == "gemini-cli")
}

/// The input in the form of Gemini's SDK, if it is a list or a string.
fn wrapped_input(value: &str) -> Option<String> {
    let decoded = Json::parse(value);
    let mut out = String::from("{\"contents\": ");
    match &decoded {
        Some(contents @ (Json::Array(_) | Json::Text(_))) => contents.dump(true, &mut out),
        Some(_) => return None,
        None => text::quoted_ascii(value, &mut out),
    }
    out.push('}');
    Some(out)
}

/// The output in the form of Gemini's SDK: one candidate with the parts of all messages.
fn wrapped_output(value: &str) -> Option<String> {
    let Some(Json::Array(items)) = Json::parse(value) else { return None };
    let parts = items.iter().filter_map(|item| item.get("parts"));
    let mut out = String::new();
    for part in parts.filter_map(|parts| if let Json::Array(parts) = parts { Some(parts) } else { None }).flatten() {
        out.push_str(if out.is_empty() {
            "{\"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": ["
        } else {
            ", "
        });
        part.dump(true, &mut out);
    }
    if out.is_empty() {
        return None;
    }
    out.push_str("]}}]}");
    Some(out)
}
