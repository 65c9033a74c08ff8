//! What the name of a field does not tell about what it refers to.
//!
//! The derive knows ids by their names (`reference` in `crates/model-derive/src/names.rs`).

/// The proto file whose calls name a registered model or a prompt in their field `name`.
pub(super) const REGISTRY: &str = "model_registry.proto";

/// The attribute of a field.
pub(super) fn attribute(message: &str, field: &str, is_call_of_registry: bool) -> Option<&'static str> {
    match (message, field) {
        (_, "name") if is_call_of_registry => Some("refers_to = RegisteredModel"),
        ("mlflow.LinkPromptsToTrace.PromptVersionRef", "name") => Some("refers_to = RegisteredModel"),
        // The run of a metric is for responses: a client may log metrics that it read from another run. The job and the
        // run of a deployment are outside the server.
        ("mlflow.Metric", "run_id") | ("mlflow.ModelVersionDeploymentJobState", "job_id" | "run_id") => {
            Some("refers_to_nothing")
        }
        _ => None,
    }
}
