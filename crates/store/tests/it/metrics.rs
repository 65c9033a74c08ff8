//! Metric histories: ordered, paged, and sampled for charts.

use ferroflow_model::messages::service::Metric;
use ferroflow_store::Store;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::support::{self, Here as _, on_each};

#[allow(clippy::cast_precision_loss)] // small numbers
async fn log_steps(store: &Store, run: &str, key: &str, count: i64) {
    let points = (0..count)
        .map(|step| Metric {
            key: Some(key.into()),
            value: Some(step as f64),
            timestamp: Some(1000 - step),
            step: Some(step),
            ..Metric::default()
        })
        .collect::<Vec<_>>();
    for batch in points.chunks(900) {
        store.here().log_batch(run, batch.to_vec(), Vec::new(), Vec::new()).await.unwrap();
    }
}

/// The positions that the reference samples: the first of each of `n` NTILE buckets; the last point replaces the last
/// of them if there are already `n`.
fn sampled(total: i64, n: i64) -> Vec<i64> {
    let (size, rest) = (total / n, total % n);
    let mut starts = Vec::new();
    let mut at = 0;
    for bucket in 0..n.min(total) {
        starts.push(at);
        at += size + i64::from(bucket < rest);
    }
    if starts.last() != Some(&(total - 1)) {
        if i64::try_from(starts.len()).unwrap() >= n {
            starts.pop();
        }
        starts.push(total - 1);
    }
    starts
}

on_each!(a_chart_gets_the_points_that_the_reference_would_give_it);
async fn a_chart_gets_the_points_that_the_reference_would_give_it(store: &Store) {
    for total in [1, 2, 3, 7, 10, 97, 100, 101, 199] {
        let run = support::run(store, "0").await;
        log_steps(store, &run, "m", total).await;
        for n in [1, 2, 3, 10, 99, 100, 2500] {
            let found = store.here().sample_metric_history(std::slice::from_ref(&run), "m", n, None).await.unwrap();
            let steps: Vec<i64> = found.points().map(|(_, point)| point.step).collect();
            assert_eq!(steps, sampled(total, n), "{n} of {total}");
        }
    }
}

on_each!(a_chart_of_some_steps_of_several_runs);
async fn a_chart_of_some_steps_of_several_runs(store: &Store) {
    let (a, b) = (support::run(store, "0").await, support::run(store, "0").await);
    log_steps(store, &a, "m", 50).await;
    log_steps(store, &b, "m", 3).await;
    let asked = [b.clone(), "unknown".into(), a.clone(), b.clone()];
    let points = store.here().sample_metric_history(&asked, "m", 3, Some((1, 20))).await.unwrap();
    let found: Vec<(&str, i64)> = points.points().map(|(run, point)| (run, point.step)).collect();
    let (a, b) = (a.as_str(), b.as_str());
    assert_eq!(found, [(b, 1), (b, 2), (a, 1), (a, 8), (a, 20), (b, 1), (b, 2)]);
}

on_each!(pages_of_a_history_put_together_are_the_history);
async fn pages_of_a_history_put_together_are_the_history(store: &Store) {
    let run = support::run(store, "0").await;
    log_steps(store, &run, "m", 25).await;
    for value in [f64::NAN, 0.0] {
        let metric = Metric {
            key: Some("m".into()),
            value: Some(value),
            timestamp: Some(990),
            step: Some(10),
            ..Metric::default()
        };
        store.here().log_metric(&run, metric).await.unwrap();
    }
    let (all, none) = support::history(store, &run, "m", None, None).await;
    assert_eq!((all.len(), none), (27, None));
    assert!(all.is_sorted_by_key(|point| point.timestamp), "by timestamp, not by step");
    for size in [1, 4, 26, 27, 28] {
        let mut pages = Vec::new();
        let mut token = None;
        loop {
            let (page, next) = support::history(store, &run, "m", Some(size), token.as_deref()).await;
            assert!(i64::try_from(page.len()).unwrap() <= size);
            pages.extend(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(format!("{pages:?}"), format!("{all:?}"), "pages of {size}");
    }
    // The reference's tokens contain an offset.
    let (page, _) = support::history(store, &run, "m", Some(2), Some("eyJvZmZzZXQiOiAyMH0=")).await;
    assert_eq!(format!("{page:?}"), format!("{:?}", &all[20..22]));
}

on_each!(the_bulk_history_goes_by_run_and_is_cut);
async fn the_bulk_history_goes_by_run_and_is_cut(store: &Store) {
    let mut runs = [support::run(store, "0").await, support::run(store, "0").await];
    for run in &runs {
        log_steps(store, run, "m", 4).await;
    }
    let points = store.here().get_metric_history_bulk(runs.to_vec(), "m", 6).await.unwrap();
    runs.sort();
    let found: Vec<(&str, i64)> = points.points().map(|(run, point)| (run, point.step)).collect();
    let expected: Vec<(&str, i64)> =
        [(0, 3), (0, 2), (0, 1), (0, 0), (1, 3), (1, 2)].map(|(run, step)| (runs[run].as_str(), step)).to_vec();
    assert_eq!(found, expected);
}

/// A history with few distinct steps and timestamps, duplicates, negative values and NaN.
fn tangled(random: &mut StdRng, points: usize) -> Vec<Metric> {
    (0..points)
        .map(|_| Metric {
            key: Some("m".into()),
            value: Some([f64::NAN, -1.5, 0.0, 1.0, 1e300][random.random_range(0..5)]),
            timestamp: Some(random.random_range(0..3)),
            step: Some([-7, -1, 0, 0, 0, 1, 2, 5, 1_000_000_000][random.random_range(0..9)]),
            ..Metric::default()
        })
        .collect()
}

/// The points as stored, in the order of the reference: NaN is 0 with `is_nan`.
fn in_order(points: &[Metric]) -> Vec<(i64, i64, f64, bool)> {
    let mut rows: Vec<_> = points
        .iter()
        .map(|point| {
            let value = point.value.unwrap();
            let stored = if value.is_nan() { 0.0 } else { value };
            (point.step.unwrap(), point.timestamp.unwrap(), stored, value.is_nan())
        })
        .collect();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows.dedup();
    rows
}

on_each!(samples_of_tangled_histories_are_those_of_the_reference);
async fn samples_of_tangled_histories_are_those_of_the_reference(store: &Store) {
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let runs = [support::run(store, "0").await, support::run(store, "0").await];
        let mut rows = Vec::new();
        for run in &runs {
            let count = random.random_range(0..90);
            let points = tangled(&mut random, count);
            store.here().log_batch(run, points.clone(), Vec::new(), Vec::new()).await.unwrap();
            rows.push(in_order(&points));
        }
        for n in [1, 2, 3, 10, 40, 2500] {
            for range in [None, Some((-1, 1)), Some((0, 0)), Some((3, 4))] {
                let mut expected = Vec::new();
                for (run, rows) in runs.iter().zip(&rows) {
                    let (first, last) = range.unwrap_or((i64::MIN, i64::MAX));
                    let rows: Vec<_> = rows.iter().filter(|row| (first..=last).contains(&row.0)).collect();
                    let total = i64::try_from(rows.len()).unwrap();
                    let places = if total == 0 { Vec::new() } else { sampled(total, n) };
                    expected.extend(places.into_iter().map(|at| {
                        let (step, timestamp, stored, is_nan) = *rows[usize::try_from(at).unwrap()];
                        (run.clone(), step, timestamp, if is_nan { f64::NAN } else { stored })
                    }));
                }
                let found = store.here().sample_metric_history(&runs, "m", n, range).await.unwrap();
                let found: Vec<_> = found
                    .points()
                    .map(|(run, point)| (run.to_owned(), point.step, point.timestamp, point.value))
                    .collect();
                assert_eq!(format!("{found:?}"), format!("{expected:?}"), "seed {seed}, {n} of {range:?}");
            }
        }
    }
}

on_each!(pages_of_a_history_among_those_of_many_runs);
async fn pages_of_a_history_among_those_of_many_runs(store: &Store) {
    // Between two points of the run there are more points of other runs than a page scans.
    let (run, others) = (support::run(store, "0").await, support::run(store, "0").await);
    log_steps(store, &others, "m", 900).await;
    let far = [(5, 1), (110, 2), (500, 3), (500, 2), (2000, 0), (2001, 0)];
    let points = far.map(|(timestamp, step)| Metric {
        key: Some("m".into()),
        value: Some(1.0),
        timestamp: Some(timestamp),
        step: Some(step),
        ..Metric::default()
    });
    store.here().log_batch(&run, points.to_vec(), Vec::new(), Vec::new()).await.unwrap();
    let (all, _) = support::history(store, &run, "m", None, None).await;
    assert_eq!(all.len(), far.len());
    for size in 1..=7 {
        let (mut pages, mut token) = (Vec::new(), None);
        loop {
            let (page, next) = support::history(store, &run, "m", Some(size), token.as_deref()).await;
            assert!(!page.is_empty() && i64::try_from(page.len()).unwrap() <= size);
            pages.extend(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(format!("{pages:?}"), format!("{all:?}"), "pages of {size}");
    }
}
