//! Gives every request an id, a log line and metrics.

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

/// The request id sent by a client or a proxy, truncated and without special characters.
#[derive(Debug, Clone)]
pub(crate) struct ClientRequestId(pub(crate) String);

impl ClientRequestId {
    const MAX_LENGTH: usize = 128;

    fn of(value: &HeaderValue) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
        let shown = |byte: &u8| if is_plain(*byte) { char::from(*byte) } else { '?' };
        Self(value.as_bytes().iter().take(Self::MAX_LENGTH).map(shown).collect())
    }
}

/// Gives the request an id, and logs its outcome. An id from the client is logged beside it rather than used: a client
/// could give two requests the same id.
pub(crate) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let id = HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static(""));
    let given = request.headers().get(&REQUEST_ID).map(ClientRequestId::of);
    let client_id = given.as_ref().map(|given| given.0.clone());
    request.extensions_mut().insert(RequestId(id.clone()));
    if let Some(given) = given {
        request.extensions_mut().insert(given);
    }
    let client = Client::of(request.extensions(), request.headers(), &app.config.trusted_proxies);
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let client = client.map(|client| tracing::field::display(client.0));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        client_id,
        client,
        %method,
        route,
        trace_id = tracing::field::Empty
    );
    let running = app.telemetry.begin();
    let traced = app.telemetry.begin_trace(request.headers(), &method, &route, id.to_str().unwrap_or_default());
    let mut response = match traced {
        None => next.run(request).instrument(span.clone()).await,
        Some(traced) => {
            span.record("trace_id", traced.trace_id().map(tracing::field::display));
            // On the heap, so that the future of other requests stays small.
            Box::pin(traced.answer(next.run(request)).instrument(span.clone())).await
        }
    };
    drop(running);
    let (status, elapsed) = (response.status().as_u16(), start.elapsed());
    app.telemetry.record_response(&method, &route, status, elapsed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_request_ids_are_truncated_and_sanitized() {
        let shown = |value: &[u8]| ClientRequestId::of(&HeaderValue::from_bytes(value).unwrap()).0;
        assert_eq!(shown(b"5f2b-x_1.2:3/4+5=@"), "5f2b-x_1.2:3/4+5=@");
        assert_eq!(shown(b"a b\"\t\xff{}"), "a?b?????");
        assert_eq!(shown(&[b'x'; 500]).len(), 128);
    }
}
