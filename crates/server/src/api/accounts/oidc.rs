//! Login at an `OpenID` Connect provider, and logout.

use axum::{
    extract::Request,
    response::{Html, IntoResponse as _, Response},
};
use ferroflow_auth::Callback;
use ferroflow_model::{Error, ErrorCode, Result};
use http::{HeaderValue, StatusCode, header};

use crate::{
    access::Access,
    app::Cx,
    middleware::audit::LoggedIn,
    session::{Cookies, Kind, is_local_path, is_same_origin},
};

/// `GET /oidc/login`: redirects to the provider, and afterwards to the local page in `next`.
pub(crate) async fn login(cx: Cx, _: Request) -> Result<Response> {
    let (access, cookies) = provider(&cx)?;
    let home = format!("{}/", cx.app.config.base());
    let next = cx.query("next").filter(|next| is_local_path(next)).unwrap_or(home);
    let start = access.auth.begin_login(&next).await?.ok_or_else(no_provider)?;
    Ok(redirect(start.location.as_str(), [cookies.set(Kind::Login, &start.cookie, start.time)]))
}

/// `GET /oidc/callback`: the redirect from the provider.
pub(crate) async fn callback(cx: Cx, request: Request) -> Result<Response> {
    let (access, cookies) = provider(&cx)?;
    let login_cookie = cookies.get(request.headers(), Kind::Login).unwrap_or_default();
    let parameters = Callback {
        code: cx.query("code"),
        state: cx.query("state"),
        issuer: cx.query("iss"),
        error: cx.query("error"),
    };
    let prefix = cx.app.config.base();
    match access.auth.finish_login(login_cookie, &parameters).await {
        Ok((session, username, next)) => {
            let time = access.auth.cookies().map(|(_, time)| time).unwrap_or_default();
            let set = cookies.set(Kind::Session, &session, time);
            let mut response = redirect(&next, [set, cookies.companion(&username, time), cookies.delete(Kind::Login)]);
            response.extensions_mut().insert(LoggedIn(username));
            Ok(response)
        }
        Err(error) => {
            let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::FORBIDDEN);
            let page = page(&error.message, &format!("{prefix}/oidc/login"));
            Ok(with_cookies((status, page).into_response(), [cookies.delete(Kind::Login)]))
        }
    }
}

/// `GET /oidc/logout`: ends the session, here and at the provider.
pub(crate) async fn logout(cx: Cx, request: Request) -> Result<Response> {
    let (access, cookies) = provider(&cx)?;
    if !is_same_origin(request.method(), request.headers()) {
        return Err(Error::new(ErrorCode::PermissionDenied, "A request from another site cannot log you out."));
    }
    let deleted = [cookies.delete(Kind::Session), cookies.delete(Kind::Login)];
    if let Some(location) = access.auth.logout_page().await {
        return Ok(redirect(location.as_str(), deleted));
    }
    let page = page("You are logged out.", &format!("{}/oidc/login", cx.app.config.base()));
    Ok(with_cookies(page.into_response(), deleted))
}

fn provider(cx: &Cx) -> Result<(&Access, Cookies)> {
    let access = cx.app.access.as_ref().ok_or_else(no_provider)?;
    Ok((access, access.cookies().ok_or_else(no_provider)?))
}

fn no_provider() -> Error {
    Error::new(ErrorCode::EndpointNotFound, "This server has no identity provider.")
}

/// A redirect.
pub(crate) fn redirect<const N: usize>(location: &str, cookies: [Option<HeaderValue>; N]) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    // Targets come from `Url`, or have been validated.
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    with_cookies(response, cookies)
}

fn with_cookies<const N: usize>(mut response: Response, cookies: [Option<HeaderValue>; N]) -> Response {
    let headers = response.headers_mut();
    for cookie in cookies.into_iter().flatten() {
        headers.append(header::SET_COOKIE, cookie);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A page with a message and a link to the login. The message contains no input of clients.
fn page(text: &str, login: &str) -> Html<String> {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Html(format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Log in</title>\n<p>{escaped}</p>\n\
         <p><a href=\"{login}\">Log in</a></p>\n"
    ))
}
