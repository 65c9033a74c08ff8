//! What follows from the name of a field or variant.

/// The spelling of a field in JSON: `run_view_type` becomes `runViewType`.
pub(crate) fn json_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut words = name.split('_');
    out.push_str(words.next().unwrap_or_default());
    for word in words {
        let mut chars = word.chars();
        out.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}

/// The proto name of a value: `LoggedModelReady` becomes `LOGGED_MODEL_READY`.
pub(crate) fn value_name(variant: &str) -> String {
    let mut out = String::with_capacity(variant.len() + 4);
    for (index, char) in variant.chars().enumerate() {
        if index > 0 && char.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(char.to_ascii_uppercase());
    }
    out
}

/// The variant of `wire::RefKind` for what a text field with this name refers to in any message.
pub(crate) fn reference(name: &str) -> Option<&'static str> {
    Some(match name {
        "experiment_id" | "experiment_ids" => "Experiment",
        "experiment_name" => "ExperimentName",
        "run_id" | "run_uuid" | "run_ids" | "source_run_id" => "Run",
        "model_id" => "LoggedModel",
        // The ids of traces were those of requests.
        "trace_id" | "trace_ids" | "request_id" | "request_ids" => "Trace",
        "assessment_id" => "Assessment",
        "dataset_id" => "Dataset",
        "scorer_id" => "Scorer",
        "issue_id" => "Issue",
        "schema_id" | "schema_ids" => "LabelSchema",
        "queue_id" => "ReviewQueue",
        "job_id" => "Job",
        "webhook_id" => "Webhook",
        "workspace_name" => "Workspace",
        "secret_id" => "GatewaySecret",
        "endpoint_id" | "action_endpoint_id" => "GatewayEndpoint",
        "model_definition_id" => "GatewayModelDefinition",
        "budget_policy_id" => "GatewayBudgetPolicy",
        "guardrail_id" => "GatewayGuardrail",
        _ => return None,
    })
}

/// As [`reference`], for a field or a parameter of a path of a call: what it names by itself, and parts of it.
pub(crate) fn reference_of_call(name: &str) -> Option<&'static str> {
    Some(match name {
        "name" | "new_name" => "Name",
        "version" => "Version",
        "alias" => "Alias",
        "stage" => "Stage",
        "key" => "Key",
        "path" | "artifact_path" => "ArtifactPath",
        _ => return reference(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_protobuf_does() {
        for (name, spelled) in [("key", "key"), ("run_view_type", "runViewType"), ("a_2_b", "a2B"), ("_a", "A")] {
            assert_eq!(json_name(name), spelled);
        }
        for (variant, name) in [("Finished", "FINISHED"), ("LoggedModelReady", "LOGGED_MODEL_READY"), ("V3", "V3")] {
            assert_eq!(value_name(variant), name);
        }
    }
}
