//! Memory of responses: bounded, however many clients request large ones and however slowly they read them.

#![allow(clippy::disallowed_macros, reason = "a test that cannot print its figures has failed")]

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::memory::{Server, head, status};

const SEARCH: &str = "/api/2.0/mlflow/runs/search";

/// Maximum MiB above an idle server.
const ALL: usize = 256;

/// Maximum response time of small requests on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);

/// Runs with 600 KB of params each. 60 of them are more than a page may hold.
fn fill(server: &Server, count: usize) -> BTreeSet<String> {
    let value = "x".repeat(6000);
    let params: Vec<_> =
        (0..100).map(|number| serde_json::json!({ "key": format!("p{number}"), "value": value })).collect();
    let create = |_| {
        let run = server.create_run();
        let batch = serde_json::json!({ "run_id": run, "params": params }).to_string();
        let logged = server.post("/api/2.0/mlflow/runs/log-batch", batch.as_bytes());
        assert_eq!(status(&logged), "200", "{logged}");
        run
    };
    (0..count).map(create).collect()
}

fn search(token: &str) -> String {
    serde_json::json!({ "experiment_ids": ["0"], "max_results": 1000, "page_token": token }).to_string()
}

/// Sends a search and reads nothing of its response.
fn stalled(server: &Server) -> TcpStream {
    let body = search("");
    let mut stream = server.connect();
    stream.write_all(head(SEARCH, Some(body.len())).as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

fn page(answer: &str) -> (BTreeSet<String>, String) {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let page: serde_json::Value = serde_json::from_str(body).expect("a page");
    let ids = page["runs"].as_array().unwrap().iter().map(|run| run["info"]["run_id"].as_str().unwrap().to_owned());
    (ids.collect(), page["next_page_token"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_page_of_large_runs_ends_early_and_all_runs_are_on_some_page() {
    let server = Server::start();
    let all = fill(&server, 60);
    let (mut seen, mut token, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let found = server.post(SEARCH, search(&token).as_bytes());
        assert_eq!(status(&found), "200");
        let (ids, next) = page(&found);
        assert!(seen.is_disjoint(&ids));
        seen.extend(ids);
        pages += 1;
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert!(pages > 1);
    assert_eq!(seen, all);
}

#[test]
fn many_large_responses_take_a_bounded_memory_and_slow_readers_do_not_block_others() {
    let server = Server::start();
    fill(&server, 60);
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
                assert_eq!(status(&server.get("/api/2.0/mlflow/experiments/get?experiment_id=0")), "200");
                slowest = slowest.max(start.elapsed());
            }
            slowest
        });
        let readers: Vec<_> = (0..10)
            .map(|_| {
                scope.spawn(move || {
                    // Retries like a client after 429.
                    let mut answers = (0..60).map(|_| server.post(SEARCH, search("").as_bytes()));
                    let found = answers.find(|found| status(found) != "429").expect("it is answered in the end");
                    assert_eq!(status(&found), "200", "{}", found.chars().take(300).collect::<String>());
                    assert!(!page(&found).0.is_empty());
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
