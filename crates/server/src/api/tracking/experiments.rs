//! Experiments.

use std::borrow::Cow;

use ferroflow_artifacts::location::resolve_if_local;
use ferroflow_model::{
    Error, Result,
    messages::service::{
        CreateExperiment, CreateExperimentResponse, DeleteExperiment, DeleteExperimentResponse, DeleteExperimentTag,
        DeleteExperimentTagResponse, Experiment, ExperimentTag, GetExperiment, GetExperimentByName,
        GetExperimentByNameResponse, GetExperimentResponse, RestoreExperiment, RestoreExperimentResponse,
        SearchExperiments, SearchExperimentsResponse, SetExperimentTag, SetExperimentTagResponse, UpdateExperiment,
        UpdateExperimentResponse, ViewType,
    },
    permission::ResourceType,
    trace_archival::TraceArchival,
    uri, validation,
};
use ferroflow_store::{ExperimentSearch, Scope};

use crate::{app::Cx, rpc::empty};

pub(crate) async fn create(cx: Cx, req: CreateExperiment) -> Result<CreateExperimentResponse> {
    let keys: Vec<&str> = req.tags.iter().map(ExperimentTag::key).collect();
    validation::custom_view_count(&keys)?;
    let location = match req.artifact_location() {
        "" => None,
        location => {
            check_location(&cx, location, "artifact_location")?;
            Some(resolve_if_local(location)?)
        }
    };
    cx.follow_artifact_root().await?;
    let id = cx.store().create_experiment(req.name(), location, req.tags.clone()).await?;
    cx.invalidate_owners().await;
    cx.grant_to_creator(ResourceType::Experiment, &id).await?;
    Ok(CreateExperimentResponse { experiment_id: Some(id) })
}

/// Refuses a location in a field of a request that is ambiguous, invalid or on a host that is not allowed.
pub(crate) fn check_location(cx: &Cx, location: &str, field: &str) -> Result<()> {
    let (_, last) = location.rsplit_once('/').unwrap_or(("", location));
    let web = matches!(uri::scheme(location).as_deref(), None | Some("http" | "https" | "ftp" | "sftp"));
    if location.contains('#') || (web && last.split('?').next().is_some_and(|last| last.contains(';'))) {
        return Err(Error::invalid(format!("'{field}' URL can't include fragments or params.")));
    }
    uri::check_query(location)?;
    cx.app.config.hosts.check(location, field)?;
    validation::artifact_location(location)?;
    cx.store().limits().artifact_location_length(location)
}

pub(crate) async fn get(cx: Cx, req: GetExperiment) -> Result<GetExperimentResponse> {
    let id = if req.experiment_id().is_empty() { "0" } else { req.experiment_id() };
    let experiment = cx.store().get_experiment(id).await?;
    Ok(GetExperimentResponse { experiment: Some(with_retention(archival(&cx).await?.as_deref(), experiment)) })
}

pub(crate) async fn get_by_name(cx: Cx, req: GetExperimentByName) -> Result<GetExperimentByNameResponse> {
    let name = req.experiment_name();
    let experiment = cx.store().get_experiment_by_name(name).await?;
    let experiment =
        experiment.ok_or_else(|| Error::not_found(format!("Could not find experiment with name '{name}'")))?;
    Ok(GetExperimentByNameResponse { experiment: Some(with_retention(archival(&cx).await?.as_deref(), experiment)) })
}

/// The settings by which traces of the workspace are archived, if they are. Settings of the workspace that are not valid
/// are none.
async fn archival(cx: &Cx) -> Result<Option<Cow<'_, TraceArchival>>> {
    let Some(settings) = &cx.app.config.trace_archival else { return Ok(None) };
    if !cx.app.store.has_workspaces() {
        return Ok(Some(Cow::Borrowed(settings)));
    }
    let record = cx.app.store.workspaces().get_workspace_record(cx.workspace.name()).await?;
    Ok(settings.within(record.name(), record.trace_archival_config.as_ref()).ok().map(Cow::Owned))
}

/// Adds how long traces stay in the database, if they are archived.
fn with_retention(settings: Option<&TraceArchival>, mut experiment: Experiment) -> Experiment {
    if let Some(settings) = settings {
        let tag = experiment.tags.iter().find(|tag| tag.key() == validation::RETENTION_TAG).map(ExperimentTag::value);
        experiment.effective_trace_archival_retention = Some(settings.retention_of(experiment.experiment_id(), tag));
    }
    experiment
}

pub(crate) async fn delete(cx: Cx, req: DeleteExperiment) -> Result<DeleteExperimentResponse> {
    cx.store().delete_experiment(req.experiment_id()).await.map(|()| empty())
}

pub(crate) async fn restore(cx: Cx, req: RestoreExperiment) -> Result<RestoreExperimentResponse> {
    cx.store().restore_experiment(req.experiment_id()).await.map(|()| empty())
}

pub(crate) async fn update(cx: Cx, req: UpdateExperiment) -> Result<UpdateExperimentResponse> {
    cx.store().rename_experiment(req.experiment_id(), req.new_name()).await.map(|()| empty())
}

pub(crate) async fn set_tag(cx: Cx, req: SetExperimentTag) -> Result<SetExperimentTagResponse> {
    cx.store().set_experiment_tag(req.experiment_id(), req.key(), req.value()).await.map(|()| empty())
}

pub(crate) async fn delete_tag(cx: Cx, req: DeleteExperimentTag) -> Result<DeleteExperimentTagResponse> {
    cx.store().delete_experiment_tag(req.experiment_id(), req.key()).await.map(|()| empty())
}

pub(crate) async fn search(cx: Cx, scope: Scope, req: SearchExperiments) -> Result<SearchExperimentsResponse> {
    let search = ExperimentSearch {
        view: req.view_type.unwrap_or(ViewType::ActiveOnly),
        max_results: req.max_results.unwrap_or_default(),
        filter: req.filter().to_owned(),
        page_token: req.page_token,
        order_by: req.order_by,
    };
    let (experiments, next_page_token) = cx.store().search_experiments(&scope, search).await?;
    let settings = archival(&cx).await?;
    let experiments =
        experiments.into_iter().map(|experiment| with_retention(settings.as_deref(), experiment)).collect();
    Ok(SearchExperimentsResponse { experiments, next_page_token })
}
