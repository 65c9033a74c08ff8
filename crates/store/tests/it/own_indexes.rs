//! ferroflow's own indexes: created with a new database, and later without blocking writers.

use std::time::Duration;

use ferroflow_model::Result;
use ferroflow_store::{
    Store,
    db::{BackendUri, Db, DbOptions, Op, Row, Statement, Upkeep, dialect::Dialect},
    migrations::{self, Options, TRACKING},
    schema::{
        own,
        tune::{self, Extra},
    },
};

use tokio::{sync::Notify, time::timeout};

use crate::support::{
    self, Here as _, on_each,
    postgres::{as_superuser, parse},
};

/// The names of the complete ones.
async fn complete(db: &Db) -> Vec<String> {
    let sql = db.dialect().pick(
        "SELECT CAST(c.relname AS TEXT) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         JOIN pg_class t ON t.oid = i.indrelid \
         WHERE i.indisvalid AND starts_with(c.relname, 'ff_') AND NOT starts_with(t.relname, 'ff_') ORDER BY 1",
        "SELECT name FROM sqlite_master WHERE type = 'index' AND substr(name, 1, 3) = 'ff_' \
         AND substr(tbl_name, 1, 3) <> 'ff_' ORDER BY 1",
    );
    db.query(Statement::unscoped(Upkeep::Test, sql, Vec::new()), |row| row.get(0)).await.unwrap()
}

/// A trace, so that the database is not new.
async fn fill(store: &Store) {
    let sql = "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('tr-1', 0, 1, 'OK')";
    store.db().batch(sql.to_owned()).await.unwrap();
}

/// Own indexes that are created unasked.
const COUNT: usize = 26;

on_each!(own_indexes_are_created_with_the_tables_and_again_when_they_are_missing);
async fn own_indexes_are_created_with_the_tables_and_again_when_they_are_missing(uri: &BackendUri) {
    let store = support::open(uri).await;
    let all = complete(store.db()).await;
    assert_eq!(all.len(), COUNT, "{all:?}");
    assert_eq!(store.create_own_index().await.unwrap(), None);
    fill(&store).await;
    own::drop_all(store.db()).await.unwrap();
    assert_eq!(complete(store.db()).await, Vec::<String>::new());
    // In a database with traces, a server on PostgreSQL starts without them.
    let again = support::open(uri).await;
    let at_start = complete(again.db()).await.len();
    assert_eq!(at_start, again.db().dialect().pick(0, COUNT));
    if again.db().dialect() == Dialect::Postgres {
        // What an interrupted creation leaves.
        let left = "CREATE INDEX ff_spans_name ON spans (name); \
                    UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'ff_spans_name'::regclass";
        again.db().batch(left.to_owned()).await.unwrap();
        let mut created = Vec::new();
        while let Some(name) = again.create_own_index().await.unwrap() {
            created.push(name.to_owned());
        }
        created.sort();
        assert_eq!(created, all);
    }
    assert_eq!(complete(again.db()).await, all);
}

on_each!(an_upgrade_creates_own_indexes);
async fn an_upgrade_creates_own_indexes(uri: &BackendUri) {
    let upgrade = async || migrations::upgrade(uri, &TRACKING, &Options::default(), &mut |_| {}).await.unwrap();
    upgrade().await;
    let db = Db::open(uri, DbOptions { pool_size: 2, ..DbOptions::default() }).unwrap();
    assert_eq!(complete(&db).await.len(), COUNT);
    own::drop_all(&db).await.unwrap();
    assert_eq!(upgrade().await.applied, 0);
    assert_eq!(complete(&db).await.len(), COUNT);
}

on_each!(writers_go_on_while_an_index_is_created);
async fn writers_go_on_while_an_index_is_created(uri: &BackendUri) {
    if matches!(uri, BackendUri::Sqlite(_)) {
        return;
    }
    let store = support::open(uri).await;
    fill(&store).await;
    own::drop_all(store.db()).await.unwrap();
    let insert = |id: &str| {
        let sql = "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ($1, 0, 1, 'OK')";
        Statement::unscoped(Upkeep::Test, sql, vec![id.into()])
    };
    let (begun, written) = (Notify::new(), Notify::new());
    let (begun, written) = (&begun, &written);
    let held = store.db().transaction(|tx| async move {
        tx.execute(insert("tr-2")).await?;
        begun.notify_one();
        written.notified().await;
        Result::Ok(())
    });
    // Another server: this one has seen the indexes, and leaves them dropped.
    assert_eq!(store.create_own_index().await.unwrap(), None);
    let server = support::open(uri).await;
    let created = async {
        begun.notified().await;
        while server.create_own_index().await.unwrap().is_some() {}
    };
    let another = async {
        // The index of traces waits for the transaction that has written one.
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                       AND query LIKE 'CREATE INDEX CONCURRENTLY%'";
        let is_waiting = async || {
            let statement = Statement::unscoped(Upkeep::Test, waiting, Vec::new());
            !store.db().query(statement, |row| row.get::<i64>(0)).await.unwrap().is_empty()
        };
        while !is_waiting().await {}
        store.db().unit(vec![Op::Execute(insert("tr-3"))]).await.unwrap();
        written.notify_one();
    };
    let all = async { tokio::join!(held, created, another) };
    timeout(Duration::from_secs(60), Box::pin(all)).await.expect("no writer waits for the index").0.unwrap();
    assert_eq!(complete(store.db()).await.len(), COUNT);
}

on_each!(tuning_creates_what_is_missing_and_finishes_what_was_interrupted);
async fn tuning_creates_what_is_missing_and_finishes_what_was_interrupted(uri: &BackendUri) {
    let store = support::open(uri).await;
    fill(&store).await;
    let run = support::run(&store, "0").await;
    let params = (0..300).map(|number| ferroflow_model::messages::service::Param {
        key: Some(format!("p{number}")),
        value: Some("v".repeat(40)),
    });
    for some in params.collect::<Vec<_>>().chunks(100) {
        store.here().log_batch(&run, Vec::new(), some.to_vec(), Vec::new()).await.unwrap();
    }
    let db = store.db();
    own::drop_all(db).await.unwrap();
    let plan = tune::plan(db, &[]).await.unwrap();
    // Patterns on the names of runs, and orders by params and tags, have indexes in PostgreSQL only.
    let of_orders = db.dialect().pick(7, 5);
    let all = COUNT + of_orders + db.dialect().pick(2, 1);
    assert_eq!((plan.len(), tune::plan(db, &Extra::ALL).await.unwrap().len()), (COUNT, all));
    assert_eq!(tune::plan(db, &[Extra::Metrics]).await.unwrap().len(), COUNT + 1);
    assert_eq!(tune::plan(db, &[Extra::Orders]).await.unwrap().len(), COUNT + of_orders);
    let of_params = plan.iter().find(|index| index.name == "ff_params_value").unwrap();
    assert_eq!((of_params.table, of_params.rows), ("params", 300));
    assert!((6_000..60_000).contains(&of_params.bytes), "{of_params:?}");
    assert!(complete(db).await.is_empty(), "a plan creates nothing");
    if db.dialect() == Dialect::Postgres {
        // What an interrupted creation leaves.
        let left = "CREATE INDEX ff_params_value ON params (key); \
                    UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'ff_params_value'::regclass";
        db.batch(left.to_owned()).await.unwrap();
    }
    for index in tune::plan(db, &Extra::ALL).await.unwrap() {
        tune::create(db, &index, |_, _| ()).await.unwrap();
    }
    assert_eq!(complete(db).await.len(), all);
    assert!(tune::plan(db, &Extra::ALL).await.unwrap().is_empty());
    assert!(tune::analyze(db).await.unwrap().contains(&"params"));
}

#[tokio::test]
async fn tuning_says_that_a_role_may_not_create_indexes() {
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    as_superuser(format!("CREATE ROLE {role} LOGIN")).await;
    support::on_postgres(async |store: &Store| {
        own::drop_all(store.db()).await.unwrap();
        store.db().batch(format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")).await.unwrap();
        let sql = "SELECT CAST(current_database() AS TEXT), host(inet_server_addr()), inet_server_port()";
        let statement = Statement::unscoped(Upkeep::Test, sql, Vec::new());
        let address = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?));
        let (name, host, port) = store.db().query(statement, address).await.unwrap().remove(0);
        let uri = parse(&format!("postgresql://{role}@{host}:{port}/{name}"));
        let db = Db::open(&uri, DbOptions { pool_size: 2, ..DbOptions::default() }).unwrap();
        let plan = tune::plan(&db, &[]).await.unwrap();
        assert_eq!(plan.len(), COUNT);
        let denied = tune::create(&db, &plan[0], |_, _| ()).await.unwrap_err().to_string();
        assert!(denied.contains("must be owner of table runs"), "{denied}");
        let denied = tune::analyze(&db).await.unwrap_err().to_string();
        assert!(denied.contains("must be owner of table runs"), "{denied}");
        db.close().await.unwrap();
        assert!(complete(store.db()).await.is_empty());
    })
    .await;
    as_superuser(format!("DROP ROLE {role}")).await;
}
