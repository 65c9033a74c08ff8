//! Assessments.

use super::{Check::Required, Rule, Validated};
use crate::messages::service::{CreateAssessment, DeleteAssessment, GetAssessmentRequest, UpdateAssessment};

impl Validated for GetAssessmentRequest {}

impl Validated for CreateAssessment {
    const RULES: &'static [Rule] = &[("assessment", &[Required])];
}

impl Validated for UpdateAssessment {
    const RULES: &'static [Rule] = &[("assessment", &[Required]), ("update_mask", &[Required])];
}

impl Validated for DeleteAssessment {}
