//! Authentication: only public routes are reached without it.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use ferroflow_auth::Caller;
use http::Extensions;

use super::{client::Client, identify::identify};
use crate::{access::Access, app::App, error::forbidden};

/// The server, and its public routes.
#[derive(Clone)]
pub(crate) struct AuthState {
    pub(crate) app: Arc<App>,
    pub(crate) public_routes: Arc<HashSet<String>>,
}

/// Authenticates the caller of a request or refuses it. The response carries the caller as an extension.
pub(crate) async fn authenticate(State(state): State<AuthState>, request: Request, next: Next) -> Response {
    let Some(access) = &state.app.access else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if route.is_some_and(|route| state.public_routes.contains(route)) {
        return next.run(request).await;
    }
    let (mut response, caller) = respond(&state.app, access, request, next).await;
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    response
}

/// The address of the client.
pub(super) fn client(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Client>().map(|client| client.0)
}

/// The response to a request, and its caller.
async fn respond(app: &App, access: &Access, request: Request, next: Next) -> (Response, Option<Arc<Caller>>) {
    let (mut head, body) = request.into_parts();
    let is_routed = head.extensions.get::<MatchedPath>().is_some();
    let caller = match identify(app, access, &head).await {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    if !is_routed && !caller.is_admin {
        // A path without a route has no permission to check: only admins get a 404, as in the reference.
        return (forbidden(), Some(caller));
    }
    head.extensions.insert(Arc::clone(&caller));
    (next.run(Request::from_parts(head, body)).await, Some(caller))
}
