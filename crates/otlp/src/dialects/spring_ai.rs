//! [Spring AI](https://docs.spring.io/spring-ai/reference/observability/): the `gen_ai` conventions with content in
//! events.

use super::{Dialect, More};
use crate::{
    message::{AnyValue, Event},
    text,
};

pub(super) const DIALECT: Dialect = Dialect {
    kind: "gen_ai.operation.name",
    types: &[("chat", "CHAT_MODEL"), ("embeddings", "EMBEDDING")],
    tokens: [&["gen_ai.usage.input_tokens"], &["gen_ai.usage.output_tokens"], &[], &[], &[]],
    event_input: Some(|events, _| value(events, "gen_ai.content.prompt", "gen_ai.prompt")),
    event_output: Some(|events, _| value(events, "gen_ai.content.completion", "gen_ai.completion")),
    more: More { sessions: &["spring.ai.chat.client.conversation.id"], ..More::NONE },
    ..Dialect::NONE
};

/// An attribute of the first event that has it. A string is the text, as in the reference.
fn value(events: &[Event<'_>], name: &str, key: &str) -> Option<String> {
    let values = events.iter().filter(|event| event.name == name).filter_map(|event| event.get(key));
    match values.into_iter().find(|value| value.is_truthy())? {
        AnyValue::Text(text) => Some(text.clone().into_owned()),
        other => {
            let mut out = String::new();
            text::any(other, &mut out);
            Some(out)
        }
    }
}
