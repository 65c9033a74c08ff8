//! Identifies the caller of a request: by user name and password, by a bearer token, by a browser's session cookie, or by
//! the headers of a trusted proxy.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ferroflow_auth::{Caller, Namespaces};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::authenticate::client;
use crate::{
    access::Access,
    api::accounts::oidc::redirect,
    app::App,
    error::ApiError,
    session::{Kind, is_logged_out, is_navigation, is_same_origin},
};

const UNAUTHENTICATED: &str = "You are not authenticated. Please see \
                       https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow on how to \
                       authenticate.";

/// `WWW-Authenticate` challenges of RFC 6750.
const BAD_TOKEN: &str = "Bearer realm=\"mlflow\", error=\"invalid_token\"";
const NO_SESSION: &str = "Bearer realm=\"mlflow\"";

const CROSS_SITE: &str = "The request comes from another site and has your session cookie: it is refused.";

/// The header by which a proxy that logs browsers in passes on the token of their user.
const FORWARDED_TOKEN: &str = "x-forwarded-access-token";

/// The response to a refused request, and its caller if known.
pub(crate) type Refusal = Box<(Response, Option<Arc<Caller>>)>;

/// Identifies the caller by the `Authorization` header or, without one, by the session cookie.
pub(crate) async fn identify(app: &App, access: &Access, request: &Parts) -> Result<Arc<Caller>, Refusal> {
    let unidentified = |response: Response| Box::new((response, None));
    let failed = |error| unidentified(ApiError(error).into_response());
    let headers = &request.headers;
    // The proxy adds a token or a name because of a cookie of its own.
    let of_proxy = |caller: Option<Arc<Caller>>| -> Result<Arc<Caller>, Refusal> {
        let caller = caller.ok_or_else(|| unidentified(unauthenticated_with(BAD_TOKEN)))?;
        let is_of_browser = ["sec-fetch-site", "origin"].iter().any(|name| headers.contains_key(*name));
        if is_of_browser && !is_same_origin(&request.method, headers) {
            return Err(Box::new(((StatusCode::FORBIDDEN, CROSS_SITE).into_response(), Some(caller))));
        }
        Ok(caller)
    };
    match vouched(app, access, request) {
        Vouched::User(name, groups) => {
            return of_proxy(access.auth.authenticate_vouched(name, groups).await.map_err(failed)?);
        }
        Vouched::Ambiguous => return of_proxy(None),
        Vouched::No => {}
    }
    if let Some(token) = forwarded_token(access, headers) {
        return of_proxy(access.auth.authenticate_token(token).await.map_err(failed)?);
    }
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return identify_session(app, access, request).await;
    };
    let found = if let Some((username, password)) = credentials(headers) {
        access.auth.authenticate(&username, &password, client(&request.extensions)).await
    } else if let Some(token) = bearer(authorization).filter(|_| access.auth.accepts_tokens()) {
        let found = access.auth.authenticate_token(token).await;
        return found.map_err(failed)?.ok_or_else(|| unidentified(unauthenticated_with(BAD_TOKEN)));
    } else {
        Ok(None)
    };
    found.map_err(failed)?.ok_or_else(|| unidentified(unauthenticated()))
}

/// Identifies the caller by the session cookie. An unauthenticated browser that navigates to a page is redirected to
/// the login.
async fn identify_session(app: &App, access: &Access, request: &Parts) -> Result<Arc<Caller>, Refusal> {
    let unidentified = |response: Response| Box::new((response, None));
    let (method, headers) = (&request.method, &request.headers);
    let Some(cookies) = access.cookies() else { return Err(unidentified(unauthenticated())) };
    let prefix = &app.config.base();
    let Some(cookie) = cookies.get(headers, Kind::Session) else {
        if is_navigation(method, headers) {
            return Err(unidentified(redirect_to_login(app, request)));
        }
        return Err(unidentified(unauthenticated()));
    };
    if is_logged_out(headers) {
        if is_navigation(method, headers) {
            return Err(unidentified(redirect(&format!("{prefix}/oidc/logout"), [cookies.delete(Kind::Session)])));
        }
        return Err(unidentified(unauthenticated_with(NO_SESSION)));
    }
    match access.auth.authenticate_session(cookie).await {
        Ok(Some(caller)) if is_same_origin(method, headers) => Ok(caller),
        Ok(Some(caller)) => Err(Box::new(((StatusCode::FORBIDDEN, CROSS_SITE).into_response(), Some(caller)))),
        Ok(None) if is_navigation(method, headers) => Err(unidentified(redirect_to_login(app, request))),
        // A page that is still open must not make the browser ask for a password.
        Ok(None) => Err(unidentified(unauthenticated_with(NO_SESSION))),
        Err(error) => Err(unidentified(ApiError(error).into_response())),
    }
}

/// Redirects to the provider, with the requested URL to return to.
fn redirect_to_login(app: &App, request: &Parts) -> Response {
    let wanted = request.uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    let next = format!("{}{wanted}", app.config.url_prefix);
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
    redirect(&format!("{}/oidc/login?{query}", app.config.base()), [])
}

/// What a trusted proxy says of the caller.
enum Vouched<'a> {
    /// Nothing, or no such proxy has sent the request.
    No,
    /// Several things, or that there is no name.
    Ambiguous,
    /// The name and the groups of the user whom it has authenticated.
    User(&'a str, Vec<String>),
}

/// What a trusted proxy says of the caller, where proxies name callers.
fn vouched<'a>(app: &App, access: &Access, request: &'a Parts) -> Vouched<'a> {
    let Some(remote) = access.auth.namespaces().and_then(Namespaces::remote_headers) else { return Vouched::No };
    if !app.config.trusted_proxies.sent(&request.extensions) || !request.headers.contains_key(&remote.user) {
        // Of anyone else these headers say nothing.
        return Vouched::No;
    }
    // A proxy replaces what its client has sent: with two of a kind, one would be the client's.
    let one = |name: &str| {
        let mut values = request.headers.get_all(name).iter();
        let text = values.next().map_or(Some(""), |value| std::str::from_utf8(value.as_bytes()).ok())?;
        values.next().is_none().then_some(text.trim())
    };
    match (one(&remote.user), one(&remote.groups)) {
        (Some(name), Some(groups)) if !name.is_empty() => Vouched::User(name, remote.groups(groups)),
        _ => Vouched::Ambiguous,
    }
}

/// The token that a proxy has passed on, where callers have tokens of a cluster, and send none themselves.
fn forwarded_token<'a>(access: &Access, headers: &'a HeaderMap) -> Option<&'a str> {
    if access.auth.namespaces()?.remote_headers().is_some() {
        return None;
    }
    let forwarded = headers.get(FORWARDED_TOKEN)?;
    if headers.get(header::AUTHORIZATION).is_some_and(|authorization| bearer(authorization).is_some()) {
        return None;
    }
    let token = forwarded.to_str().ok()?.trim();
    let token = bearer(forwarded).unwrap_or(token);
    Some(token).filter(|token| !token.is_empty())
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
fn unauthenticated_with(challenge: &'static str) -> Response {
    let mut response = unauthenticated();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// The response with a Basic challenge, which makes clients and browsers ask for a password.
fn unauthenticated() -> Response {
    let mut response = (StatusCode::UNAUTHORIZED, UNAUTHENTICATED).into_response();
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
    fn a_password_may_contain_colons_and_unicode() {
        let encoded = BASE64_STANDARD.encode("böb:pass:word é");
        let expected = Some(("böb".to_owned(), "pass:word é".to_owned()));
        assert_eq!(sent(&format!("Basic {encoded}")), expected);
        assert_eq!(sent(&format!("basic  {encoded}")), expected);
    }

    #[test]
    fn other_authorization_headers_have_no_credentials() {
        for value in ["Bearer abc", "Basic", "Basic ###", "Basic YQ==", "Basic gA=="] {
            assert_eq!(sent(value), None, "{value}");
        }
    }
}
