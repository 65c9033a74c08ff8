//! Converts errors to responses: the only place that knows HTTP status codes.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use ferroflow_model::{Error, ErrorCode, limits};
use http::{HeaderValue, StatusCode, header};

use crate::access::PERMISSION_DENIED;

/// `Retry-After` of an overloaded server, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Extension of a response that rejects a request for lack of resources, before anything was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Busy;

/// An error of the API as a response.
pub(crate) struct ApiError(pub(crate) Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.0.code == ErrorCode::PermissionDenied && self.0.message == PERMISSION_DENIED {
            return forbidden();
        }
        let status = StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(code = %self.0.code, message = %self.0.message, "request failed");
        }
        let mut error = self.0;
        // The message may repeat long input of the client.
        if let Some((cut, _)) = error.message.char_indices().find(|(at, _)| *at >= limits::ERROR_MESSAGE) {
            error.message.truncate(cut);
            error.message.push('…');
        }
        let mut response = (status, error.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(
            error.code,
            ErrorCode::TemporarilyUnavailable | ErrorCode::ResourceExhausted | ErrorCode::RequestLimitExceeded
        ) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if error.code == ErrorCode::ResourceExhausted {
            tracing::warn!(message = %error.message, "a request was refused for lack of resources");
            response.extensions_mut().insert(Busy);
        }
        response
    }
}

/// The response to a caller without the required permission.
pub(crate) fn forbidden() -> Response {
    let mut response = (StatusCode::FORBIDDEN, PERMISSION_DENIED).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The response to a path that is not routed: JSON below the API, else a small page.
pub(crate) fn not_found(path: &str) -> Response {
    if path.contains("/api/") || path.contains("/ajax-api/") {
        return ApiError(Error::new(ErrorCode::EndpointNotFound, format!("The server has no endpoint at '{path}'.")))
            .into_response();
    }
    page(StatusCode::NOT_FOUND, "Not Found", "The requested URL was not found on the server.")
}

/// The response to a method that a path does not support. The router has set `Allow`.
pub(crate) fn method_not_allowed() -> Response {
    page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", "The method is not allowed for the requested URL.")
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let body = format!(
        "<!doctype html>\n<html lang=en>\n<title>{} {title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n",
        status.as_u16()
    );
    let mut response = (status, Body::from(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The response to a panic in a handler. It refers to the log by request id and reveals no details.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    ApiError(Error::internal("Internal server error. The server's log has the details under this request's id."))
        .into_response()
}
