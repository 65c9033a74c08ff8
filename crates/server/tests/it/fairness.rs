//! What one caller does must not stop another one: the requests of the other are answered while those of the first are
//! held.

use std::{net::Ipv4Addr, time::Duration};

use ferroflow_server::App;
use ferroflow_store::{Store, StoreOptions, db::BackendUri, fairness::Callers};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    otlp_grpc::{access, login, users},
    support::{Running, app},
};

/// Timeout for what must not wait for long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client: its address, and the lines of its own headers.
#[derive(Debug, Clone, Copy)]
struct Client<'a> {
    address: Ipv4Addr,
    headers: &'a str,
}

const GREEDY: Client<'static> = Client { address: Ipv4Addr::new(127, 0, 0, 2), headers: "" };
const OTHER: Client<'static> = Client { address: Ipv4Addr::new(127, 0, 0, 3), headers: "" };

const RUN: &str = "00000000000000000000000000000001";

/// Number of points of the history: their JSON does not fit into the buffers of a connection.
const POINTS: u32 = 150_000;

async fn store(folder: &std::path::Path) -> Store {
    let store = Store::open(&BackendUri::Sqlite(folder.join("test.db")), StoreOptions::default()).await.unwrap();
    let run = format!(
        "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status) VALUES ('{RUN}', 0, 'active', 'RUNNING');"
    );
    store.db().batch(run).await.unwrap();
    store
}

/// A connection from an address.
async fn connect(server: &Running, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // A client that reads nothing blocks the server soon.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind((from, 0).into()).unwrap();
    let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends the head of a request, and what there is of its body.
async fn send(server: &Running, from: Client<'_>, line: &str, length: usize, body: &str) -> TcpStream {
    let mut stream = connect(server, from.address).await;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         {}Connection: close\r\n\r\n{body}",
        from.headers
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads the status of a response, of which nothing more is read.
async fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    tokio::time::timeout(TIMEOUT, stream.read_exact(&mut line)).await.expect("an answer").unwrap();
    String::from_utf8(line.to_vec()).unwrap()
}

/// A request whose body does not arrive, once the server waits for that.
async fn held(server: &Running, from: Client<'_>) -> TcpStream {
    let headers = format!("{}Expect: 100-continue\r\n", from.headers);
    let mut stream = send(server, Client { headers: &headers, ..from }, LOG_METRIC, 100, "").await;
    assert_eq!(status(&mut stream).await, "HTTP/1.1 100");
    stream
}

/// Sends a request and returns the response.
async fn ask(server: &Running, from: Client<'_>, line: &str, body: &str) -> String {
    let answer = async {
        let mut bytes = Vec::new();
        send(server, from, line, body.len(), body).await.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    };
    tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| panic!("{line} from {from:?} has to wait"))
}

const LOG_METRIC: &str = "POST /api/2.0/mlflow/runs/log-metric";

async fn log_metric(server: &Running, from: Client<'_>) -> String {
    let body = format!(r#"{{"run_id": "{RUN}", "key": "m", "value": 1, "timestamp": 1, "step": 1}}"#);
    ask(server, from, LOG_METRIC, &body).await
}

/// Logs a metric until it is answered with a status, as it must be soon.
async fn log_metric_until(server: &Running, from: Client<'_>, status: &str) -> String {
    let answered = async {
        loop {
            let answer = log_metric(server, from).await;
            if answer.strip_prefix("HTTP/1.1 ").is_some_and(|rest| rest.starts_with(status)) {
                return answer;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, answered).await.unwrap_or_else(|_| panic!("{from:?} is never answered {status}"))
}

/// The value of a metric of the server.
async fn metric(server: &Running, name: &str) -> u64 {
    let text = ask(server, OTHER, "GET /metrics", "").await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
    value.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_half_of_the_requests_is_refused_and_others_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let app = App { callers: Callers::new(4), ..app(store(folder.path()).await) };
    let server = Running::start(app);
    let requests = [held(&server, GREEDY).await, held(&server, GREEDY).await];
    let refused = log_metric(&server, GREEDY).await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.to_ascii_lowercase().contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("REQUEST_LIMIT_EXCEEDED") && refused.contains("this caller"), "{refused}");
    let other = log_metric(&server, OTHER).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    let counted = "ferroflow_requests_refused{resource=\"requests\",limit=\"caller\"} ";
    assert_eq!(metric(&server, counted).await, 1);
    // What is held ends, and the caller is served again.
    drop(requests);
    log_metric_until(&server, GREEDY, "200").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_one_caller_at_every_address() {
    let folder = tempfile::tempdir().unwrap();
    let access = access(folder.path(), users(folder.path(), false).await);
    let app = App { callers: Callers::new(4), access: Some(access), ..app(store(folder.path()).await) };
    let server = Running::start(app);
    let [ann, admin] =
        ["ann", "admin"].map(|user| format!("Authorization: {}\r\n", login(user, &format!("password of {user}"))));
    let [here, there] = [GREEDY, OTHER].map(|client| Client { headers: &ann, ..client });
    let requests = [held(&server, here).await, held(&server, there).await];
    for client in [here, there] {
        let refused = log_metric(&server, client).await;
        assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    }
    let other = log_metric(&server, Client { headers: &admin, ..here }).await;
    assert!(other.starts_with("HTTP/1.1 200"), "another user at the same address: {other}");
    drop(requests);
    // She may not write to the run.
    log_metric_until(&server, here, "403").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_a_running_request_until_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let artifacts = folder.path().join("artifacts");
    std::fs::create_dir(&artifacts).unwrap();
    // It does not fit into the buffers of a connection.
    std::fs::write(artifacts.join("large"), vec![0; 32 << 20]).unwrap();
    let location = format!("UPDATE runs SET artifact_uri = '{}' WHERE run_uuid = '{RUN}';", artifacts.display());
    store.db().batch(location).await.unwrap();
    let mut app = App { callers: Callers::new(4), ..app(store) };
    app.locations.local_roots = Some(vec![artifacts]);
    let server = Running::start(app);
    let mut downloads = Vec::new();
    for _ in 0..2 {
        let line = format!("GET /get-artifact?run_id={RUN}&path=large");
        downloads.push(send(&server, GREEDY, &line, 0, "").await);
    }
    for download in &mut downloads {
        assert_eq!(status(download).await, "HTTP/1.1 200");
    }
    let refused = log_metric(&server, GREEDY).await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let other = log_metric(&server, OTHER).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    drop(downloads);
    log_metric_until(&server, GREEDY, "200").await;
    server.stop().await;
}

/// Clients of one caller ask for large histories and read nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_histories_of_one_caller_do_not_stop_those_of_another_nor_its_training() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {POINTS})");
    let points = format!(
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) {numbers} SELECT 'h', i, i, '{RUN}', i, 0 FROM n;"
    );
    store.db().batch(points).await.unwrap();
    let server = Running::start(app(store));
    let history = format!("GET /api/2.0/mlflow/metrics/get-history?run_id={RUN}&metric_key=h");
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let mut greedy = JoinSet::new();
    for _ in 0..8 {
        let mut stream = send(&server, GREEDY, &history, 0, "").await;
        let answered = answered.clone();
        greedy.spawn(async move {
            let mut line = [0; 12];
            let got = stream.read_exact(&mut line).await.is_ok();
            let _ = answered.send(got && line == *b"HTTP/1.1 200");
            // Reads nothing more, and stays.
            std::future::pending::<()>().await;
        });
    }
    // Two are being sent, the others wait.
    for _ in 0..2 {
        assert!(tokio::time::timeout(TIMEOUT, answers.recv()).await.unwrap().unwrap());
    }
    let training = log_metric(&server, OTHER).await;
    assert!(training.starts_with("HTTP/1.1 200"), "{training}");
    let page = ask(&server, OTHER, "GET /api/2.0/mlflow/experiments/search?max_results=1", "").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let whole = ask(&server, OTHER, &history, "").await;
    assert!(whole.starts_with("HTTP/1.1 200") && whole.trim_end().ends_with('}'), "{}", &whole[..whole.len().min(300)]);
    // In the order of their requests, the other one would be the last.
    let mut before = 0;
    while let Ok(sent) = answers.try_recv() {
        before += u32::from(sent);
    }
    assert!(before < 6, "the other caller was behind {before} that had waited");
    greedy.shutdown().await;
    server.stop().await;
}
