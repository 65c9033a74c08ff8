//! Server information, and the small endpoints that every page of the UI calls.

use axum::{
    extract::{MatchedPath, Request},
    response::{Html, IntoResponse as _, Response},
};
use ferroflow_artifacts::BucketRepository;
use ferroflow_model::Result;
use http::{Extensions, Method, StatusCode, header};
use serde_json::json;

use crate::{app::Cx, rpc};

/// Public, without authentication: it must not reveal anything secret.
pub(crate) async fn server_info(cx: Cx, _: Request) -> Result<Response> {
    let destination = cx.app.locations.destination.as_ref();
    let bucket = destination.and_then(|store| store.bucket()).filter(|_| cx.app.config.transfers.enabled);
    rpc::json(&json!({
        "store_type": "SqlStore",
        "workspaces_enabled": cx.app.store.has_workspaces(),
        "trace_archival_enabled": cx.app.config.trace_archival.is_some(),
        "multipart_uploads_enabled": bucket.is_some(),
        "multipart_downloads_enabled": bucket.is_some_and(BucketRepository::signs_everything),
        "presigned_upload_run_id_supported": true,
        "presigned_upload_model_id_supported": true,
        // The UI shows enabled features, and there is no gateway yet.
        "features_enabled": { "gateway": false },
    }))
}

/// Telemetry is disabled: this server sends nothing.
pub(crate) async fn get_ui_telemetry(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "disable_ui_telemetry": true, "disable_ui_events": [], "ui_rollout_percentage": 0 }))
}

pub(crate) async fn post_ui_telemetry(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "status": "disabled" }))
}

/// The runs table asks for the gateway's endpoints: there are none.
pub(crate) async fn gateway_proxy(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "endpoints": [] }))
}

/// The assistant does not exist either, but its panel must not break the page.
pub(crate) async fn assistant_config(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "providers": {}, "projects": {}, "remote_access_allowed": false }))
}

pub(crate) async fn assistant_providers(_: Cx, _: Request) -> Result<Response> {
    rpc::json(&json!({ "providers": [] }))
}

/// Endpoints of workspaces on a server without workspaces. The UI calls them when it creates a user.
pub(crate) fn no_workspaces(request: &Extensions) -> Response {
    off(
        request.get::<MatchedPath>().map_or("", MatchedPath::as_str),
        "because the server is running without workspaces support. To enable workspace, run `mlflow server` with \
         `--enable-workspaces`",
    )
}

/// Tracking endpoints on a server with `--artifacts-only`.
pub(crate) fn no_tracking(path: &str) -> Response {
    off(
        path,
        "due to the mlflow server running in `--artifacts-only` mode. To enable tracking server functionality, run \
         `mlflow server` without `--artifacts-only`",
    )
}

/// Artifact endpoints on a server that does not serve artifacts. The reference has uploads and downloads in another
/// framework, with other messages.
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

/// The response of a disabled endpoint.
fn off(path: &str, why: &str) -> Response {
    let rule = path.replace("{*", "<path:").replace('{', "<").replace('}', ">");
    (StatusCode::SERVICE_UNAVAILABLE, Html(format!("Endpoint: {rule} disabled {why}"))).into_response()
}
