//! OTLP/gRPC over a real port: messages, errors, users, bounds, shutdown.

use std::{net::SocketAddr, path::Path, time::Duration};

use axum::body::{Body, Bytes};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ferroflow_auth::{Auth, AuthConfig, SignupKey, Tokens};
use ferroflow_model::Environment;
use ferroflow_server::{Access, App, Audit, Listeners};
use ferroflow_store::{
    Store, StoreOptions, UserStore,
    db::{BackendUri, DbOptions},
};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{
    span_log::{gzip, protobuf},
    support::app,
};

pub(crate) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const EXPERIMENT: (&str, &str) = ("x-mlflow-experiment-id", "0");
const GZIP: (&str, &str) = ("grpc-encoding", "gzip");

/// A server with both ports.
pub(crate) struct Server {
    http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<std::io::Result<()>>,
}

async fn serve(folder: &Path, access: Option<Access>) -> Server {
    serve_store(open(folder, false).await, access).await
}

/// The store of a server in a folder.
pub(crate) async fn open(folder: &Path, workspaces: bool) -> Store {
    let options = StoreOptions { workspaces, ..StoreOptions::default() };
    Store::open(&BackendUri::Sqlite(folder.join("test.db")), options).await.unwrap()
}

pub(crate) async fn serve_store(store: Store, access: Option<Access>) -> Server {
    let app = App { access, ..app(store) };
    let listen = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let (http, grpc) = (listen().await, listen().await);
    let addresses = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let listeners = Listeners { listeners: vec![http], grpc: Some(grpc), tls: None };
    let running = tokio::spawn(ferroflow_server::serve(listeners, app, async {
        let _ = stopped.await;
    }));
    Server { http: addresses.0, grpc: addresses.1, stop: Some(stop), running }
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Client {
    server: SocketAddr,
    connection: SendRequest<Body>,
}

/// The outcome of a call.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    /// Headers and trailers.
    metadata: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    fn text(&self, name: &str) -> &str {
        self.metadata.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code and the message.
    fn outcome(&self) -> (&str, &str) {
        (self.text("grpc-status"), self.text("grpc-message"))
    }

    pub(crate) fn outcome_owned(&self) -> (String, String) {
        let (code, message) = self.outcome();
        (code.to_owned(), message.to_owned())
    }
}

impl Client {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let (connection, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self { server, connection }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: Body) -> hyper::Result<Answer> {
        let uri = format!("http://{}{path}", self.server);
        let mut request = http::Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut connection = self.connection.clone();
        connection.ready().await?;
        let response = connection.send_request(request.body(body).unwrap()).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let mut metadata = head.headers;
        metadata.extend(body.trailers().cloned().unwrap_or_default());
        Ok(Answer { status: head.status.as_u16(), metadata, body: body.to_bytes() })
    }

    pub(crate) async fn call(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let all = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
        self.send(path, &all, body.into()).await.unwrap()
    }

    /// Exports spans to the default experiment.
    async fn export(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.call(EXPORT, &[headers, &[EXPERIMENT]].concat(), body).await
    }
}

/// A message with its frame.
fn framed(is_compressed: bool, bytes: &[u8]) -> Vec<u8> {
    [&[u8::from(is_compressed)], &u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

pub(crate) fn plain(bytes: &[u8]) -> Vec<u8> {
    framed(false, bytes)
}

/// The number of stored spans of a trace.
async fn spans(server: &Server, trace: u64) -> usize {
    crate::span_log::spans(server.http, trace).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_stored_and_the_answer_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), None).await;
    let client = Client::connect(server.grpc).await;
    let answer = client.export(&[], plain(&protobuf(1))).await;
    assert_eq!((answer.status, answer.outcome(), &answer.body[..]), (200, ("0", ""), &[0; 5][..]));
    assert_eq!(answer.text("content-type"), "application/grpc");
    assert!(!answer.text("x-request-id").is_empty());
    assert_eq!(client.export(&[GZIP], framed(true, &gzip(&protobuf(2)))).await.text("grpc-status"), "0");
    // A client that can compress need not.
    assert_eq!(client.export(&[GZIP], plain(&protobuf(3))).await.text("grpc-status"), "0");
    // A long one, in pieces: the same span again and again.
    let long = protobuf(4).repeat(5000);
    let pieces: Vec<_> = plain(&long).chunks(1000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let answer = client.export(&[], Body::from_stream(futures_util::stream::iter(pieces))).await;
    assert_eq!(answer.outcome(), ("0", ""));
    // Without spans there is nothing to do.
    assert_eq!(client.export(&[], plain(b"")).await.outcome(), ("0", ""));
    for trace in 1..=4 {
        assert_eq!(spans(&server, trace).await, 1, "{trace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_span_is_partial_success() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), None).await;
    let client = Client::connect(server.grpc).await;
    // The id of the trace is zero.
    let both = [protobuf(1), protobuf(0)].concat();
    let answer = client.export(&[], plain(&both)).await;
    assert_eq!(answer.outcome(), ("0", ""));
    let text = "trace_id is not a valid id";
    let partial = [&[8, 1, 18, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    assert_eq!(answer.body, plain(&[&[10, u8::try_from(partial.len()).unwrap()], &partial[..]].concat()));
    assert_eq!(spans(&server, 1).await, 1);
    let (code, message) = client.export(&[], plain(&protobuf(0))).await.outcome_owned();
    assert_eq!(code, "3");
    assert!(message.contains(text), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_of_the_service_is_refused_with_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), None).await;
    let client = Client::connect(server.grpc).await;
    let good = plain(&protobuf(1));
    let bomb = gzip(&vec![0; 32 * 1024 * 1024]);
    for (headers, body, code, words) in [
        (vec![], plain(b"\xff"), "3", "Invalid OpenTelemetry format"),
        (vec![], good[..good.len() - 1].to_vec(), "3", "ended before it was complete"),
        (vec![], b"\0\0".to_vec(), "3", "ended before its message"),
        (vec![], b"\x07\0\0\0\0".to_vec(), "3", "not a message of gRPC"),
        (vec![], [good.clone(), good.clone()].concat(), "3", ""),
        (vec![], framed(true, &gzip(&protobuf(1))), "3", "no grpc-encoding"),
        (vec![GZIP], framed(true, &protobuf(1)), "3", "Failed to decompress gzip payload"),
        (vec![("grpc-encoding", "snappy")], framed(true, b"x"), "12", "Unsupported grpc-encoding: snappy"),
        (vec![GZIP], framed(true, &bomb), "3", "larger than 16777216 bytes when it is decompressed"),
        (vec![], plain(&vec![0; 17 * 1024 * 1024]), "3", "larger than 16777216 bytes"),
        // It says that it is long, and is not sent.
        (vec![], b"\0\xff\xff\xff\xffabc".to_vec(), "3", "larger than 16777216 bytes"),
        (vec![("x-mlflow-run-id", "77"), ("origin", "https://evil.example")], good.clone(), "0", ""),
        (vec![("host", "evil.example")], good.clone(), "3", "more than one host"),
    ] {
        let (found, message) = client.export(&headers, body).await.outcome_owned();
        assert_eq!(found, code, "{headers:?} {message}");
        assert!(message.contains(words), "{headers:?} {message}");
    }
    assert_eq!(
        client.call(EXPORT, &[], good.clone()).await.outcome(),
        ("3", "Missing required header: x-mlflow-experiment-id")
    );
    // The trace exists already, so another one.
    let unknown = client.call(EXPORT, &[("x-mlflow-experiment-id", "77")], plain(&protobuf(2))).await;
    assert_eq!(unknown.outcome(), ("5", "No Experiment with id=77 exists"));
    for path in ["/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/", "/v1/traces", "/health"] {
        assert_eq!(client.call(path, &[], good.clone()).await.text("grpc-status"), "12", "{path}");
    }
    let no_call = client.send(EXPORT, &[("content-type", "application/x-protobuf"), EXPERIMENT], Body::empty()).await;
    assert_eq!(no_call.unwrap().status, 415);
    assert_eq!(spans(&server, 1).await, 1, "the one with a run that does not exist");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), None).await;
    let client = Client::connect(server.grpc).await;
    let mut connection = client.connection.clone();
    let request =
        http::Request::post(format!("http://evil.example{EXPORT}")).header("content-type", "application/grpc");
    let response = connection.send_request(request.body(Body::from(plain(&protobuf(1)))).unwrap()).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "7");
    assert!(response.headers()["grpc-message"].to_str().unwrap().starts_with("Invalid Host header"));
}

/// A server with an admin and the user Ann, who has `permission` on the default experiment.
async fn with_users(folder: &Path, permission: &str) -> Server {
    let auth = users(folder, false).await;
    auth.users().grants("default").set("ann", "experiment", "0", permission).await.unwrap();
    serve(folder, Some(access(folder, auth))).await
}

/// The users of a server in a folder: an admin, and Ann.
pub(crate) async fn users(folder: &Path, workspaces: bool) -> Auth {
    let ini = folder.join("auth.ini");
    let database = folder.join("users.db");
    let text = format!(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{}\nadmin_username = admin\nadmin_password = password of admin\n",
        database.display()
    );
    std::fs::write(&ini, text).unwrap();
    let environment = Environment::new([("MLFLOW_AUTH_CONFIG_PATH", ini.as_os_str())]);
    let config = AuthConfig::from_environment(&environment).unwrap();
    let tokens = Tokens::open(&config, "secret").unwrap();
    let users = UserStore::open(&BackendUri::Sqlite(database), None, DbOptions::default(), false).await.unwrap();
    let auth = Auth::new(users, config, tokens, workspaces);
    auth.bootstrap().await.unwrap();
    let hash = auth.hash("password of ann").await.unwrap();
    auth.users().create_user("ann", &hash, false).await.unwrap();
    auth
}

pub(crate) fn access(folder: &Path, auth: Auth) -> Access {
    let audit = Audit::open(&folder.join("audit.log")).unwrap();
    Access::new(auth, SignupKey::new("secret"), Some(audit))
}

pub(crate) fn login(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_and_need_the_permission_to_write() {
    for (permission, code) in [("READ", "7"), ("EDIT", "0")] {
        let folder = tempfile::tempdir().unwrap();
        let server = Box::pin(with_users(folder.path(), permission)).await;
        let client = Client::connect(server.grpc).await;
        let good = || plain(&protobuf(1));
        let refused = client.export(&[], good()).await;
        assert_eq!(refused.text("grpc-status"), "16");
        assert!(refused.text("grpc-message").starts_with("You are not authenticated"));
        for wrong in [login("ann", "password of bob"), login("nobody", "password of ann"), "Bearer x".to_owned()] {
            assert_eq!(client.export(&[("authorization", &wrong)], good()).await.text("grpc-status"), "16", "{wrong}");
        }
        let ann = login("ann", "password of ann");
        let answer = client.export(&[("authorization", &ann)], good()).await;
        assert_eq!(answer.text("grpc-status"), code, "{permission}");
        let unknown = client.call("/a.Service/Method", &[("authorization", &ann)], good()).await;
        assert_eq!(unknown.text("grpc-status"), "12");
        assert_eq!(client.call("/a.Service/Method", &[], good()).await.text("grpc-status"), "16");
        let log = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
        let results: Vec<_> = log
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|entry| entry["path"] == EXPORT)
            .map(|entry| entry["result"].as_str().unwrap().to_owned())
            .collect();
        let last = if code == "0" { "changed" } else { "refused" };
        let expected = ["unauthenticated", "unauthenticated", "unauthenticated", "unauthenticated", "login", last];
        assert_eq!(results, expected, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_limited_as_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let server = Box::pin(with_users(folder.path(), "EDIT")).await;
    let client = Client::connect(server.grpc).await;
    let wrong = login("ann", "password of bob");
    for _ in 0..200 {
        let answer = client.export(&[("authorization", &wrong)], plain(&protobuf(1))).await;
        if answer.text("grpc-status") == "8" {
            assert!(!answer.text("google.rpc.retryinfo-bin").is_empty(), "{answer:?}");
            return;
        }
        assert_eq!(answer.text("grpc-status"), "16");
    }
    panic!("200 wrong passwords are not limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), None).await;
    let client = Client::connect(server.grpc).await;
    // A client knows how many calls it may begin once it was answered.
    assert_eq!(client.export(&[], plain(&protobuf(1))).await.outcome(), ("0", ""));
    let calls = (1..=200_u8).map(|trace| {
        let client = client.clone();
        tokio::spawn(async move { client.export(&[], plain(&protobuf(trace))).await.outcome_owned() })
    });
    for call in futures_util::future::join_all(calls).await {
        assert_eq!(call.unwrap(), ("0".to_owned(), String::new()));
    }
    assert_eq!(spans(&server, 200).await, 1);
    // Metadata has a bound.
    let long = "x".repeat(64 * 1024);
    let headers = [("content-type", "application/grpc"), EXPERIMENT, ("x-long", long.as_str())];
    let refused = client.send(EXPORT, &headers, Body::from(plain(&protobuf(1)))).await;
    assert!(refused.is_err() || refused.as_ref().is_ok_and(|answer| answer.status == 431), "{refused:?}");
    assert_eq!(Client::connect(server.grpc).await.export(&[], plain(&protobuf(1))).await.outcome(), ("0", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answers_the_calls_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve(folder.path(), None).await;
    let client = Client::connect(server.grpc).await;
    let idle = Client::connect(server.grpc).await;
    assert_eq!(idle.export(&[], plain(&protobuf(1))).await.outcome(), ("0", ""));
    let (sender, receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let pieces = futures_util::stream::unfold(receiver, async |mut receiver| {
        Some((Ok::<_, std::io::Error>(receiver.recv().await?), receiver))
    });
    let body = Body::from_stream(pieces);
    let of_call = client.clone();
    let call = tokio::spawn(async move { of_call.export(&[], body).await.outcome_owned() });
    let message = plain(&protobuf(2));
    sender.send(message[..9].to_vec()).await.unwrap();
    // The call has arrived when the server knows the first piece; nothing tells when that is.
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.stop.take().unwrap().send(()).unwrap();
    let closed = async {
        while !idle.connection.is_closed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("a connection without calls is closed");
    assert!(!server.running.is_finished(), "a call is in flight");
    sender.send(message[9..].to_vec()).await.unwrap();
    drop(sender);
    assert_eq!(call.await.unwrap(), ("0".to_owned(), String::new()));
    let ended = tokio::time::timeout(Duration::from_secs(20), server.running).await;
    ended.expect("it stops when the call has ended").unwrap().unwrap();
}
