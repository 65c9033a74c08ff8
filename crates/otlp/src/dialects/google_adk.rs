//! [Google ADK](https://github.com/google/adk-python): the `gen_ai` conventions with inputs and outputs of its own.

use super::{Dialect, Key, More};

pub(super) const DIALECT: Dialect = Dialect {
    inputs: &[Key::Is("gcp.vertex.agent.llm_request"), Key::Is("gcp.vertex.agent.tool_call_args")],
    outputs: &[Key::Is("gcp.vertex.agent.llm_response"), Key::Is("gcp.vertex.agent.tool_response")],
    more: More { sessions: &["gcp.vertex.agent.session_id"], ..More::NONE },
    ..Dialect::NONE
};
