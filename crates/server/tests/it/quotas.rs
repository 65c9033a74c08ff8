//! Quotas: the jobs of a server find what is full, and requests are refused.

use std::time::Duration;

use ferroflow_jobs::QuotaSettings;
use ferroflow_model::quotas::{QuotaLimits, Quotas};
use ferroflow_server::{App, Config};
use ferroflow_store::{Store, StoreOptions, db::BackendUri};
use serde_json::{Value, json};

use crate::support::{Running, app};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends a call, and returns the status and the response.
async fn post(server: &Running, call: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/api/2.0/mlflow/{call}", server.url);
    let request = server.client.post(url).header("Content-Type", "application/json").body(body.to_string());
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn create_run(server: &Running, experiment: &str) -> (u16, Value) {
    post(server, "runs/create", &json!({"experiment_id": experiment})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_experiment_gets_no_runs_and_those_that_run_may_finish() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&BackendUri::Sqlite(folder.path().join("test.db")), StoreOptions::default()).await.unwrap();
    let soft = QuotaLimits::parse("experiment.runs=2").unwrap();
    let hard = QuotaLimits::parse("experiment.runs=3").unwrap();
    let soon = Duration::from_millis(20);
    let settings = QuotaSettings { count: soon, look: soon, ..QuotaSettings::new(Quotas { soft, hard }) };
    let config = Config { quotas: Some(settings), runs_jobs: true, ..Config::default() };
    let server = Running::start(App { config, ..app(store) });

    let (_, other) = post(&server, "experiments/create", &json!({"name": "other"})).await;
    let other = other["experiment_id"].as_str().unwrap();
    assert_eq!(create_run(&server, other).await.0, 200);
    let (status, created) = create_run(&server, "0").await;
    assert_eq!(status, 200, "{created}");
    let run = created["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let refused = tokio::time::timeout(TIMEOUT, async {
        loop {
            match create_run(&server, "0").await {
                (200, _) => tokio::time::sleep(soon).await,
                refused => return refused,
            }
        }
    });
    let (status, error) = refused.await.expect("the runs are counted");
    assert_eq!((status, &error["error_code"]), (400, &json!("QUOTA_EXCEEDED")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("its quota is 3"), "{error}");

    let metric = json!({"run_id": run, "key": "m", "value": 1, "timestamp": 1});
    assert_eq!(post(&server, "runs/log-metric", &metric).await.0, 200);
    let end = json!({"run_id": run, "status": "FINISHED", "end_time": 2});
    assert_eq!(post(&server, "runs/update", &end).await.0, 200);
    let metrics = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    for line in ["limit=\"hard\"} 1", "limit=\"soft\"} 0"] {
        let line = format!("ferroflow_quotas_reached{{quota=\"experiment.runs\",{line}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    let (status, created) = create_run(&server, other).await;
    assert_eq!(status, 200, "another experiment has its own quota: {created}");
    server.stop().await;
}
