//! What the server says of itself, and the small calls of every page of the UI.

use axum::{
    extract::{MatchedPath, Request},
    response::{Html, IntoResponse as _, Response},
};
use ferroflow_artifacts::BucketRepository;
use ferroflow_model::Result;
use http::{Method, StatusCode, header};
use serde_json::json;

use crate::{app::Cx, rpc};

/// Read by clients before they log in: nothing secret may be here.
pub(crate) async fn server_info(cx: Cx, _: Request) -> Result<Response> {
    let destination = cx.app.locations.destination.as_ref();
    let bucket = destination.and_then(|store| store.bucket()).filter(|_| cx.app.config.transfers.enabled);
    rpc::json(&json!({
        "store_type": "SqlStore",
        "workspaces_enabled": false,
        "trace_archival_enabled": cx.app.config.trace_archival.is_some(),
        "multipart_uploads_enabled": bucket.is_some(),
        "multipart_downloads_enabled": bucket.is_some_and(BucketRepository::signs_everything),
        "presigned_upload_run_id_supported": true,
        "presigned_upload_model_id_supported": true,
        // The UI offers what is enabled here, and there is no gateway yet.
        "features_enabled": { "gateway": false },
    }))
}

/// Telemetry is off: nothing leaves this server.
pub(crate) async fn get_ui_telemetry(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "disable_ui_telemetry": true, "disable_ui_events": [], "ui_rollout_percentage": 0 }))
}

pub(crate) async fn post_ui_telemetry(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "status": "disabled" }))
}

/// The gateway that the runs table asks for: there is none.
pub(crate) async fn gateway_proxy(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "endpoints": [] }))
}

/// The assistant, of which there is none either; the panel must not break the page.
pub(crate) async fn assistant_config(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "providers": {}, "projects": {}, "remote_access_allowed": false }))
}

pub(crate) async fn assistant_providers(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "providers": [] }))
}

/// Calls of workspaces on a server that has them off, as every one of ours. The UI asks when it creates a user.
pub(crate) fn no_workspaces(request: &Request) -> Response {
    off(
        request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str),
        "because the server is running without workspaces support. To enable workspace, run `mlflow server` with \
         `--enable-workspaces`",
    )
}

/// Calls of tracking on a server of artifacts alone.
pub(crate) fn no_tracking(path: &str) -> Response {
    off(
        path,
        "due to the mlflow server running in `--artifacts-only` mode. To enable tracking server functionality, run \
         `mlflow server` without `--artifacts-only`",
    )
}

/// Calls of artifacts on a server that does not serve them. Those that take and give files the reference has in another
/// framework, with other words.
pub(crate) fn no_artifacts(path: &str, method: &Method) -> Response {
    if path.ends_with("/mlflow-artifacts/artifacts/{*artifact_path}") && *method != Method::DELETE {
        let detail = "Artifact serving is disabled. Run `mlflow server` with `--serve-artifacts` to enable.";
        let body = json!({ "detail": detail }).to_string();
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    off(
        path,
        "due to the mlflow server running with `--no-serve-artifacts`. To enable artifacts server functionality, run \
         `mlflow server` with `--serve-artifacts`",
    )
}

/// A call that is switched off.
fn off(path: &str, why: &str) -> Response {
    let rule = path.replace("{*", "<path:").replace('{', "<").replace('}', ">");
    (StatusCode::SERVICE_UNAVAILABLE, Html(format!("Endpoint: {rule} disabled {why}"))).into_response()
}
