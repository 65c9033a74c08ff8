//! The gate: without a login only what the table opens to everyone is reached, and what is changed or refused gets into
//! the audit log.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use ferroflow_auth::Caller;
use http::{Extensions, HeaderValue, Method, StatusCode};

use super::{
    client::Client,
    identify::{credentials, identify},
    observe::RequestId,
};
use crate::{
    access::{Access, Entry, Subject, now},
    app::App,
    error::forbidden,
};

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
    let is_open = route.is_some_and(|route| gate.open.contains(route));
    // What a provider does not let in is a refusal, though the route is open.
    if is_open && !route.is_some_and(|route| route.ends_with("/oidc/callback")) {
        return next.run(request).await;
    }
    let about = access.audit.as_ref().map(|_| About::of(&request));
    let (response, caller) =
        if is_open { (next.run(request).await, None) } else { answer(&gate.app, access, request, next).await };
    let (Some(audit), Some(about)) = (&access.audit, about) else { return response };
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
            from: client(request.extensions()),
            forwarded_for: request.headers().get("x-forwarded-for").and_then(text),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            request_id: request.extensions().get::<RequestId>().and_then(|id| text(&id.0)),
        }
    }
}

/// The address of the client.
pub(super) fn client(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Client>().map(|client| client.0)
}

/// The answer to a request, and who sent it.
async fn answer(app: &App, access: &Access, request: Request, next: Next) -> (Response, Option<Arc<Caller>>) {
    let (mut head, body) = request.into_parts();
    let is_routed = head.extensions.get::<MatchedPath>().is_some();
    let caller = match identify(app, access, &head).await {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    if !is_routed && !caller.is_admin {
        // What nothing is served at has no rule, so it is refused like the reference does.
        return (forbidden(), Some(caller));
    }
    head.extensions.insert(Arc::clone(&caller));
    (next.run(Request::from_parts(head, body)).await, Some(caller))
}
