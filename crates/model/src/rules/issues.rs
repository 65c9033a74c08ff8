//! Issues.

use super::{
    Check::{Required, Text},
    Rule, Validated,
};
use crate::messages::issues::{CreateIssue, GetIssue, SearchIssues, UpdateIssue};

impl Validated for CreateIssue {
    const RULES: &'static [Rule] =
        &[("name", &[Required, Text]), ("description", &[Required, Text]), ("experiment_id", &[Required, Text])];
}

impl Validated for UpdateIssue {
    const RULES: &'static [Rule] = &[("issue_id", &[Required])];
}

impl Validated for GetIssue {}

impl Validated for SearchIssues {}
