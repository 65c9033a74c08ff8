//! Scorers, and their configurations for online scoring.

use axum::response::Response;
use ferroflow_model::{
    Error, ErrorCode, Result,
    evaluation::{
        online_scoring::{GetOnlineScoring, SetOnlineScoring, SetOnlineScoringResponse},
        scorers::Scorer,
    },
    messages::service::{
        DeleteScorer, DeleteScorerResponse, GetScorer, GetScorerResponse, ListScorerVersions,
        ListScorerVersionsResponse, ListScorers, ListScorersResponse, RegisterScorer, RegisterScorerResponse,
    },
    permission::{ResourceType, scorer_pattern},
    validation,
};
use ferroflow_store::Scope;

use crate::{
    access,
    app::Cx,
    rpc::{self, empty},
};

pub(crate) async fn register(cx: Cx, req: RegisterScorer) -> Result<RegisterScorerResponse> {
    let scorer = Scorer::parse_with(req.serialized_scorer(), cx.app.config.custom_scorers)?;
    let registered =
        cx.store().register_scorer(req.experiment_id(), req.name(), req.serialized_scorer(), &scorer).await?;
    let version = registered.version;
    let experiment_id = version.experiment_id.map(|id| id.to_string()).unwrap_or_default();
    if registered.is_new {
        let pattern = scorer_pattern(&experiment_id, req.name());
        cx.grant_to_creator(ResourceType::Scorer, &pattern).await?;
    }
    Ok(RegisterScorerResponse {
        version: version.scorer_version,
        scorer_id: version.scorer_id,
        experiment_id: Some(experiment_id),
        name: version.scorer_name,
        serialized_scorer: version.serialized_scorer,
        creation_time: version.creation_time,
    })
}

pub(crate) async fn list(cx: Cx, scope: Scope, req: ListScorers) -> Result<ListScorersResponse> {
    let experiment = req.experiment_id();
    if !experiment.is_empty() && !req.experiment_ids.is_empty() {
        return Err(Error::invalid(
            "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query to \
             multiple experiments, or 'experiment_id' to scope it to a single experiment.",
        ));
    }
    let scorers = if experiment.is_empty() {
        let ids: Vec<i64> = req.experiment_ids.iter().map(|id| number(id)).collect::<Result<_>>()?;
        cx.store().list_scorers_across(&scope, (!ids.is_empty()).then_some(ids)).await?
    } else {
        if !scope.experiments.has(&access::canonical_id(experiment)) {
            return Err(access::permission_denied());
        }
        cx.store().list_scorers(&scope, experiment).await?
    };
    Ok(ListScorersResponse { scorers })
}

/// The number of an experiment; one out of range has no scorers.
fn number(id: &str) -> Result<i64> {
    validation::experiment_id(id)?;
    let id = validation::parse_experiment_id(id)?;
    Ok(if i32::try_from(id).is_ok() { id } else { -1 })
}

pub(crate) async fn versions(cx: Cx, req: ListScorerVersions) -> Result<ListScorerVersionsResponse> {
    let scorers = cx.store().list_scorer_versions(req.experiment_id(), req.name()).await?;
    Ok(ListScorerVersionsResponse { scorers })
}

pub(crate) async fn get(cx: Cx, req: GetScorer) -> Result<GetScorerResponse> {
    let scorer = cx.store().get_scorer(req.experiment_id(), req.name(), req.version).await?;
    Ok(GetScorerResponse { scorer: Some(scorer) })
}

pub(crate) async fn delete(cx: Cx, req: DeleteScorer) -> Result<DeleteScorerResponse> {
    cx.store().delete_scorer(req.experiment_id(), req.name(), req.version).await?;
    if req.version.is_none() {
        // Grants must not apply to a later scorer of the same name.
        let pattern = scorer_pattern(&access::canonical_id(req.experiment_id()), req.name());
        cx.revoke_all(&[ResourceType::Scorer.name()], &pattern).await?;
    }
    Ok(empty())
}

pub(crate) async fn set_online(cx: Cx, req: SetOnlineScoring) -> Result<SetOnlineScoringResponse> {
    let rate = req.sample_rate.ok_or_else(|| Error::new(ErrorCode::InvalidParameterValue, "sample_rate is missing"))?;
    let filter = req.filter_string.as_deref();
    let config = cx.store().set_online_scoring(req.experiment_id(), req.name(), rate, filter).await?;
    Ok(SetOnlineScoringResponse { config: Some(config) })
}

pub(crate) async fn online(cx: Cx, req: GetOnlineScoring) -> Result<Response> {
    let configs = cx.store().online_scoring(&req.scorer_ids).await?;
    // Unlike the lists of messages, this one is there if it is empty.
    rpc::json(&serde_json::json!({ "configs": configs }))
}
