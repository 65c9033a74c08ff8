//! How the children of a page are read: from an index, also before PostgreSQL has statistics of a table.

use std::time::{Duration, Instant};

use ferroflow_model::messages::service::ViewType;
use ferroflow_store::{
    RunSearch, Scope, Store,
    db::{Statement, Upkeep},
};

use crate::support::{self, Here as _};

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
        let search = RunSearch {
            experiment_ids: vec!["0".into()],
            view: ViewType::ActiveOnly,
            filter: String::new(),
            max_results: 100,
            order_by: Vec::new(),
            page_token: None,
        };
        let start = Instant::now();
        loop {
            let (runs, _) = store.here().search_runs(&Scope::everything(), search.clone()).await.unwrap();
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
