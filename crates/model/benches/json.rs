//! Benchmarks of the messages on hot paths: `cargo bench -p ferroflow-model`.

#![allow(clippy::disallowed_macros, reason = "figures that are not printed are no figures")]

use std::{hint::black_box, time::Instant};

use ferroflow_model::{
    messages::service::{LogBatch, Metric, Param, Run, RunData, RunInfo, RunStatus, RunTag, SearchRunsResponse},
    request, validation,
};

/// Prints the minimum time of a call in microseconds, which is the least disturbed by other processes.
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    let best = (0..300)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{name:60} {:9.1} µs", best.as_secs_f64() * 1e6);
}

fn metric(index: i64) -> Metric {
    Metric {
        key: Some(format!("train/metric_{}", index % 10)),
        value: Some(0.123_456_789 * f64::from(u32::try_from(index).unwrap_or(0) + 1)),
        timestamp: Some(1_700_000_000_000 + index),
        step: Some(index),
        ..Metric::default()
    }
}

fn run(index: i64) -> Run {
    let id = format!("{index:032x}");
    Run {
        info: Some(RunInfo {
            run_id: Some(id.clone()),
            run_uuid: Some(id.clone()),
            run_name: Some(format!("brave-heron-{index}")),
            experiment_id: Some("1".into()),
            user_id: Some("somebody".into()),
            status: Some(RunStatus::Finished),
            start_time: Some(1_700_000_000_000),
            end_time: Some(1_700_000_100_000),
            artifact_uri: Some(format!("mlflow-artifacts:/1/{id}/artifacts")),
            lifecycle_stage: Some("active".into()),
        }),
        data: Some(RunData {
            metrics: (0..10).map(metric).collect(),
            params: (0..10).map(|i| Param { key: Some(format!("p{i}")), value: Some("0.001".into()) }).collect(),
            tags: (0..5).map(|i| RunTag { key: Some(format!("t{i}")), value: Some("a value".into()) }).collect(),
        }),
        ..Run::default()
    }
}

fn main() -> Result<(), serde_json::Error> {
    let batch =
        LogBatch { run_id: Some("0".repeat(32)), metrics: (0..1000).map(metric).collect(), ..LogBatch::default() };
    let body = serde_json::to_vec(&batch)?;
    let twice = serde_json::to_vec(&String::from_utf8_lossy(&body))?;
    measure(&format!("read log-batch, 1,000 metrics, {} bytes", body.len()), || {
        request::parse_body::<LogBatch>(Some("application/json"), &body)
    });
    measure("the same through the tree", || request::parse_body::<LogBatch>(Some("application/json"), &twice));
    measure("check 1,000 metrics", || batch.metrics.iter().try_for_each(|metric| validation::metric(metric, "")));

    let page = SearchRunsResponse { runs: (0..1000).map(run).collect(), ..SearchRunsResponse::default() };
    let mut out = Vec::with_capacity(4 << 20);
    serde_json::to_writer(&mut out, &page)?;
    measure(&format!("write 1,000 runs of 10 metrics, 10 params, 5 tags, {} bytes", out.len()), || {
        out.clear();
        serde_json::to_writer(&mut out, &page)
    });
    Ok(())
}
