//! Writers find rows by indexes from the first request on: PostgreSQL keeps a plan that it made for an empty table until the
//! table is analyzed, a minute later at best.

use std::time::{Duration, Instant};

use ferroflow_model::messages::service::Metric;
use ferroflow_store::{
    NewRun, Store,
    db::{Statement, Upkeep},
};
use serde_json::json;

use crate::support::{
    self, Here as _,
    spans::{log, span},
};

/// Nothing analyzes these tables, as in the first minute of a server.
const UNKNOWN: &str = "
    ALTER TABLE trace_info SET (autovacuum_enabled = false); ALTER TABLE trace_tags SET (autovacuum_enabled = false);
    ALTER TABLE trace_request_metadata SET (autovacuum_enabled = false); ALTER TABLE spans SET (autovacuum_enabled = false);
    ALTER TABLE runs SET (autovacuum_enabled = false); ALTER TABLE latest_metrics SET (autovacuum_enabled = false);
    ALTER TABLE metrics SET (autovacuum_enabled = false);";

/// Requests of each kind.
const REQUESTS: u32 = 40;

/// The rows that were inserted, and those that were read by scans of whole tables, as PostgreSQL has counted them.
async fn counted(store: &Store) -> (i64, i64) {
    let sql = "SELECT sum(n_tup_ins)::bigint, sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname IN \
               ('trace_info', 'trace_tags', 'trace_request_metadata', 'spans', 'runs', 'latest_metrics', 'metrics')";
    let statement = Statement::unscoped(Upkeep::Test, sql, vec![]);
    store.db().query(statement, |row| Ok((row.get(0)?, row.get(1)?))).await.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_is_scanned_for_each_request() {
    support::on_postgres(async |store: &Store| {
        store.db().batch(UNKNOWN.into()).await.unwrap();
        let (inserted, read) = counted(store).await;
        for request in 1..=REQUESTS {
            log(store, &[span(request.into(), 1, &json!({}))]).await.unwrap();
            let run = store.here().create_run(NewRun { experiment_id: "0".into(), ..NewRun::default() }).await.unwrap();
            let point = Metric {
                key: Some("loss".into()),
                value: Some(f64::from(request)),
                timestamp: Some(request.into()),
                step: Some(request.into()),
                ..Metric::default()
            };
            let run = run.info.unwrap().run_id.unwrap();
            store.here().log_batch(&run, vec![point], Vec::new(), Vec::new()).await.unwrap();
        }
        let start = Instant::now();
        // A trace, a span, a run, a point and a latest point, at least. PostgreSQL counts with a delay.
        while counted(store).await.0 < inserted + 5 * i64::from(REQUESTS) {
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}", counted(store).await);
        }
        let scanned = counted(store).await.1 - read;
        assert!(scanned < 5 * i64::from(REQUESTS), "{scanned} rows were read by scans of whole tables");
    })
    .await;
}
