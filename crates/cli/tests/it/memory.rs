//! Memory use of requests: little, whatever they contain and however many there are.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_macros, reason = "a test that cannot say its figures has failed")]

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) const MIB: usize = 1024 * 1024;

/// Maximum MiB above an idle server: for one request, and for any number of them.
const ONE: usize = 64;
const ALL: usize = 256;

/// Maximum response time on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);

const LOG_BATCH: &str = "/api/2.0/mlflow/runs/log-batch";
const LOG_INPUTS: &str = "/api/2.0/mlflow/runs/log-inputs";
const CREATE_RUN: &str = "/api/2.0/mlflow/runs/create";

pub(crate) struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferroflow"))
            .args(["server", "--port", "0", "--log-format", "json"])
            .args(args)
            .envs(variables.iter().copied())
            .current_dir(folder.path())
            .env("FERROFLOW_UI_DIR", folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = log.next().expect("the server logs its address").unwrap();
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split(['"', '/']).next().unwrap().to_owned();
            }
        };
        // The pipe must not fill up.
        thread::spawn(move || log.for_each(drop));
        let server = Self { child, address, _folder: folder };
        assert_eq!(status(&server.get("/livez")), "200");
        server
    }

    /// The peak resident size, in MiB.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    /// The size of the resident memory that is of no file: heaps and stacks, in MiB.
    pub(crate) fn anonymous(&self) -> usize {
        self.status("RssAnon:")
    }

    /// A size that the system knows of the process, in MiB.
    fn status(&self, name: &str) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        answer(stream)
    }

    /// Sends a request as far as the server reads it, and returns the response.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(head(path, Some(body.len())).as_bytes()).unwrap();
        let _ = stream.write_all(body);
        answer(stream)
    }

    /// The same without `Content-Length`, chunked.
    fn post_chunked(&self, path: &str, body: &[u8]) -> String {
        let mut stream = self.connect();
        let send = |stream: &mut TcpStream| -> io::Result<()> {
            stream.write_all(head(path, None).as_bytes())?;
            for chunk in body.chunks(100_000) {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")
        };
        let _ = send(&mut stream);
        answer(stream)
    }

    pub(crate) fn create_run(&self) -> String {
        let answer = self.post(CREATE_RUN, br#"{"experiment_id":"0"}"#);
        let (_, rest) = answer.split_once("\"run_id\":\"").expect(&answer);
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn head(path: &str, length: Option<usize>) -> String {
    let length = length.map_or("Transfer-Encoding: chunked".to_owned(), |length| format!("Content-Length: {length}"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    )
}

pub(crate) fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

/// A text with this beginning and end and a repeated middle, of about `bytes` bytes.
fn repeated(first: &str, item: &str, last: &str, bytes: usize) -> Vec<u8> {
    let count = (bytes - first.len() - last.len()) / item.len();
    [first, &item.repeat(count), last].concat().into_bytes()
}

/// Requests that are made to use much memory, with a part of the expected response.
fn attacks() -> Vec<(&'static str, &'static str, Vec<u8>, &'static str)> {
    let largest = 18 * MIB;
    let profile =
        r#"{"run_id":"a","datasets":[{"dataset":{"name":"a","digest":"a","source_type":"a","source":"a","profile":""#;
    let mut keys = String::new();
    for number in 0..800_000 {
        keys += &format!("\"k{number}\":1,");
    }
    let maps = r#"{"a":{"a":{}}},"#;
    vec![
        (
            "tags",
            CREATE_RUN,
            repeated(r#"{"experiment_id":"0","tags":[{}"#, ",{}", "]}", 40_000_000),
            "larger than 8388608",
        ),
        ("fewer tags", CREATE_RUN, repeated(r#"{"experiment_id":"0","tags":[{}"#, ",{}", "]}", 8 * MIB), "values"),
        (
            "metrics",
            LOG_BATCH,
            repeated(r#"{"run_id":"a","metrics":[{}"#, ",{}", "]}", 64_000_000),
            "larger than 18874368",
        ),
        (
            "fewer metrics",
            LOG_BATCH,
            repeated(r#"{"run_id":"a","metrics":[{}"#, ",{}", "]}", largest),
            "at most 1000 metrics. Got 62914",
        ),
        ("camel case", LOG_BATCH, repeated(r#"{"runId":"a","metrics":[{}"#, ",{}", "]}", 60_000), "Missing value"),
        ("GraphQL", "/graphql", repeated(r#"{"query":""#, "query{a}", r#""}"#, 11_000_000), "larger than 131072"),
        (
            "short GraphQL",
            "/graphql",
            repeated(r#"{"query":""#, "query{a}", r#""}"#, 128 * 1024),
            "maximum total tokens",
        ),
        ("variables", "/graphql", graphql_variables(), "variables expanded"),
        ("deep", LOG_BATCH, b"[".repeat(largest), "values"),
        ("less deep", LOG_BATCH, b"[".repeat(19_000), "nested too deeply"),
        ("maps", LOG_INPUTS, repeated(r#"{"run_id":"a","datasets":["#, maps, "{}]}", largest), "values"),
        ("fewer maps", LOG_INPUTS, repeated(r#"{"runId":"a","datasets":["#, maps, "{}]}", 70_000), ""),
        ("one text", LOG_INPUTS, repeated(profile, "x", r#""}}]}"#, largest), "maximum length of 16777215"),
        (
            "one text in the wrong place",
            LOG_BATCH,
            repeated(r#"{"run_id":[""#, "x", r#""]}"#, largest),
            "Invalid value",
        ),
        ("one text in camel case", LOG_BATCH, repeated(r#"{"runId":""#, "x", r#""}"#, largest), "run_id"),
        ("JSON in a text", LOG_BATCH, repeated(r#""{\"run_id\":\""#, "x", r#"\"}""#, largest), "begin with its brace"),
        ("JSON in a short text", LOG_BATCH, repeated(r#""{\"run_id\":\""#, "x", r#"\"}""#, MIB), "run_id"),
        (
            "one text with an escape",
            LOG_INPUTS,
            repeated(profile, "x", r#"\n"}}]}"#, largest),
            "maximum length of 16777215",
        ),
        ("a text instead of a list", LOG_BATCH, repeated(r#"{"metrics":""#, "\\n", r#""}"#, largest), "run_id"),
        (
            "one key again and again",
            LOG_BATCH,
            repeated(r#"{"run_id":"a""#, r#","run_id":"a""#, "}", largest),
            "values",
        ),
        ("many keys", LOG_BATCH, format!("{{{keys}\"k\":1}}").into_bytes(), "values"),
        ("NUL", LOG_BATCH, vec![0; largest], "begin with its brace"),
        ("spaces", CREATE_RUN, vec![b' '; 65 * MIB], "larger than"),
    ]
}

/// A query with a list that repeats one variable.
fn graphql_variables() -> Vec<u8> {
    let query = format!("query($v: String){{test(inputString: [{}]){{output}}}}", "$v,".repeat(3000));
    serde_json::json!({ "query": query, "variables": { "v": "x".repeat(60_000) } }).to_string().into_bytes()
}

/// Sends the selected requests, each to a server of its own.
fn one_by_one(post: impl Fn(&Server, &str, &[u8]) -> String, are_meant: impl Fn(&str, usize) -> bool) {
    for (name, path, body, expected) in attacks().into_iter().filter(|(name, _, body, _)| are_meant(name, body.len())) {
        let server = Server::start();
        let idle = server.peak();
        let answer = post(&server, path, &body);
        let taken = server.peak() - idle;
        eprintln!("{name} ({} MB): {taken} MiB", body.len() / 1_000_000);
        let shown: String = answer.chars().take(600).collect();
        assert!(matches!(status(&answer), "200" | "400" | "404"), "{name}: {shown}");
        assert!(answer.contains(expected), "{name}: {shown}");
        assert!(answer.len() < 150_000, "{name}: {} bytes are answered", answer.len());
        assert!(taken <= ONE, "{name}: {taken} MiB");
    }
}

#[test]
fn a_request_of_many_values_takes_little_memory() {
    one_by_one(Server::post, |name, _| !name.contains("text"));
}

#[test]
fn a_request_of_a_long_text_takes_little_memory() {
    one_by_one(Server::post, |name, _| name.contains("text"));
}

#[test]
fn a_request_without_a_length_takes_little_memory() {
    one_by_one(Server::post_chunked, |name, length| length >= 10 * MIB && !name.contains("text"));
}

#[test]
fn many_requests_take_a_bounded_memory_and_the_server_goes_on_answering() {
    let server = Server::start();
    let run = server.create_run();
    let idle = server.peak();
    let attacks = attacks();
    let (going, sent) = (AtomicBool::new(true), AtomicUsize::new(0));
    let metric = format!(r#"{{"run_id":"{run}","key":"m","value":1,"timestamp":1,"step":1}}"#);
    thread::scope(|scope| {
        // Clients that stall in the middle of a body.
        let mut stalled = Vec::new();
        for (path, length, count) in [(LOG_INPUTS, 18 * MIB, 4), (LOG_BATCH, 60_000, 40)] {
            for _ in 0..count {
                let mut stream = server.connect();
                stream.write_all(head(path, Some(length)).as_bytes()).unwrap();
                stream.write_all(&vec![b' '; 50_000]).unwrap();
                stalled.push(stream);
            }
        }
        let senders: Vec<_> = (0..2)
            .flat_map(|_| &attacks)
            .map(|(name, path, body, _)| {
                let (server, sent) = (&server, &sent);
                scope.spawn(move || {
                    // Retries like a client after 429.
                    let mut answers = (0..30).map(|_| server.post(path, body));
                    let answer = answers.find(|answer| status(answer) != "429").expect("it is answered in the end");
                    sent.fetch_add(1, Ordering::Relaxed);
                    let known = matches!(status(&answer), "200" | "400" | "404");
                    assert!(known, "{name}: {}", answer.chars().take(300).collect::<String>());
                })
            })
            .collect();
        let (server, going, metric, sent) = (&server, &going, &metric, &sent);
        let attack_count = attacks.len();
        let others = scope.spawn(move || {
            let mut slowest = Duration::ZERO;
            let mut answered = 0;
            while going.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_eq!(status(&server.get("/livez")), "200");
                slowest = slowest.max(start.elapsed());
                let answer = server.post("/api/2.0/mlflow/runs/log-metric", metric.as_bytes());
                assert_eq!(status(&answer), "200", "{answer}");
                slowest = slowest.max(start.elapsed());
                answered += usize::from(sent.load(Ordering::Relaxed) < 2 * attack_count);
            }
            (slowest, answered)
        });
        for sender in senders {
            sender.join().unwrap();
        }
        going.store(false, Ordering::Relaxed);
        let (slowest, answered) = others.join().unwrap();
        eprintln!(
            "{} requests: {} MiB, slowest {slowest:?}, {answered} others",
            attacks.len() * 2,
            server.peak() - idle
        );
        assert!(slowest < PROMPT, "{slowest:?}");
        assert!(answered > 0, "others are answered while the requests are there");
    });
    let taken = server.peak() - idle;
    assert!(taken <= ALL, "{taken} MiB");
}

#[test]
fn a_slow_sender_does_not_block_others() {
    let server = Server::start();
    let run = server.create_run();
    // More than the memory budget.
    let _stalled: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(head(LOG_INPUTS, Some(18 * MIB)).as_bytes()).unwrap();
            stream.write_all(&vec![b' '; MIB]).unwrap();
            stream
        })
        .collect();
    let profile = "x".repeat(16_000_000);
    let inputs = serde_json::json!({
        "run_id": run,
        "datasets": [{ "dataset": { "name": "d", "digest": "1", "source_type": "s", "source": "s", "profile": profile } }],
    });
    let answer = server.post(LOG_INPUTS, inputs.to_string().as_bytes());
    assert_eq!(status(&answer), "200", "{answer}");
}

#[test]
fn without_memory_a_client_gets_retry_after() {
    let server = Server::start();
    let run = server.create_run();
    let going = AtomicBool::new(true);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut stream = server.connect();
            stream.write_all(head(LOG_INPUTS, Some(18 * MIB)).as_bytes()).unwrap();
            stream.write_all(&vec![b' '; MIB]).unwrap();
            let going = &going;
            // Fast enough not to be aborted.
            scope.spawn(move || {
                while going.load(Ordering::Relaxed) && stream.write_all(&vec![b' '; 60_000]).is_ok() {
                    thread::sleep(Duration::from_millis(200));
                }
            });
        }
        let batch = repeated(&format!(r#"{{"run_id":"{run}","tags":[{{"key":"k","value":""#), "x", r#""}]}"#, MIB);
        let answers: Vec<String> = (0..3).map(|_| server.post(LOG_BATCH, &batch)).collect();
        // The first may have come before both others had taken their share.
        let refused = answers.iter().find(|answer| status(answer) == "429").expect(&answers[0]);
        assert!(refused.to_ascii_lowercase().contains("retry-after: 1"), "{refused}");
        let metric = format!(r#"{{"run_id":"{run}","key":"m","value":1,"timestamp":1,"step":1}}"#);
        assert_eq!(status(&server.post("/api/2.0/mlflow/runs/log-metric", metric.as_bytes())), "200");
        going.store(false, Ordering::Relaxed);
    });
}

/// Credentials of Basic authentication.
const ADMIN: &str = "Authorization: Basic YWRtaW46YWRtaW4tcGFzc3dvcmQtMQ==\r\n";
const ALICE: &str = "Authorization: Basic YWxpY2U6YWxpY2UtcGFzc3dvcmQtMQ==\r\n";

#[test]
fn a_long_body_of_a_user_without_permissions_is_not_read() {
    let server = Server::start_with(
        &["--app-name", "basic-auth"],
        &[
            ("MLFLOW_FLASK_SERVER_SECRET_KEY", "a key that all servers share"),
            ("MLFLOW_AUTH_ADMIN_USERNAME", "admin"),
            ("MLFLOW_AUTH_ADMIN_PASSWORD", "admin-password-1"),
        ],
    );
    let sent = |path: &str, login: &str, more: &str, length: usize, body: &str| {
        let mut stream = server.connect();
        let head = head(path, Some(length)).replace("\r\n\r\n", &format!("\r\n{login}{more}\r\n"));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        stream
    };
    let user = r#"{"username":"alice","password":"alice-password-1"}"#;
    let made = answer(sent("/api/2.0/mlflow/users/create", ADMIN, "", user.len(), user));
    assert_eq!(status(&made), "200", "{made}");
    for path in [LOG_BATCH, CREATE_RUN, "/api/2.0/mlflow/registered-models/set-tag", "/api/2.0/mlflow/webhooks"] {
        let refused = answer(sent(path, ALICE, "Expect: 100-continue\r\n", 500_000, ""));
        assert_eq!(status(&refused), "403", "{path}: {refused}");
        // An admin is sent 100 Continue.
        let mut asked = sent(path, ADMIN, "Expect: 100-continue\r\n", 500_000, "");
        let mut interim = [0; 25];
        asked.read_exact(&mut interim).unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 100 Continue"), "{path}");
        // A client that sends without waiting reads the response too.
        let mut stream = sent(path, ALICE, "", 1_000_000, "");
        stream.write_all(&vec![b' '; 1_000_000]).unwrap();
        assert_eq!(status(&answer(stream)), "403", "{path}");
    }
}
