//! [Conventions for generative AI](https://opentelemetry.io/docs/specs/semconv/gen-ai/) of OpenTelemetry, with messages
//! in attributes or in events.

use super::{Dialect, Key, More};
use crate::{
    attributes::Attributes,
    json::Json,
    message::{AnyValue, Event},
    text,
};

pub(super) const DIALECT: Dialect = Dialect {
    kind: "gen_ai.operation.name",
    types: &[
        ("chat", "CHAT_MODEL"),
        ("create_agent", "AGENT"),
        ("embeddings", "EMBEDDING"),
        ("execute_tool", "TOOL"),
        ("generate_content", "LLM"),
        ("invoke_agent", "AGENT"),
        ("text_completion", "LLM"),
        ("response", "LLM"),
    ],
    tokens: [
        &["gen_ai.usage.input_tokens"],
        &["gen_ai.usage.output_tokens"],
        &[],
        &["gen_ai.usage.cache_read.input_tokens"],
        &["gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"],
    ],
    inputs: &[Key::Is("gen_ai.input.messages"), Key::Is("gen_ai.tool.call.arguments")],
    outputs: &[Key::Is("gen_ai.output.messages"), Key::Is("gen_ai.tool.call.result")],
    models: &["gen_ai.response.model", "gen_ai.request.model"],
    provider: "gen_ai.provider.name",
    tools: "gen_ai.tool.definitions",
    more: More {
        types: &[("gen_ai.tool.name", "TOOL"), ("gen_ai.tool.call.id", "TOOL")],
        users: &["enduser.id"],
        ..More::NONE
    },
    ..Dialect::NONE
};

/// The event with all messages of a call.
const DETAILS: &str = "gen_ai.client.inference.operation.details";

/// The messages that a model was sent, as a JSON list.
pub(super) fn event_input(events: &[Event<'_>], _: &Attributes<'_>) -> Option<String> {
    let mut list = String::new();
    for event in events {
        let role = match event.name.as_ref() {
            "gen_ai.system.message" => "system",
            "gen_ai.user.message" => "user",
            "gen_ai.assistant.message" => "assistant",
            // The reference does not read it.
            "gen_ai.tool.message" => "tool",
            _ => continue,
        };
        if let Some(content) = full(event, "content") {
            message(&mut list, &AnyValue::Text(role.into()), content);
        }
    }
    finish(list).or_else(|| details(events, "gen_ai.input.messages"))
}

/// The messages that a model answered, as a JSON list.
pub(super) fn event_output(events: &[Event<'_>], _: &Attributes<'_>) -> Option<String> {
    let mut list = String::new();
    for event in events.iter().filter(|event| event.name == "gen_ai.choice") {
        // Some clients send `message`, which the reference does not read.
        let Some(content) = full(event, "content").or_else(|| full(event, "message")) else { continue };
        let assistant = AnyValue::Text("assistant".into());
        message(&mut list, event.get("role").unwrap_or(&assistant), content);
    }
    finish(list).or_else(|| details(events, "gen_ai.output.messages"))
}

fn full<'e, 'a>(event: &'e Event<'a>, key: &str) -> Option<&'e AnyValue<'a>> {
    event.get(key).filter(|value| value.is_truthy())
}

/// The messages in the event with the details.
fn details(events: &[Event<'_>], key: &str) -> Option<String> {
    let value = events.iter().filter(|event| event.name == DETAILS).find_map(|event| full(event, key))?;
    let mut out = String::new();
    decoded(value, &mut out);
    Some(out)
}

fn message(list: &mut String, role: &AnyValue<'_>, content: &AnyValue<'_>) {
    list.push_str(if list.is_empty() { "[{\"role\": " } else { ", {\"role\": " });
    decoded(role, list);
    list.push_str(", \"content\": ");
    decoded(content, list);
    list.push('}');
}

fn finish(mut list: String) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    list.push(']');
    Some(list)
}

/// Writes a value, a string decoded if it is JSON.
fn decoded(value: &AnyValue<'_>, out: &mut String) {
    match value {
        AnyValue::Text(text) => match Json::parse(text) {
            Some(json) => json.dump(true, out),
            None => text::quoted_ascii(text, out),
        },
        other => {
            let mut inner = String::new();
            text::any(other, &mut inner);
            match Json::parse(&inner) {
                Some(json) => json.dump(true, out),
                None => out.push_str(&inner),
            }
        }
    }
}
