//! Assessments of traces.

use ferroflow_model::{
    Error, Result,
    messages::service::{
        CreateAssessment, CreateAssessmentResponse, DeleteAssessment, DeleteAssessmentResponse, GetAssessmentRequest,
        GetAssessmentRequestResponse, UpdateAssessment, UpdateAssessmentResponse,
    },
    validation,
};
use ferroflow_store::AssessmentChange;

use crate::{app::Cx, rpc::empty};

pub(crate) async fn create(cx: Cx, req: CreateAssessment) -> Result<CreateAssessmentResponse> {
    let given = req.assessment.unwrap_or_default();
    let assessment = cx.store().create_assessment(cx.path("assessment.trace_id"), given).await?;
    Ok(CreateAssessmentResponse { assessment: Some(assessment) })
}

pub(crate) async fn get(cx: Cx, _: GetAssessmentRequest) -> Result<GetAssessmentRequestResponse> {
    let assessment = cx.store().get_assessment(cx.path("trace_id"), cx.path("assessment_id")).await?;
    Ok(GetAssessmentRequestResponse { assessment: Some(assessment) })
}

/// The fields that the mask names are changed; fields that cannot be changed are ignored.
pub(crate) async fn update(cx: Cx, req: UpdateAssessment) -> Result<UpdateAssessmentResponse> {
    let given = req.assessment.unwrap_or_default();
    let mut change = AssessmentChange::default();
    let mask = req.update_mask.unwrap_or_default().paths;
    if mask.is_empty() {
        let missing = validation::missing_value("update_mask");
        return Err(Error::invalid(format!(
            "{missing} See the API docs for more information about request parameters."
        )));
    }
    for path in mask {
        match path.as_str() {
            "assessment_name" => change.name = Some(given.assessment_name().to_owned()),
            "expectation" => change.expectation = Some(given.expectation.clone().unwrap_or_default()),
            "feedback" => change.feedback = Some(given.feedback.clone().unwrap_or_default()),
            "rationale" => change.rationale = Some(given.rationale().to_owned()),
            "metadata" => change.metadata = Some(given.metadata.clone()),
            "valid" => change.valid = Some(given.valid()),
            _ => {}
        }
    }
    let assessment = cx.store().update_assessment(cx.path("trace_id"), cx.path("assessment_id"), change).await?;
    Ok(UpdateAssessmentResponse { assessment: Some(assessment) })
}

pub(crate) async fn delete(cx: Cx, _: DeleteAssessment) -> Result<DeleteAssessmentResponse> {
    cx.store().delete_assessment(cx.path("trace_id"), cx.path("assessment_id")).await.map(|()| empty())
}
