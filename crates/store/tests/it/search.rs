//! Searches: results, order, and pages.

use ferroflow_model::{
    ErrorCode,
    messages::service::{Metric, Param, RunTag, ViewType},
};
use ferroflow_store::{NewRun, RunSearch, Scope, Store};

use crate::support::{Here as _, on_each};

fn search(filter: &str, order: &[&str]) -> RunSearch {
    RunSearch {
        experiment_ids: vec!["0".into()],
        filter: filter.into(),
        view: ViewType::ActiveOnly,
        max_results: 1000,
        order_by: order.iter().map(|clause| (*clause).to_owned()).collect(),
        page_token: None,
    }
}

/// Seven runs with ties, NaN, infinities and gaps.
async fn fill(store: &Store) {
    let values = [Some(0.5), None, Some(f64::NAN), Some(0.5), Some(f64::INFINITY), Some(-1.0), None];
    for (number, value) in values.into_iter().enumerate() {
        let start_time = i64::try_from(number / 2).unwrap();
        let new = NewRun { run_name: format!("r{number}"), start_time, ..NewRun::default() };
        let run = store.here().create_run(new).await.unwrap().info.unwrap().run_id.unwrap();
        let metric = value.map(|value| Metric { key: Some("m".into()), value: Some(value), ..Metric::default() });
        let param = (number % 3 != 0).then(|| Param { key: Some("p".into()), value: Some(format!("v{}", number % 2)) });
        let tag = RunTag { key: Some("parity".into()), value: Some(["even", "odd"][number % 2].into()) };
        store
            .here()
            .log_batch(&run, metric.into_iter().collect(), param.into_iter().collect(), vec![tag])
            .await
            .unwrap();
    }
}

async fn names(store: &Store, search: RunSearch) -> Vec<String> {
    let (runs, _) = store.here().search_runs(&Scope::everything(), search).await.unwrap();
    runs.into_iter().map(|run| run.info.unwrap().run_name.unwrap()).collect()
}

on_each!(runs_without_a_value_come_last_and_nan_before_them);
async fn runs_without_a_value_come_last_and_nan_before_them(store: &Store) {
    fill(store).await;
    let up = names(store, search("", &["metrics.m ASC"])).await;
    let down = names(store, search("", &["metrics.m DESC"])).await;
    assert_eq!(up[..1], ["r5"]);
    assert_eq!(up[3..], ["r4", "r2", "r6", "r1"], "infinity, NaN, then those without by newest start");
    assert_eq!(down[..1], ["r4"]);
    assert_eq!(down[3..], ["r5", "r2", "r6", "r1"]);
}

on_each!(pages_put_together_are_the_whole_in_every_order);
async fn pages_put_together_are_the_whole_in_every_order(store: &Store) {
    fill(store).await;
    let orders: [&[&str]; 7] = [
        &[],
        &["metrics.m DESC"],
        &["metrics.m ASC", "params.p DESC"],
        &["params.p ASC"],
        &["tags.parity DESC", "metrics.m ASC"],
        &["attributes.end_time ASC"],
        &["attributes.run_name DESC"],
    ];
    for order in orders {
        let all = names(store, search("", order)).await;
        assert_eq!(all.len(), 7);
        for size in [1, 2, 3, 6, 7] {
            let mut pages = Vec::new();
            let mut token = None;
            loop {
                let request = RunSearch { max_results: size, page_token: token, ..search("", order) };
                let (runs, next) = store.here().search_runs(&Scope::everything(), request).await.unwrap();
                assert!(runs.len() <= usize::try_from(size).unwrap());
                pages.extend(runs.into_iter().map(|run| run.info.unwrap().run_name.unwrap()));
                token = next;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(pages, all, "{order:?} in pages of {size}");
        }
    }
}

on_each!(a_page_does_not_move_when_rows_appear_before_it);
async fn a_page_does_not_move_when_rows_appear_before_it(store: &Store) {
    fill(store).await;
    let first = RunSearch { max_results: 3, ..search("", &[]) };
    let (_, token) = store.here().search_runs(&Scope::everything(), first).await.unwrap();
    let rest = names(store, search("", &[])).await.split_off(3);
    store.here().create_run(NewRun { start_time: 99, ..NewRun::default() }).await.unwrap();
    let next = RunSearch { page_token: token, ..search("", &[]) };
    assert_eq!(names(store, next).await, rest);
}

on_each!(filters_find_what_they_say);
async fn filters_find_what_they_say(store: &Store) {
    fill(store).await;
    let cases: [(&str, &[&str]); 14] = [
        ("metrics.m > 0", &["r0", "r3", "r4"]),
        ("metrics.m != 0.5", &["r2", "r4", "r5"]),
        ("metrics.m = 0", &[]),
        ("params.p = 'v1'", &["r1", "r5"]),
        ("params.p IS NULL", &["r0", "r3", "r6"]),
        ("params.p IS NOT NULL", &["r1", "r2", "r4", "r5"]),
        ("tags.parity ILIKE 'EV%' AND metrics.m > 0", &["r0", "r4"]),
        ("tags.parity LIKE 'EV%'", &[]),
        ("run_name IN ('r1')", &["r1"]),
        ("attributes.run_name != 'r1' and start_time = 0", &["r0"]),
        ("start_time >= 3", &["r6"]),
        ("status = 'FINISHED'", &[]),
        ("tags.`x' OR 1=1 --` = 'y'", &[]),
        ("params.p = '\\'; DROP TABLE runs; --'", &[]),
    ];
    for (filter, expected) in cases {
        let found = store.here().search_runs(&Scope::everything(), search(filter, &["attributes.run_name"])).await;
        match found {
            Ok((runs, _)) => {
                let found: Vec<String> = runs.into_iter().map(|run| run.info.unwrap().run_name.unwrap()).collect();
                assert_eq!(found, expected, "{filter}");
            }
            Err(error) => assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{filter}"),
        }
    }
    assert_eq!(names(store, search("", &[])).await.len(), 7);
}

on_each!(a_token_of_another_order_is_refused);
async fn a_token_of_another_order_is_refused(store: &Store) {
    fill(store).await;
    let (_, token) =
        store.here().search_runs(&Scope::everything(), RunSearch { max_results: 2, ..search("", &[]) }).await.unwrap();
    let request = RunSearch { page_token: token, ..search("", &["metrics.m DESC"]) };
    let error = store.here().search_runs(&Scope::everything(), request).await.map(drop).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    // The same number of sort keys, of another type.
    let (_, token) = store
        .here()
        .search_runs(&Scope::everything(), RunSearch { max_results: 2, ..search("", &["params.p"]) })
        .await
        .unwrap();
    let request = RunSearch { page_token: token, ..search("", &["metrics.m"]) };
    let error = store.here().search_runs(&Scope::everything(), request).await.map(drop).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);
}
