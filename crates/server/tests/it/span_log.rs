//! `POST /v1/traces` over HTTP: encodings, compression, wrong requests.

use std::{io::Write as _, net::SocketAddr};

use ferroflow_server::{App, Config};
use ferroflow_store::{Store, StoreOptions, db::BackendUri};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::app;

/// A response: status, headers in lower case, and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server on an empty database. It ends with the test's runtime.
pub(crate) async fn serve(folder: &std::path::Path) -> SocketAddr {
    let uri = BackendUri::Sqlite(folder.join("test.db"));
    let store = Store::open(&uri, StoreOptions::default()).await.unwrap();
    let config = Config { static_prefix: "/prefix".into(), ..Config::default() };
    let app = App { config, ..app(store) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(ferroflow_server::serve(listener, app, std::future::pending()));
    server
}

/// Sends a request by HTTP/1.0, to which no response has chunks.
pub(crate) async fn send(server: SocketAddr, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = format!("{head} HTTP/1.0\r\nHost: {server}\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

const EXPERIMENT: (&str, &str) = ("x-mlflow-experiment-id", "0");
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

pub(crate) async fn export(server: SocketAddr, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    send(server, "POST /v1/traces", &[headers, &[EXPERIMENT]].concat(), body).await
}

pub(crate) fn span(trace: u64, fields: &Value) -> Value {
    let mut span = json!({
        "traceId": format!("{trace:032x}"), "spanId": "0000000000000001", "name": "s",
        "startTimeUnixNano": "1760000000000000000", "endTimeUnixNano": "1760000000005000000",
    });
    span.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    span
}

pub(crate) fn request(spans: &[Value]) -> Vec<u8> {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string().into_bytes()
}

/// A span in protobuf.
pub(crate) fn protobuf(trace: u8) -> Vec<u8> {
    let field = |number: u8, value: &[u8]| [&[number << 3 | 2, u8::try_from(value.len()).unwrap()], value].concat();
    let mut id = [0; 16];
    id[15] = trace;
    let start = 1_760_000_000_000_000_000_u64.to_le_bytes();
    let span = [
        field(1, &id),
        field(2, &[0, 0, 0, 0, 0, 0, 0, 1]),
        field(5, b"s"),
        [&[7 << 3 | 1], &start[..]].concat(),
        [&[8 << 3 | 1], &start[..]].concat(),
    ];
    field(1, &field(2, &field(2, &span.concat())))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// The number of stored spans of a trace.
pub(crate) async fn spans(server: SocketAddr, trace: u64) -> usize {
    let head = format!("GET /ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-{trace:032x}");
    let answer = send(server, &head, &[], b"").await;
    if answer.status == 200 { answer.json()["spans"].as_array().unwrap().len() } else { 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_encoding_is_read_and_answered_in_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    let answer = export(server, &[PROTOBUF], &protobuf(1)).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    assert!(answer.head.contains("content-type: application/x-protobuf"), "{}", answer.head);
    let answer = export(server, &[JSON], &request(&[span(2, &json!({}))])).await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let packed = gzip(&protobuf(3));
    assert_eq!(export(server, &[PROTOBUF, ("Content-Encoding", "gzip")], &packed).await.status, 200);
    // A long one, which is read on a thread of its own, compressed and not.
    let long = span(4, &json!({"attributes": [{"key": "a", "value": {"stringValue": "x".repeat(500_000)}}]}));
    assert_eq!(export(server, &[JSON], &request(std::slice::from_ref(&long))).await.status, 200);
    let packed = gzip(&request(&[span(5, &json!({})), long]));
    assert_eq!(export(server, &[JSON, ("Content-Encoding", "gzip")], &packed).await.status, 200);
    let below = send(server, "POST /prefix/v1/traces", &[JSON, EXPERIMENT], &request(&[span(6, &json!({}))])).await;
    assert_eq!(below.status, 200);
    for trace in 1..=6 {
        assert_eq!(spans(server, trace).await, 1, "{trace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_span_does_not_refuse_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    let wrong = span(1, &json!({"spanId": "12"}));
    let answer = export(server, &[JSON], &request(&[span(2, &json!({})), wrong.clone()])).await;
    assert_eq!(answer.status, 200);
    let partial = json!({"partialSuccess": {"rejectedSpans": "1", "errorMessage": "span_id is not a valid id"}});
    assert_eq!(answer.json(), partial);
    assert_eq!((spans(server, 1).await, spans(server, 2).await), (0, 1));
    let answer = export(server, &[JSON], &request(&[wrong])).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["code"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_in_its_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    let good = request(&[span(1, &json!({}))]);
    let no_header = send(server, "POST /v1/traces", &[JSON], &good).await;
    assert_eq!((no_header.status, no_header.json()["code"].clone()), (422, json!(3)));
    let unknown = send(server, "POST /v1/traces", &[JSON, ("x-mlflow-experiment-id", "77")], &good).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json(), json!({"code": 5, "message": "No Experiment with id=77 exists"}));
    let binary = send(server, "POST /v1/traces", &[PROTOBUF, ("x-mlflow-experiment-id", "77")], &protobuf(1)).await;
    assert_eq!((binary.status, &binary.body[..2]), (404, &[8, 5][..]));
    let text = export(server, &[("Content-Type", "text/plain")], &good).await;
    assert_eq!((text.status, text.json()["code"].clone()), (400, json!(3)));
    for (headers, body) in [
        (vec![JSON, ("Content-Encoding", "lzw")], good.clone()),
        (vec![JSON, ("Content-Encoding", "gzip")], good.clone()),
        (vec![JSON, ("Content-Encoding", "zstd")], good.clone()),
        (vec![JSON], b"{".to_vec()),
        (vec![JSON], b"{}".to_vec()),
        (vec![JSON], [b"{\"resourceSpans\":".as_slice(), &b"[".repeat(10_000), &b"]".repeat(10_000), b"}"].concat()),
        (vec![PROTOBUF], b"\xff".to_vec()),
        // A bomb: 64 MiB of zeros.
        (vec![PROTOBUF, ("Content-Encoding", "gzip")], gzip(&vec![0; 64 * 1024 * 1024])),
    ] {
        let answer = export(server, &headers, &body).await;
        assert_eq!(answer.status, 400, "{headers:?} {}", String::from_utf8_lossy(&answer.body));
    }
    let many = vec![b' '; 9 * 1024 * 1024];
    let answer = export(server, &[JSON], &many).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["message"].as_str().unwrap().contains("larger than"));
    assert_eq!(spans(server, 1).await, 0);
}
