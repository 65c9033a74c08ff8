//! What is stored otherwise than by the reference, on purpose. The column with the type of a span is one more
//! difference: see `reference.rs`.

/// A case, the paths of the values that differ, and why.
pub(crate) const DIFFERENCES: &[(&str, &[&str], &str)] = &[
    (
        "genai: chat",
        &["traces.1.request_preview", "traces.1.response_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "genai: event with details",
        &["spans.1/1.parsed.attributes.mlflow.spanInputs", "spans.1/1.parsed.attributes.mlflow.spanOutputs"],
        "events that the reference does not read (mlflow/mlflow#23063)",
    ),
    (
        "genai: event with details",
        &["traces.1.request_preview", "traces.1.response_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "genai: events",
        &["traces.1.request_preview", "traces.1.response_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "genai: events of strands",
        &["spans.1/1.parsed.attributes.mlflow.spanInputs", "spans.1/1.parsed.attributes.mlflow.spanOutputs"],
        "events that the reference does not read (mlflow/mlflow#23063)",
    ),
    (
        "genai: events of strands",
        &["traces.1.request_preview", "traces.1.response_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "genai: structured messages",
        &["traces.1.request_preview", "traces.1.response_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "genai: tool without an operation",
        &["spans.1/1.type", "spans.1/1.parsed.attributes.mlflow.spanType"],
        "a span with the name of a tool is a tool",
    ),
    ("google_adk: call", &["traces.1.session_id"], "the dialect's own attributes for session and user are read"),
    (
        "laminar: cost",
        &[
            "spans.1/1.input_cost",
            "spans.1/1.parsed.attributes.mlflow.llm.cost",
            "spans.1/1.total_cost",
            "traces.1.input_cost",
            "traces.1.output_cost",
            "traces.1.total_cost",
        ],
        "the client's own cost, if there is no price",
    ),
    (
        "laminar: llm",
        &["metadata.1/mlflow.trace.user", "traces.1.session_id"],
        "the dialect's own attributes for session and user are read",
    ),
    (
        "laminar: llm",
        &["traces.1.request_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "langfuse: cost without a price",
        &["metadata.1/mlflow.trace.user", "traces.1.session_id"],
        "the dialect's own attributes for session and user are read",
    ),
    (
        "langfuse: cost without a price",
        &["spans.1/1.model_name", "spans.1/1.parsed.attributes.mlflow.llm.model"],
        "the dialect's own attributes for model and provider are read",
    ),
    (
        "langfuse: cost without a price",
        &[
            "spans.1/1.parsed.attributes.mlflow.llm.cost",
            "spans.1/1.total_cost",
            "traces.1.input_cost",
            "traces.1.output_cost",
            "traces.1.total_cost",
        ],
        "the client's own cost, if there is no price",
    ),
    (
        "langfuse: generation",
        &[
            "spans.1/1.input_cost",
            "spans.1/1.output_cost",
            "spans.1/1.parsed.attributes.mlflow.llm.cost",
            "spans.1/1.total_cost",
            "traces.1.input_cost",
            "traces.1.output_cost",
            "traces.1.total_cost",
        ],
        "usage or model are read, so that there is a cost",
    ),
    (
        "langfuse: generation",
        &["spans.1/1.model_name", "spans.1/1.parsed.attributes.mlflow.llm.model"],
        "the dialect's own attributes for model and provider are read",
    ),
    (
        "langfuse: generation",
        &[
            "spans.1/1.parsed.attributes.mlflow.chat.tokenUsage",
            "traces.1.input_tokens",
            "traces.1.output_tokens",
            "traces.1.total_tokens",
        ],
        "the dialect's own attributes for usage are read",
    ),
    (
        "langfuse: generation",
        &["traces.1.request_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "mlflow: ends before it starts",
        &["error", "metadata", "spans", "tags", "traces"],
        "a span that ends before it starts is refused",
    ),
    ("mlflow: long session", &["error"], "the error is another one: here the other spans are stored"),
    (
        "mlflow: null cost",
        &["error", "metadata", "spans", "tags", "traces"],
        "the reference fails on a cost that is null, and refuses the request",
    ),
    ("mlflow: values", &["spans.1/1.parsed.links"], "ids of links are hexadecimal in JSON; the reference reads base64"),
    (
        "mlflow: without an end",
        &["spans.1/1.end_time_unix_nano", "traces.1.execution_time_ms"],
        "a span without an end is in progress; the reference has a negative duration",
    ),
    (
        "openinference: cost",
        &[
            "spans.1/1.input_cost",
            "spans.1/1.output_cost",
            "spans.1/1.parsed.attributes.mlflow.llm.cost",
            "spans.1/1.total_cost",
            "traces.1.input_cost",
            "traces.1.output_cost",
            "traces.1.total_cost",
        ],
        "the client's own cost, if there is no price",
    ),
    (
        "spring_ai: lists",
        &["spans.1/2.parsed.attributes.mlflow.spanInputs", "spans.1/2.parsed.attributes.mlflow.spanOutputs"],
        "the value of an attribute is a JSON text; the reference stores a list, and fails if it is the preview",
    ),
    ("spring_ai: lists", &["traces.1.session_id"], "the dialect's own attributes for session and user are read"),
    (
        "traceloop: session",
        &["metadata.1/mlflow.trace.user", "traces.1.session_id"],
        "the dialect's own attributes for session and user are read",
    ),
    (
        "vercel_ai: embed",
        &[
            "spans.1/1.parsed.attributes.mlflow.chat.tokenUsage",
            "traces.1.input_tokens",
            "traces.1.output_tokens",
            "traces.1.total_tokens",
        ],
        "the dialect's own attributes for usage are read",
    ),
    (
        "vercel_ai: generate",
        &["metadata.1/mlflow.trace.user", "traces.1.session_id"],
        "the dialect's own attributes for session and user are read",
    ),
    (
        "vercel_ai: generate",
        &[
            "spans.1/1.model_name",
            "spans.1/1.model_provider",
            "spans.1/1.parsed.attributes.mlflow.llm.model",
            "spans.1/1.parsed.attributes.mlflow.llm.provider",
        ],
        "the dialect's own attributes for model and provider are read",
    ),
    (
        "voltagent: agent",
        &[
            "spans.1/2.input_cost",
            "spans.1/2.output_cost",
            "spans.1/2.parsed.attributes.mlflow.llm.cost",
            "spans.1/2.total_cost",
            "traces.1.input_cost",
            "traces.1.output_cost",
            "traces.1.total_cost",
        ],
        "usage or model are read, so that there is a cost",
    ),
    (
        "voltagent: agent",
        &["spans.1/2.model_name", "spans.1/2.parsed.attributes.mlflow.llm.model"],
        "the dialect's own attributes for model and provider are read",
    ),
    (
        "voltagent: agent",
        &["traces.1.request_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    ("voltagent: agent", &["traces.1.session_id"], "the dialect's own attributes for session and user are read"),
    (
        "mixed: 45",
        &["traces.1.response_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
    (
        "mixed: 47",
        &["traces.1.response_preview"],
        "the text of a message in a list is shown, not the JSON around it (mlflow/mlflow#24677)",
    ),
];
