//! Host and origin checks and security headers, with the rules and messages of the reference (`fastapi_security.py`,
//! `security_utils.py`).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ferroflow_model::Error;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use super::origins::Origins;
use crate::{
    app::{App, Security},
    error::ApiError,
};

const INVALID_HOST: &str = "Invalid Host header - possible DNS rebinding attack detected. If this is a name of the \
                            server, add it to --allowed-hosts (MLFLOW_SERVER_ALLOWED_HOSTS).";
const CROSS_ORIGIN: &str = "Cross-origin request blocked. If this origin is to change something, add it to \
                            --cors-allowed-origins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS).";

/// Assets that notebooks embed in a frame.
const NOTEBOOK_RENDERER: &str = "/static-files/lib/notebook-trace-renderer/";

/// Refuses a request with ambiguous hosts (RFC 9112, 3.2).
pub(crate) async fn require_one_host(request: Request, next: Next) -> Response {
    if has_one_host(&request) {
        return next.run(request).await;
    }
    tracing::warn!("refused a request for more than one host");
    ApiError(Error::bad_request("The request is for more than one host.")).into_response()
}

fn has_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let of_target = request.uri().authority().map(Authority::as_str);
    let differs =
        |host: &HeaderValue| of_target.is_some_and(|target| !target.as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    second.is_none() && !first.is_some_and(differs)
}

/// Checks a request and sets the security headers of its response.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let security = &app.config.security;
    let path = request.uri().path().to_owned();
    let is_options =
        request.method() == Method::OPTIONS && !request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match refusal(&app, security, &path, request.method(), request.headers()) {
        Some(text) => (StatusCode::FORBIDDEN, text).into_response(),
        None => next.run(request).await,
    };
    if is_options && response.status() == StatusCode::OK && is_api(&app.config.static_prefix, &path) {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let may_be_framed = path.starts_with(&format!("{}{NOTEBOOK_RENDERER}", app.config.static_prefix));
    if !may_be_framed
        && !security.frame_options.is_empty()
        && !security.frame_options.eq_ignore_ascii_case("none")
        && let Ok(value) = HeaderValue::from_str(&security.frame_options.to_ascii_uppercase())
    {
        headers.insert(header::X_FRAME_OPTIONS, value);
    }
    response
}

fn refusal(app: &App, security: &Security, path: &str, method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let host = text(header::HOST);
    if !is_health(app, path) && !security.allowed_hosts.allow(host) {
        tracing::warn!(host, "refused a Host header that --allowed-hosts does not name");
        return Some(INVALID_HOST);
    }
    let origin = text(header::ORIGIN);
    if is_api(&app.config.static_prefix, path) && origin_blocked(&security.allowed_origins, origin, method) {
        tracing::warn!(origin, "refused an origin that --cors-allowed-origins does not name");
        return Some(CROSS_ORIGIN);
    }
    None
}

fn is_health(app: &App, path: &str) -> bool {
    let path = path.strip_prefix(app.config.static_prefix.as_str()).unwrap_or(path);
    matches!(path, "/health" | "/version" | "/livez" | "/readyz")
}

/// Whether a path belongs to the API. It is served with the prefix and without it, and both must be checked.
fn is_api(prefix: &str, path: &str) -> bool {
    let is_call = |path: &str| path.starts_with("/api/") || path.starts_with("/ajax-api/");
    is_call(path) || path.strip_prefix(prefix).is_some_and(is_call)
}

fn origin_blocked(allowed: &Origins, origin: &str, method: &Method) -> bool {
    let changes = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH].contains(method);
    changes && !origin.is_empty() && !allowed.allow(origin)
}

/// Answers CORS preflight requests and sets CORS headers on responses, for localhost and the allowed origins.
pub(crate) fn cors(security: &Security) -> CorsLayer {
    if security.allowed_origins.allows_any() {
        return CorsLayer::very_permissive().allow_credentials(false).allow_origin(AllowOrigin::any());
    }
    let allowed = security.allowed_origins.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            origin.to_str().is_ok_and(|origin| allowed.allow(origin))
        }))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list([]))
        .vary([header::ORIGIN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_paths_are_recognized_with_and_without_the_prefix() {
        for path in ["/api/2.0/mlflow/runs/create", "/ajax-api/2.0/mlflow/upload-artifact"] {
            assert!(is_api("", path) && is_api("/ml", path) && is_api("/ml", &format!("/ml{path}")), "{path}");
        }
        for path in ["/health", "/ml/health", "/apis/x", "/static-files/api/x"] {
            assert!(!is_api("/ml", path), "{path}");
        }
    }

    #[test]
    fn only_changes_from_foreign_origins_are_blocked() {
        let allowed = Origins::parse("https://app.example,https://*.corp.example");
        for origin in ["", "http://localhost:3000", "https://app.example", "https://x.corp.example"] {
            assert!(!origin_blocked(&allowed, origin, &Method::POST), "{origin}");
        }
        for origin in ["https://evil.example", "http://localhost@evil.example", "null"] {
            assert!(origin_blocked(&allowed, origin, &Method::POST), "{origin}");
            assert!(!origin_blocked(&allowed, origin, &Method::GET), "{origin}");
        }
    }

    #[test]
    fn a_request_has_one_host() {
        let request = |target: &str, hosts: &[&str]| {
            let mut request = Request::new(axum::body::Body::empty());
            *request.uri_mut() = target.parse().unwrap();
            for host in hosts {
                request.headers_mut().append(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            has_one_host(&request)
        };
        assert!(request("/", &["a"]) && request("/", &[]) && request("http://a:80/x", &["A:80"]));
        assert!(!request("/", &["a", "a"]) && !request("/", &["a", "b"]) && !request("http://b/", &["a"]));
    }
}
