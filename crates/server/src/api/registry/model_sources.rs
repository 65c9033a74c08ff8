//! Validates the source of a new model version.
//!
//! Readers of a version can read its files through this server. So a source must not lead to what its creator could not
//! access otherwise: local files, artifacts of another run, another host.

use ferroflow_artifacts::{Buckets, location};
use ferroflow_model::{
    Error, ErrorCode, Result,
    messages::model_registry::CreateModelVersion,
    model_source::{self, Kind},
    model_uri::ModelUri,
    prompts,
};

use crate::app::Cx;

/// The validated origin of a new version.
pub(crate) struct ResolvedSource {
    /// The source; a `models:/` source is resolved to the version it refers to now.
    pub(crate) source: String,
    /// The run.
    pub(crate) run_id: Option<String>,
    /// The logged model.
    pub(crate) model_id: Option<String>,
}

/// Validates the source of a request.
///
/// # Errors
/// The caller may not use the source.
pub(crate) async fn check(cx: &Cx, req: &CreateModelVersion) -> Result<ResolvedSource> {
    let source = req.source();
    if cx.app.config.source_pattern.as_ref().is_some_and(|pattern| !pattern.is_match(source)) {
        return Err(Error::invalid(format!("Invalid model version source: '{source}'.")));
    }
    let is_prompt = prompts::is_prompt(&req.tags);
    if is_prompt {
        prompts::check_source(source)?;
    }
    cx.app.config.hosts.check(source, "source")?;
    let mut resolved = ResolvedSource {
        source: source.to_owned(),
        run_id: Some(req.run_id().to_owned()),
        model_id: Some(req.model_id().to_owned()),
    };
    if is_prompt {
        return Ok(resolved);
    }
    resolve_registered_model(cx, req, &mut resolved).await?;
    let owner = match (resolved.model_id.as_deref(), resolved.run_id.as_deref()) {
        (Some(model_id), _) if !model_id.is_empty() => Owner::Model(model_id),
        (_, run_id) => Owner::Run(run_id.unwrap_or_default()),
    };
    check_owner(cx, &resolved.source, owner).await?;
    Ok(resolved)
}

/// Resolves a source such as `models:/name@alias` to a version, whose run becomes that of the new version too.
async fn resolve_registered_model(cx: &Cx, req: &CreateModelVersion, resolved: &mut ResolvedSource) -> Result<()> {
    let source = req.source();
    if model_source::kind(source)? != Kind::Models {
        return Ok(());
    }
    let refused = |why: &str| Error::invalid(format!("Invalid model version source: '{source}'. {why}"));
    if ferroflow_model::uri::SplitUri::parse(source).is_ok_and(|uri| !uri.authority.is_empty()) {
        return Err(refused("Registered model sources must use the active model registry."));
    }
    let uri = ModelUri::parse(source).ok_or_else(|| model_source::not_identified(source, "model_id"))?;
    let name = match &uri {
        ModelUri::Logged(_) => return Ok(()),
        ModelUri::Version { name, .. }
        | ModelUri::Stage { name, .. }
        | ModelUri::Latest { name }
        | ModelUri::Alias { name, .. } => name.as_str(),
    };
    let store = cx.store();
    let model = store.get_registered_model(name).await?;
    if prompts::is_prompt(&model.tags) {
        return Err(refused("Prompt versions cannot be used as model version sources."));
    }
    let version = match &uri {
        ModelUri::Version { version, .. } => version.clone(),
        ModelUri::Alias { alias, .. } => {
            store.get_model_version_by_alias(name, alias).await?.version.unwrap_or_default()
        }
        ModelUri::Stage { stage, .. } => {
            latest(cx, name, std::slice::from_ref(stage), &format!(" and stage '{stage}'")).await?
        }
        _ => latest(cx, name, &[], "").await?,
    };
    let found = store.get_model_version(name, &version).await?;
    let other_run = req.run_id.is_some() && req.run_id() != found.run_id();
    // A stored version does not record its logged model.
    if other_run || !req.model_id().is_empty() {
        return Err(refused("The run_id and model_id request parameters must match the referenced model version."));
    }
    resolved.source = format!("models:/{name}/{}", found.version());
    if req.run_id.is_none() {
        resolved.run_id = found.run_id;
    }
    Ok(())
}

/// The highest version among the latest of some stages.
async fn latest(cx: &Cx, name: &str, stages: &[String], of_stage: &str) -> Result<String> {
    let versions = cx.store().get_latest_versions(name, stages).await?;
    let highest = versions.iter().filter_map(|version| version.version().parse::<i64>().ok()).max();
    let highest =
        highest.ok_or_else(|| Error::invalid(format!("No versions of model with name '{name}'{of_stage} found")))?;
    Ok(highest.to_string())
}

/// The owner of a source's files, according to the request. The id may be empty.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Run(&'a str),
    Model(&'a str),
}

impl Owner<'_> {
    fn parameter(self) -> &'static str {
        match self {
            Self::Run(_) => "run_id",
            Self::Model(_) => "model_id",
        }
    }

    /// The artifact location of the owner; `None` if the request names no owner.
    async fn artifacts(self, cx: &Cx, source: &str) -> Result<Option<String>> {
        let found = match self {
            Self::Run("") | Self::Model("") => return Ok(None),
            Self::Run(run_id) => cx.store().get_run_info(run_id).await.map(|run| run.artifact_uri),
            Self::Model(model_id) => cx
                .store()
                .get_logged_model(model_id, false)
                .await
                .map(|model| model.info.and_then(|info| info.artifact_uri)),
        };
        match found {
            Err(error) if error.code == ErrorCode::ResourceDoesNotExist => {
                Err(model_source::not_identified(source, self.parameter()))
            }
            found => Ok(Some(found?.unwrap_or_default())),
        }
    }
}

async fn check_owner(cx: &Cx, source: &str, owner: Owner<'_>) -> Result<()> {
    let kind = model_source::kind(source)?;
    if kind == Kind::Local {
        let root = owner.artifacts(cx, source).await?;
        return match root {
            Some(root) if location::is_within(source, &root)? => Ok(()),
            _ => Err(model_source::not_contained(source, owner.parameter())),
        };
    }
    model_source::check_absolute(source)?;
    let uri = ferroflow_model::uri::SplitUri::parse(source)?;
    let not_identified = |parameter| Err(model_source::not_identified(source, parameter));
    match (kind, owner) {
        (Kind::Models, _) if !uri.authority.is_empty() => not_identified("model_id"),
        (Kind::Models, owner) => match (ModelUri::parse(source), owner) {
            (Some(ModelUri::Logged(id)), Owner::Model(model_id)) if id == model_id => Ok(()),
            (None | Some(ModelUri::Logged(_)), _) => not_identified("model_id"),
            _ => Ok(()),
        },
        (Kind::Runs, Owner::Model(_)) => not_identified("model_id"),
        (Kind::Runs, _) if !uri.authority.is_empty() => not_identified("run_id"),
        (Kind::Runs, Owner::Run(run_id)) => {
            if model_source::run_of(source)? == run_id {
                Ok(())
            } else {
                not_identified("run_id")
            }
        }
        (Kind::Proxied, owner) => match owner.artifacts(cx, source).await? {
            Some(root) if model_source::is_within(source, &root)? => Ok(()),
            _ => not_identified(owner.parameter()),
        },
        // The server opens buckets with its own credentials: if permissions apply, the source must be in the owner's
        // location.
        (Kind::External, owner) if cx.is_restricted() && Buckets::have(&uri.scheme) => {
            match owner.artifacts(cx, source).await? {
                Some(root) if model_source::is_within(source, &root)? => Ok(()),
                _ => not_identified(owner.parameter()),
            }
        }
        // Nor does it open the artifacts of another workspace.
        (Kind::External, owner) if cx.is_elsewhere(source).await? => not_identified(owner.parameter()),
        (Kind::Local | Kind::External, _) => Ok(()),
    }
}
