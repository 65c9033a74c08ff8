//! An id, a log line and a count for every request.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue};
use tracing::Instrument as _;

use super::client::Client;
use crate::app::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// Gives the request an id, or keeps the one that a proxy gave it, and tells what came of it.
pub(crate) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let given = request.headers().get(&REQUEST_ID).filter(|id| id.len() <= 128 && id.to_str().is_ok());
    let id = given.cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static(""))
    });
    request.extensions_mut().insert(RequestId(id.clone()));
    let client = Client::of(request.extensions(), request.headers(), &app.config.trusted_proxies);
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let client = client.map(|client| tracing::field::display(client.0));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), client, %method, route);
    let running = app.telemetry.begin();
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(running);
    let (status, elapsed) = (response.status().as_u16(), start.elapsed());
    app.telemetry.answered(&method, &route, status, elapsed);
    let _entered = span.enter();
    let ms = elapsed.as_secs_f64() * 1000.0;
    if status >= 500 {
        tracing::warn!(status, ms, "answered");
    } else {
        tracing::debug!(status, ms, "answered");
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}
