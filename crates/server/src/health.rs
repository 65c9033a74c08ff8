//! Whether the server lives and is ready. Never behind a login, never telling more than that.

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

/// The version of the reference that this server stands in for.
pub(crate) const VERSION: &str = ferroflow_model::messages::REFERENCE;

/// How long a dependency may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer of the dependencies counts.
const REMEMBERED: Duration = Duration::from_secs(1);

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

/// What is known about the dependencies. Whoever asks again within a second is told the same, so that strangers do not
/// make the server ask its bucket for each request.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Found)>>);

/// What the dependencies answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    database: Result<(), String>,
    artifacts: Result<(), String>,
}

impl Readiness {
    async fn look(&self, app: &App) -> Found {
        // Who comes meanwhile waits for the answer to this.
        let mut last = self.0.lock().await;
        if let Some((asked, found)) = &*last
            && asked.elapsed() < REMEMBERED
        {
            return found.clone();
        }
        let (database, artifacts) = tokio::join!(probe(databases(app)), probe(artifacts(app)));
        let found = Found { database, artifacts };
        if last.as_ref().is_none_or(|(_, before)| *before != found) {
            found.tell();
        }
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

impl Found {
    /// What the answer does not say to strangers.
    fn tell(&self) {
        for (what, outcome) in [("database", &self.database), ("artifact store", &self.artifacts)] {
            match outcome {
                Ok(()) => tracing::info!("the {what} answers"),
                Err(reason) => tracing::warn!("not ready: the {what}: {reason}"),
            }
        }
    }
}

/// The database and the artifact store answer. `?needs=database`: that of the database is enough, as most of the API
/// does without the other one. Only admins, and whoever a server of their own is for, are told more than that.
pub(crate) async fn readyz(app: Arc<App>, readiness: Arc<Readiness>, request: Request) -> Response {
    let Found { database, artifacts } = readiness.look(&app).await;
    let ready = database.is_ok() && (artifacts.is_ok() || request.uri().query() == Some("needs=database"));
    let mut body = json!({ "ready": ready });
    if is_trusted(&app, request).await {
        let say = |outcome: &Result<(), String>| match outcome {
            Ok(()) => json!("ok"),
            Err(reason) => json!(reason),
        };
        body["database"] = say(&database);
        body["artifacts"] = say(&artifacts);
        body["artifact_store"] = json!(app.locations.destination.as_ref().map(ArtifactRepository::name));
        // Told, and no more: clients may be the only ones who reach it.
        if let Some(direct) = &app.locations.direct {
            let last = direct.last().unwrap_or_else(|| Err("no answer yet".to_owned()));
            body["default_artifact_root"] = json!({"store": direct.repository().name(), "reading": say(&last)});
        }
    }
    let mut response = rpc::json(&body).unwrap_or_else(|error| crate::error::ApiError(error).into_response());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Whether names of stores and reasons may be told to whoever asks.
async fn is_trusted(app: &App, request: Request) -> bool {
    let Some(access) = &app.access else { return app.config.is_own };
    let (head, _) = request.into_parts();
    identify(app, access, &head).await.is_ok_and(|caller| caller.is_admin)
}

/// That of the users may be another one.
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
