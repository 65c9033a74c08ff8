//! What the server says of itself, and the small calls of every page of the UI.

use axum::{
    extract::{MatchedPath, Request},
    response::{Html, IntoResponse as _, Response},
};
use ferroflow_artifacts::BucketRepository;
use ferroflow_model::Result;
use http::StatusCode;
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
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let route = route.replace('{', "<").replace('}', ">");
    let text = format!(
        "Endpoint: {route} disabled because the server is running without workspaces support. To enable workspace, run \
         `mlflow server` with `--enable-workspaces`"
    );
    (StatusCode::SERVICE_UNAVAILABLE, Html(text)).into_response()
}
