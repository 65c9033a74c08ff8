//! Checks of a database at startup.

use ferroflow_store::{
    Store, StoreOptions,
    db::{BackendUri, Db, DbOptions},
    schema::SchemaError,
};

use crate::support::{self, on_each};

on_each!(what_is_in_another_workspace_is_not_served_by_halves);
async fn what_is_in_another_workspace_is_not_served_by_halves(uri: &BackendUri) {
    support::open(uri).await;
    let db = Db::open(uri, DbOptions { pool_size: 2, ..DbOptions::default() }).unwrap();
    for (row, table, named) in [
        (
            "INSERT INTO experiments (name, lifecycle_stage, workspace) VALUES ('theirs', 'active', 'team')",
            "experiments",
            "experiment 'theirs'",
        ),
        (
            "INSERT INTO registered_models (name, workspace) VALUES ('theirs', 'team')",
            "registered_models",
            "registered model 'theirs'",
        ),
        (
            "INSERT INTO webhooks (webhook_id, name, url, workspace) VALUES ('w1', 'n', 'https://a.test', 'team')",
            "webhooks",
            "webhook 'w1'",
        ),
    ] {
        db.batch(row.to_owned()).await.unwrap();
        let options = StoreOptions::default();
        let Err(SchemaError::Refused(reason)) = Store::open(uri, options).await else {
            panic!("a store is opened on {table} of two workspaces")
        };
        assert!(reason.contains(named) && reason.contains("workspace 'team'"), "{reason}");
        db.batch(format!("DELETE FROM {table} WHERE workspace = 'team'")).await.unwrap();
        support::open(uri).await;
    }
}
