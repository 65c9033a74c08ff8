//! The AI gateway.

use super::{
    Check::{Integer, Required, Secret, Text},
    Rule, Validate,
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

impl Validate for CreateGatewaySecret {
    const RULES: &'static [Rule] = &[
        ("secret_name", &[Required, Text]),
        ("secret_value", &[Secret]),
        ("provider", &[Text]),
        ("created_by", &[Text]),
    ];
}

impl Validate for GetGatewaySecretInfo {
    const RULES: &'static [Rule] = &[("secret_id", &[Required, Text])];
}

impl Validate for UpdateGatewaySecret {
    const RULES: &'static [Rule] = &[("secret_id", &[Required, Text]), ("updated_by", &[Text])];
}

impl Validate for DeleteGatewaySecret {
    const RULES: &'static [Rule] = &[("secret_id", &[Required, Text])];
}

impl Validate for ListGatewaySecretInfos {
    const RULES: &'static [Rule] = &[("provider", &[Text])];
}

impl Validate for CreateGatewayEndpoint {
    const RULES: &'static [Rule] = &[
        ("name", &[Required, Text]),
        ("created_by", &[Text]),
        ("model_configs", &[Required]),
        ("routing_strategy", &[Text]),
    ];
}

impl Validate for GetGatewayEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Text]), ("name", &[Text])];
}

impl Validate for UpdateGatewayEndpoint {
    const RULES: &'static [Rule] = &[
        ("endpoint_id", &[Required, Text]),
        ("name", &[Text]),
        ("updated_by", &[Text]),
        ("routing_strategy", &[Text]),
    ];
}

impl Validate for DeleteGatewayEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text])];
}

impl Validate for ListGatewayEndpoints {
    const RULES: &'static [Rule] = &[("provider", &[Text])];
}

impl Validate for CreateGatewayModelDefinition {
    const RULES: &'static [Rule] = &[
        ("name", &[Required, Text]),
        ("secret_id", &[Required, Text]),
        ("provider", &[Required, Text]),
        ("model_name", &[Required, Text]),
        ("created_by", &[Text]),
    ];
}

impl Validate for GetGatewayModelDefinition {
    const RULES: &'static [Rule] = &[("model_definition_id", &[Required, Text])];
}

impl Validate for ListGatewayModelDefinitions {
    const RULES: &'static [Rule] = &[("provider", &[Text]), ("secret_id", &[Text])];
}

impl Validate for UpdateGatewayModelDefinition {
    const RULES: &'static [Rule] = &[
        ("model_definition_id", &[Required, Text]),
        ("name", &[Text]),
        ("secret_id", &[Text]),
        ("model_name", &[Text]),
        ("updated_by", &[Text]),
        ("provider", &[Text]),
    ];
}

impl Validate for DeleteGatewayModelDefinition {
    const RULES: &'static [Rule] = &[("model_definition_id", &[Required, Text])];
}

impl Validate for AttachModelToGatewayEndpoint {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("model_config", &[Required]), ("created_by", &[Text])];
}

impl Validate for DetachModelFromGatewayEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("model_definition_id", &[Required, Text])];
}

impl Validate for CreateGatewayEndpointBinding {
    const RULES: &'static [Rule] = &[
        ("endpoint_id", &[Required, Text]),
        ("resource_type", &[Required, Text]),
        ("resource_id", &[Required, Text]),
        ("created_by", &[Text]),
    ];
}

impl Validate for DeleteGatewayEndpointBinding {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("resource_type", &[Required, Text]), ("resource_id", &[Required, Text])];
}

impl Validate for ListGatewayEndpointBindings {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Text]), ("resource_type", &[Text]), ("resource_id", &[Text])];
}

impl Validate for SetGatewayEndpointTag {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("key", &[Required, Text]), ("value", &[Text])];
}

impl Validate for DeleteGatewayEndpointTag {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("key", &[Required, Text])];
}

impl Validate for CreateGatewayBudgetPolicy {
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

impl Validate for GetGatewayBudgetPolicy {
    const RULES: &'static [Rule] = &[("budget_policy_id", &[Required, Text])];
}

impl Validate for UpdateGatewayBudgetPolicy {
    const RULES: &'static [Rule] =
        &[("budget_policy_id", &[Required, Text]), ("updated_by", &[Text]), ("target_value", &[Text])];
}

impl Validate for DeleteGatewayBudgetPolicy {
    const RULES: &'static [Rule] = &[("budget_policy_id", &[Required, Text])];
}

impl Validate for ListGatewayBudgetPolicies {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validate for ListGatewayBudgetWindows {}

impl Validate for CreateGatewayGuardrail {
    const RULES: &'static [Rule] = &[
        ("name", &[Required, Text]),
        ("scorer_id", &[Required, Text]),
        ("scorer_version", &[Required, Integer]),
        ("stage", &[Required]),
        ("action", &[Required]),
        ("action_endpoint_id", &[Text]),
    ];
}

impl Validate for GetGatewayGuardrail {
    const RULES: &'static [Rule] = &[("guardrail_id", &[Required, Text])];
}

impl Validate for DeleteGatewayGuardrail {
    const RULES: &'static [Rule] = &[("guardrail_id", &[Required, Text])];
}

impl Validate for ListGatewayGuardrails {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validate for AddGuardrailToEndpoint {
    const RULES: &'static [Rule] =
        &[("endpoint_id", &[Required, Text]), ("guardrail_id", &[Required, Text]), ("execution_order", &[Integer])];
}

impl Validate for RemoveGuardrailFromEndpoint {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("guardrail_id", &[Required, Text])];
}

impl Validate for ListEndpointGuardrailConfigs {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text])];
}

impl Validate for UpdateEndpointGuardrailConfig {
    const RULES: &'static [Rule] = &[("endpoint_id", &[Required, Text]), ("guardrail_id", &[Required, Text])];
}
