//! Webhooks over HTTP: a server, and a receiver of its deliveries.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferroflow_jobs::{WebhookOptions, Webhooks};
use ferroflow_server::App;
use ferroflow_store::{
    Store, StoreOptions,
    db::{BackendUri, Upkeep},
    events::fernet::FernetKey,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};

use crate::support::{Running, app};

const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A received message.
struct Received {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The name of the model in the event.
    fn name(&self) -> String {
        self.json()["data"]["name"].as_str().unwrap().to_owned()
    }
}

/// A reply of the receiver; the default is 200.
enum Reply {
    Status(u16, &'static [(&'static str, &'static str)]),
    /// With an endless body.
    Endless,
    /// Sent once the gate is opened.
    AfterGate,
}

struct Receiver {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    gate: Arc<Semaphore>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::unbounded_channel();
        let replies = Arc::new(Mutex::new(VecDeque::new()));
        let gate = Arc::new(Semaphore::new(0));
        let router = Router::new().fallback(receive).with_state((sender, Arc::clone(&replies), Arc::clone(&gate)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received, replies, gate }
    }

    async fn next(&mut self) -> Received {
        tokio::time::timeout(TIMEOUT, self.received.recv()).await.expect("a message in time").unwrap()
    }

    fn reply_with(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().extend(replies);
    }
}

type Shared = (mpsc::UnboundedSender<Received>, Arc<Mutex<VecDeque<Reply>>>, Arc<Semaphore>);

async fn receive(State((sender, replies, gate)): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    sender.send(Received { path: uri.path().to_owned(), headers, body }).unwrap();
    let reply = replies.lock().unwrap().pop_front();
    match reply {
        None => "thanks".into_response(),
        Some(Reply::Status(status, headers)) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(Body::from("scripted")).unwrap()
        }
        Some(Reply::Endless) => {
            let piece = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096]));
            Body::from_stream(futures_util::stream::repeat_with(piece)).into_response()
        }
        Some(Reply::AfterGate) => {
            gate.acquire().await.unwrap().forget();
            "at last".into_response()
        }
    }
}

/// A running server.
struct Server(Running);

fn options() -> WebhookOptions {
    WebhookOptions { schemes: vec!["http".into()], allow_private: true, ..WebhookOptions::default() }
}

async fn store(folder: &Path, key: Option<&str>) -> Store {
    let options = StoreOptions::default();
    let store = Store::open(&BackendUri::Sqlite(folder.join("test.db")), options).await.unwrap();
    store.with_webhook_key(key.and_then(FernetKey::parse))
}

impl Server {
    async fn start(folder: &Path, options: WebhookOptions) -> Self {
        Self::start_on(store(folder, Some(KEY)).await, options)
    }

    fn start_on(store: Store, options: WebhookOptions) -> Self {
        let webhooks = Arc::new(Webhooks::new(options));
        Self(Running::start(App { webhooks, ..app(store) }))
    }

    async fn stop(self) {
        self.0.stop().await;
    }

    /// Calls the API and returns the status and the body.
    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/api/2.0/mlflow/{path}", self.0.url);
        let method = method.parse().unwrap();
        let request = self.0.client.request(method, url).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Creates a webhook for registered models and returns its id.
    async fn webhook(&self, url: &str, secret: Option<&str>) -> String {
        let events = json!([{ "entity": "REGISTERED_MODEL", "action": "CREATED" }]);
        let body = json!({ "name": "hook", "url": url, "events": events, "secret": secret.unwrap_or_default() });
        let answer = self.good("POST", "webhooks", body).await;
        assert!(!answer.to_string().contains("secret"), "{answer}");
        answer["webhook"]["webhook_id"].as_str().unwrap().to_owned()
    }

    async fn register(&self, name: &str) {
        self.good("POST", "registered-models/create", json!({ "name": name })).await;
    }

    async fn test(&self, id: &str) -> Value {
        self.good("POST", &format!("webhooks/{id}/test"), json!({})).await["result"].clone()
    }

    /// Waits until a metric has a value.
    async fn metric(&self, line: &str) {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let text = self.0.client.get(format!("{}/metrics", self.0.url)).send().await.unwrap().text().await.unwrap();
            if text.lines().any(|found| found == line) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "no {line} in\n{text}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_event_arrives_at_once_and_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let server = Server::start(folder.path(), options()).await;
    server.webhook(&format!("{}/hook?a=b", receiver.url), Some("s3cret")).await;
    let body = json!({ "name": "größe", "tags": [{ "key": "k", "value": "v" }], "description": "d" });
    server.good("POST", "registered-models/create", body).await;

    let delivery = receiver.next().await;
    assert_eq!((delivery.path.as_str(), delivery.header("content-type")), ("/hook", "application/json"));
    let body = delivery.json();
    assert_eq!((&body["entity"], &body["action"]), (&json!("registered_model"), &json!("created")));
    assert_eq!(body["data"], json!({ "name": "größe", "tags": { "k": "v" }, "description": "d" }));
    let timestamp = body["timestamp"].as_str().unwrap();
    assert!(timestamp.starts_with("20") && timestamp.ends_with("+00:00"), "{timestamp}");

    let (id, seconds) = (delivery.header("x-mlflow-delivery-id"), delivery.header("x-mlflow-timestamp"));
    assert!(id.parse::<uuid::Uuid>().is_ok() && seconds.parse::<u64>().is_ok(), "{id} {seconds}");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(&delivery.body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(delivery.header("x-mlflow-signature"), signature);
    server.metric("ferroflow_webhook_deliveries_total{outcome=\"delivered\"} 1").await;
    server.stop().await;
}

#[tokio::test]
async fn a_failed_delivery_is_retried_before_later_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let server = Server::start(folder.path(), options()).await;
    receiver.reply_with([Reply::Status(503, &[("retry-after", "1")])]);
    server.webhook(&receiver.url, None).await;
    server.register("first").await;
    server.register("second").await;
    let (failed, again, next) = (receiver.next().await, receiver.next().await, receiver.next().await);
    assert_eq!([failed.name(), again.name(), next.name()], ["first", "first", "second"]);
    assert_eq!(failed.header("x-mlflow-delivery-id"), again.header("x-mlflow-delivery-id"));
    assert_ne!(failed.header("x-mlflow-delivery-id"), next.header("x-mlflow-delivery-id"));
    assert_eq!(failed.body, again.body);
    assert_eq!(failed.header("x-mlflow-signature"), "", "there is no secret");
    server.metric("ferroflow_webhook_deliveries_total{outcome=\"retried\"} 1").await;
    server.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_refusal_is_final() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let server = Server::start(folder.path(), options()).await;
    receiver.reply_with([
        Reply::Status(302, &[("location", "/elsewhere")]),
        Reply::Status(307, &[("location", "http://169.254.169.254/")]),
        Reply::Status(410, &[]),
    ]);
    server.webhook(&format!("{}/here", receiver.url), None).await;
    for name in ["a", "b", "c", "d"] {
        server.register(name).await;
    }
    for name in ["a", "b", "c", "d"] {
        let delivery = receiver.next().await;
        assert_eq!((delivery.path.as_str(), delivery.name().as_str()), ("/here", name));
    }
    server.metric("ferroflow_webhook_deliveries_total{outcome=\"failed\"} 3").await;
    server.metric("ferroflow_webhook_deliveries_waiting 0").await;
    server.stop().await;
}

#[tokio::test]
async fn a_slow_or_endless_receiver_does_not_block_other_deliveries() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let timeout = Duration::from_millis(300);
    let server = Server::start(folder.path(), WebhookOptions { timeout, max_retries: 0, ..options() }).await;
    receiver.reply_with([Reply::AfterGate, Reply::Endless]);
    let id = server.webhook(&receiver.url, None).await;
    for name in ["silence", "flood", "next"] {
        server.register(name).await;
        assert_eq!(receiver.next().await.name(), name);
    }
    server.metric("ferroflow_webhook_deliveries_total{outcome=\"failed\"} 1").await;
    server.metric("ferroflow_webhook_deliveries_total{outcome=\"delivered\"} 2").await;

    receiver.reply_with([Reply::Endless]);
    let result = server.test(&id).await;
    assert_eq!(result["success"], true);
    assert_eq!(result["response_body"].as_str().unwrap().len(), 8192, "a few KiB of it");
    server.stop().await;
}

#[tokio::test]
async fn private_addresses_are_never_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let server = Server::start(folder.path(), options()).await;
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    for url in [&receiver.url, &by_name] {
        server.webhook(url, None).await;
    }
    server.stop().await;

    // With the setting off, webhooks that it allowed before are not called any more.
    let server = Server::start(folder.path(), WebhookOptions { allow_private: false, ..options() }).await;
    server.register("m").await;
    server.metric("ferroflow_webhook_deliveries_total{outcome=\"failed\"} 2").await;
    let (_, list) = server.call("GET", "webhooks", json!({})).await;
    for webhook in list["webhooks"].as_array().unwrap() {
        let result = server.test(webhook["webhook_id"].as_str().unwrap()).await;
        assert_eq!(result["success"], false);
        assert!(result["error_message"].as_str().unwrap().contains("non-public IP address"), "{result}");
    }
    for url in [&receiver.url, &by_name] {
        let body = json!({ "name": "n", "url": url, "events": [{ "entity": "PROMPT", "action": "CREATED" }] });
        let (status, answer) = server.call("POST", "webhooks", body).await;
        assert_eq!(status, 400, "{answer}");
        let path = format!("webhooks/{}", list["webhooks"][0]["webhook_id"].as_str().unwrap());
        assert_eq!(server.call("PATCH", &path, json!({ "url": url })).await.0, 400);
    }
    server.stop().await;
    assert!(receiver.received.try_recv().is_err(), "the receiver got a request");
}

#[tokio::test]
async fn a_test_sends_once_and_returns_the_response() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let server = Server::start(folder.path(), options()).await;
    let id = server.webhook(&receiver.url, Some("s")).await;
    assert_eq!(server.test(&id).await, json!({ "success": true, "response_status": 200, "response_body": "thanks" }));
    let delivery = receiver.next().await;
    assert_eq!(delivery.json()["data"]["name"], "example_model");
    assert!(delivery.header("x-mlflow-signature").starts_with("v1,"));

    receiver.reply_with([Reply::Status(503, &[]), Reply::Status(301, &[("location", "/x")])]);
    assert_eq!(
        server.test(&id).await,
        json!({ "success": false, "response_status": 503, "response_body": "scripted" })
    );
    let redirected = server.test(&id).await;
    assert_eq!((&redirected["success"], &redirected["response_status"]), (&json!(false), &json!(301)));
    assert!(redirected["error_message"].as_str().unwrap().contains("redirects are not followed"), "{redirected}");

    let event = json!({ "event": { "entity": "PROMPT_TAG", "action": "SET" } });
    server.good("POST", &format!("webhooks/{id}/test"), event).await;
    for _ in 0..2 {
        receiver.next().await;
    }
    assert_eq!(receiver.next().await.json()["entity"], "prompt_tag");
    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closing.local_addr().unwrap();
    tokio::spawn(async move { while closing.accept().await.map(drop).is_ok() {} });
    server.good("PATCH", &format!("webhooks/{id}"), json!({ "url": format!("http://{address}/token") })).await;
    let unreachable = server.test(&id).await;
    let message = unreachable["error_message"].as_str().unwrap();
    assert!(message.starts_with("Failed to test webhook: ") && !message.contains("token"), "{message}");
    assert_eq!(server.call("POST", "webhooks/nothing/test", json!({})).await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_finishes_deliveries_and_the_next_sends_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let server = Server::start(folder.path(), options()).await;
    receiver.reply_with([Reply::AfterGate]);
    server.webhook(&receiver.url, None).await;
    server.register("running").await;
    assert_eq!(receiver.next().await.name(), "running");
    server.register("waiting").await;
    let (gate, address) = (Arc::clone(&receiver.gate), server.0.url.trim_start_matches("http://").to_owned());
    let open_gate = async move {
        // The shutdown has begun once connections are refused.
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
    };
    tokio::join!(server.stop(), open_gate);

    let store = store(folder.path(), Some(KEY)).await;
    assert_eq!(store.unscoped(Upkeep::Test).waiting_deliveries().await.unwrap(), 1, "the one that was running is done");
    let server = Server::start_on(store, options());
    assert_eq!(receiver.next().await.name(), "waiting");
    server.stop().await;
}

#[tokio::test]
async fn with_another_key_nothing_is_sent_unsigned_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start().await;
    let server = Server::start(folder.path(), options()).await;
    server.webhook(&receiver.url, Some("s3cret")).await;
    server.stop().await;

    let server = Server::start_on(store(folder.path(), None).await, options());
    server.register("m").await;
    server.metric("ferroflow_webhook_deliveries_total{outcome=\"postponed\"} 1").await;
    let list = server.good("GET", "webhooks", json!({})).await;
    assert_eq!(list["webhooks"][0]["name"], "hook");
    let id = list["webhooks"][0]["webhook_id"].as_str().unwrap();
    let result = server.test(id).await;
    assert!(result["error_message"].as_str().unwrap().contains("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"), "{result}");
    server.stop().await;
    assert!(receiver.received.try_recv().is_err(), "the receiver got a request");
    assert_eq!(store(folder.path(), None).await.unscoped(Upkeep::Test).waiting_deliveries().await.unwrap(), 1);
}
