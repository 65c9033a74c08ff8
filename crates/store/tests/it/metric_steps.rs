//! Samples of long histories, whose steps a server remembers, while points are added by it and by another server.

use ferroflow_model::messages::service::Metric;
use ferroflow_store::{Store, db::BackendUri};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::support::{self, Here as _, on_each};

/// A step and a timestamp.
type Point = (i64, i64);

async fn log(store: &Store, run: &str, points: &[Point]) {
    let metric = |(step, timestamp): &Point| Metric {
        key: Some("m".into()),
        value: Some(1.0),
        timestamp: Some(*timestamp),
        step: Some(*step),
        ..Metric::default()
    };
    for points in points.chunks(900) {
        store.here().log_batch(run, points.iter().map(metric).collect(), Vec::new(), Vec::new()).await.unwrap();
    }
}

async fn sample(store: &Store, run: &str, most: i64, range: Option<(i64, i64)>) -> Vec<Point> {
    let found = store.here().sample_metric_history(&[run.to_owned()], "m", most, range).await.unwrap();
    found.points().map(|(_, point)| (point.step, point.timestamp)).collect()
}

/// What the reference returns: the first point of each of `most` equal buckets, the last of which gives way to the last
/// point.
fn expected(history: &[Point], most: usize, range: Option<(i64, i64)>) -> Vec<Point> {
    let (first, last) = range.unwrap_or((i64::MIN, i64::MAX));
    let mut points: Vec<Point> = history.iter().copied().filter(|(step, _)| (first..=last).contains(step)).collect();
    points.sort_unstable();
    let total = points.len();
    if total <= most {
        return points;
    }
    let place = |bucket: usize| bucket * (total / most) + bucket.min(total % most);
    (0..most - 1).map(|bucket| points[place(bucket)]).chain([points[total - 1]]).collect()
}

on_each!(points_written_here_and_behind_the_others_are_in_the_next_sample);
async fn points_written_here_and_behind_the_others_are_in_the_next_sample(uri: &BackendUri) {
    let (here, other) = (support::open(uri).await, support::open(uri).await);
    let run = support::run(&here, "0").await;
    let mut random = StdRng::seed_from_u64(20);
    let mut history: Vec<Point> = (0..2_500).map(|at| (at * 10, 0)).collect();
    log(&here, &run, &history).await;
    for round in 1..30 {
        let end = history.iter().map(|(step, _)| *step).max().unwrap();
        let mut added: Vec<Point> = match random.random_range(0..4) {
            // At the end, as training does, by either server.
            0 | 1 => (1..=random.random_range(1..400)).map(|at| (end + at * 10, round)).collect(),
            // At steps that are there, and between them.
            2 => (0..random.random_range(1..5)).map(|_| (random.random_range(-20..end), round)).collect(),
            _ => Vec::new(),
        };
        added.sort_unstable();
        added.dedup();
        let is_behind = added.iter().all(|(step, _)| *step > end);
        let writer = if is_behind && random.random_bool(0.5) { &other } else { &here };
        log(writer, &run, &added).await;
        history.extend(added);
        for most in [7_u16, 320] {
            let end = random.random_range(0..30_000);
            for range in
                [None, Some((random.random_range(-10..end), end)), Some((i64::MIN, end)), Some((end, i64::MAX))]
            {
                for _ in 0..2 {
                    let found = sample(&here, &run, most.into(), range).await;
                    assert_eq!(found, expected(&history, most.into(), range), "round {round}: {most} of {range:?}");
                }
            }
        }
    }
}

on_each!(steps_are_remembered_and_not_asked_for_again);
async fn steps_are_remembered_and_not_asked_for_again(uri: &BackendUri) {
    let (here, other) = (support::open(uri).await, support::open(uri).await);
    let run = support::run(&here, "0").await;
    let history: Vec<Point> = (0..2_500).map(|step| (step, 0)).collect();
    log(&here, &run, &history).await;
    assert_eq!(sample(&here, &run, 320, None).await, expected(&history, 320, None));
    // A server that asks anew counts points that another one has added between the others; this one does so later.
    let added: Vec<Point> = (0..900).map(|step| (step, 1)).collect();
    log(&other, &run, &added).await;
    assert_eq!(sample(&here, &run, 320, None).await, expected(&history, 320, None));
    let all = [history, added].concat();
    assert_eq!(sample(&other, &run, 320, None).await, expected(&all, 320, None));
    // Points between the last ones are always found.
    let last: Vec<Point> = (2_450..2_500).map(|step| (step, 1)).collect();
    log(&other, &run, &last).await;
    assert_eq!(sample(&here, &run, 20, Some((2_430, 2_499))).await.len(), 20);
    assert_eq!(sample(&here, &run, 1_000, Some((2_450, 2_499))).await.len(), 100);
}
