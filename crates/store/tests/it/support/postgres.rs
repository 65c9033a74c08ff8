//! Databases on the PostgreSQL server of the tests.

use ferroflow_store::db::{BackendUri, Db, DbOptions, Statement};

/// Names the server that `cargo xtask test` starts; a URL of a superuser without a database.
const SERVER: &str = "FERROFLOW_TEST_POSTGRES_URL";

/// A database of one test.
pub(super) struct Database {
    pub(super) uri: BackendUri,
    name: String,
}

impl Database {
    /// Makes an empty database.
    pub(super) async fn create() -> Self {
        let name = format!("store_{}", uuid::Uuid::new_v4().simple());
        run(format!("CREATE DATABASE {name}")).await;
        Self { uri: uri(&name), name }
    }

    pub(super) async fn drop(self) {
        run(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

fn uri(database: &str) -> BackendUri {
    let server = std::env::var(SERVER)
        .unwrap_or_else(|_| panic!("set {SERVER} to a PostgreSQL server, or run `cargo xtask test`"));
    let (base, query) = server.split_once('?').map_or((server.as_str(), String::new()), |(b, q)| (b, format!("?{q}")));
    let (scheme, rest) = base.split_once("://").expect("a URL");
    let authority = rest.split('/').next().unwrap_or_default();
    BackendUri::parse(&format!("{scheme}://{authority}/{database}{query}")).expect("a URI")
}

async fn run(sql: String) {
    let server = Db::open(&uri("postgres"), DbOptions { pool_size: 1, ..DbOptions::default() });
    let done = server.expect("a URI").query(Statement::dynamic(sql.clone(), Vec::new()), |_| Ok(())).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
