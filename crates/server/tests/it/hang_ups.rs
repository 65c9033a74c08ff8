//! Clients that start long searches and disconnect: the database cancels them, and other callers are served meanwhile.

use std::{net::Ipv4Addr, time::Duration};

use ferroflow_model::Environment;
use ferroflow_store::{
    Store, StoreOptions,
    db::{BackendUri, Db, DbOptions, Statement, Upkeep, dialect::Dialect},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use crate::support::app;

const POSTGRES: &str = "FERROFLOW_TEST_POSTGRES_URL";

/// Timeout for another caller: without cancellation it waits for minutes.
const TIMEOUT: Duration = Duration::from_secs(30);

const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// The variables of this process.
#[expect(clippy::disallowed_methods, reason = "the one place of these tests that reads the environment")]
fn environment() -> Environment {
    Environment::new(std::env::vars_os())
}

/// The URI of another database on the test server.
fn postgres(database: &str) -> BackendUri {
    let environment = environment();
    let server = environment.get(POSTGRES);
    let server = server.unwrap_or_else(|| panic!("set {POSTGRES}, or run `cargo xtask test`"));
    let (scheme, rest) = server.split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();
    BackendUri::parse(&format!("{scheme}://{authority}/{database}"), &environment).unwrap()
}

async fn number(db: &Db, sql: String) -> i64 {
    db.query(Statement::unscoped(Upkeep::Test, sql, Vec::new()), |row| row.get(0))
        .await
        .unwrap()
        .first()
        .copied()
        .unwrap_or_default()
}

/// Adds runs whose tag every search below has to read a hundred times.
async fn fill(store: &Store) {
    let (id, text) = store.db().dialect().pick(
        ("lpad(CAST(i AS TEXT), 32, '0')", "repeat('a', 8000)"),
        ("printf('%032d', i)", "replace(hex(zeroblob(4000)), '0', 'a')"),
    );
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)";
    let script = format!(
        "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, start_time) {numbers} SELECT {id}, 0, 'active', i FROM n;
         INSERT INTO tags (run_uuid, key, value) {numbers} SELECT {id}, 't', {text} FROM n;"
    );
    store.db().batch(script).await.unwrap();
}

/// Sends a request from an address.
async fn send(server: std::net::SocketAddr, from: Ipv4Addr, head: &str, body: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Requests a page and returns the response, with a timeout.
async fn soon(server: std::net::SocketAddr, from: Ipv4Addr, head: &str) -> String {
    let asked = async { answer(send(server, from, head, "").await).await };
    tokio::time::timeout(TIMEOUT, asked).await.unwrap_or_else(|_| panic!("{head} from {from} has to wait"))
}

async fn try_on(uri: &BackendUri) {
    let db = DbOptions { acquire_timeout: Duration::from_secs(2), ..DbOptions::default() };
    let options = StoreOptions { db, ..StoreOptions::default() };
    let store = Store::open(uri, options).await.unwrap();
    fill(&store).await;
    let db = store.db().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(ferroflow_server::serve(listener, app(store), async {
        let _ = stopped.await;
    }));

    let filter = vec!["tags.t ILIKE '%a'"; 100].join(" AND ");
    let body = serde_json::json!({"experiment_ids": ["0"], "filter": filter}).to_string();
    let mut greedy = JoinSet::new();
    for _ in 0..24 {
        greedy.spawn(answer(send(server, GREEDY, "POST /api/2.0/mlflow/runs/search", &body).await));
    }
    // Requests above the fair share of one caller are refused.
    let refused = tokio::time::timeout(TIMEOUT, greedy.join_next()).await.unwrap().unwrap().unwrap();
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.to_ascii_lowercase().contains("\r\nretry-after: 1\r\n"), "{refused}");
    let other = soon(server, OTHER, "GET /api/2.0/mlflow/experiments/search?max_results=1").await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    let ready = soon(server, OTHER, "GET /readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");

    greedy.shutdown().await;
    let again = soon(server, GREEDY, "GET /api/2.0/mlflow/experiments/search?max_results=1").await;
    assert!(again.starts_with("HTTP/1.1 200"), "{again}");
    let idle = async {
        loop {
            let busy = match db.dialect() {
                Dialect::Sqlite => i64::try_from(db.pool_status().0).unwrap(),
                Dialect::Postgres => {
                    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                               AND state = 'active' AND query LIKE '%ILIKE%' AND pid <> pg_backend_pid()";
                    number(&db, sql.into()).await
                }
            };
            if busy == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, idle).await.expect("the database stops");
    stop.send(()).unwrap();
    tokio::time::timeout(TIMEOUT, task).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_searches_of_disconnected_clients_block_no_other_client_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    try_on(&BackendUri::Sqlite(folder.path().join("test.db"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_searches_of_disconnected_clients_block_no_other_client_on_postgresql() {
    let admin = Db::open(&postgres("postgres"), DbOptions { pool_size: 1, ..DbOptions::default() }).unwrap();
    let name = format!("server_{}", uuid::Uuid::new_v4().simple());
    admin.batch(format!("CREATE DATABASE {name}")).await.unwrap();
    try_on(&postgres(&name)).await;
    admin.batch(format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}
