//! The AI gateway.

use super::{
    Check::{Integer, Required, Secret, Text},
    Rule, Validated,
};
use crate::messages::service::{
    AddGuardrailToEndpoint, AttachModelToGatewayEndpoint, CreateGatewayBudgetPolicy, CreateGatewayEndpoint,
    CreateGatewayEndpointBinding, CreateGatewayGuardrail, CreateGatewayModelDefinition, CreateGatewaySecret,
    DeleteGatewayBudgetPolicy, DeleteGatewayEndpoint, DeleteGatewayEndpointBinding, DeleteGatewayEndpointTag,
    DeleteGatewayGuardrail, DeleteGatewayModelDefinition, DeleteGatewaySecret, DetachModelFromGatewayEndpoint,
    GetGatewayBudgetPolicy, GetGatewayEndpoint, GetGatewayGuardrail, GetGatewayModelDefinition, GetGatewaySecretInfo,
    ListEndpointGuardrailConfigs, ListGatewayBudgetPolicies, ListGatewayBudgetWindows, ListGatewayEndpointBindings,
    ListGatewayEndpoints, ListGatewayGuardrails, ListGatewayModelDefinitions, ListGatewaySecretInfos,
    RemoveGuardrailFromEndpoint, SetGatewayEndpointTag, UpdateEndpointGuardrailConfig, UpdateGatewayBudgetPolicy,
    UpdateGatewayEndpoint, UpdateGatewayModelDefinition, UpdateGatewaySecret,
};

impl Validated for CreateGatewaySecret {
    const RULES: &'static [Rule] = &[
        ("secret_name", &[Required, Text]),
        ("secret_value", &[Secret]),
        ("provider", &[Text]),
        ("created_by", &[Text]),
    ];
}

impl Validated for GetGatewaySecretInfo {
    const RULES: &'static [Rule] = &[("secret_id", &[Required, Text])];
}

impl Validated for UpdateGatewaySecret {
    const RULES: &'static [Rule] = &[("secret_id", &[Required, Text]), ("updated_by", &[Text])];
}

impl Validated for DeleteGatewaySecret {
    const RULES: &'static [Rule] = &[("secret_id", &[Required, Text])];
}

impl Validated for ListGatewaySecretInfos {
    const RULES: &'static [Rule] = &[("provider", &[Text])];
}

impl Validated for CreateGatewayEndpoint {
    const RULES: &'static [Rule] = &[
        ("name", &[Required, Text]),
        ("created_by", &[Text]),
        ("model_configs", &[Required]),
        ("routing_strategy", &[Text]),
    ];
}

impl Validated for GetGatewayEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Text]), ("name", &[Text])];
}

impl Validated for UpdateGatewayEndpoint {
    const RULES: &'static [Rule] = &[
        ("endpoint_id", &[Required, Text]),
        ("name", &[Text]),
        ("updated_by", &[Text]),
        ("routing_strategy", &[Text]),
    ];
}

impl Validated for DeleteGatewayEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text])];
}

impl Validated for ListGatewayEndpoints {
    const RULES: &'static [Rule] = &[("provider", &[Text])];
}

impl Validated for CreateGatewayModelDefinition {
    const RULES: &'static [Rule] = &[
        ("name", &[Required, Text]),
        ("secret_id", &[Required, Text]),
        ("provider", &[Required, Text]),
        ("model_name", &[Required, Text]),
        ("created_by", &[Text]),
    ];
}

impl Validated for GetGatewayModelDefinition {
    const RULES: &'static [Rule] = &[("model_definition_id", &[Required, Text])];
}

impl Validated for ListGatewayModelDefinitions {
    const RULES: &'static [Rule] = &[("provider", &[Text]), ("secret_id", &[Text])];
}

impl Validated for UpdateGatewayModelDefinition {
    const RULES: &'static [Rule] = &[
        ("model_definition_id", &[Required, Text]),
        ("name", &[Text]),
        ("secret_id", &[Text]),
        ("model_name", &[Text]),
        ("updated_by", &[Text]),
        ("provider", &[Text]),
    ];
}

impl Validated for DeleteGatewayModelDefinition {
    const RULES: &'static [Rule] = &[("model_definition_id", &[Required, Text])];
}

impl Validated for AttachModelToGatewayEndpoint {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("model_config", &[Required]), ("created_by", &[Text])];
}

impl Validated for DetachModelFromGatewayEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("model_definition_id", &[Required, Text])];
}

impl Validated for CreateGatewayEndpointBinding {
    const RULES: &'static [Rule] = &[
        ("endpoint_id", &[Required, Text]),
        ("resource_type", &[Required, Text]),
        ("resource_id", &[Required, Text]),
        ("created_by", &[Text]),
    ];
}

impl Validated for DeleteGatewayEndpointBinding {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("resource_type", &[Required, Text]), ("resource_id", &[Required, Text])];
}

impl Validated for ListGatewayEndpointBindings {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Text]), ("resource_type", &[Text]), ("resource_id", &[Text])];
}

impl Validated for SetGatewayEndpointTag {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("key", &[Required, Text]), ("value", &[Text])];
}

impl Validated for DeleteGatewayEndpointTag {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("key", &[Required, Text])];
}

impl Validated for CreateGatewayBudgetPolicy {
    const RULES: &'static [Rule] = &[
        ("budget_unit", &[Required]),
        ("budget_amount", &[Required]),
        ("duration", &[Required]),
        ("target_scope", &[Required]),
        ("budget_action", &[Required]),
        ("created_by", &[Text]),
        ("target_value", &[Text]),
    ];
}

impl Validated for GetGatewayBudgetPolicy {
    const RULES: &'static [Rule] = &[("budget_policy_id", &[Required, Text])];
}

impl Validated for UpdateGatewayBudgetPolicy {
    const RULES: &'static [Rule] =
        &[("budget_policy_id", &[Required, Text]), ("updated_by", &[Text]), ("target_value", &[Text])];
}

impl Validated for DeleteGatewayBudgetPolicy {
    const RULES: &'static [Rule] = &[("budget_policy_id", &[Required, Text])];
}

impl Validated for ListGatewayBudgetPolicies {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validated for ListGatewayBudgetWindows {}

impl Validated for CreateGatewayGuardrail {
    const RULES: &'static [Rule] = &[
        ("name", &[Required, Text]),
        ("scorer_id", &[Required, Text]),
        ("scorer_version", &[Required, Integer]),
        ("stage", &[Required]),
        ("action", &[Required]),
        ("action_endpoint_id", &[Text]),
    ];
}

impl Validated for GetGatewayGuardrail {
    const RULES: &'static [Rule] = &[("guardrail_id", &[Required, Text])];
}

impl Validated for DeleteGatewayGuardrail {
    const RULES: &'static [Rule] = &[("guardrail_id", &[Required, Text])];
}

impl Validated for ListGatewayGuardrails {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validated for AddGuardrailToEndpoint {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("guardrail_id", &[Required, Text]), ("execution_order", &[Integer])];
}

impl Validated for RemoveGuardrailFromEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("guardrail_id", &[Required, Text])];
}

impl Validated for ListEndpointGuardrailConfigs {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text])];
}

impl Validated for UpdateEndpointGuardrailConfig {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("guardrail_id", &[Required, Text])];
}
