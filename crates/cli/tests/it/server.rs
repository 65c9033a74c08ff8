//! The binary from an operator's view: bad flags, bad clients, and its shutdown.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::support;

struct Server {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), args)
    }

    fn start_in(folder: tempfile::TempDir, args: &[&str]) -> Self {
        Self::start_with(folder, args, &[])
    }

    fn start_with(folder: tempfile::TempDir, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let child = support::ferroflow(folder.path())
            .args(["server", "--port", "0", "--log-format", "json"])
            .args(args)
            .envs(variables.iter().copied())
            .env("FERROFLOW_UI_DIR", folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self { child, address: String::new(), folder };
        let log = BufReader::new(server.child.stderr.take().unwrap()).lines();
        let (sender, lines) = mpsc::channel();
        // Reads to the end, because the pipe must not fill up.
        std::thread::spawn(move || log.for_each(|line| drop(sender.send(line.unwrap()))));
        let (deadline, mut printed) = (Instant::now() + support::DEADLINE, String::new());
        while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some((_, rest)) = line.split_once("listening on http://") {
                rest.split(['"', '/']).next().unwrap().clone_into(&mut server.address);
                return server;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        panic!("the server with {args:?} does not listen, having printed:\n{printed}");
    }

    /// Waits until the server, which was signalled to stop, has exited successfully.
    fn ended(&mut self) {
        let status = support::ended(&mut self.child);
        assert!(status.is_some_and(|status| status.success()), "the server ended with {status:?}");
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends raw bytes on a new connection and returns the whole response.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> String {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    fn get(&self, path: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    fn terminate(&self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

#[test]
fn a_bad_client_gets_a_clear_answer_and_the_server_lives_on() {
    let server = Server::start(&[]);
    let create = "/api/2.0/mlflow/experiments/create";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        &b"{"[..],
        b"\xff\xfe\x00",
        b"[[[[",
        deep.as_bytes(),
        br#"{"name": 123456789012345678901234567890}"#,
        br#"{"name": "\ud800"}"#,
        br#"{"tags": [[[]]]}"#,
    ] {
        let answer = server.post(create, "application/json", body);
        assert_eq!(status(&answer), "400", "{answer}");
        assert!(answer.contains("\"error_code\""), "{answer}");
    }
    let long = format!(r#"{{"experiment_id": "0", "key": "{}", "value": "x"}}"#, "k".repeat(10_000_000));
    let answer = server.post("/api/2.0/mlflow/experiments/set-experiment-tag", "application/json", long.as_bytes());
    assert_eq!(status(&answer), "400");
    let huge = vec![b' '; 65 * 1024 * 1024];
    assert_eq!(status(&server.post(create, "application/json", &huge)), "400");
    assert_eq!(status(&server.post(create, "text/plain", b"{}")), "400");
    assert_eq!(status(&server.get("/get-artifact?path=%ff&run_id=%ff")), "404");
    assert_eq!(status(&server.get("/api/2.0/mlflow-artifacts/artifacts/%ff")), "400");
    assert_eq!(status(&server.raw(b"nonsense\r\n\r\n")), "400");
    assert_eq!(status(&server.get(&format!("/{}", "x".repeat(100_000)))), "414");
    // Longer than the read buffer.
    assert_eq!(status(&server.get(&format!("/{}", "x".repeat(200_000)))), "431");
    let headers = "X-A: b\r\n".repeat(500);
    assert_eq!(status(&server.raw(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())), "431");
    assert_eq!(status(&server.get("/health")), "200");
}

#[test]
fn an_interrupted_upload_leaves_nothing() {
    let server = Server::start(&[]);
    let path = "/api/2.0/mlflow-artifacts/artifacts/d/file.bin";
    let mut stream = server.connect();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![7; 300_000]).unwrap();
    drop(stream);
    // A listing shows a file as soon as it exists; an incomplete one never is.
    let listing = server.get("/api/2.0/mlflow-artifacts/artifacts?path=d");
    assert_eq!(status(&listing), "200");
    assert!(!listing.contains("file.bin"), "{listing}");
    assert_eq!(status(&server.get(path)), "404");
}

#[test]
fn on_sigterm_running_requests_finish() {
    let mut server = Server::start(&[]);
    let path = "/api/2.0/mlflow-artifacts/artifacts/slow.bin";
    let mut stream = server.connect();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: the request is in flight.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue"));
    server.terminate();
    // It accepts no more connections, but the upload continues.
    while TcpStream::connect(&server.address).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(b"0123456789").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), "200", "{answer}");
    server.ended();
    let written = std::fs::read(server.folder.path().join("mlartifacts/slow.bin")).unwrap();
    assert_eq!(written, b"0123456789");
    // The WAL file may remain, but is empty.
    let log = std::fs::metadata(server.folder.path().join("mlflow.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "everything is in the database's file");
}

#[test]
fn invalid_variables_of_webhooks_are_refused() {
    for (name, value) in [
        ("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", "hunter2"),
        ("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "perhaps"),
        ("MLFLOW_WEBHOOK_REQUEST_TIMEOUT", "0"),
        ("MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES", "-1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = support::ferroflow(folder.path());
        let output = support::output(command.args(["server", "--port", "0"]).env(name, value));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(&format!("Error: {name}")), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn scorers_with_source_code_are_stored_where_the_operator_wants_it() {
    let scorer = r#"{"experiment_id":"0","name":"short","serialized_scorer":"{\"call_source\": \"return 1\"}"}"#;
    let register = |server: &Server, body: &str| {
        server.post("/api/3.0/mlflow/scorers/register", "application/json", body.as_bytes())
    };
    let refused = |answer: &str| status(answer) == "400" && answer.contains("Custom scorer registration");
    for variables in [&[][..], &[("MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS", "false")]] {
        let server = Server::start_with(tempfile::tempdir().unwrap(), &[], variables);
        assert!(refused(&register(&server, scorer)));
    }
    let variables = [("MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS", "True")];
    let server = Server::start_with(tempfile::tempdir().unwrap(), &[], &variables);
    let answer = register(&server, scorer);
    assert!(status(&answer) == "200" && answer.contains("return 1"), "{answer}");
    let stored = server.get("/api/3.0/mlflow/scorers/get?experiment_id=0&name=short");
    assert!(status(&stored) == "200" && stored.contains("return 1"), "{stored}");
    let elsewhere = scorer.replace(
        "call_source\\\": \\\"return 1\\\"",
        "third_party_scorer_data\\\": {\\\"kwargs\\\": {\\\"api_base\\\": 1}}",
    );
    assert_eq!(status(&register(&server, &elsewhere)), "400");
    let mut command = support::ferroflow(server.folder.path());
    command.args(["server", "--port", "0"]).env("MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS", "perhaps");
    let output = support::output(&mut command);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("is not one of true, false, 1, 0"), "{told}");
}

#[test]
fn what_can_not_be_served_is_one_line_without_the_password() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let closing = format!("postgresql://u:hunter2@{}/d", support::closing());
    // A label of more than 63 characters is invalid, so no DNS query is sent.
    let unknown = "x".repeat(64);
    let cases: [(&[&str], &str); 20] = [
        (&["--port", &port], "is in use"),
        (&["--port", "0", "--otlp-grpc-port", &port], "choose another with --otlp-grpc-port"),
        (&["--artifacts-only", "--otlp-grpc-port", "0"], "cannot be used with --otlp-grpc-port"),
        (&["--port", "0", "--backend-store-uri", &closing], "cannot be opened"),
        (&["--backend-store-uri", "mysql://u:hunter2@h/d"], "not supported"),
        (&["--backend-store-uri", "sqlite://"], "in-memory"),
        (&["--port", "0", "--backend-store-uri", "sqlite:///file/x.db"], "cannot be opened"),
        (&["postgresql://u:hunter2@h/d"], "unexpected argument 'postgresql://…' found"),
        (&["--port", "postgresql://u:hunter2@h/d"], "invalid value 'postgresql://…"),
        (&["--backend-store-url=postgresql://u:hunter2@h/d"], "did you mean '--backend-store-uri'?"),
        (&["--workers", "many"], "invalid value 'many'"),
        (&["--artifacts-only", "--backend-store-uri", "postgresql://u:hunter2@h/d"], "nothing else"),
        (&["--app-name", "basic-auth"], "MLFLOW_FLASK_SERVER_SECRET_KEY"),
        (&["--app-name", "other"], "only basic-auth"),
        (&["--static-prefix", "x"], "must begin with"),
        (&["--artifacts-destination", "hdfs://host/path"], "not supported"),
        (&["--host", &unknown], "is not known"),
        (&["--enable-workspaces", "--workspace-store-uri", "http://u:hunter2@h", "--port", "0"], "it has credentials"),
        (&["--enable-workspaces", "--default-artifact-root", "s3://bucket/workspaces", "--port", "0"], "reserved"),
        (&["--enable-workspaces", "--artifacts-only"], "needs --workspace-store-uri"),
    ];
    for (args, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "no folder").unwrap();
        let output = support::output(support::ferroflow(folder.path()).arg("server").args(args));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{args:?}");
        let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("Error: ")).collect();
        assert_eq!(errors.len(), 1, "{text}");
        assert!(text.ends_with(&format!("{}\n", errors[0])), "nothing follows the error: {text}");
        assert!(errors[0].contains(expected), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn flags_for_python_processes_are_accepted_and_the_prefix_serves_everything() {
    let server =
        Server::start(&["--gunicorn-opts", "--timeout 60", "--dev", "--workers", "1", "--static-prefix", "/ml"]);
    for path in [
        "/ml/health",
        "/ml/version",
        "/ml/api/2.0/mlflow/experiments/get?experiment_id=0",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        assert_eq!(status(&server.get(path)), "200", "{path}");
    }
    assert_eq!(status(&server.get("/ml")), "308");
    assert_eq!(status(&server.get("/health")), "404");
    for prefix in ["", "/ml"] {
        let path = format!("{prefix}/ajax-api/2.0/mlflow/upload-artifact?run_uuid=x&path=y");
        let foreign = server.raw(
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
            )
            .as_bytes(),
        );
        assert_eq!(status(&foreign), "403", "{path}: {foreign}");
    }
    let metrics = server.get("/metrics");
    assert!(metrics.contains("route=\"/ml/api/2.0/mlflow/experiments/get\""), "{metrics}");
}

#[test]
fn a_flag_about_workspaces_is_stronger_than_the_environment() {
    type Case = (&'static [&'static str], Option<(&'static str, &'static str)>, bool);
    const NAME: &str = "MLFLOW_ENABLE_WORKSPACES";
    let cases: [Case; 9] = [
        (&[], None, false),
        (&[], Some((NAME, "false")), false),
        (&[], Some((NAME, "true")), true),
        (&["--disable-workspaces"], Some((NAME, "true")), false),
        (&["--enable-workspaces"], Some((NAME, "false")), true),
        (&["--enable-workspaces", "--disable-workspaces"], None, false),
        (&["--disable-workspaces", "--enable-workspaces"], None, true),
        (&["--enable-workspaces", "--workspace-store-uri", "sqlite:///mlflow.db"], None, true),
        (&["--enable-workspaces"], Some(("MLFLOW_WORKSPACE_STORE_URI", "sqlite:///workspaces.db")), true),
    ];
    for (flags, variable, enabled) in cases {
        let server = Server::start_with(tempfile::tempdir().unwrap(), flags, variable.as_slice());
        let info = server.get("/api/3.0/mlflow/server-info");
        assert!(info.contains(&format!("\"workspaces_enabled\":{enabled}")), "{flags:?} {variable:?}: {info}");
    }
    for (name, value, words) in [(NAME, "perhaps", "is not one of"), ("MLFLOW_WORKSPACE", "team", "is client-only")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = support::ferroflow(folder.path());
        let output = support::output(command.args(["server", "--port", "0"]).env(name, value));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(words), "{text}");
    }
}

#[test]
fn paths_of_clients_are_no_labels() {
    let server = Server::start(&[]);
    for number in 0..50 {
        server.get(&format!("/nope-{number}"));
    }
    let metrics = server.get("/metrics");
    assert!(!metrics.contains("nope"), "{metrics}");
    assert!(metrics.contains("route=\"none\""), "{metrics}");
}

#[test]
fn drop_own_drops_all_own_tables_and_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let drop_own = |uri: &str| {
        let output = support::output(support::ferroflow(folder.path()).args(["db", "drop-own", uri]));
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (done, text) = drop_own("sqlite:///none.db");
    assert!(!done && text.starts_with("Error: the database sqlite:///none.db"), "{text}");
    assert!(!folder.path().join("none.db").exists(), "asking makes nothing");

    let mut server = Server::start(&[]);
    server.terminate();
    server.ended();
    let uri = format!("sqlite:///{}/mlflow.db", server.folder.path().display());
    let (done, text) = drop_own(&uri);
    assert!(done && text.contains("dropped ff_") && text.contains("ff_webhook_deliveries, "), "{text}");
    assert!(drop_own(&uri).1.contains("has no tables or indexes"));
}

#[test]
fn an_older_database_is_upgraded_at_start_with_auto_migrate() {
    let folder = tempfile::tempdir().unwrap();
    let mut upgrade = support::ferroflow(folder.path());
    let made = support::output(upgrade.args(["db", "upgrade", "sqlite:///mlflow.db", "--to", "cc1f77228345"]));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Server::start_in(folder, &["--auto-migrate"]);
    let answer = server.get("/api/2.0/mlflow/experiments/get?experiment_id=0");
    assert!(answer.contains("\"name\":\"Default\"") || answer.contains("\"name\": \"Default\""), "{answer}");
    let copies = server.folder.path().read_dir().unwrap();
    let copies =
        copies.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".before-")).count();
    assert_eq!(copies, 1);
}

#[test]
fn health_tells_a_ready_server_from_one_that_is_gone() {
    // On `::` the server has addresses of both families.
    let server = Server::start(&["--host", "::"]);
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    let ask = |args: &[&str], host: &str| {
        let mut command = support::ferroflow(server.folder.path());
        support::output(command.arg("health").args(args).env("MLFLOW_PORT", &port).env("MLFLOW_HOST", host))
    };
    for (args, host) in [(&[][..], "0.0.0.0"), (&["--live"][..], "::"), (&[][..], "::")] {
        let told = ask(args, host);
        assert!(told.status.success(), "{host}: {}", String::from_utf8_lossy(&told.stderr));
    }
    let elsewhere = ask(&["--url", &format!("http://127.0.0.1:{port}/elsewhere/")], "");
    assert_eq!(elsewhere.status.code(), Some(1), "another address is not this server's");
    let gone = ask(&["--url", &format!("http://{}", support::closing())], "");
    let line = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(!gone.status.success() && line.contains("does not answer"), "{line}");
}
