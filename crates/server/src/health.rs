//! Liveness, readiness, version and metrics. Probes need no authentication and give details only to trusted callers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use ferroflow_artifacts::ArtifactRepository;
use http::{StatusCode, header};
use serde_json::json;
use tokio::sync::Mutex;

use crate::{app::App, middleware::identify::identify, rpc};

/// The version of the reference that this server is compatible with.
pub(crate) const VERSION: &str = ferroflow_model::messages::REFERENCE;

/// Timeout of a check of a dependency.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the result of a check is cached.
const CACHE_TIME: Duration = Duration::from_secs(1);

pub(crate) async fn health() -> &'static str {
    "OK"
}

pub(crate) async fn version() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], VERSION).into_response()
}

/// The process runs; its dependencies may not.
pub(crate) async fn livez() -> &'static str {
    "OK"
}

/// The cached state of the dependencies. It is cached for [`CACHE_TIME`], so that unauthenticated callers can not make
/// the server query its bucket with every request.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, DependencyState)>>);

/// The state of the dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DependencyState {
    database: Result<(), String>,
    artifacts: Result<(), String>,
}

impl Readiness {
    async fn check(&self, app: &App) -> DependencyState {
        // Concurrent callers wait here and share the result.
        let mut last = self.0.lock().await;
        if let Some((checked, state)) = &*last
            && checked.elapsed() < CACHE_TIME
        {
            return state.clone();
        }
        let (database, artifacts) = tokio::join!(probe(databases(app)), probe(artifacts(app)));
        let state = DependencyState { database, artifacts };
        if last.as_ref().is_none_or(|(_, before)| *before != state) {
            state.log();
        }
        *last = Some((Instant::now(), state.clone()));
        state
    }
}

impl DependencyState {
    /// Logs a change: the response has no details for untrusted callers.
    fn log(&self) {
        for (what, outcome) in [("database", &self.database), ("artifact store", &self.artifacts)] {
            match outcome {
                Ok(()) => tracing::info!("ready: the {what} responds"),
                Err(reason) => tracing::warn!("not ready: the {what}: {reason}"),
            }
        }
    }
}

/// Ready if the database and the artifact store answer; with `?needs=database` if the database does, which is enough
/// for most of the API. Only admins, and the local user of a server without users, get details.
pub(crate) async fn readyz(app: Arc<App>, readiness: Arc<Readiness>, request: Request) -> Response {
    let DependencyState { database, artifacts } = Box::pin(readiness.check(&app)).await;
    let ready = database.is_ok() && (artifacts.is_ok() || request.uri().query() == Some("needs=database"));
    let mut body = json!({ "ready": ready });
    if is_trusted(&app, request).await {
        let as_json = |outcome: &Result<(), String>| match outcome {
            Ok(()) => json!("ok"),
            Err(reason) => json!(reason),
        };
        body["database"] = as_json(&database);
        body["artifacts"] = as_json(&artifacts);
        body["artifact_store"] = json!(app.locations.destination.as_ref().map(ArtifactRepository::name));
        // Reported, but without effect on readiness: this store may be reachable from clients only.
        if let Some(direct) = &app.locations.direct {
            let last = direct.last().unwrap_or_else(|| Err("no answer yet".to_owned()));
            body["default_artifact_root"] = json!({"store": direct.repository().name(), "reading": as_json(&last)});
        }
    }
    let mut response = rpc::json(&body).unwrap_or_else(|error| crate::error::ApiError(error).into_response());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Whether the caller may see names of stores and reasons of failures.
async fn is_trusted(app: &App, request: Request) -> bool {
    let Some(access) = &app.access else { return app.config.is_local_only };
    let (head, _) = request.into_parts();
    identify(app, access, &head).await.is_ok_and(|caller| caller.is_admin)
}

/// Checks both databases: users may be in a separate one.
async fn databases(app: &App) -> ferroflow_model::Result<()> {
    let users = async {
        match &app.access {
            Some(access) => Ok(access.auth.users().db().check().await?),
            None => Ok(()),
        }
    };
    tokio::try_join!(app.store.ping(), users).map(drop)
}

async fn artifacts(app: &App) -> ferroflow_model::Result<()> {
    match &app.locations.destination {
        Some(_) => app.locations.destination()?.check().await,
        None => Ok(()),
    }
}

async fn probe(check: impl Future<Output = ferroflow_model::Result<()>>) -> Result<(), String> {
    match tokio::time::timeout(PROBE_TIMEOUT, check).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.message),
        Err(_) => Err("no answer in time".into()),
    }
}

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.telemetry.render(&app);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
