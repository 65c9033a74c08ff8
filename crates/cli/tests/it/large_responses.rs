//! Memory of responses: bounded, however many clients request large ones and however slowly they read them.

#![allow(clippy::disallowed_macros, reason = "a test that cannot print its figures has failed")]

use std::{
    io::Write as _,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::memory::{Server, head, status};

const SEARCH: &str = "/api/2.0/mlflow/runs/search";
const ALL_RUNS: &str = r#"{"experiment_ids":["0"],"max_results":1000}"#;

/// Maximum MiB above an idle server.
const ALL: usize = 256;

/// Maximum MiB above an idle server that stay after large responses: the caches of its connections to SQLite.
const KEPT: usize = 48;

/// Maximum response time of small requests on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);

/// Runs with 600 KB of params each.
fn fill(server: &Server, count: usize) {
    let value = "x".repeat(6000);
    let params: Vec<_> =
        (0..100).map(|number| serde_json::json!({ "key": format!("p{number}"), "value": value })).collect();
    for _ in 0..count {
        let batch = serde_json::json!({ "run_id": server.create_run(), "params": params }).to_string();
        let logged = server.post("/api/2.0/mlflow/runs/log-batch", batch.as_bytes());
        assert_eq!(status(&logged), "200", "{logged}");
    }
}

/// Sends a search and reads nothing of its response.
fn stalled(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(head(SEARCH, Some(ALL_RUNS.len())).as_bytes()).unwrap();
    stream.write_all(ALL_RUNS.as_bytes()).unwrap();
    stream
}

#[test]
fn many_large_responses_take_a_bounded_memory_and_slow_readers_do_not_block_others() {
    let server = Server::start();
    fill(&server, 40);
    let idle = server.peak();
    let going = AtomicBool::new(true);
    let slow: Vec<TcpStream> = (0..4).map(|_| stalled(&server)).collect();
    thread::scope(|scope| {
        let (server, going) = (&server, &going);
        let others = scope.spawn(move || {
            let mut slowest = Duration::ZERO;
            while going.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_eq!(status(&server.get("/livez")), "200");
                slowest = slowest.max(start.elapsed());
                thread::sleep(Duration::from_millis(20));
            }
            slowest
        });
        let readers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(move || {
                    // Retries like a client after 429.
                    let mut answers = (0..60).map(|_| server.post(SEARCH, ALL_RUNS.as_bytes()));
                    let found = answers.find(|found| status(found) != "429").expect("it is answered in the end");
                    assert_eq!(status(&found), "200", "{}", found.chars().take(300).collect::<String>());
                    assert!(found.len() > 20_000_000, "{} bytes", found.len());
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
        going.store(false, Ordering::Relaxed);
        let slowest = others.join().unwrap();
        eprintln!("{} MiB, others within {slowest:?}", server.peak() - idle);
        assert!(slowest < PROMPT, "{slowest:?}");
    });
    drop(slow);
    let taken = server.peak() - idle;
    assert!(taken <= ALL, "{taken} MiB");
}

#[test]
fn the_memory_of_large_responses_is_given_back() {
    let server = Server::start();
    fill(&server, 40);
    let idle = server.anonymous();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut answers = (0..60).map(|_| server.post(SEARCH, ALL_RUNS.as_bytes()));
                answers.find(|found| status(found) == "200").expect("it is answered in the end");
            });
        }
    });
    let start = Instant::now();
    loop {
        let kept = server.anonymous().saturating_sub(idle);
        if kept <= KEPT {
            return;
        }
        assert!(start.elapsed() < PROMPT, "{kept} MiB");
        thread::sleep(Duration::from_millis(100));
    }
}
