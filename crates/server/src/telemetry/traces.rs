//! Traces of the server itself: which requests are traced, and the span of a request until its response is sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use ferroflow_telemetry::{ActiveSpan, Kind, Origin, TraceParent, Tracer};
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

/// The user agent of exporters of ferroflow begins with this: a server does not trace what other servers, or itself,
/// send to it as a collector, which would never end.
pub(super) const EXPORTER: &str = "ferroflow-traces/";

/// Routes that probes and scrapers request all the time, and the files of the UI.
const UNTRACED: [&str; 6] = ["/health", "/livez", "/readyz", "/version", "/metrics", "/static-files/{*path}"];

/// A request that is traced.
pub(crate) struct TracedRequest {
    span: ActiveSpan,
}

/// Begins the trace of a request, or the server's part of the client's trace; `None` if it is not sampled.
pub(super) fn begin(
    tracer: &Tracer,
    headers: &HeaderMap,
    method: &'static str,
    route: &str,
    id: &str,
) -> Option<TracedRequest> {
    if UNTRACED.iter().any(|untraced| route.ends_with(untraced)) || is_of_exporter(headers) {
        return None;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let parent = text("traceparent").and_then(|parent| TraceParent::parse(parent, text("tracestate")));
    let mut span = tracer.begin(format!("{method} {route}").into(), parent)?;
    span.set("http.request.method", method);
    span.set("http.route", route.to_owned());
    span.set("ferroflow.request_id", id.to_owned());
    Some(TracedRequest { span })
}

fn is_of_exporter(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(EXPORTER.as_bytes()))
}

impl TracedRequest {
    /// The id of the trace, for the log.
    pub(crate) fn trace_id(&self) -> Option<impl std::fmt::Display + 'static> {
        self.span.context().map(|context| context.trace_id())
    }

    /// Answers the request. Its span ends when the response is sent.
    pub(crate) async fn answer(self, work: impl Future<Output = Response>) -> Response {
        let Self { mut span } = self;
        let Some(context) = span.context() else { return work.await };
        let response = Origin::traced(context.clone()).carry(work).await;
        let status = response.status().as_u16();
        span.set("http.response.status_code", u64::from(status));
        if status >= 500 {
            span.fail();
        }
        if response.body().is_end_stream() {
            return response;
        }
        let sending = ActiveSpan::below(Some(&context), "send the response", Kind::Internal, std::time::Instant::now());
        response.map(|body| Body::new(TracedBody { body, sent: 0, is_complete: false, sending, span }))
    }
}

/// The body of a response, with the span of its request.
struct TracedBody {
    body: Body,
    sent: usize,
    is_complete: bool,
    // Dropped first, as the inner one.
    sending: ActiveSpan,
    span: ActiveSpan,
}

impl HttpBody for TracedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.sent += frame.data_ref().map_or(0, Bytes::len);
                self.is_complete = self.body.is_end_stream();
            }
            Some(Err(_)) => {}
            None => self.is_complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TracedBody {
    /// The client may have gone before all was sent.
    fn drop(&mut self) {
        self.span.set("http.response.body.size", self.sent);
        if !self.is_complete {
            self.sending.fail();
            self.span.set("ferroflow.response.is_complete", false);
        }
    }
}
