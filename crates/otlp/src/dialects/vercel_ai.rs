//! [Vercel AI SDK](https://ai-sdk.dev/docs/ai-sdk-core/telemetry).

use super::{Dialect, Key, More, first_full};
use crate::{
    attributes::{Attributes, Found},
    json::Json,
    keys, text,
};

pub(super) const DIALECT: Dialect = Dialect {
    kind: "ai.operationId",
    types: &[
        ("ai.generateText", "LLM"),
        ("ai.generateText.doGenerate", "LLM"),
        ("ai.toolCall", "TOOL"),
        ("ai.streamText", "LLM"),
        ("ai.streamText.doStream", "LLM"),
        ("ai.generateObject", "LLM"),
        ("ai.generateObject.doGenerate", "LLM"),
        ("ai.streamObject", "LLM"),
        ("ai.streamObject.doStream", "LLM"),
        ("ai.embed", "EMBEDDING"),
        ("ai.embed.doEmbed", "EMBEDDING"),
        ("ai.embedMany", "EMBEDDING"),
    ],
    inputs: &[Key::Is("ai.prompt"), Key::Is("ai.toolCall.args"), Key::Is("ai.value"), Key::Is("ai.values")],
    outputs: &[
        Key::Is("ai.response.text"),
        Key::Is("ai.toolCall.result"),
        Key::Is("ai.response.object"),
        Key::Is("ai.embedding"),
        Key::Is("ai.embeddings"),
    ],
    input: Some(|attributes| {
        if !is_chat(attributes) {
            return first_full(DIALECT.inputs, attributes).map(Found::At);
        }
        // No JSON text, as in the reference.
        attributes.set(keys::FORMAT, Found::Text("vercel_ai".into()));
        unpacked(attributes, "ai.prompt.").map(Found::Text)
    }),
    output: Some(|attributes| {
        if is_chat(attributes) {
            unpacked(attributes, "ai.response.").map(Found::Text)
        } else {
            first_full(DIALECT.outputs, attributes).map(Found::At)
        }
    }),
    more: More {
        // Of embeddings. That of texts is on the span below, in the names of `gen_ai`; the span above has in some
        // releases only that of the last step.
        tokens: [&["ai.usage.tokens"], &[], &[], &[], &[]],
        models: &["ai.response.model", "ai.model.id"],
        providers: &["ai.model.provider"],
        sessions: &["ai.telemetry.metadata.sessionId"],
        users: &["ai.telemetry.metadata.userId"],
        ..More::NONE
    },
    ..Dialect::NONE
};

/// How often a string is decoded if it is JSON of a string.
const DECODINGS: u32 = 2;

fn is_chat(attributes: &Attributes<'_>) -> bool {
    let kind = attributes.string_of("ai.operationId");
    kind.is_some_and(|kind| matches!(kind.as_ref(), "ai.generateText.doGenerate" | "ai.streamText.doStream"))
}

/// The attributes with a prefix as one object.
fn unpacked(attributes: &Attributes<'_>, prefix: &str) -> Option<String> {
    let mut out = String::new();
    for (index, key) in attributes.keys() {
        let Some(name) = key.strip_prefix(prefix) else { continue };
        out.push_str(if out.is_empty() { "{" } else { ", " });
        text::quoted_ascii(name, &mut out);
        out.push_str(": ");
        let value = attributes.text(index);
        match Json::parse(&value) {
            // Definitions of tools are JSON in strings.
            Some(Json::Array(tools)) if name == "tools" => {
                out.push('[');
                for (at, tool) in tools.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    match tool {
                        Json::Text(tool) => loaded(tool, DECODINGS, &mut out),
                        tool => tool.dump(true, &mut out),
                    }
                }
                out.push(']');
            }
            _ => loaded(&value, DECODINGS, &mut out),
        }
    }
    if out.is_empty() {
        return None;
    }
    out.push('}');
    Some(out)
}

/// Writes a text, decoded if it is JSON.
fn loaded(value: &str, decodings: u32, out: &mut String) {
    match Json::parse(value) {
        Some(Json::Text(inner)) if decodings > 0 => loaded(&inner, decodings - 1, out),
        Some(json) => json.dump(true, out),
        None => text::quoted_ascii(value, out),
    }
}
