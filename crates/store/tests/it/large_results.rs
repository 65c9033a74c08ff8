//! Results that take much memory: pages end early, one request has a maximum, and large results take turns.

use std::{collections::BTreeSet, time::Duration};

use ferroflow_model::{
    limits::memory,
    messages::service::{Param, ViewType},
};
use ferroflow_store::{RunSearch, Scope, Store, db::ResultBudget};

use crate::support::{self, Here as _, on_each};

/// Runs with 600 KB of params each: together more than a page may hold.
async fn fill(store: &Store, count: usize) -> BTreeSet<String> {
    let mut runs = BTreeSet::new();
    for _ in 0..count {
        let run = support::run(store, "0").await;
        let param = |number: usize| Param { key: Some(format!("p{number}")), value: Some("x".repeat(6000)) };
        store.here().log_batch(&run, Vec::new(), (0..100).map(param).collect(), Vec::new()).await.unwrap();
        runs.insert(run);
    }
    runs
}

fn search(page_token: Option<String>) -> RunSearch {
    RunSearch {
        experiment_ids: vec!["0".into()],
        filter: String::new(),
        view: ViewType::ActiveOnly,
        max_results: 1000,
        order_by: Vec::new(),
        page_token,
    }
}

on_each!(a_page_ends_early_and_the_next_one_goes_on_there);
async fn a_page_ends_early_and_the_next_one_goes_on_there(store: &Store) {
    let all = fill(store, 90).await;
    let (mut seen, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let account = ResultBudget::new(1).account();
        let (runs, next) =
            account.clone().scope(store.here().search_runs(&Scope::everything(), search(token))).await.unwrap();
        assert!(account.is_large(), "more than {} bytes", memory::SMALL_RESULT);
        assert!(runs.iter().all(|run| run.data.as_ref().unwrap().params.len() == 100));
        seen.extend(runs.into_iter().map(|run| run.info.unwrap().run_id.unwrap()));
        pages += 1;
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert!(pages > 1, "{pages} pages");
    assert_eq!(seen.len(), all.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
}

on_each!(large_results_take_turns);
async fn large_results_take_turns(store: &Store) {
    fill(store, 8).await;
    let budget = ResultBudget::new(1);
    let first = budget.account();
    first.clone().scope(store.here().search_runs(&Scope::everything(), search(None))).await.unwrap();
    let refused =
        budget.account().scope(store.here().search_runs(&Scope::everything(), search(None))).await.unwrap_err();
    assert_eq!(refused.code.http_status(), 429, "{refused:?}");
    // Small ones do not wait.
    let small =
        tokio::time::timeout(Duration::from_secs(60), budget.account().scope(store.here().get_experiment("0"))).await;
    small.unwrap().unwrap();
    drop(first);
    budget.account().scope(store.here().search_runs(&Scope::everything(), search(None))).await.unwrap();
}
