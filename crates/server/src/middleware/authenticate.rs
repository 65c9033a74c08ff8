//! Who sends a request. Without a login only what the table opens to everyone is reached.

use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    app::App,
    error::{ApiError, forbidden},
};

const UNKNOWN: &str = "You are not authenticated. Please see \
                       https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow on how to \
                       authenticate.";

/// The server, and the routes that are open to everyone.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    pub(crate) open: Arc<HashSet<String>>,
}

/// Finds out who sends a request; sends away who is nobody.
pub(crate) async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Some(access) = &gate.app.access else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if route.is_some_and(|route| gate.open.contains(route)) {
        return next.run(request).await;
    }
    let is_routed = route.is_some();
    let Some((username, password)) = credentials(request.headers()) else { return unauthenticated() };
    match access.auth.authenticate(&username, &password).await {
        Ok(Some(caller)) => {
            if !is_routed && !caller.is_admin {
                // What nothing is served at has no rule, so it is refused like the reference does.
                return forbidden();
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => unauthenticated(),
        Err(error) => ApiError(error).into_response(),
    }
}

/// A name and a password as basic authentication sends them.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    text.split_once(':').map(|(username, password)| (username.to_owned(), password.to_owned()))
}

/// The answer that makes clients and browsers ask for a password.
pub(crate) fn unauthenticated() -> Response {
    let mut response = (StatusCode::UNAUTHORIZED, UNKNOWN).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mlflow\""));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        credentials(&headers)
    }

    #[test]
    fn a_password_may_hold_anything() {
        let encoded = BASE64_STANDARD.encode("böb:pass:word é");
        let expected = Some(("böb".to_owned(), "pass:word é".to_owned()));
        assert_eq!(sent(&format!("Basic {encoded}")), expected);
        assert_eq!(sent(&format!("basic  {encoded}")), expected);
    }

    #[test]
    fn what_is_no_basic_authentication_is_nobody() {
        for value in ["Bearer abc", "Basic", "Basic ###", "Basic YQ==", "Basic gA=="] {
            assert_eq!(sent(value), None, "{value}");
        }
    }
}
