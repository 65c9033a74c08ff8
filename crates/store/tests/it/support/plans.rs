//! Support of tests that look at query plans.

use ferroflow_store::{
    Store,
    db::{Statement, Upkeep, dialect::Dialect},
};

/// A series `i` from 1 to `count`, in either dialect.
pub(crate) fn series(dialect: Dialect, count: u32) -> String {
    match dialect {
        Dialect::Postgres => format!("generate_series(1, {count}) i"),
        Dialect::Sqlite => format!(
            "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {count}) SELECT i FROM s) s"
        ),
    }
}

/// Gathers the statistics of all tables.
pub(crate) async fn analyze(store: &Store) {
    let sql = Statement::unscoped(Upkeep::Test, "ANALYZE", Vec::new());
    match store.db().dialect() {
        Dialect::Postgres => drop(store.db().query(sql, |_| Ok(())).await.unwrap()),
        Dialect::Sqlite => store.db().batch("ANALYZE".to_owned()).await.unwrap(),
    }
}
