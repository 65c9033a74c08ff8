//! Who sends a request. Without a login only what the table opens to everyone is reached.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ferroflow_auth::Caller;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::observe::RequestId;
use crate::{
    Peer,
    access::{Access, Entry, Subject, now},
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

/// Finds out who sends a request; sends away who is nobody. What is changed or refused gets into the audit log.
pub(crate) async fn authenticate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Some(access) = &gate.app.access else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if route.is_some_and(|route| gate.open.contains(route)) {
        return next.run(request).await;
    }
    let Some(audit) = &access.audit else { return answer(access, request, next).await.0 };
    let about = About::of(&request);
    let (response, caller) = answer(access, request, next).await;
    let subject = response.extensions().get::<Subject>();
    let result = match response.status() {
        StatusCode::UNAUTHORIZED => "unauthenticated",
        StatusCode::FORBIDDEN => "refused",
        StatusCode::TOO_MANY_REQUESTS => "limited",
        status if status.as_u16() < 400 && subject.is_some_and(|subject| subject.is_change) => "changed",
        _ => return response,
    };
    audit.write(&Entry {
        time: now(),
        user: caller.as_ref().map(|caller| caller.username.as_str()),
        claimed: about.claimed.as_deref().filter(|_| caller.is_none()),
        from: about.from.map(|from| from.to_string()),
        forwarded_for: about.forwarded_for.as_deref(),
        method: about.method.as_str(),
        path: &about.path,
        subject: subject.map(|subject| &subject.named),
        status: response.status().as_u16(),
        result,
        request_id: about.request_id.as_deref(),
    });
    response
}

/// What a line of the audit log says of a request.
struct About {
    claimed: Option<String>,
    from: Option<IpAddr>,
    forwarded_for: Option<String>,
    method: Method,
    path: String,
    request_id: Option<String>,
}

impl About {
    fn of(request: &Request) -> Self {
        let text = |value: &HeaderValue| value.to_str().ok().map(|text| text.chars().take(256).collect());
        Self {
            claimed: credentials(request.headers()).map(|(username, _)| username.chars().take(256).collect()),
            from: peer(request),
            forwarded_for: request.headers().get("x-forwarded-for").and_then(text),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            request_id: request.extensions().get::<RequestId>().and_then(|id| text(&id.0)),
        }
    }
}

fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.0.ip())
}

/// The answer to a request, and who sent it.
async fn answer(access: &Access, mut request: Request, next: Next) -> (Response, Option<Arc<Caller>>) {
    let is_routed = request.extensions().get::<MatchedPath>().is_some();
    let Some((username, password)) = credentials(request.headers()) else { return (unauthenticated(), None) };
    match access.auth.authenticate(&username, &password, peer(&request)).await {
        Ok(Some(caller)) if !is_routed && !caller.is_admin => {
            // What nothing is served at has no rule, so it is refused like the reference does.
            (forbidden(), Some(caller))
        }
        Ok(Some(caller)) => {
            request.extensions_mut().insert(Arc::clone(&caller));
            (next.run(request).await, Some(caller))
        }
        Ok(None) => (unauthenticated(), None),
        Err(error) => (ApiError(error).into_response(), None),
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
