//! Translates the span types of instrumentations. The reference stores the translated type; for older spans it
//! translates when reading, and this module when archiving.

use std::borrow::Cow;

use crate::{
    dialects::{
        Kinds,
        kinds::{GEMINI_CLI, GEN_AI, LAMINAR, LANGFUSE, OPEN_INFERENCE, TRACELOOP, VERCEL, VOLT_AGENT},
    },
    json::Json,
};

/// The attribute with the span type.
const SPAN_TYPE: &str = "mlflow.spanType";

/// Without the prefix as well, which [`dialects`](crate::dialects) removes.
const CLAUDE_CODE: Kinds = (
    "span.type",
    &[
        ("claude_code.interaction", "AGENT"),
        ("claude_code.llm_request", "LLM"),
        ("claude_code.tool", "TOOL"),
        ("interaction", "AGENT"),
        ("llm_request", "LLM"),
        ("tool", "TOOL"),
    ],
);

/// Adds the translated type to the attributes of a span that has no MLflow type.
pub(super) fn translate(attributes: &mut Vec<(Cow<'_, str>, Json<'_>)>) {
    let is_set = match text_of(attributes, SPAN_TYPE) {
        Some(found) => found != "UNKNOWN",
        // A type that is not a string is a custom one.
        None => value_of(attributes, SPAN_TYPE).is_some_and(is_other_than_null),
    };
    if is_set {
        return;
    }
    let Some(found) = translated(attributes) else { return };
    let value = Json::Text(format!("\"{found}\"").into());
    match attributes.iter_mut().rfind(|(name, _)| name == SPAN_TYPE) {
        Some((_, old)) => *old = value,
        None => attributes.push((SPAN_TYPE.into(), value)),
    }
}

/// Applies the conventions in the order of the reference.
fn translated(attributes: &[(Cow<'_, str>, Json<'_>)]) -> Option<&'static str> {
    let of = |convention: &Kinds| {
        let kind = text_of(attributes, convention.0)?;
        convention.1.iter().find(|(name, _)| *name == kind).map(|(_, found)| *found)
    };
    let gemini = text_of(attributes, "gen_ai.agent.name").is_some_and(|agent| agent == "gemini-cli");
    of(&OPEN_INFERENCE)
        .or_else(|| of(&GEMINI_CLI).filter(|_| gemini))
        .or_else(|| of(&CLAUDE_CODE))
        .or_else(|| of(&GEN_AI))
        .or_else(|| of(&TRACELOOP))
        .or_else(|| of(&VERCEL))
        // The first one equals the agent's convention above, where that has the kind.
        .or_else(|| VOLT_AGENT.iter().find_map(of))
        .or_else(|| live_kit(attributes))
        .or_else(|| of(&LAMINAR))
        .or_else(|| of(&LANGFUSE))
}

/// `LiveKit` implies the type by the presence of other attributes.
fn live_kit(attributes: &[(Cow<'_, str>, Json<'_>)]) -> Option<&'static str> {
    if value_of(attributes, "gen_ai.request.model").is_some() {
        return Some("LLM");
    }
    let operation = text_of(attributes, GEN_AI.0).unwrap_or_default().to_lowercase();
    if let Some((_, found)) = GEN_AI.1.iter().find(|(name, _)| *name == operation) {
        return Some(found);
    }
    attributes.iter().find_map(|(name, _)| match &**name {
        "lk.retry_count" => Some("LLM"),
        name if name.starts_with("lk.function_tool") => Some("TOOL"),
        "lk.agent_name" | "lk.instructions" | "lk.generation_id" => Some("AGENT"),
        "lk.input_text" | "lk.user_transcript" | "lk.transcript_confidence" | "lk.transcription_delay" => {
            Some("UNKNOWN")
        }
        name if name.starts_with("lk.tts") => Some("UNKNOWN"),
        _ => None,
    })
}

fn value_of<'a, 'text>(attributes: &'a [(Cow<'text, str>, Json<'text>)], name: &str) -> Option<&'a Json<'text>> {
    attributes.iter().rfind(|(found, _)| found == name).map(|(_, value)| value)
}

fn is_other_than_null(value: &Json) -> bool {
    value.is_truthy() && value.text() != Some("null")
}

/// The text of an attribute, which is either a JSON string or plain text.
fn text_of(attributes: &[(Cow<'_, str>, Json<'_>)], name: &str) -> Option<String> {
    let text = value_of(attributes, name)?.text().filter(|text| !text.is_empty())?;
    match Json::stored(text) {
        Ok(Json::Text(found)) => Some(found.into_owned()),
        Ok(_) => None,
        Err(_) => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(pairs: &[(&str, &str)]) -> Option<String> {
        let mut attributes: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).into(), Json::Text((*value).into()))).collect();
        translate(&mut attributes);
        value_of(&attributes, SPAN_TYPE).and_then(Json::text).map(str::to_owned)
    }

    #[test]
    fn types_of_other_conventions_are_translated() {
        for (pairs, found) in [
            (&[("openinference.span.kind", "\"LLM\"")][..], Some("\"LLM\"")),
            (&[("openinference.span.kind", "RERANKER")], Some("\"RERANKER\"")),
            (&[("gen_ai.operation.name", "\"chat\"")], Some("\"CHAT_MODEL\"")),
            (&[("gen_ai.operation.name", "\"llm_call\"")], None),
            (&[("gen_ai.operation.name", "\"llm_call\""), ("gen_ai.agent.name", "\"gemini-cli\"")], Some("\"LLM\"")),
            (&[("gen_ai.operation.name", "\"CHAT\"")], Some("\"CHAT_MODEL\"")),
            (&[("span.type", "\"llm_request\"")], Some("\"LLM\"")),
            (&[("span.type", "\"memory\"")], Some("\"MEMORY\"")),
            (&[("span.type", "\"x\""), ("entity.type", "agent")], Some("\"AGENT\"")),
            (&[("lk.tts_node", "1")], Some("\"UNKNOWN\"")),
            (&[("lk.input_text", "1"), ("lk.retry_count", "1")], Some("\"UNKNOWN\"")),
            (&[("langfuse.observation.type", "\"generation\"")], Some("\"LLM\"")),
            (&[("mlflow.spanType", "\"TOOL\""), ("openinference.span.kind", "\"LLM\"")], Some("\"TOOL\"")),
            (&[("mlflow.spanType", "\"UNKNOWN\""), ("openinference.span.kind", "\"LLM\"")], Some("\"LLM\"")),
            (&[("mlflow.spanType", "null"), ("openinference.span.kind", "\"LLM\"")], Some("\"LLM\"")),
            (&[("mlflow.spanType", "{}"), ("openinference.span.kind", "\"LLM\"")], Some("{}")),
            (&[("other", "\"LLM\"")], None),
        ] {
            assert_eq!(typed(pairs).as_deref(), found, "{pairs:?}");
        }
    }
}
