//! The preview of a trace's request or response: the text of the last message, or the beginning of the value.

use crate::{json::Json, limits::MAX_PREVIEW, text};

/// The preview of a value, which is a JSON text or any other. `role` is whose message is preferred.
pub(crate) fn preview(value: &str, role: &str) -> String {
    let parsed = Json::parse(value);
    let content = parsed.as_ref().and_then(|value| message(value, role)).filter(|content| !content.is_empty());
    let content = content.unwrap_or(value);
    let start = text::cut(content, MAX_PREVIEW);
    if start.len() == content.len() {
        return text::storable(content);
    }
    text::storable(text::cut(start, MAX_PREVIEW - 3)) + "..."
}

/// The text of the last message with this role, or else of the last one.
fn message<'t>(value: &'t Json<'_>, role: &str) -> Option<&'t str> {
    let messages = messages(value)?;
    let own = messages.iter().rfind(|message| message.get("role").and_then(Json::text) == Some(role));
    content(own.or(messages.last())?)
}

/// The messages in the body of a chat completion or response, or in a list of messages of the `gen_ai` conventions. The
/// reference does not look into such lists.
fn messages<'t, 'a>(value: &'t Json<'a>) -> Option<Vec<&'t Json<'a>>> {
    let is_message = |item: &Json<'_>| item.get("role").is_some() && item.get("content").is_some();
    let list = |name: &str| match value.get(name) {
        Some(Json::Array(items)) if !items.is_empty() => Some(items.iter().filter(|item| is_message(item)).collect()),
        _ => None,
    };
    match value {
        Json::Array(items) => {
            let is_message = |item: &Json<'_>| is_message(item) || item.get("parts").is_some();
            Some(items.iter().filter(|item| is_message(item)).collect())
        }
        Json::Object(_) => list("messages").or_else(|| {
            if let Some(Json::Array(choices)) = value.get("choices")
                && let Some(message) = choices.first().and_then(|choice| choice.get("message"))
                && is_message(message)
            {
                return Some(vec![message]);
            }
            list("input").or_else(|| list("output")).or_else(|| messages(value.get("request")?))
        }),
        _ => None,
    }
}

fn content<'t>(message: &'t Json<'_>) -> Option<&'t str> {
    let parts = match message.get("content") {
        Some(Json::Text(text)) => return Some(text),
        Some(Json::Array(parts)) => parts,
        _ => match message.get("parts")? {
            Json::Array(parts) => parts,
            _ => return None,
        },
    };
    for part in parts {
        match (part, part.get("type").and_then(Json::text)) {
            (Json::Text(text), _) => return Some(text),
            (_, Some("text" | "output_text")) => {
                return part.get("text").or_else(|| part.get("content")).and_then(Json::text);
            }
            // The reference wants a type, which some clients leave out.
            (part, None) if part.get("text").is_some() => return part.get("text").and_then(Json::text),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_of_the_role_is_shown() {
        for (value, shown) in [
            (r#""hello""#, r#""hello""#),
            ("not json", "not json"),
            (r#"{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}"#, "a"),
            (r#"{"messages": [{"role": "system", "content": "b"}]}"#, "b"),
            (
                r#"{"messages": [{"role": "user", "content": ""}]}"#,
                r#"{"messages": [{"role": "user", "content": ""}]}"#,
            ),
            (r#"{"choices": [{"message": {"role": "assistant", "content": "c"}}]}"#, "c"),
            (r#"{"input": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "d"}]}]}"#, "d"),
            (r#"{"output": [{"role": "assistant", "content": [{"type": "output_text", "text": "e"}]}]}"#, "e"),
            (r#"{"request": {"input": [{"role": "user", "content": "f"}]}}"#, "f"),
            (r#"[{"role": "user", "parts": [{"type": "text", "content": "g"}]}]"#, "g"),
            (r#"[{"role": "user", "content": "h\u0000"}]"#, "h\u{fffd}"),
            (r#"[{"role": "user", "content": [{"image": {}}, {"text": "i"}]}]"#, "i"),
            ("[1]", "[1]"),
        ] {
            assert_eq!(preview(value, "user"), shown, "{value}");
        }
    }

    #[test]
    fn long_previews_are_cut_in_characters() {
        assert_eq!(preview(&"ü".repeat(1000), "user"), "ü".repeat(1000));
        assert_eq!(preview(&"ü".repeat(1001), "user"), format!("{}...", "ü".repeat(997)));
    }
}
