//! The largest allowed searches end soon, and larger ones are refused with the name of the bound.

#![allow(clippy::disallowed_macros, reason = "a test that cannot say its figures has failed")]

use std::time::{Duration, Instant};

use ferroflow_model::{
    Error,
    messages::service::{Metric, SearchLoggedModelsDataset, SearchLoggedModelsOrderBy, ViewType},
};
use ferroflow_search::bounds;
use ferroflow_store::{
    ExperimentSearch, LoggedModelSearch, ModelVersionSearch, RegisteredModelSearch, RunSearch, Scope, Store,
};

use crate::support::{self, Here as _, on_each};

/// Far longer than the largest search takes on a busy machine. Planned as joins, it would take PostgreSQL hours.
const SOON: Duration = Duration::from_secs(30);

/// `count` conditions in one filter.
fn joined(count: usize, condition: impl Fn(usize) -> String) -> String {
    (0..count).map(condition).collect::<Vec<_>>().join(" AND ")
}

fn runs(filter: String, orders: usize) -> RunSearch {
    RunSearch {
        experiment_ids: vec!["0".into()],
        filter,
        view: ViewType::ActiveOnly,
        max_results: 10,
        order_by: (0..orders).map(|number| format!("metrics.m{number} DESC")).collect(),
        page_token: None,
    }
}

fn experiments(filter: String, order_by: Vec<String>) -> ExperimentSearch {
    ExperimentSearch { view: ViewType::ActiveOnly, max_results: 10, filter, order_by, page_token: None }
}

fn logged_models(filter: String, orders: usize, datasets: usize) -> LoggedModelSearch {
    LoggedModelSearch {
        experiment_ids: vec!["0".into()],
        filter,
        datasets: (0..datasets)
            .map(|number| SearchLoggedModelsDataset {
                dataset_name: Some(format!("d{number}")),
                dataset_digest: Some("x".into()),
            })
            .collect(),
        max_results: 10,
        order_by: (0..orders)
            .map(|number| SearchLoggedModelsOrderBy {
                field_name: Some(format!("metrics.m{number}")),
                ..SearchLoggedModelsOrderBy::default()
            })
            .collect(),
        page_token: None,
    }
}

async fn soon<T>(what: &str, search: impl Future<Output = Result<T, Error>>) -> T {
    let start = Instant::now();
    let found = tokio::time::timeout(SOON, search).await;
    let found = found.unwrap_or_else(|_| panic!("{what} ran for longer than {SOON:?}")).unwrap();
    eprintln!("{what}: {:?}", start.elapsed());
    found
}

on_each!(the_largest_searches_end_soon);
async fn the_largest_searches_end_soon(store: &Store) {
    for _ in 0..30 {
        let run = support::run(store, "0").await;
        let points = (0..bounds::CONDITIONS).map(|number| Metric {
            key: Some(format!("m{number}")),
            value: Some(1.0),
            timestamp: Some(0),
            step: Some(0),
            ..Metric::default()
        });
        store.here().log_batch(&run, points.collect(), Vec::new(), Vec::new()).await.unwrap();
    }
    let metrics = joined(bounds::CONDITIONS, |number| format!("metrics.m{number} > 0"));
    let mut search = runs(metrics.clone(), bounds::ORDERS);
    let mut found = 0;
    loop {
        let (page, next) = soon("runs", store.here().search_runs(&Scope::everything(), search.clone())).await;
        found += page.len();
        search.page_token = next;
        if search.page_token.is_none() {
            break;
        }
    }
    assert_eq!(found, 30);
    let others = joined(bounds::CONDITIONS, |number| match number % 3 {
        0 => format!("tags.t{number} IS NULL"),
        1 => format!("dataset.name != 'd{number}'"),
        _ => format!("params.p{number} ILIKE '%a%b%c%'"),
    });
    assert_eq!(
        soon("runs by other conditions", store.here().search_runs(&Scope::everything(), runs(others, 0))).await.0.len(),
        0
    );
    let missing = joined(bounds::CONDITIONS, |number| format!("tags.t{number} IS NULL"));
    assert_eq!(
        soon("runs without tags", store.here().search_runs(&Scope::everything(), runs(missing.clone(), 0)))
            .await
            .0
            .len(),
        10
    );

    let found =
        soon("experiments", store.here().search_experiments(&Scope::everything(), experiments(missing, Vec::new())))
            .await;
    assert_eq!(found.0.len(), 1);
    let tags = joined(bounds::CONDITIONS, |number| format!("tags.t{number} = 'a'"));
    soon(
        "experiments by tags",
        store.here().search_experiments(&Scope::everything(), experiments(tags.clone(), Vec::new())),
    )
    .await;
    let search = logged_models(metrics, bounds::ORDERS, bounds::DATASETS);
    soon("logged models", store.here().search_logged_models(&Scope::everything(), search)).await;
    soon(
        "logged models by tags",
        store.here().search_logged_models(&Scope::everything(), logged_models(tags.clone(), 0, 0)),
    )
    .await;
    let search = RegisteredModelSearch { filter: tags.clone(), max_results: 10, ..RegisteredModelSearch::default() };
    soon("registered models", store.here().search_registered_models(&Scope::everything(), search)).await;
    let search = ModelVersionSearch { filter: tags, max_results: 10, ..ModelVersionSearch::default() };
    soon("model versions", store.here().search_model_versions(&Scope::everything(), search)).await;
}

fn refused<T>(outcome: Result<T, Error>, bound: usize) {
    let Err(error) = outcome else { panic!("a search above the bound of {bound}") };
    assert_eq!(error.code.http_status(), 400, "{}", error.message);
    assert!(error.message.contains(&bound.to_string()), "{} does not name {bound}", error.message);
}

on_each!(what_is_larger_is_refused_with_the_bound);
async fn what_is_larger_is_refused_with_the_bound(store: &Store) {
    let tags = joined(bounds::CONDITIONS + 1, |number| format!("tags.t{number} = 'a'"));
    let registered = |filter: String, order_by| RegisteredModelSearch {
        filter,
        order_by,
        max_results: 10,
        ..RegisteredModelSearch::default()
    };
    let versions =
        |filter: String, order_by| ModelVersionSearch { filter, order_by, max_results: 10, ..Default::default() };
    let most = bounds::CONDITIONS;
    refused(store.here().search_runs(&Scope::everything(), runs(tags.clone(), 0)).await, most);
    refused(store.here().search_experiments(&Scope::everything(), experiments(tags.clone(), Vec::new())).await, most);
    refused(store.here().search_logged_models(&Scope::everything(), logged_models(tags.clone(), 0, 0)).await, most);
    refused(
        store.here().search_registered_models(&Scope::everything(), registered(tags.clone(), Vec::new())).await,
        most,
    );
    refused(store.here().search_model_versions(&Scope::everything(), versions(tags, Vec::new())).await, most);

    // 65 orders by metric exceed the number of tables that SQLite can join.
    let most = bounds::ORDERS;
    refused(store.here().search_runs(&Scope::everything(), runs(String::new(), 65)).await, most);
    refused(
        store.here().search_logged_models(&Scope::everything(), logged_models(String::new(), most + 1, 0)).await,
        most,
    );
    let orders = vec!["name ASC".to_owned(); most + 1];
    refused(
        store.here().search_experiments(&Scope::everything(), experiments(String::new(), orders.clone())).await,
        most,
    );
    refused(
        store.here().search_registered_models(&Scope::everything(), registered(String::new(), orders.clone())).await,
        most,
    );
    refused(store.here().search_model_versions(&Scope::everything(), versions(String::new(), orders)).await, most);
    refused(
        store
            .here()
            .search_logged_models(&Scope::everything(), logged_models(String::new(), 0, bounds::DATASETS + 1))
            .await,
        bounds::DATASETS,
    );

    let long = "a".repeat(bounds::PATTERN + 1);
    refused(
        store.here().search_runs(&Scope::everything(), runs(format!("tags.t LIKE '{long}'"), 0)).await,
        bounds::PATTERN,
    );
    let wild = "a%".repeat(bounds::WILDCARDS + 1);
    let filter = format!("name ILIKE '{wild}'");
    refused(
        store.here().search_registered_models(&Scope::everything(), registered(filter.clone(), Vec::new())).await,
        bounds::WILDCARDS,
    );
    refused(
        store.here().search_logged_models(&Scope::everything(), logged_models(filter, 0, 0)).await,
        bounds::WILDCARDS,
    );
    let filter = format!("tags.t = '{}'", "a".repeat(bounds::TEXT));
    refused(store.here().search_runs(&Scope::everything(), runs(filter.clone(), 0)).await, bounds::TEXT);
    refused(store.here().search_logged_models(&Scope::everything(), logged_models(filter, 0, 0)).await, bounds::TEXT);
    let token = Some("A".repeat(bounds::TOKEN + 1));
    refused(
        store
            .here()
            .search_runs(&Scope::everything(), RunSearch { page_token: token.clone(), ..runs(String::new(), 0) })
            .await,
        bounds::TOKEN,
    );
    let search = LoggedModelSearch { page_token: token, ..logged_models(String::new(), 0, 0) };
    refused(store.here().search_logged_models(&Scope::everything(), search).await, bounds::TOKEN);
    let experiment_ids = vec!["0".to_owned(); bounds::EXPERIMENTS + 1];
    let search = RunSearch { experiment_ids, ..runs(String::new(), 0) };
    refused(store.here().search_runs(&Scope::everything(), search).await, bounds::EXPERIMENTS);
}
