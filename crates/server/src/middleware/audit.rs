//! Writes the audit log: logins, changes, artifact reads, and refused requests, whether by the host check or by missing
//! permissions.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use ferroflow_auth::Caller;
use http::{HeaderValue, Method, StatusCode};

use super::{
    authenticate::client,
    identify::credentials,
    observe::{ClientRequestId, RequestId},
};
use crate::{
    access::{Access, Audit, Entry, Subject, now},
    app::App,
    error::Busy,
    workspace,
};

/// Suffixes of the routes that read artifacts.
const ARTIFACTS: [&str; 6] = [
    "/get-artifact",
    "/mlflow/get-trace-artifact",
    "/mlflow-artifacts/artifacts/{*artifact_path}",
    "/mlflow-artifacts/presigned/{*artifact_path}",
    "/mlflow/artifacts/presigned-download-url",
    "/artifacts/files",
];

/// Response extension: the user who has just logged in on a page of this server.
#[derive(Debug, Clone)]
pub(crate) struct LoggedIn(pub(crate) String);

/// Records a request in the audit log, if there is one.
pub(crate) async fn audit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(access) = &app.access else { return next.run(request).await };
    let Some(audit) = &access.audit else { return next.run(request).await };
    let context = AuditContext::from_request(&request);
    let response = next.run(request).await;
    context.record(access, audit, &response);
    response
}

/// The parts of a request that go into the audit log.
struct AuditContext {
    claimed: Option<String>,
    from: Option<IpAddr>,
    forwarded_for: Option<String>,
    method: Method,
    path: String,
    workspace: Option<String>,
    is_artifact: bool,
    request_id: Option<String>,
    client_request_id: Option<String>,
}

impl AuditContext {
    fn from_request(request: &Request) -> Self {
        let text = |value: &HeaderValue| value.to_str().ok().map(|text| text.chars().take(256).collect());
        let extensions = request.extensions();
        let route = extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        Self {
            claimed: credentials(request.headers()).map(|(username, _)| username.chars().take(256).collect()),
            from: client(extensions),
            forwarded_for: request.headers().get("x-forwarded-for").and_then(text),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            workspace: request.headers().get(workspace::HEADER).and_then(text),
            is_artifact: ARTIFACTS.iter().any(|end| route.ends_with(end)),
            request_id: extensions.get::<RequestId>().and_then(|id| text(&id.0)),
            client_request_id: extensions.get::<ClientRequestId>().map(|id| id.0.clone()),
        }
    }

    fn record(&self, access: &Access, audit: &Audit, response: &Response) {
        let caller = response.extensions().get::<Arc<Caller>>().map(|caller| caller.username.as_str());
        let logged_in = response.extensions().get::<LoggedIn>().map(|user| user.0.as_str());
        let login = logged_in.or(caller.filter(|username| access.recent_logins.is_new(username, self.from)));
        if let Some(username) = login {
            self.write(audit, response, Some(username), "login");
        }
        if let Some(result) = self.result(response) {
            self.write(audit, response, caller, result);
        }
    }

    fn result(&self, response: &Response) -> Option<&'static str> {
        let is_change = response.extensions().get::<Subject>().is_some_and(|subject| subject.is_change);
        match response.status() {
            StatusCode::UNAUTHORIZED => Some("unauthenticated"),
            StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => Some("refused"),
            StatusCode::TOO_MANY_REQUESTS if response.extensions().get::<Busy>().is_none() => Some("limited"),
            status if status.as_u16() >= 400 => None,
            _ if self.is_artifact && (self.method == Method::GET || self.path.ends_with("presigned-download-url")) => {
                Some("read")
            }
            _ => is_change.then_some("changed"),
        }
    }

    /// The workspace of the request; of one that was refused before it was known, the name in the header.
    fn workspace<'a>(&'a self, response: &'a Response) -> Option<&'a str> {
        match response.extensions().get::<Subject>() {
            Some(subject) => subject.workspace.as_deref(),
            None => self.workspace.as_deref(),
        }
    }

    fn write(&self, audit: &Audit, response: &Response, user: Option<&str>, result: &'static str) {
        audit.write(&Entry {
            time: now(),
            user,
            claimed: self.claimed.as_deref().filter(|_| user.is_none()),
            from: self.from.map(|from| from.to_string()),
            forwarded_for: self.forwarded_for.as_deref(),
            method: self.method.as_str(),
            path: &self.path,
            workspace: self.workspace(response),
            subject: response.extensions().get::<Subject>().map(|subject| &subject.refs),
            status: response.status().as_u16(),
            result,
            request_id: self.request_id.as_deref(),
            client_request_id: self.client_request_id.as_deref(),
        });
    }
}
