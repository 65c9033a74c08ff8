//! The table of all endpoints, one line each: the handler, and the permission that its caller needs.

mod sizes;
mod table;

use std::{collections::HashSet, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Redirect,
    routing::get,
};
use ferroflow_model::permission::ResourceType;
use http::Method;
use tower_http::catch_panic::CatchPanicLayer;

use self::table::Table;
use crate::{
    access::{Needs, Resource, Sharing},
    api::{
        artifacts, experiments, grants, inputs, logged_models, metrics, model_versions, oidc, prompts,
        proxied_artifacts, registered_models, roles, runs, server_info, signup, trace_payloads, transfers, users,
        webhooks,
    },
    app::App,
    error, graphql,
    health::{self, Readiness},
    middleware::{
        audit::audit,
        authenticate::{AuthState, authenticate},
        observe::observe,
        security,
    },
};

use Needs::{Admin, Authenticated, Create, Delete, Edit, List, ManageAccess, Public, Read};
use Resource::{Alias, Artifact, Experiment, LoggedModel, ModelVersion, RegisteredModel, Run, Trace};

fn table(app: &Arc<App>) -> Table {
    Table::new(app)
        .rpc(experiments::create, Create(Experiment))
        .rpc(experiments::get, Read(Experiment))
        .rpc(experiments::get_by_name, Read(Experiment))
        .rpc(experiments::search, List(Experiment))
        .rpc(experiments::update, Edit(Experiment))
        .rpc(experiments::delete, Delete(Experiment))
        .rpc(experiments::restore, Delete(Experiment))
        .rpc(experiments::set_tag, Edit(Experiment))
        .rpc(experiments::delete_tag, Edit(Experiment))
        .rpc(runs::create, Create(Run))
        .rpc(runs::get, Read(Run))
        .rpc(runs::search, List(Run))
        .rpc(runs::update, Edit(Run))
        .rpc(runs::delete, Delete(Run))
        .rpc(runs::restore, Delete(Run))
        .rpc(runs::log_metric, Edit(Run))
        .rpc(runs::log_param, Edit(Run))
        .rpc(runs::set_tag, Edit(Run))
        .rpc(runs::delete_tag, Edit(Run))
        .rpc(runs::log_batch, Edit(Run))
        .rpc(runs::log_model, Edit(Run))
        .rpc_response(metrics::history, Read(Run))
        .rpc(metrics::bulk_interval, Read(Run))
        .rpc(inputs::log_inputs, Edit(Run))
        .rpc(inputs::log_outputs, Edit(Run))
        .rpc(inputs::search_datasets, Read(Experiment))
        .rpc(logged_models::create, Create(LoggedModel))
        .rpc(logged_models::get, Read(LoggedModel))
        .rpc(logged_models::search, List(LoggedModel))
        .rpc(logged_models::finalize, Edit(LoggedModel))
        .rpc(logged_models::delete, Delete(LoggedModel))
        .rpc(logged_models::log_params, Edit(LoggedModel))
        .rpc(logged_models::set_tags, Edit(LoggedModel))
        .rpc(logged_models::delete_tag, Delete(LoggedModel))
        .rpc(registered_models::create, Create(RegisteredModel))
        .rpc(registered_models::get, Read(RegisteredModel))
        .rpc(registered_models::search, List(RegisteredModel))
        .rpc(registered_models::update, Edit(RegisteredModel))
        .rpc(registered_models::rename, Edit(RegisteredModel))
        .rpc(registered_models::delete, Delete(RegisteredModel))
        .rpc(registered_models::latest_versions, Read(ModelVersion))
        .rpc(registered_models::set_tag, Edit(RegisteredModel))
        .rpc(registered_models::delete_tag, Edit(RegisteredModel))
        .rpc(registered_models::set_alias, Edit(Alias))
        .rpc(registered_models::delete_alias, Delete(Alias))
        // The rule also requires that the caller may read its source.
        .rpc(model_versions::create, Create(ModelVersion))
        .rpc(model_versions::get, Read(ModelVersion))
        .rpc(model_versions::get_by_alias, Read(ModelVersion))
        .rpc(model_versions::search, List(ModelVersion))
        .rpc(model_versions::update, Edit(ModelVersion))
        .rpc(model_versions::transition, Edit(ModelVersion))
        .rpc(model_versions::delete, Delete(ModelVersion))
        .rpc(model_versions::download_uri, Read(ModelVersion))
        .rpc(model_versions::set_tag, Edit(ModelVersion))
        .rpc(model_versions::delete_tag, Delete(ModelVersion))
        .rpc(prompts::link_to_trace, Edit(Trace))
        .rpc(webhooks::create, Admin)
        .rpc(webhooks::list, Admin)
        .rpc(webhooks::get, Admin)
        .rpc(webhooks::update, Admin)
        .rpc(webhooks::delete, Admin)
        .rpc(webhooks::test, Admin)
        .rpc(artifacts::list, Read(Run))
        .rpc(artifacts::list_of_model, Read(LoggedModel))
        .rpc(proxied_artifacts::list, Read(Artifact))
        .rpc(proxied_artifacts::delete, Delete(Artifact))
        .rpc(transfers::create_multipart, Edit(Artifact))
        .rpc(transfers::complete_multipart, Edit(Artifact))
        .rpc(transfers::abort_multipart, Edit(Artifact))
        .rpc(transfers::presigned_of_proxy, Read(Artifact))
        .rpc(transfers::presigned_upload, Edit(Run))
        .rpc(transfers::presigned_download, Read(Run))
        .api(Method::GET, 2, "/mlflow-artifacts/artifacts/{*artifact_path}", proxied_artifacts::get, Read(Artifact))
        .api(Method::PUT, 2, "/mlflow-artifacts/artifacts/{*artifact_path}", proxied_artifacts::put, Edit(Artifact))
        .api(Method::GET, 2, "/mlflow/metrics/get-history-bulk", metrics::bulk, Read(Run))
        .api(
            Method::GET,
            2,
            "/mlflow/logged-models/{model_id}/artifacts/files",
            artifacts::get_of_model,
            Read(LoggedModel),
        )
        .api(Method::GET, 2, "/mlflow/get-trace-artifact", trace_payloads::get, Read(Trace))
        .api(Method::GET, 3, "/mlflow/get-trace-artifact", trace_payloads::get, Read(Trace))
        .api(Method::POST, 2, "/mlflow/upload-artifact", artifacts::upload, Edit(Run))
        .api(Method::GET, 2, "/mlflow/gateway-proxy", server_info::gateway_proxy, Authenticated)
        .api(Method::POST, 2, "/mlflow/gateway-proxy", server_info::gateway_proxy, Authenticated)
        .api(Method::GET, 3, "/mlflow/server-info", server_info::server_info, Public)
        .api(Method::GET, 3, "/mlflow/ui-telemetry", server_info::get_ui_telemetry, Authenticated)
        .api(Method::POST, 3, "/mlflow/ui-telemetry", server_info::post_ui_telemetry, Authenticated)
        .api(Method::GET, 3, "/mlflow/assistant/config", server_info::assistant_config, Authenticated)
        .api(Method::GET, 3, "/mlflow/assistant/providers", server_info::assistant_providers, Authenticated)
        .page(Method::GET, "/get-artifact", artifacts::get, Read(Run))
        .page(Method::GET, "/model-versions/get-artifact", model_versions::get_artifact, Read(ModelVersion))
        // Each field is authorized like the endpoint that it corresponds to.
        .page(Method::POST, "/graphql", graphql::post, Authenticated)
        .with_params(Method::POST, 2, "/mlflow/users/create", users::create, ManageAccess(Sharing::CreateUser))
        .with_params(Method::GET, 2, "/mlflow/users/get", users::get, ManageAccess(Sharing::SelfOnly))
        .with_params(Method::GET, 2, "/mlflow/users/list", users::list, Authenticated)
        .with_params(Method::GET, 2, "/mlflow/users/current", users::current, Authenticated)
        .with_params(
            Method::PATCH,
            2,
            "/mlflow/users/update-password",
            users::update_password,
            ManageAccess(Sharing::SelfOnly),
        )
        .with_params(Method::PATCH, 2, "/mlflow/users/update-admin", users::update_admin, Admin)
        .with_params(Method::DELETE, 2, "/mlflow/users/delete", users::delete, Admin)
        .page(Method::GET, "/oidc/login", oidc::login, Public)
        .page(Method::GET, "/oidc/callback", oidc::callback, Public)
        .page(Method::GET, "/oidc/logout", oidc::logout, Public)
        .page(Method::GET, "/signup", signup::page, ManageAccess(Sharing::CreateUser))
        .page(Method::POST, "/api/2.0/mlflow/users/create-ui", signup::create, ManageAccess(Sharing::CreateUser))
        .with_params(Method::GET, 3, "/mlflow/users/current/permissions", grants::list_own, Authenticated)
        .with_params(Method::GET, 3, "/mlflow/users/permissions/list", grants::list, ManageAccess(Sharing::ViewUser))
        .with_params(Method::GET, 3, "/mlflow/users/permissions/get", grants::get, ManageAccess(Sharing::ViewGrant))
        .with_params(Method::POST, 3, "/mlflow/users/permissions/grant", grants::grant, ManageAccess(Sharing::Grant))
        .with_params(Method::POST, 3, "/mlflow/users/permissions/revoke", grants::revoke, ManageAccess(Sharing::Grant))
        .with_params(Method::GET, 3, "/mlflow/users/roles/list", roles::list_of_user, ManageAccess(Sharing::ViewUser))
        .with_params(Method::POST, 3, "/mlflow/roles/create", roles::create, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::GET, 3, "/mlflow/roles/get", roles::get, ManageAccess(Sharing::ViewRoles))
        .with_params(Method::GET, 3, "/mlflow/roles/list", roles::list, ManageAccess(Sharing::ListRoles))
        .with_params(Method::PATCH, 3, "/mlflow/roles/update", roles::update, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::DELETE, 3, "/mlflow/roles/delete", roles::delete, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::POST, 3, "/mlflow/roles/assign", roles::assign, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::DELETE, 3, "/mlflow/roles/unassign", roles::unassign, ManageAccess(Sharing::ManageRoles))
        .with_params(Method::GET, 3, "/mlflow/roles/users/list", roles::list_users, ManageAccess(Sharing::ManageRoles))
        .with_params(
            Method::POST,
            3,
            "/mlflow/roles/permissions/add",
            roles::add_permission,
            ManageAccess(Sharing::ManageRoles),
        )
        .with_params(
            Method::DELETE,
            3,
            "/mlflow/roles/permissions/remove",
            roles::remove_permission,
            ManageAccess(Sharing::ManageRoles),
        )
        .with_params(
            Method::GET,
            3,
            "/mlflow/roles/permissions/list",
            roles::list_permissions,
            ManageAccess(Sharing::ViewRoles),
        )
        .with_params(
            Method::PATCH,
            3,
            "/mlflow/roles/permissions/update",
            roles::update_permission,
            ManageAccess(Sharing::ManageRoles),
        )
        .legacy_grants(2, "/mlflow/experiments/permissions", ResourceType::Experiment)
        .legacy_grants(2, "/mlflow/registered-models/permissions", ResourceType::RegisteredModel)
        .legacy_grants(3, "/mlflow/scorers/permissions", ResourceType::Scorer)
        .legacy_grants(3, "/mlflow/gateway/secrets/permissions", ResourceType::GatewaySecret)
        .legacy_grants(3, "/mlflow/gateway/endpoints/permissions", ResourceType::GatewayEndpoint)
        .legacy_grants(3, "/mlflow/gateway/model-definitions/permissions", ResourceType::GatewayModelDefinition)
        .with_not_implemented()
}

/// The router with its middleware.
pub(crate) fn build(app: &Arc<App>) -> Router {
    let prefix = app.config.static_prefix.as_str();
    let table = table(app);
    let public_routes = public_routes(&table, prefix);
    let readiness = Arc::new(Readiness::default());
    let mut router = table.router.merge(pages(prefix, app.config.artifacts_only, &readiness));
    if !prefix.is_empty() {
        let home = format!("{}/", app.config.base());
        // Probes of the platform are configured once, whatever the prefix.
        router =
            router.merge(probes("", &readiness)).route(prefix, get(move || async move { Redirect::permanent(&home) }));
    }
    let mut router = router
        .fallback(|request: Request| async move { error::not_found(request.uri().path()) })
        .method_not_allowed_fallback(|| async { error::method_not_allowed() })
        .with_state(Arc::clone(app))
        .layer(from_fn(|request: Request, next: Next| ferroflow_store::db::track_writes(next.run(request))))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(
            AuthState { app: Arc::clone(app), public_routes: Arc::new(public_routes) },
            authenticate,
        ));
    if app.config.security.enabled {
        router = router
            .layer(security::cors(&app.config.security))
            .layer(from_fn_with_state(Arc::clone(app), security::guard));
    }
    router
        .layer(from_fn(security::require_one_host))
        .layer(from_fn_with_state(Arc::clone(app), audit))
        .layer(from_fn_with_state(Arc::clone(app), observe))
}

/// The routes that need no authentication: public rows of the table, probes, and the files of the UI, which are the
/// same in every installation. The page that loads them needs authentication, so that the browser asks for a password.
fn public_routes(table: &Table, prefix: &str) -> HashSet<String> {
    let of_table = table.rows.iter().filter(|row| row.needs == Public).map(|row| row.path.clone());
    let pages = ["/health", "/livez", "/readyz", "/static-files/{*path}"];
    let of_pages = pages.iter().flat_map(|page| [(*page).to_owned(), format!("{prefix}{page}")]);
    of_table.chain(of_pages).collect()
}

/// Routes outside of the API: health, version and the UI.
fn pages(prefix: &str, artifacts_only: bool, readiness: &Arc<Readiness>) -> Router<Arc<App>> {
    let router = probes(prefix, readiness)
        .route(&format!("{prefix}/health"), get(health::health))
        .route(&format!("{prefix}/version"), get(health::version));
    if artifacts_only {
        return router;
    }
    let file = |State(app): State<Arc<App>>, request: Request| async move {
        let path = request.uri().path();
        let file = path.split_once("/static-files/").map_or("index.html", |(_, file)| file).to_owned();
        app.ui.serve(&file, request.method(), request.headers()).await
    };
    router.route(&format!("{prefix}/"), get(file)).route(&format!("{prefix}/static-files/{{*path}}"), get(file))
}

fn probes(prefix: &str, readiness: &Arc<Readiness>) -> Router<Arc<App>> {
    let readiness = Arc::clone(readiness);
    let readyz = |State(app), request| health::readyz(app, readiness, request);
    Router::new()
        .route(&format!("{prefix}/livez"), get(health::livez))
        .route(&format!("{prefix}/readyz"), get(readyz))
        .route(&format!("{prefix}/metrics"), get(health::metrics))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ferroflow_artifacts::Locations;
    use ferroflow_store::{
        Store, StoreOptions,
        db::{BackendUri, DbOptions},
    };

    use ferroflow_model::messages::RPCS;

    use super::{
        table::{Row, axum_path},
        *,
    };
    use crate::{Bodies, Config, Telemetry, WebhookOptions, Webhooks, ui};

    /// The endpoints of the reference, with method and path, from its own tables.
    const REFERENCE: &str = include_str!("../tests/fixtures/endpoints.txt");

    /// Paths of the reference outside of the API: one without its slash, and files of the UI.
    const NOT_IN_TABLE: &[&str] = &["/api/2.0mlflow/", "/build/"];

    async fn app(folder: &std::path::Path, prefix: &str) -> Arc<App> {
        let options = StoreOptions { artifact_root: "mlflow-artifacts:/".into(), db: DbOptions::default() };
        let store = Store::open(&BackendUri::Sqlite(folder.join("test.db")), options).await.unwrap();
        Arc::new(App {
            store,
            locations: Locations::default(),
            ui: ui::Ui::open(ui::UiConfig { fetch: false, ..ui::UiConfig::default() }),
            webhooks: Webhooks::new(WebhookOptions::default()),
            access: None,
            bodies: Bodies::default(),
            telemetry: Telemetry::default(),
            config: Config { static_prefix: prefix.into(), ..Config::default() },
        })
    }

    #[tokio::test]
    async fn every_message_is_routed_exactly_once_under_each_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let rows = table(&app(folder.path(), "").await).rows;
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for row in &rows {
            *seen.entry((row.method.to_string(), row.path.clone())).or_default() += 1;
        }
        assert!(seen.values().all(|count| *count == 1));
        for call in RPCS {
            for route in call.routes {
                for api in ["api", "ajax-api"] {
                    let path = format!("/{api}/{}.0{}", route.version, axum_path(route.path));
                    assert!(seen.contains_key(&(route.method.to_owned(), path.clone())), "{} {path}", route.method);
                }
            }
        }
    }

    #[tokio::test]
    async fn the_table_is_the_references() {
        let folder = tempfile::tempdir().unwrap();
        let rows = table(&app(folder.path(), "").await).rows;
        let ours: BTreeSet<(String, String)> = rows
            .iter()
            .filter(|row| !row.path.starts_with("/ajax-api"))
            .map(|row| (row.method.to_string(), plain(&row.path)))
            .collect();
        // One row covers all endpoints of a family that is not implemented.
        let is_in_family = |method: &str, path: &str| {
            let family = |row: &Row| row.path.strip_suffix("{*below}").is_some_and(|family| path.starts_with(family));
            rows.iter().any(|row| row.needs == Needs::NotImplemented && row.method == method && family(row))
        };
        let pages = ["/", "/health", "/version", "/static-files/_"];
        for line in REFERENCE.lines() {
            let (methods, path) = line.split_once(' ').unwrap();
            if NOT_IN_TABLE.iter().any(|prefix| path.starts_with(prefix)) || pages.contains(&plain(path).as_str()) {
                continue;
            }
            for method in methods.split('|').filter(|method| (*method, path) != ("GET", "/graphql")) {
                let routed = ours.contains(&(method.to_owned(), plain(path))) || is_in_family(method, path);
                assert!(routed, "{method} {path} is not routed");
            }
        }
    }

    #[tokio::test]
    async fn with_a_prefix_calls_are_served_with_and_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let rows = table(&app(folder.path(), "/a/b").await).rows;
        let has = |path: &str| rows.iter().any(|row| row.path == path);
        assert!(has("/a/b/api/2.0/mlflow/runs/create") && has("/api/2.0/mlflow/runs/create"));
        assert!(has("/a/b/graphql") && has("/a/b/get-artifact"));
    }

    /// A path with its parameters replaced by a placeholder.
    fn plain(path: &str) -> String {
        let parts = path.split('/').map(|part| if part.starts_with(['<', '{']) { "_" } else { part });
        parts.collect::<Vec<_>>().join("/")
    }
}
