//! Assessments.

use super::{Check::Required, Rule, Validate};
use crate::messages::service::{CreateAssessment, DeleteAssessment, GetAssessmentRequest, UpdateAssessment};

impl Validate for GetAssessmentRequest {}

impl Validate for CreateAssessment {
    const RULES: &'static [Rule] = &[("assessment", &[Required])];
}

impl Validate for UpdateAssessment {
    const RULES: &'static [Rule] = &[("assessment", &[Required]), ("update_mask", &[Required])];
}

impl Validate for DeleteAssessment {}
