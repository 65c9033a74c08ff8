//! Host and origin checks and security headers, with the rules and words of the reference
//! (`fastapi_security.py`, `security_utils.py`).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use crate::app::{App, Security};

const INVALID_HOST: &str = "Invalid Host header - possible DNS rebinding attack detected. If this is a name of the \
                            server, add it to --allowed-hosts (MLFLOW_SERVER_ALLOWED_HOSTS).";
const CROSS_ORIGIN: &str = "Cross-origin request blocked. If this origin is to change something, add it to \
                            --cors-allowed-origins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS).";

/// Assets that notebooks show in a frame.
const NOTEBOOK_RENDERER: &str = "/static-files/lib/notebook-trace-renderer/";

/// Hosts that are allowed when nothing is set: this machine and private networks.
pub(crate) fn default_hosts() -> Vec<String> {
    let local = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"];
    let mut hosts: Vec<String> = local.iter().map(|host| (*host).to_owned()).collect();
    hosts.extend(local.iter().map(|host| format!("{host}:*")));
    hosts.extend(["192.168.*", "10.*", "fc00:*", "fd00:*"].map(str::to_owned));
    hosts.extend((16..32).map(|second| format!("172.{second}.*")));
    hosts
}

/// Checks a request and puts the headers on its answer.
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
    let framed = path.starts_with(&format!("{}{NOTEBOOK_RENDERER}", app.config.static_prefix));
    if !framed
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
    if !is_health(app, path) && !host_allowed(&security.allowed_hosts, host) {
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

/// Whether a path is one of the API. Calls are served with the prefix and without it, and both ways
/// must be watched.
fn is_api(prefix: &str, path: &str) -> bool {
    let is_call = |path: &str| path.starts_with("/api/") || path.starts_with("/ajax-api/");
    is_call(path) || path.strip_prefix(prefix).is_some_and(is_call)
}

fn host_allowed(allowed: &[String], host: &str) -> bool {
    !host.is_empty() && allowed.iter().any(|pattern| pattern == "*" || matches(pattern, host))
}

fn origin_blocked(allowed: &[String], origin: &str, method: &Method) -> bool {
    let changes = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH].contains(method);
    changes
        && !origin.is_empty()
        && !is_localhost(origin)
        && !allowed.iter().any(|pattern| pattern == "*" || matches(pattern, origin))
}

/// An origin of this machine, on any port.
fn is_localhost(origin: &str) -> bool {
    let Some((_, rest)) = origin.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(host.to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "::1")
}

/// A pattern with `*` for any text and `?` for any character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some('?') => (p, t) = (p + 1, t + 1),
            Some(char) if *char == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|char| *char == '*')
}

/// Answers preflights and puts CORS headers on answers, for localhost and the allowed origins.
pub(crate) fn cors(security: &Security) -> CorsLayer {
    if security.allowed_origins.iter().any(|origin| origin == "*") {
        return CorsLayer::very_permissive().allow_credentials(false).allow_origin(AllowOrigin::any());
    }
    let allowed = security.allowed_origins.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            origin
                .to_str()
                .is_ok_and(|origin| is_localhost(origin) || allowed.iter().any(|pattern| matches(pattern, origin)))
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
    fn hosts_of_this_machine_and_private_networks_are_allowed() {
        let hosts = default_hosts();
        for host in
            ["localhost", "localhost:5000", "127.0.0.1:80", "[::1]:5000", "10.1.2.3", "172.31.0.1:5000", "192.168.0.1"]
        {
            assert!(host_allowed(&hosts, host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "172.32.0.1", "11.0.0.1", "127.0.0.1.evil.example"] {
            assert!(!host_allowed(&hosts, host), "{host}");
        }
        assert!(host_allowed(&["*.corp.example".into()], "ml.corp.example"));
        assert!(!host_allowed(&["*.corp.example".into()], "corp.example"));
        assert!(host_allowed(&["*".into()], "anything"));
    }

    #[test]
    fn calls_are_watched_with_the_prefix_and_without_it() {
        for path in ["/api/2.0/mlflow/runs/create", "/ajax-api/2.0/mlflow/upload-artifact"] {
            assert!(is_api("", path) && is_api("/ml", path) && is_api("/ml", &format!("/ml{path}")), "{path}");
        }
        for path in ["/health", "/ml/health", "/apis/x", "/static-files/api/x"] {
            assert!(!is_api("/ml", path), "{path}");
        }
    }

    #[test]
    fn only_changes_from_foreign_origins_are_blocked() {
        let allowed = ["https://app.example".to_owned(), "https://*.corp.example".to_owned()];
        for origin in ["", "http://localhost:3000", "http://[::1]:1", "https://app.example", "https://x.corp.example"] {
            assert!(!origin_blocked(&allowed, origin, &Method::POST), "{origin}");
        }
        for origin in ["https://evil.example", "http://localhost.evil.example", "http://localhost@evil.example", "null"]
        {
            assert!(origin_blocked(&allowed, origin, &Method::POST), "{origin}");
            assert!(!origin_blocked(&allowed, origin, &Method::GET), "{origin}");
        }
    }
}
