//! [OpenLLMetry](https://github.com/traceloop/openllmetry) of Traceloop.

use super::{Dialect, Key, More};

pub(super) const DIALECT: Dialect = Dialect {
    kind: "traceloop.span.kind",
    types: &[("workflow", "WORKFLOW"), ("task", "TASK"), ("agent", "AGENT"), ("tool", "TOOL"), ("unknown", "UNKNOWN")],
    tokens: [
        &["gen_ai.usage.prompt_tokens"],
        &["gen_ai.usage.completion_tokens"],
        &["llm.usage.total_tokens"],
        &[],
        &[],
    ],
    inputs: &[
        Key::Is("traceloop.entity.input"),
        Key::Like(|key| numbered(key, "gen_ai.prompt.", ".content").is_some()),
        Key::Like(|key| {
            numbered(key, "gen_ai.completion.", ".tool_calls.")
                .is_some_and(|rest| numbered(rest, "", ".arguments").is_some())
        }),
    ],
    outputs: &[
        Key::Is("traceloop.entity.output"),
        Key::Like(|key| numbered(key, "gen_ai.completion.", ".content").is_some()),
    ],
    provider: "gen_ai.system",
    more: More {
        sessions: &["traceloop.association.properties.session_id"],
        users: &["traceloop.association.properties.user_id"],
        ..More::NONE
    },
    ..Dialect::NONE
};

/// What follows a name of the form `{before}{number}{after}`.
fn numbered<'k>(key: &'k str, before: &str, after: &str) -> Option<&'k str> {
    let rest = key.strip_prefix(before)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 { None } else { rest[digits..].strip_prefix(after) }
}
