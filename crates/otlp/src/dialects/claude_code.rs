//! [Claude Code](https://code.claude.com/docs/en/monitoring-usage): the kind of a span is its name, with or without the
//! prefix; content that the user does not share is `<REDACTED>`.

use super::{Dialect, complete};
use crate::{
    attributes::{Attributes, Found},
    json::Json,
    message::{AnyValue, Event},
    text,
    usage::Usage,
};

pub(super) const DIALECT: Dialect = Dialect {
    types: &[("interaction", "AGENT"), ("llm_request", "LLM"), ("tool", "TOOL")],
    span_type: Some(|attributes| kind(attributes).and_then(|kind| DIALECT.type_of(kind.name()))),
    usage: Some(usage),
    input: Some(|attributes| input(attributes)),
    output: Some(|attributes| match kind(attributes)? {
        Kind::Request => content(attributes, "response.model_output").map(Found::At),
        Kind::Tool => content(attributes, "new_context").map(Found::At),
        Kind::Interaction => None,
    }),
    event_output: Some(event_output),
    ..Dialect::NONE
};

const REDACTED: &str = "<REDACTED>";

/// What is known of a tool if its input is not shared.
const DETAILS: [&str; 4] = ["full_command", "file_path", "skill_name", "subagent_type"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Interaction,
    Request,
    Tool,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Interaction => "interaction",
            Self::Request => "llm_request",
            Self::Tool => "tool",
        }
    }
}

fn kind(attributes: &Attributes<'_>) -> Option<Kind> {
    let found = attributes.string_of("span.type")?;
    let name = found.strip_prefix("claude_code.").unwrap_or(&found);
    [Kind::Interaction, Kind::Request, Kind::Tool].into_iter().find(|kind| kind.name() == name)
}

/// The input tokens include those of the cache, as with other clients.
fn usage(attributes: &Attributes<'_>) -> Option<Usage> {
    if kind(attributes)? != Kind::Request {
        return None;
    }
    let read = attributes.count("cache_read_tokens");
    let written = attributes.count("cache_creation_tokens");
    let input = attributes
        .count("input_tokens")
        .map(|input| input.saturating_add(read.unwrap_or(0)).saturating_add(written.unwrap_or(0)));
    complete(input, attributes.count("output_tokens"), None, || (read, written))
}

/// The position of content that is there and shared.
fn content(attributes: &Attributes<'_>, key: &str) -> Option<usize> {
    attributes.full(key).filter(|index| attributes.string(*index).is_none_or(|text| text != REDACTED))
}

fn input(attributes: &Attributes<'_>) -> Option<Found> {
    let found = match kind(attributes)? {
        Kind::Interaction => content(attributes, "user_prompt").or_else(|| content(attributes, "new_context")),
        Kind::Request => content(attributes, "new_context"),
        Kind::Tool => content(attributes, "tool_input"),
    };
    if found.is_some() || kind(attributes) != Some(Kind::Tool) {
        return found.map(Found::At);
    }
    let mut out = String::new();
    for key in DETAILS {
        let Some(index) = content(attributes, key) else { continue };
        out.push_str(if out.is_empty() { "{\"" } else { ", \"" });
        out.push_str(key);
        out.push_str("\": ");
        let value = attributes.text(index);
        match Json::parse(&value) {
            Some(json) => json.dump(true, &mut out),
            None => text::quoted_ascii(&value, &mut out),
        }
    }
    if out.is_empty() {
        return None;
    }
    out.push('}');
    Some(Found::Text(out))
}

/// The output of a tool is in an event.
fn event_output(events: &[Event<'_>], attributes: &Attributes<'_>) -> Option<String> {
    if kind(attributes)? != Kind::Tool {
        return None;
    }
    let outputs = events.iter().filter(|event| event.name == "tool.output");
    outputs.flat_map(|event| ["output", "content", "diff"].map(|key| event.get(key))).flatten().find_map(shared)
}

fn shared(value: &AnyValue<'_>) -> Option<String> {
    let mut out = String::new();
    match value {
        AnyValue::Text(text) => match Json::parse(text) {
            Some(json) if !json.is_truthy() || json.text() == Some(REDACTED) => return None,
            Some(json) => json.dump(false, &mut out),
            None if text.is_empty() || text == REDACTED => return None,
            None => text::quoted(text, &mut out),
        },
        other if !other.is_truthy() => return None,
        other => text::any(other, &mut out),
    }
    Some(out)
}
