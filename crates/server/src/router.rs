//! The table of all endpoints, one line each: the handler, and the permission that its caller needs.

mod accounts;
mod evaluation;
pub(crate) mod grpc;
mod registry;
mod sizes;
mod storage;
mod system;
mod table;
mod traces;
mod tracking;

use std::{collections::HashSet, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Redirect,
    routing::get,
};
use tower_http::catch_panic::CatchPanicLayer;

use self::table::Table;
use crate::{
    access::Needs,
    app::App,
    error,
    health::{self, Readiness},
    middleware::{
        audit::audit,
        authenticate::{AuthState, authenticate},
        observe::observe,
        security,
    },
};

fn table(app: &Arc<App>) -> Table {
    rows(app).with_graphql().with_not_implemented()
}

fn rows(app: &Arc<App>) -> Table {
    Table::new(app)
        .rows(tracking::rows)
        .rows(registry::rows)
        .rows(traces::rows)
        .rows(evaluation::rows)
        .rows(storage::rows)
        .rows(accounts::rows)
        .rows(system::rows)
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
    let router = router
        .fallback(|request: Request| async move { error::not_found(request.uri().path()) })
        .method_not_allowed_fallback(|| async { error::method_not_allowed() });
    with_middleware(router, app, public_routes)
}

/// Adds what every request passes before its endpoint.
fn with_middleware(router: Router<Arc<App>>, app: &Arc<App>, public_routes: HashSet<String>) -> Router {
    let mut router = router
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
    let of_table = table.rows.iter().filter(|row| row.needs == Needs::Public).map(|row| row.path.clone());
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

    use ferroflow_artifacts::{Buckets, Locations};
    use ferroflow_jobs::{WebhookOptions, Webhooks};
    use ferroflow_store::{
        Store, StoreOptions,
        db::{BackendUri, ResultBudget},
        fairness::Callers,
    };

    use ferroflow_model::{Environment, messages::RPCS};

    use super::{
        table::{Row, axum_path},
        *,
    };
    use crate::{Bodies, Config, Telemetry, ui};

    /// The endpoints of the reference, with method and path, from its own tables.
    const REFERENCE: &str = include_str!("../tests/fixtures/endpoints.txt");

    /// Paths of the reference outside of the API: one without its slash, and files of the UI.
    const NOT_IN_TABLE: &[&str] = &["/api/2.0mlflow/", "/build/"];

    async fn app(folder: &std::path::Path, prefix: &str) -> Arc<App> {
        let options = StoreOptions::default();
        let store = Store::open(&BackendUri::Sqlite(folder.join("test.db")), options).await.unwrap();
        Arc::new(App {
            store: store.into(),
            locations: Locations::new(Buckets::new(&Environment::default())),
            ui: ui::Ui::open(ui::UiConfig { fetch: false, ..ui::UiConfig::default() }),
            webhooks: Arc::new(Webhooks::new(WebhookOptions::default())),
            access: None,
            callers: Callers::default(),
            bodies: Bodies::default(),
            results: ResultBudget::default(),
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
    async fn each_field_of_graphql_is_a_row() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(rows(&app(folder.path(), "").await).graphql.mismatches(), [""; 0]);
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
