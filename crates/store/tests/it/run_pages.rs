//! How pages of runs and their children are read: from an index, also before PostgreSQL has statistics of a table.

use std::time::{Duration, Instant};

use ferroflow_model::messages::service::ViewType;
use ferroflow_store::{
    NewRun, RunSearch, Scope, Store,
    db::{Statement, Upkeep},
};

use crate::support::{self, Here as _, on_each};

/// 4,000 runs with three metrics, params and tags each. Nothing analyzes them.
const FILL: &str = "
    ALTER TABLE runs SET (autovacuum_enabled = false); ALTER TABLE latest_metrics SET (autovacuum_enabled = false);
    ALTER TABLE params SET (autovacuum_enabled = false); ALTER TABLE tags SET (autovacuum_enabled = false);
    INSERT INTO runs (run_uuid, status, start_time, lifecycle_stage, experiment_id)
        SELECT md5(i::text), 'FINISHED', i, 'active', 0 FROM generate_series(1, 4000) i;
    INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
        SELECT md5(i::text), 'key ' || k, k, 1, 1, false FROM generate_series(1, 4000) i, generate_series(1, 3) k;
    INSERT INTO params (run_uuid, key, value)
        SELECT md5(i::text), 'key ' || k, 'v' FROM generate_series(1, 4000) i, generate_series(1, 3) k;
    INSERT INTO tags (run_uuid, key, value)
        SELECT md5(i::text), 'key ' || k, 'v' FROM generate_series(1, 4000) i, generate_series(1, 3) k;";

fn page(view: ViewType) -> RunSearch {
    RunSearch {
        experiment_ids: vec!["0".into()],
        view,
        filter: String::new(),
        max_results: 100,
        order_by: Vec::new(),
        page_token: None,
    }
}

/// The scans of whole tables of children, and those of their indexes, that PostgreSQL has counted.
async fn scans(store: &Store) -> (i64, i64) {
    let counted = "SELECT sum(seq_scan)::bigint, sum(idx_scan)::bigint FROM pg_stat_user_tables \
                   WHERE relname IN ('latest_metrics', 'params', 'tags')";
    let statement = Statement::unscoped(Upkeep::Test, counted, vec![]);
    store.db().query(statement, |row| Ok((row.get(0)?, row.get(1)?))).await.unwrap()[0]
}

#[tokio::test]
async fn the_children_of_a_page_of_runs_are_read_from_an_index_without_statistics() {
    support::on_postgres(async |store: &Store| {
        store.db().batch(FILL.into()).await.unwrap();
        let (whole, indexed) = scans(store).await;
        let start = Instant::now();
        loop {
            let (runs, _) = store.here().search_runs(&Scope::everything(), page(ViewType::ActiveOnly)).await.unwrap();
            assert_eq!((runs.len(), runs[0].data.as_ref().unwrap().params.len()), (100, 3));
            let (now_whole, now_indexed) = scans(store).await;
            assert_eq!(now_whole, whole, "a table was read as a whole");
            // PostgreSQL counts with a delay.
            if now_indexed >= indexed + 300 {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{indexed} {now_indexed}");
        }
    })
    .await;
}

on_each!(the_newest_runs_are_read_in_the_order_of_an_index);
async fn the_newest_runs_are_read_in_the_order_of_an_index(store: &Store) {
    for _ in 0..3 {
        store.here().create_run(NewRun { experiment_id: "0".into(), ..NewRun::default() }).await.unwrap();
    }
    let ordered = |view, order: &[&str]| RunSearch {
        order_by: order.iter().map(|&clause| clause.into()).collect(),
        max_results: 1,
        ..page(view)
    };
    for search in [
        ordered(ViewType::ActiveOnly, &[]),
        ordered(ViewType::DeletedOnly, &[]),
        ordered(ViewType::ActiveOnly, &["attributes.start_time DESC"]),
    ] {
        let (_, token) = store.here().search_runs(&Scope::everything(), search.clone()).await.unwrap();
        let next = RunSearch { page_token: token.clone(), ..search.clone() };
        for search in [search, next] {
            let plan = store.here().explain_run_search(&Scope::everything(), &search).await.unwrap().join("\n");
            assert!(plan.contains("ff_runs_page"), "{search:?}\n{plan}");
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{search:?}\n{plan}");
        }
    }
    let filtered = RunSearch { filter: "params.a = 'b'".into(), ..page(ViewType::ActiveOnly) };
    let plan = store.here().explain_run_search(&Scope::everything(), &filtered).await.unwrap().join("\n");
    assert!(!plan.contains("ff_runs_page"), "the runs of a param are looked up by their ids\n{plan}");
}

on_each!(runs_without_a_start_time_come_last);
async fn runs_without_a_start_time_come_last(store: &Store) {
    let fill = "INSERT INTO runs (run_uuid, status, start_time, lifecycle_stage, experiment_id) VALUES \
                ('a', 'FINISHED', NULL, 'active', 0), ('b', 'FINISHED', 5, 'active', 0), \
                ('c', 'FINISHED', -7, 'active', 0), ('d', 'FINISHED', NULL, 'active', 0), ('e', 'FINISHED', 5, 'active', 0)";
    store.db().batch(fill.into()).await.unwrap();
    let mut search = RunSearch { max_results: 1, ..page(ViewType::ActiveOnly) };
    let mut ids = String::new();
    loop {
        let (runs, token) = store.here().search_runs(&Scope::everything(), search.clone()).await.unwrap();
        ids.extend(runs.into_iter().map(|run| run.info.unwrap().run_id.unwrap()));
        if token.is_none() {
            break;
        }
        search.page_token = token;
    }
    assert_eq!(ids, "becad");
}
