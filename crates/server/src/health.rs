//! Whether the server lives and is ready. Never behind a login, never telling more than that.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use ferroflow_artifacts::ArtifactRepository;
use http::{StatusCode, header};
use serde_json::json;

use crate::{app::App, rpc};

/// The version of the reference that this server stands in for.
pub(crate) const VERSION: &str = "3.17.2";

/// How long a dependency may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

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

/// The database and the artifact store answer. `?needs=database`: that of the database is enough, as most of the API
/// does without the other one.
pub(crate) async fn readyz(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let (database, artifacts) = tokio::join!(probe(databases(&app)), probe(artifacts(&app)));
    let ready = database.is_ok() && (artifacts.is_ok() || query.as_deref() == Some("needs=database"));
    let say = |outcome: &Result<(), String>| match outcome {
        Ok(()) => json!("ok"),
        Err(reason) => json!(reason),
    };
    let store = app.locations.destination.as_ref().map(ArtifactRepository::name);
    let mut body = json!({
        "ready": ready, "database": say(&database), "artifacts": say(&artifacts), "artifact_store": store,
    });
    // Told, and no more: clients may be the only ones who reach it.
    if let Some(direct) = &app.locations.direct {
        let last = direct.last().unwrap_or_else(|| Err("no answer yet".to_owned()));
        body["default_artifact_root"] = json!({"store": direct.repository().name(), "reading": say(&last)});
    }
    let mut response = rpc::json(&body).unwrap_or_else(|error| crate::error::ApiError(error).into_response());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// That of the users may be another one.
async fn databases(app: &App) -> ferroflow_model::Result<()> {
    app.store.ping().await?;
    match &app.access {
        Some(access) => Ok(access.auth.users().db().check().await?),
        None => Ok(()),
    }
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
