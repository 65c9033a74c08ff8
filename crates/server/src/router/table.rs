//! Turns the rows of the router's table into routes: under each prefix, with authorization before the handler.

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use ferroflow_model::{
    Error, ErrorCode, Result,
    limits::RequestSize,
    messages::RPCS,
    permission::ResourceType,
    wire::{Route, Rpc},
};
use ferroflow_store::Scope;
use http::Method;
use serde::{Serialize, de::DeserializeOwned};

use super::sizes;
use crate::{
    access::{Needs, Resource, Sharing},
    api::{accounts::grants, system::server_info, traces::span_log},
    app::{App, Cx},
    error::ApiError,
    graphql::{self, Calls},
    params::Params,
    rpc, workspace,
};

/// Endpoints without messages that are not implemented yet: methods, API version (`None`: a path outside of `/api` and
/// `/ajax-api`), and path. If a whole family is missing, one row with a wildcard covers it.
const NOT_IMPLEMENTED: &[(&[Method], Option<u8>, &str)] = &[
    (&[Method::POST], Some(3), "/jobs/"),
    (&[Method::POST], Some(3), "/jobs/search"),
    (&[Method::GET, Method::PATCH], Some(3), "/jobs/{*below}"),
    (&[Method::GET, Method::PATCH], Some(3), "/mlflow/jobs/{*below}"),
    (&[Method::PUT], Some(3), "/mlflow/assistant/config"),
    (&[Method::POST], Some(3), "/mlflow/assistant/message"),
    (&[Method::GET], Some(3), "/mlflow/assistant/providers/{*below}"),
    (&[Method::GET, Method::POST, Method::PATCH], Some(3), "/mlflow/assistant/sessions/{*below}"),
    (&[Method::POST], Some(3), "/mlflow/assistant/skills/install"),
    (&[Method::GET], Some(3), "/mlflow/gateway/provider-config"),
    (&[Method::GET], Some(3), "/mlflow/gateway/secrets/config"),
    (&[Method::GET], Some(3), "/mlflow/gateway/supported-models"),
    (&[Method::GET], Some(3), "/mlflow/gateway/supported-providers"),
    (&[Method::POST], Some(3), "/mlflow/genai/evaluate/invoke"),
    (&[Method::POST], Some(3), "/mlflow/issues/invoke"),
    (&[Method::GET, Method::POST], Some(3), "/mlflow/mcp-servers"),
    (&[Method::GET, Method::POST, Method::PATCH, Method::DELETE], Some(3), "/mlflow/mcp-servers/{*below}"),
    (&[Method::POST], Some(3), "/mlflow/scorer/invoke"),
    (&[Method::GET, Method::POST], None, "/gateway/{*below}"),
];

/// What some of them wait for.
const WAIT_FOR: &[(&str, &str)] = &[
    ("/mlflow/genai/evaluate/invoke", "runs scorers on traces, which needs background jobs and the AI gateway"),
    ("/mlflow/issues/invoke", "has a model look for issues in traces, which needs background jobs and the AI gateway"),
    ("/mlflow/scorer/invoke", "runs a scorer on traces, which needs background jobs and the AI gateway"),
];

/// The service of a route. Type-erased, so that the router and the adapter are compiled once and not once per call:
/// with the types of all handlers in theirs, they took two thirds of the compile time of this crate.
type Endpoint = Arc<dyn Fn(Arc<App>, Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The name of the call, or the path of an endpoint without a message.
    pub(super) name: String,
    /// The HTTP method.
    pub(super) method: Method,
    /// The path with prefix and version.
    pub(super) path: String,
    /// The permission that it requires.
    pub(super) needs: Needs,
}

/// The table under construction.
pub(super) struct Table {
    pub(super) router: Router<Arc<App>>,
    pub(super) rows: Vec<Row>,
    /// The rows that GraphQL has a field for.
    pub(super) graphql: Calls,
    prefixes: Vec<String>,
    artifacts_only: bool,
    serves_artifacts: bool,
    /// Whether the server has workspaces.
    pub(super) has_workspaces: bool,
}

impl Table {
    pub(super) fn new(app: &Arc<App>) -> Self {
        // Clients may be configured with the prefix or without it.
        let mut prefixes = vec![String::new()];
        if !app.config.static_prefix.is_empty() {
            prefixes.push(app.config.static_prefix.clone());
        }
        Self {
            router: Router::new(),
            rows: Vec::new(),
            graphql: Calls::default(),
            prefixes,
            artifacts_only: app.config.artifacts_only,
            serves_artifacts: app.locations.destination.is_some(),
            has_workspaces: app.store.has_workspaces(),
        }
    }

    /// The rows of a family.
    pub(super) fn rows(self, add: fn(Self) -> Self) -> Self {
        add(self)
    }

    /// A call with a message, at all its routes.
    pub(super) fn rpc<T, F, Fut>(self, handler: F, needs: Needs) -> Self
    where
        T: Rpc,
        F: Fn(Cx, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Response>> + Send + 'static,
    {
        self.message(
            Arc::new(move |cx, message: T| {
                let answer = handler(cx, message);
                Box::pin(async move { rpc::answer(answer.await?).await })
            }),
            needs,
        )
    }

    /// A call that lists resources of a kind. Its handler is given the scope of the list, without which nothing can be
    /// searched.
    pub(super) fn list<T, F, Fut>(self, handler: F, listed: Resource) -> Self
    where
        T: Rpc,
        F: Fn(Cx, Scope, T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Response>> + Send + 'static,
    {
        self.message(
            Arc::new(move |cx: Cx, message: T| {
                let handler = handler.clone();
                Box::pin(async move {
                    let scope = cx.scope(listed).await?;
                    rpc::answer(handler(cx, scope, message).await?).await
                })
            }),
            Needs::Authenticated,
        )
    }

    /// As [`Self::rpc`], for a call that GraphQL has a field for.
    pub(super) fn rpc_and_field<T, F, Fut>(mut self, field: &'static str, handler: F, needs: Needs) -> Self
    where
        T: Rpc + DeserializeOwned,
        F: Fn(Cx, T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Response>> + Send + 'static,
    {
        self.graphql.add(field, handler.clone(), needs);
        self.rpc(handler, needs)
    }

    /// As [`Self::list`], for a call that GraphQL has a field for.
    pub(super) fn list_and_field<T, F, Fut>(mut self, field: &'static str, handler: F, listed: Resource) -> Self
    where
        T: Rpc + DeserializeOwned,
        F: Fn(Cx, Scope, T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Response>> + Send + 'static,
    {
        self.graphql.add_list(field, handler.clone(), listed);
        self.list(handler, listed)
    }

    /// A call with a message whose handler serializes the response itself, because it may be long.
    pub(super) fn rpc_response<T, F, Fut>(self, handler: F, needs: Needs) -> Self
    where
        T: Rpc,
        F: Fn(Cx, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        self.message(Arc::new(move |cx, message: T| Box::pin(handler(cx, message))), needs)
    }

    /// As [`Self::rpc_response`], for a call that GraphQL has a field for, which `message` answers.
    pub(super) fn rpc_response_and_field<T, F, Fut, G, Gut>(
        mut self,
        field: &'static str,
        message: G,
        handler: F,
        needs: Needs,
    ) -> Self
    where
        T: Rpc + DeserializeOwned,
        F: Fn(Cx, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
        G: Fn(Cx, T) -> Gut + Clone + Send + Sync + 'static,
        Gut: Future<Output = Result<T::Response>> + Send + 'static,
    {
        self.graphql.add(field, message, needs);
        self.rpc_response(handler, needs)
    }

    fn message<T: Rpc>(mut self, handler: rpc::Handler<T>, needs: Needs) -> Self {
        let size = sizes::of(T::NAME);
        let parser = rpc::parser(handler, size.values);
        let endpoint: Endpoint =
            Arc::new(move |app, request| Box::pin(rpc::call(app, needs, size, request, Arc::clone(&parser))));
        for route in T::ROUTES {
            let path = axum_path(route.path);
            self = self.mount(T::NAME, &method(route), route.version, &path, needs, Arc::clone(&endpoint));
        }
        self
    }

    /// An endpoint with a body of its own form instead of a message.
    pub(super) fn document<T, F, Fut, R>(
        self,
        method: Method,
        version: u8,
        path: &str,
        handler: F,
        needs: Needs,
    ) -> Self
    where
        T: rpc::Document,
        F: Fn(Cx, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        R: Serialize,
    {
        let size = RequestSize::MEDIUM;
        let handler: rpc::Handler<T> = Arc::new(move |cx, document| {
            let answer = handler(cx, document);
            Box::pin(async move { rpc::json(&answer.await?) })
        });
        let parser = rpc::document_parser(handler, size.values);
        let endpoint: Endpoint =
            Arc::new(move |app, request| Box::pin(rpc::call(app, needs, size, request, Arc::clone(&parser))));
        self.mount(path, &method, version, path, needs, endpoint)
    }

    /// An endpoint without a message, below `/api` and `/ajax-api`.
    pub(super) fn api<F, Fut>(self, method: Method, version: u8, path: &str, handler: F, needs: Needs) -> Self
    where
        F: Fn(Cx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        self.mount(path, &method, version, path, needs, raw(handler, needs))
    }

    /// An endpoint with parameters instead of a message.
    pub(super) fn with_params<F, Fut>(self, method: Method, version: u8, path: &str, handler: F, needs: Needs) -> Self
    where
        F: Fn(Cx, Params) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        let handler: rpc::Handler<Params> = Arc::new(move |cx, params| Box::pin(handler(cx, params)));
        let endpoint: Endpoint =
            Arc::new(move |app, request| Box::pin(rpc::with_params(app, needs, request, Arc::clone(&handler))));
        self.mount(path, &method, version, path, needs, endpoint)
    }

    /// The endpoints by which clients older than the reference manage permissions on one kind of resource.
    pub(super) fn legacy_grants(self, version: u8, path: &str, kind: ResourceType) -> Self {
        let needs = Needs::ManageAccess(Sharing::Manage(kind));
        let at = |action: &str| format!("{path}/{action}");
        let create = move |cx, params| grants::legacy_create(cx, kind, params);
        let get = move |cx, params| grants::legacy_get(cx, kind, params);
        let update = move |cx, params| grants::legacy_update(cx, kind, params);
        let delete = move |cx, params| grants::legacy_delete(cx, kind, params);
        self.with_params(Method::POST, version, &at("create"), create, needs)
            .with_params(Method::GET, version, &at("get"), get, needs)
            .with_params(Method::PATCH, version, &at("update"), update, needs)
            .with_params(Method::DELETE, version, &at("delete"), delete, needs)
    }

    /// An endpoint with a path outside of `/api` and `/ajax-api`.
    pub(super) fn page<F, Fut>(mut self, method: Method, path: &str, handler: F, needs: Needs) -> Self
    where
        F: Fn(Cx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        let endpoint = raw(handler, needs);
        for prefix in self.prefixes.clone() {
            let path = format!("{prefix}{path}");
            self = self.add(path.clone(), method.clone(), path, needs, Arc::clone(&endpoint));
        }
        self
    }

    /// An endpoint for OpenTelemetry's clients.
    pub(super) fn otlp<F, Fut>(mut self, path: &str, handler: F, needs: Needs) -> Self
    where
        F: Fn(Cx, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        let handler: rpc::Handler<Request> = Arc::new(move |cx, request| Box::pin(handler(cx, request)));
        let endpoint: Endpoint = Arc::new(move |app, request| {
            Box::pin(rpc::otlp(app, needs, request, Arc::clone(&handler), span_log::failed))
        });
        for prefix in self.prefixes.clone() {
            let path = format!("{prefix}{path}");
            self = self.add(path.clone(), Method::POST, path, needs, Arc::clone(&endpoint));
        }
        self
    }

    /// GraphQL, with the fields that the rows so far have.
    pub(super) fn with_graphql(mut self) -> Self {
        let calls = Arc::new(std::mem::take(&mut self.graphql));
        let post = move |cx, request| graphql::post(cx, Arc::clone(&calls), request);
        // Each field requires the permission of its row.
        self.page(Method::POST, "/graphql", post, Needs::Authenticated)
    }

    /// Endpoints that are not implemented yet respond with the reference's error instead of a 404.
    pub(super) fn with_not_implemented(mut self) -> Self {
        let implemented: BTreeSet<String> = self.rows.iter().map(|row| row.name.clone()).collect();
        for call in RPCS.iter().filter(|call| !implemented.contains(call.name)) {
            for route in call.routes {
                let path = axum_path(route.path);
                let full = format!("/api/{}.0{path}", route.version);
                let served = self.rows.iter().any(|row| row.method == method(route) && row.path == full);
                if served {
                    continue;
                }
                let name = call.name;
                let off = path.starts_with("/mlflow/workspaces");
                let endpoint: Endpoint = Arc::new(move |app, request| {
                    Box::pin(async move {
                        let parts = request.into_parts().0;
                        match workspace::of_request(&app, &parts).await {
                            Err(error) => ApiError(error).into_response(),
                            Ok(_) if off => server_info::no_workspaces(&parts.extensions),
                            Ok(_) => ApiError(not_implemented(name)).into_response(),
                        }
                    })
                });
                self = self.mount(name, &method(route), route.version, &path, Needs::NotImplemented, endpoint);
            }
        }
        for (methods, version, path) in NOT_IMPLEMENTED {
            for method in *methods {
                let name = path.trim_end_matches("/{*below}");
                let answer = move |_, _| async move { Err(not_implemented(name)) };
                self = match version {
                    Some(version) => self.api(method.clone(), *version, path, answer, Needs::NotImplemented),
                    None => self.page(method.clone(), path, answer, Needs::NotImplemented),
                };
            }
        }
        self
    }

    fn mount(mut self, name: &str, method: &Method, version: u8, path: &str, needs: Needs, endpoint: Endpoint) -> Self {
        for prefix in self.prefixes.clone() {
            for api in ["api", "ajax-api"] {
                let path = format!("{prefix}/{api}/{version}.0{path}");
                self = self.add(name.to_owned(), method.clone(), path, needs, Arc::clone(&endpoint));
            }
        }
        self
    }

    fn add(mut self, name: String, method: Method, path: String, needs: Needs, endpoint: Endpoint) -> Self {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::TRACE);
        let of_artifacts = path.contains("/mlflow-artifacts/");
        let route = if self.artifacts_only && !of_artifacts && needs != Needs::Public {
            let path = path.clone();
            on(filter, move || std::future::ready(server_info::no_tracking(&path)))
        } else if !self.serves_artifacts && of_artifacts {
            let (path, method) = (path.clone(), method.clone());
            on(filter, move || std::future::ready(server_info::no_artifacts(&path, &method)))
        } else {
            on(filter, move |State(app): State<Arc<App>>, request: Request| endpoint(app, request))
        };
        self.router = self.router.route(&path, route);
        self.rows.push(Row { name, method, path, needs });
        self
    }
}

fn raw<F, Fut>(handler: F, needs: Needs) -> Endpoint
where
    F: Fn(Cx, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let handler: rpc::Handler<Request> = Arc::new(move |cx, request| Box::pin(handler(cx, request)));
    Arc::new(move |app, request| Box::pin(rpc::raw(app, needs, request, Arc::clone(&handler))))
}

fn not_implemented(name: &str) -> Error {
    let waits_for = WAIT_FOR.iter().find(|(path, _)| *path == name);
    let reason = waits_for.map_or(String::new(), |(_, reason)| format!(" It {reason}."));
    Error::new(ErrorCode::NotImplemented, format!("This server does not implement '{name}' yet.{reason}"))
}

fn method(route: &Route) -> Method {
    Method::from_bytes(route.method.as_bytes()).unwrap_or(Method::GET)
}

/// `<path:artifact_path>` → `{*artifact_path}`, `<run_id>` → `{run_id}`.
pub(super) fn axum_path(path: &str) -> String {
    let path = path.replace("<path:", "{*").replace('<', "{").replace('>', "}");
    // The reference's proto file has one path without its leading slash.
    if path.starts_with('/') { path } else { format!("/{path}") }
}
