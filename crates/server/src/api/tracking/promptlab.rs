//! Runs that the UI's prompt lab creates: a run with params, a table and a model.

use ferroflow_artifacts::{ArtifactPath, Location};
use ferroflow_model::{
    Result, clock,
    messages::service::{CreateRunResponse, RunInfo, RunStatus},
    permission::Action,
    promptlab::{PromptlabModel, PromptlabRun},
    request,
};
use ferroflow_store::NewRun;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, header};

use crate::{app::Cx, rpc::Document};

impl Document for PromptlabRun {
    fn parse(headers: &HeaderMap, body: &[u8], values: usize) -> Result<Self> {
        request::check_content_type(headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()))?;
        Self::parse(body, values)
    }

    fn experiment_id(&self) -> Option<&str> {
        Some(&self.experiment_id)
    }
}

pub(crate) async fn create(cx: Cx, given: PromptlabRun) -> Result<CreateRunResponse> {
    let new = NewRun {
        experiment_id: given.experiment_id.clone(),
        user_id: given.user_id.clone(),
        start_time: given.start_time.unwrap_or_else(clock::unix_millis),
        run_name: given.run_name.clone(),
        tags: given.tags.clone(),
    };
    let info = cx.store().create_run(new).await?.info.unwrap_or_default();
    // As in the reference, a run whose content cannot be stored is a failed run, and not an error.
    let status = match log(&cx, &given, &info).await {
        Ok(()) => RunStatus::Finished,
        Err(error) => {
            tracing::warn!(run_id = info.run_id(), %error, "the content of a run of the prompt lab is not stored");
            RunStatus::Failed
        }
    };
    let name = Some(given.run_name);
    cx.store().update_run(info.run_id(), Some(status), Some(clock::unix_millis()), name).await?;
    Ok(CreateRunResponse { run: Some(cx.store().get_run(info.run_id()).await?) })
}

/// Logs params and tags, and writes the artifacts.
async fn log(cx: &Cx, given: &PromptlabRun, run: &RunInfo) -> Result<()> {
    cx.store().log_batch(run.run_id(), Vec::new(), given.params(), PromptlabRun::result_tags()).await?;
    let uuid = uuid::Uuid::new_v4().simple().to_string();
    let model = PromptlabModel::new(run.run_id(), uuid, clock::now());
    cx.store().record_logged_model(run.run_id(), model.history_entry()).await?;
    let location = cx.locate(run.artifact_uri()).await?;
    for (path, text) in given.files(&model) {
        let path = ArtifactPath::parse(&path)?;
        cx.check_file(run.artifact_uri(), &path, Action::Update).await?;
        write(&location, &path, text).await?;
    }
    Ok(())
}

async fn write(location: &Location, path: &ArtifactPath, text: String) -> Result<()> {
    let length = text.len() as u64;
    let body = stream::once(std::future::ready(Ok(text.into()))).boxed();
    location.repository.write(&path.below(&location.base), body, Some(length)).await
}
