//! Standard output and standard error that are closed, full or not read: the process continues.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{ports::Port, support};

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// The response to a request, or nothing.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < support::DEADLINE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asserts that a server that logs a lot serves requests, and stops when signalled.
fn serves_and_stops(mut child: Child, port: u16) {
    until("the server answers", || {
        assert_eq!(child.try_wait().unwrap().and_then(|status| status.code()), None, "the server has ended");
        get(port, "/health").is_some()
    });
    for _ in 0..2000 {
        // Each request is a line of the log.
        let answer = get(port, "/api/2.0/mlflow/experiments/get?experiment_id=0").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    until("the server stops", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn server(folder: &Path, port: u16) -> Command {
    let mut command = support::ferroflow(folder);
    command.args(["server", "--port", &port.to_string()]).env("FERROFLOW_UI_DIR", folder).env("RUST_LOG", "debug");
    command
}

#[test]
fn a_server_whose_log_has_a_full_disk_serves() {
    let (folder, claim) = (tempfile::tempdir().unwrap(), Port::claim().unwrap());
    let port = claim.number;
    serves_and_stops(server(folder.path(), port).stdout(full()).stderr(full()).spawn().unwrap(), port);
}

#[test]
fn a_server_whose_standard_error_is_closed_serves() {
    let (folder, claim) = (tempfile::tempdir().unwrap(), Port::claim().unwrap());
    let port = claim.number;
    // A pipe without a reader.
    let mut child = server(folder.path(), port).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    serves_and_stops(child, port);
}

#[test]
fn a_server_whose_log_is_not_read_serves() {
    let (folder, claim) = (tempfile::tempdir().unwrap(), Port::claim().unwrap());
    let port = claim.number;
    let mut child = server(folder.path(), port).stderr(Stdio::piped()).spawn().unwrap();
    // Held open, and never read: the pipe holds 64 KiB.
    let unread = child.stderr.take();
    serves_and_stops(child, port);
    drop(unread);
}

fn run(folder: &Path, args: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    support::ferroflow(folder).args(args).stdout(stdout).stderr(stderr).output().unwrap()
}

#[test]
fn a_command_that_was_done_ends_well_and_a_list_that_was_not_printed_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let uri = "sqlite:///mlflow.db";
    let done = run(folder.path(), &["db", "upgrade", uri], full(), full());
    assert_eq!(done.status.code(), Some(0));
    let rows = run(folder.path(), &["db", "status", uri], Stdio::piped(), Stdio::piped());
    assert!(String::from_utf8(rows.stdout).unwrap().contains("pending   0"));
    for list in [&["db", "status", uri][..], &["db", "rows", uri], &["db", "upgrade", uri, "--plan"]] {
        let refused = run(folder.path(), list, full(), Stdio::piped());
        let reason = String::from_utf8(refused.stderr).unwrap();
        assert_eq!((refused.status.code(), reason.lines().count()), (Some(1), 1), "{list:?}: {reason}");
        assert!(reason.starts_with("Error: the standard output"), "{reason}");
        assert_eq!(run(folder.path(), list, full(), full()).status.code(), Some(1), "{list:?}");
    }
    let audit = run(folder.path(), &["audit", "verify", "/dev/null"], full(), Stdio::piped());
    assert_eq!(audit.status.code(), Some(2), "{}", String::from_utf8_lossy(&audit.stderr));
    let wrong = run(folder.path(), &["db", "status", "nonsense"], full(), full());
    assert_eq!(wrong.status.code(), Some(2));
}
