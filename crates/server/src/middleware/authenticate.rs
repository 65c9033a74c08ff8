//! The gate: without a login only what the table opens to everyone is reached.

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

/// The server, and the routes that are open to everyone.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    pub(crate) open: Arc<HashSet<String>>,
}

/// Finds out who sends a request; sends away who is nobody. Who it was is on the answer.
pub(crate) async fn authenticate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Some(access) = &gate.app.access else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if route.is_some_and(|route| gate.open.contains(route)) {
        return next.run(request).await;
    }
    let (mut response, caller) = answer(&gate.app, access, request, next).await;
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    response
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
