//! Webhooks.

use super::{
    Check::{Integer, List, Required, Text},
    Rule, Validate,
};
use crate::messages::webhooks::{CreateWebhook, DeleteWebhook, GetWebhook, ListWebhooks, TestWebhook, UpdateWebhook};

impl Validate for CreateWebhook {
    const RULES: &'static [Rule] = &[
        ("name", &[Text, Required]),
        ("url", &[Text, Required]),
        ("events", &[List, Required]),
        ("description", &[Text]),
        ("secret", &[Text]),
        ("status", &[Text]),
    ];
}

impl Validate for ListWebhooks {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validate for GetWebhook {}

impl Validate for UpdateWebhook {
    const RULES: &'static [Rule] = &[
        ("name", &[Text]),
        ("description", &[Text]),
        ("url", &[Text]),
        ("events", &[List]),
        ("secret", &[Text]),
        ("status", &[Text]),
    ];
}

impl Validate for DeleteWebhook {}

impl Validate for TestWebhook {}
