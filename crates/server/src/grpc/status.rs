//! Errors: the response of HTTP that a handler or the middleware gives, as a status of gRPC.

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use ferroflow_model::limits;
use ferroflow_otlp::{Encoding, status};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::MEDIA_TYPE;
use crate::api::traces::span_log::code;

pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// `google.rpc.Status` in base64.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// `google.rpc.RetryInfo` in base64, which OpenTelemetry's SDK for Python reads instead.
const RETRY_INFO: HeaderName = HeaderName::from_static("google.rpc.retryinfo-bin");

/// The header of `middleware/observe.rs`.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The most bytes of a message: clients accept 8 KiB of headers, and a byte takes up to three.
const MAX_MESSAGE: usize = 1024;

/// What is percent-encoded in a message, besides bytes that are not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Answers a call: refuses what is none, and translates errors.
pub(crate) async fn translate(request: Request, next: Next) -> Response {
    if !is_call(request.headers()) {
        let mut response =
            Response::new(Body::from("This port is for gRPC: OTLP over HTTP is at /v1/traces of the other.\n"));
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let response = next.run(request).await;
    if response.status() == StatusCode::OK && response.headers().get(header::CONTENT_TYPE) == Some(&MEDIA_TYPE) {
        return response;
    }
    let (head, body) = response.into_parts();
    let message = message(&head.headers, body).await;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    if let Some(id) = head.headers.get(&REQUEST_ID) {
        headers.insert(REQUEST_ID, id.clone());
    }
    let code = code(head.status);
    headers.insert(STATUS, HeaderValue::from(u16::from(code)));
    let encoded = utf8_percent_encode(&message, ENCODED).to_string();
    headers.insert(MESSAGE, HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static("")));
    if let Some(seconds) = retry_after(&head.headers) {
        let binary = |bytes: Vec<u8>| HeaderValue::try_from(BASE64_STANDARD_NO_PAD.encode(bytes));
        if let (Ok(details), Ok(info)) = (binary(details(code, &message, seconds)), binary(retry_info(seconds).into()))
        {
            headers.insert(DETAILS, details);
            headers.insert(RETRY_INFO, info);
        }
    }
    response
}

/// Whether a request is a call: `application/grpc`, perhaps with the format of its messages.
fn is_call(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = sent.strip_prefix(MEDIA_TYPE.as_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The message of an error, which is that of the API's JSON or a text.
async fn message(headers: &HeaderMap, body: Body) -> String {
    let bytes = axum::body::to_bytes(body, 8 * limits::ERROR_MESSAGE).await.unwrap_or_default();
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|found| found == "application/json");
    let of_json =
        || Some(serde_json::from_slice::<serde_json::Value>(&bytes).ok()?.get("message")?.as_str()?.to_owned());
    let found = is_json.then(of_json).flatten();
    let mut text = found.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
    if let Some((cut, _)) = text.char_indices().find(|(at, found)| at + found.len_utf8() > MAX_MESSAGE) {
        text.truncate(cut);
    }
    text
}

/// `Retry-After` in seconds, at most two minutes.
fn retry_after(headers: &HeaderMap) -> Option<u8> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    u8::try_from(seconds.min(120)).ok()
}

/// `google.rpc.RetryInfo`: a duration in seconds, below 128.
fn retry_info(seconds: u8) -> [u8; 4] {
    [1 << 3 | 2, 2, 1 << 3, seconds]
}

/// `google.rpc.Status` with when to try again.
fn details(code: u8, message: &str, seconds: u8) -> Vec<u8> {
    const TYPE: &[u8; 40] = b"type.googleapis.com/google.rpc.RetryInfo";
    let info = retry_info(seconds);
    let any = [&[1 << 3 | 2, 40], &TYPE[..], &[2 << 3 | 2, 4], &info].concat();
    [&status(code, message, Encoding::Protobuf)[..], &[3 << 3 | 2, 48], &any].concat()
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn, routing::post};
    use ferroflow_model::Error;
    use tower::ServiceExt as _;

    use super::*;
    use crate::error::{ApiError, forbidden};

    async fn call(content_type: &'static str, answer: fn() -> Response) -> Response {
        let router: Router =
            Router::new().route("/", post(move || std::future::ready(answer()))).layer(from_fn(translate));
        let request = http::Request::post("/").header("content-type", content_type).body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap()
    }

    fn refused(error: Error) -> Response {
        axum::response::IntoResponse::into_response(ApiError(error))
    }

    #[tokio::test]
    async fn an_error_is_a_status_without_a_message() {
        let response = call("application/grpc", || refused(Error::not_found("no\n\"é\" 100%"))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], "5");
        assert_eq!(response.headers()["grpc-message"], "no%0A\"%C3%A9\" 100%25");
        assert!(!response.headers().contains_key("grpc-status-details-bin"));
        let response = call("application/grpc+proto", forbidden).await;
        assert_eq!(response.headers()["grpc-status"], "7");
        assert_eq!(response.headers()["grpc-message"], "Permission denied");
        let response = call("application/grpc", || refused(Error::invalid("é".repeat(5000)))).await;
        assert_eq!(response.headers()["grpc-message"].len(), 3 * 1024);
    }

    #[tokio::test]
    async fn a_full_server_says_when_to_try_again() {
        let response = call("application/grpc", || refused(Error::busy("full"))).await;
        assert_eq!(response.headers()["grpc-status"], "8");
        assert_eq!(response.headers()["google.rpc.retryinfo-bin"], "CgIIAQ");
        let details = BASE64_STANDARD_NO_PAD.decode(&response.headers()["grpc-status-details-bin"]).unwrap();
        let expected =
            b"\x08\x08\x12\x04full\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01";
        assert_eq!(details, expected);
    }

    #[tokio::test]
    async fn what_is_no_call_is_answered_by_http() {
        for content_type in ["application/x-protobuf", "application/grpc-web", ""] {
            assert_eq!(call(content_type, forbidden).await.status(), 415, "{content_type}");
        }
    }
}
