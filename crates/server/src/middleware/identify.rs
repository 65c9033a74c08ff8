//! Identifies the caller of a request: by user name and password, by a bearer token, or by a browser's session cookie.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ferroflow_auth::Caller;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::authenticate::client;
use crate::{
    access::Access,
    api::oidc::sent,
    app::App,
    error::ApiError,
    session::{Kind, is_logged_out, is_navigation, is_own},
};

const UNKNOWN: &str = "You are not authenticated. Please see \
                       https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow on how to \
                       authenticate.";

/// `WWW-Authenticate` challenges of RFC 6750.
const BAD_TOKEN: &str = "Bearer realm=\"mlflow\", error=\"invalid_token\"";
const NO_SESSION: &str = "Bearer realm=\"mlflow\"";

const CROSS_SITE: &str = "Another site asks for this with your cookie: it is refused.";

/// The response to a refused request, and its caller if known.
pub(crate) type Refusal = Box<(Response, Option<Arc<Caller>>)>;

/// Identifies the caller by the `Authorization` header or, without one, by the session cookie.
pub(crate) async fn identify(app: &App, access: &Access, request: &Parts) -> Result<Arc<Caller>, Refusal> {
    let nobody = |response: Response| Box::new((response, None));
    let failed = |error| nobody(ApiError(error).into_response());
    let headers = &request.headers;
    let Some(authorization) = headers.get(header::AUTHORIZATION) else { return of_cookie(app, access, request).await };
    let found = if let Some((username, password)) = credentials(headers) {
        access.auth.authenticate(&username, &password, client(&request.extensions)).await
    } else if let Some(token) = bearer(authorization).filter(|_| access.auth.takes_tokens()) {
        let found = access.auth.authenticate_token(token).await;
        return found.map_err(failed)?.ok_or_else(|| nobody(challenged(BAD_TOKEN)));
    } else {
        Ok(None)
    };
    found.map_err(failed)?.ok_or_else(|| nobody(unauthenticated()))
}

/// Identifies the caller by the session cookie. An unauthenticated browser that navigates to a page is redirected to
/// the login.
async fn of_cookie(app: &App, access: &Access, request: &Parts) -> Result<Arc<Caller>, Refusal> {
    let nobody = |response: Response| Box::new((response, None));
    let (method, headers) = (&request.method, &request.headers);
    let Some(cookies) = access.cookies() else { return Err(nobody(unauthenticated())) };
    let prefix = &app.config.base();
    let Some(cookie) = cookies.get(headers, Kind::Session) else {
        if is_navigation(method, headers) {
            return Err(nobody(to_login(app, request)));
        }
        return Err(nobody(unauthenticated()));
    };
    if is_logged_out(headers) {
        if is_navigation(method, headers) {
            return Err(nobody(sent(&format!("{prefix}/oidc/logout"), [cookies.forget(Kind::Session)])));
        }
        return Err(nobody(challenged(NO_SESSION)));
    }
    match access.auth.authenticate_session(cookie).await {
        Ok(Some(caller)) if is_own(method, headers) => Ok(caller),
        Ok(Some(caller)) => Err(Box::new(((StatusCode::FORBIDDEN, CROSS_SITE).into_response(), Some(caller)))),
        Ok(None) if is_navigation(method, headers) => Err(nobody(to_login(app, request))),
        // A page that is still open must not make the browser ask for a password.
        Ok(None) => Err(nobody(challenged(NO_SESSION))),
        Err(error) => Err(nobody(ApiError(error).into_response())),
    }
}

/// Redirects to the provider, with the requested URL to return to.
fn to_login(app: &App, request: &Parts) -> Response {
    let wanted = request.uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    let next = format!("{}{wanted}", app.config.url_prefix);
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
    sent(&format!("{}/oidc/login?{query}", app.config.base()), [])
}

/// The token of `Authorization: Bearer`.
fn bearer(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The user name and password of Basic authentication.
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    text.split_once(':').map(|(username, password)| (username.to_owned(), password.to_owned()))
}

/// The response to an invalid token or session: its challenge does not make a browser ask for a password.
fn challenged(challenge: &'static str) -> Response {
    let mut response = unauthenticated();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// The response with a Basic challenge, which makes clients and browsers ask for a password.
fn unauthenticated() -> Response {
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
