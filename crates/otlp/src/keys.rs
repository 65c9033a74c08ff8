//! Names of attributes, tags and metadata that MLflow gives a meaning.

pub(crate) const REQUEST_ID: &str = "mlflow.traceRequestId";
pub(crate) const SPAN_TYPE: &str = "mlflow.spanType";
pub(crate) const INPUTS: &str = "mlflow.spanInputs";
pub(crate) const OUTPUTS: &str = "mlflow.spanOutputs";
pub(crate) const USAGE: &str = "mlflow.chat.tokenUsage";
pub(crate) const TOOLS: &str = "mlflow.chat.tools";
pub(crate) const FORMAT: &str = "mlflow.message.format";
pub(crate) const MODEL: &str = "mlflow.llm.model";
pub(crate) const PROVIDER: &str = "mlflow.llm.provider";
pub(crate) const COST: &str = "mlflow.llm.cost";
pub(crate) const SESSION: &str = "session.id";
pub(crate) const CONVERSATION: &str = "gen_ai.conversation.id";
pub(crate) const USER: &str = "user.id";
pub(crate) const SERVICE: &str = "service.name";

/// The prefix of a root span's attribute that is a tag of the trace.
pub(crate) const TAG_PREFIX: &str = "mlflow.traceTag.";

/// The tag with the name of a trace; it is a column.
pub(crate) const TRACE_NAME: &str = "mlflow.traceName";

/// Tags that only the server writes.
pub(crate) const SYSTEM_TAGS: [&str; 4] = [
    "mlflow.artifactLocation",
    "mlflow.trace.spansLocation",
    "mlflow.trace.archiveLocation",
    "mlflow.trace.archivalFailure",
];

/// Services whose name the reference copies to root spans.
pub(crate) const KNOWN_SERVICES: [&str; 5] = ["claude-code", "codex_cli_rs", "codex_vscode", "gemini-cli", "qwen-code"];
