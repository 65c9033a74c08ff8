//! Issues.

use super::{
    Check::{Required, Text},
    Rule, Validate,
};
use crate::messages::issues::{CreateIssue, GetIssue, SearchIssues, UpdateIssue};

impl Validate for CreateIssue {
    const RULES: &'static [Rule] =
        &[("name", &[Required, Text]), ("description", &[Required, Text]), ("experiment_id", &[Required, Text])];
}

impl Validate for UpdateIssue {
    const RULES: &'static [Rule] = &[("issue_id", &[Required])];
}

impl Validate for GetIssue {}

impl Validate for SearchIssues {}
