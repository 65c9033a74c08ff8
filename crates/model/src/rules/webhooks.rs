//! Webhooks.

use super::{
    Check::{Integer, List, Required, Text},
    Rule, Validated,
};
use crate::messages::webhooks::{CreateWebhook, DeleteWebhook, GetWebhook, ListWebhooks, TestWebhook, UpdateWebhook};

impl Validated for CreateWebhook {
    const RULES: &'static [Rule] = &[
        ("name", &[Text, Required]),
        ("url", &[Text, Required]),
        ("events", &[List, Required]),
        ("description", &[Text]),
        ("secret", &[Text]),
        ("status", &[Text]),
    ];
}

impl Validated for ListWebhooks {
    const RULES: &'static [Rule] = &[("max_results", &[Integer]), ("page_token", &[Text])];
}

impl Validated for GetWebhook {}

impl Validated for UpdateWebhook {
    const RULES: &'static [Rule] = &[
        ("name", &[Text]),
        ("description", &[Text]),
        ("url", &[Text]),
        ("events", &[List]),
        ("secret", &[Text]),
        ("status", &[Text]),
    ];
}

impl Validated for DeleteWebhook {}

impl Validated for TestWebhook {}
