//! The endpoints of the port for gRPC.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::from_fn,
    response::IntoResponse as _,
    routing::{any, post},
};
use ferroflow_model::{Error, ErrorCode};

use super::with_middleware;
use crate::{
    access::{Needs, Resource},
    api::traces::span_log,
    app::App,
    error::ApiError,
    grpc, rpc,
};

/// Stores spans.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The router with its middleware, which is that of HTTP.
pub(crate) fn build(app: &Arc<App>) -> Router {
    let handler: rpc::Handler<Request> = Arc::new(|cx, request| Box::pin(span_log::export_grpc(cx, request)));
    let export = move |State(app): State<Arc<App>>, request: Request| {
        rpc::otlp(app, Needs::Create(Resource::Trace), request, Arc::clone(&handler), |_, error| {
            ApiError(error).into_response()
        })
    };
    let unknown = |request: Request| async move {
        let path = request.uri().path();
        ApiError(Error::new(ErrorCode::NotImplemented, format!("The server has no method {path}."))).into_response()
    };
    // A route of its own for all other paths: without one only admins learn that there is no such method.
    let router =
        Router::new().route(EXPORT, post(export).fallback(unknown)).route("/{*path}", any(unknown)).fallback(unknown);
    with_middleware(router, app, std::collections::HashSet::new()).layer(from_fn(grpc::translate))
}
