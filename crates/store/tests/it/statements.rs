//! Every static statement is valid on both databases.

use std::time::Duration;

use ferroflow_store::{
    Store, UserStore,
    db::{BackendUri, Db, Text, dialect::Dialect},
    migrations::{self, Options},
    statements,
};

use crate::support::{self, on_each};

on_each!(the_statements_on_the_tracking_database_are_valid);
on_each!(the_statements_on_the_users_database_are_valid);

async fn the_statements_on_the_tracking_database_are_valid(store: &Store) {
    store.lease_job("any", "one", Duration::ZERO).await.expect("the table of leases");
    store.prepare_usage().await.expect("the table of usage");
    assert_valid(store.db(), statements::TRACKING).await;
}

on_each!(the_statements_on_a_later_head_are_valid);
async fn the_statements_on_a_later_head_are_valid(uri: &BackendUri) {
    let options = Options { to: Some("3.18".to_owned()), backup: false, ..Options::default() };
    migrations::upgrade(uri, &migrations::TRACKING, &options, &mut |_| {}).await.expect("a database");
    let store = support::open(uri).await;
    store.lease_job("any", "one", Duration::ZERO).await.expect("the table of leases");
    store.prepare_usage().await.expect("the table of usage");
    assert_valid(store.db(), statements::TRACKING_LATER).await;
    assert_valid(store.db(), statements::TRACKING).await;
}

async fn the_statements_on_the_users_database_are_valid(users: &UserStore) {
    users.prepare_logins().await.expect("the tables of logins");
    assert_valid(users.db(), statements::USERS).await;
}

/// Prepares every statement, with the workspace as a literal and as a parameter.
async fn assert_valid(db: &Db, pages: &[&[Text]]) {
    let mut faults = Vec::new();
    for text in pages.iter().copied().flatten() {
        for by_parameter in [false, true] {
            let sql = text.expanded(db.dialect(), by_parameter);
            // A statement of the other dialect.
            if sql.is_empty() {
                continue;
            }
            let prepare = match db.dialect() {
                Dialect::Postgres => format!("PREPARE statement AS {sql}; DEALLOCATE statement"),
                Dialect::Sqlite => format!("EXPLAIN {sql}"),
            };
            if let Err(error) = db.batch(prepare).await {
                faults.push(format!("{}: {error}\n{sql}", text.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
