//! Callers who may change something and not read it, as the RBAC of a cluster allows: `update` without `get`.
//!
//! They may send the calls that show nothing of what is stored. Such a call is checked and answered with the caller's
//! [`Caller::writer`], for whom the right to change includes that to read, so that the rules of every call are the same.
//! Its handler leaves out what is stored if [`Cx::is_blind`], and an error has no text of the handler: some have values
//! that are stored.

use std::sync::Arc;

use axum::response::Response;
use ferroflow_auth::Caller;
use ferroflow_model::{
    Error, ErrorCode, Result,
    messages::{
        model_registry::{SetModelVersionTag, SetRegisteredModelAlias, SetRegisteredModelTag},
        service::{
            CreateRun, LogBatch, LogInputs, LogMetric, LogModel, LogOutputs, LogParam, SetDatasetTags,
            SetExperimentTag, SetTag, SetTraceTagV3, StartTraceV3, UpdateRun, UpsertDatasetRecords,
        },
    },
};

use super::{Needs, Refs, Resource, check, permission_denied};
use crate::app::Cx;

/// Whether a call shows nothing of what is stored, but what its caller has sent.
fn shows_nothing(needs: Needs, refs: &Refs<'_>) -> bool {
    match needs {
        Needs::Create(Resource::Run) => refs.message::<CreateRun>().is_some(),
        // Without a message it is OpenTelemetry's call.
        Needs::Create(Resource::Trace) => refs.message::<StartTraceV3>().is_some() || !refs.is_message(),
        Needs::Edit(Resource::Run) => {
            refs.message::<LogMetric>().is_some()
                || refs.message::<LogParam>().is_some()
                || refs.message::<LogBatch>().is_some()
                || refs.message::<LogInputs>().is_some()
                || refs.message::<LogOutputs>().is_some()
                || refs.message::<LogModel>().is_some()
                || refs.message::<SetTag>().is_some()
                || refs.message::<UpdateRun>().is_some()
        }
        Needs::Edit(Resource::Trace) => refs.message::<SetTraceTagV3>().is_some(),
        Needs::Edit(Resource::Experiment) => refs.message::<SetExperimentTag>().is_some(),
        Needs::Edit(Resource::RegisteredModel) => refs.message::<SetRegisteredModelTag>().is_some(),
        Needs::Edit(Resource::ModelVersion) => refs.message::<SetModelVersionTag>().is_some(),
        Needs::Edit(Resource::Alias) => refs.message::<SetRegisteredModelAlias>().is_some(),
        Needs::Edit(Resource::Dataset) => {
            refs.message::<UpsertDatasetRecords>().is_some() || refs.message::<SetDatasetTags>().is_some()
        }
        // Uploads.
        Needs::Edit(Resource::Artifact) => true,
        _ => false,
    }
}

/// The caller with which a call is answered that [`check`] has refused to the caller of the request: it shows nothing.
///
/// # Errors
/// `PERMISSION_DENIED`, and those of [`check`].
pub(crate) async fn writer<'a>(cx: &Cx, needs: Needs, refs: impl Fn() -> Refs<'a>) -> Result<Arc<Caller>> {
    if let Some(writer) = cx.caller.as_ref().and_then(|caller| caller.writer())
        && shows_nothing(needs, &refs())
    {
        let there = Cx { caller: Some(Arc::clone(writer)), ..cx.clone() };
        if check(&there, needs, &refs).await? {
            return Ok(Arc::clone(writer));
        }
    }
    Err(permission_denied())
}

/// Answers a call by its handler, with a [`writer`].
///
/// # Errors
/// Those of the handler.
pub(crate) async fn answer<F>(writer: Arc<Caller>, cx: Cx, respond: impl FnOnce(Cx) -> F) -> Result<Response>
where
    F: Future<Output = Result<Response>>,
{
    respond(Cx { caller: Some(writer), ..cx }).await.map_err(without_text)
}

/// An error with its code alone, unless its text is about the server.
fn without_text(error: Error) -> Error {
    match error.code {
        ErrorCode::TemporarilyUnavailable
        | ErrorCode::ResourceExhausted
        | ErrorCode::RequestLimitExceeded
        | ErrorCode::InternalError => error,
        code => Error::new(
            code,
            "The request is not possible. The reason is not told to a caller who may change the resource and not read it.",
        ),
    }
}

impl Cx {
    /// Whether nothing of what is stored must be shown to the caller.
    pub(crate) fn is_blind(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.is_blind())
    }
}
