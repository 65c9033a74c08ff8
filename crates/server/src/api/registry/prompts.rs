//! Endpoints of prompts that registered models do not have.

use ferroflow_model::{
    Result,
    messages::service::{LinkPromptsToTrace, LinkPromptsToTraceResponse},
    validation,
};

use crate::{app::Cx, rpc::empty};

pub(crate) async fn link_to_trace(cx: Cx, req: LinkPromptsToTrace) -> Result<LinkPromptsToTraceResponse> {
    let versions = req
        .prompt_versions
        .iter()
        .map(|version| Ok((version.name().to_owned(), validation::model_version(version.version())?)))
        .collect::<Result<Vec<_>>>()?;
    cx.store().link_prompts_to_trace(req.trace_id(), &versions).await.map(|()| empty())
}
