//! Every test of the store runs on SQLite and on a real PostgreSQL.

use std::time::Duration;

use ferroflow_store::{
    HistoryPoint, Store, StoreOptions, UserStore,
    db::{BackendUri, Db, DbOptions, Statement},
};

/// Names the server that `cargo xtask test` starts; a URL of a superuser without a database.
const POSTGRES: &str = "FERROFLOW_TEST_POSTGRES_URL";

/// Runs a test on an empty store of each kind.
#[allow(dead_code, reason = "not every test file has a store")]
pub(crate) async fn on_each(test: impl AsyncFn(&Store)) {
    on_each_uri(async |uri| test(&open(uri).await).await).await;
}

/// Runs a test with the URI of an empty database of each kind.
pub(crate) async fn on_each_uri(test: impl AsyncFn(&BackendUri)) {
    // What the store logs is shown with a test that fails.
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("ferroflow_store=debug").try_init();
    let folder = tempfile::tempdir().expect("a temporary folder");
    test(&BackendUri::Sqlite(folder.path().join("test.db"))).await;
    let database = Database::create().await;
    test(&database.uri).await;
    database.drop().await;
}

/// Runs a test on an empty users database of each kind.
#[allow(dead_code, reason = "not every test file has users")]
pub(crate) async fn on_each_users(test: impl AsyncFn(&UserStore)) {
    on_each_uri(async |uri| {
        let options = DbOptions { pool_size: 8, acquire_timeout: Duration::from_secs(30), ..DbOptions::default() };
        test(&UserStore::open(uri, None, options, false).await.expect("the users database opens")).await;
    })
    .await;
}

/// Opens a store as the server does.
#[allow(dead_code, reason = "not every test file has a store")]
pub(crate) async fn open(uri: &BackendUri) -> Store {
    let db = DbOptions { pool_size: 8, acquire_timeout: Duration::from_secs(30), ..DbOptions::default() };
    Store::open(uri, StoreOptions { artifact_root: "mlflow-artifacts:/".into(), db }).await.expect("the store opens")
}

struct Database {
    uri: BackendUri,
    name: String,
}

impl Database {
    async fn create() -> Self {
        let name = format!("store_{}", uuid::Uuid::new_v4().simple());
        admin(format!("CREATE DATABASE {name}")).await;
        let uri = BackendUri::parse(&with_database(&name)).expect("a URI");
        Self { uri, name }
    }

    async fn drop(self) {
        admin(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

pub(crate) fn with_database(name: &str) -> String {
    let server = std::env::var(POSTGRES)
        .unwrap_or_else(|_| panic!("set {POSTGRES} to a PostgreSQL server, or run `cargo xtask test`"));
    let (base, query) = server.split_once('?').map_or((server.as_str(), String::new()), |(b, q)| (b, format!("?{q}")));
    let (scheme, rest) = base.split_once("://").expect("a URL");
    let authority = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{name}{query}")
}

pub(crate) async fn admin(sql: String) {
    let uri = BackendUri::parse(&with_database("postgres")).expect("a URI");
    let db = Db::open(&uri, DbOptions { pool_size: 1, ..DbOptions::default() }).expect("the server's database");
    let done = db.query(Statement::dynamic(sql, Vec::new()), |_| Ok(())).await;
    done.expect("the server runs the statement");
}

/// A fresh run in an experiment; gives its id.
#[allow(dead_code, reason = "not every test file has runs")]
pub(crate) async fn run(store: &Store, experiment_id: &str) -> String {
    let new = ferroflow_store::NewRun { experiment_id: experiment_id.to_owned(), ..Default::default() };
    let run = store.create_run(new).await.expect("a run");
    run.info.and_then(|info| info.run_id).expect("an id")
}

/// A page of a metric's history, and the token of the next one.
#[allow(dead_code, reason = "not every test file has histories")]
pub(crate) async fn history(
    store: &Store,
    run_id: &str,
    key: &str,
    max_results: Option<i64>,
    page_token: Option<&str>,
) -> (Vec<HistoryPoint>, Option<String>) {
    store.fold_metric_history(run_id, key, max_results, page_token, Vec::new(), Vec::push).await.unwrap()
}
