//! The server's own pages, shown in place of the UI.

use axum::{body::Body, response::Response};
use ferroflow_model::messages::REFERENCE;
use http::{HeaderValue, Method, StatusCode, header};

use super::Pending;

/// Seconds until the page of a running download reloads.
const RELOAD_SECONDS: u8 = 3;

/// Seconds until the page reloads after a failure.
const RELOAD_AFTER_FAILURE: u8 = 15;

/// 404 Not Found.
pub(super) fn not_found(method: &Method) -> Response {
    error(StatusCode::NOT_FOUND, method)
}

/// A page with a status.
pub(super) fn error(status: StatusCode, method: &Method) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    page(status, format!("<!doctype html>\n<title>{0} {title}</title>\n<h1>{title}</h1>\n", status.as_u16()), method)
}

/// 405 Method Not Allowed: files are read-only.
pub(super) fn method_not_allowed() -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &Method::GET);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// The page shown until the UI is available. It needs no other file, and reloads itself.
pub(super) fn pending(pending: &Pending, method: &Method) -> Response {
    let failure = pending.failure.as_deref().map(|reason| {
        format!(
            "<p>The files could not be fetched: <code>{}</code></p>\n\
             <p>Do one of the following:</p>\n<ul>\n\
             <li>start the server with <code>--ui-dir</code> and the directory of a built UI,</li>\n\
             <li>install the package with <code>pip install mlflow=={REFERENCE}</code> in the environment of the \
             server,</li>\n\
             <li>set <code>PIP_INDEX_URL</code> to a package index that this machine can reach.</li>\n</ul>\n",
            escape(reason)
        )
    });
    let (title, text, seconds) = match pending.percent {
        Some(percent) => (
            "The web UI is being fetched",
            format!(
                "<p>This happens once. The API already answers.</p>\n\
                 <p><progress max=\"100\" value=\"{percent}\"></progress> {percent}&#8239;%</p>\n"
            ),
            RELOAD_SECONDS,
        ),
        None => ("The web UI is not available", "<p>The API answers.</p>\n".to_owned(), RELOAD_AFTER_FAILURE),
    };
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"refresh\" content=\"{seconds}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n\
         <style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 15vh auto; padding: 0 1rem }}\
         </style>\n<h1>{title}</h1>\n{text}{}</html>\n",
        failure.unwrap_or_default()
    );
    page(StatusCode::OK, html, method)
}

fn page(status: StatusCode, html: String, method: &Method) -> Response {
    let length = html.len();
    let mut response = Response::new(if *method == Method::HEAD { Body::empty() } else { html.into() });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}

/// Escapes text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
