//! Workspaces in a database of their own: the tracking database has what is in them.

use ferroflow_model::ErrorCode;
use ferroflow_store::{
    DeletionMode, NewDataset, Store, StoreOptions, WorkspaceValues,
    db::{BackendUri, Db, DbOptions, Statement, Upkeep, dialect::Dialect},
    schema::SchemaError,
    upkeep::{
        move_resources::{ArtifactPolicy, Chosen, MovableType, Move},
        workspace_summary,
    },
};

use crate::{
    support::{Fixture, on_each, postgres},
    workspace_records::{create, location, race_a_deletion, webhook},
};

/// A store with workspaces in another database.
struct Apart {
    store: Store,
    tracking: BackendUri,
    workspaces: BackendUri,
}

impl Fixture for Apart {
    const TEMPLATE: Option<&str> = Some("apart");

    async fn open(uri: &BackendUri) -> Self {
        let workspaces = match uri {
            BackendUri::Sqlite(path) => BackendUri::Sqlite(path.with_file_name("workspaces.db")),
            BackendUri::Postgres(_) => {
                run(&db(uri), "CREATE SCHEMA IF NOT EXISTS apart").await;
                postgres::in_schema(uri, "apart")
            }
        };
        let store = open(uri, &workspaces).await.expect("the store opens");
        Self { store, tracking: uri.clone(), workspaces }
    }
}

async fn open(uri: &BackendUri, workspaces: &BackendUri) -> Result<Store, SchemaError> {
    let db = DbOptions { pool_size: 8, ..DbOptions::default() };
    let workspace_store = Some(workspaces.clone());
    Store::open(uri, StoreOptions { db, workspaces: true, workspace_store, ..StoreOptions::default() }).await
}

fn db(uri: &BackendUri) -> Db {
    Db::open(uri, DbOptions { pool_size: 2, ..DbOptions::default() }).unwrap()
}

async fn run(db: &Db, sql: &str) {
    db.batch(sql.to_owned()).await.unwrap();
}

/// The workspaces that a database has a row of.
async fn rows(uri: &BackendUri) -> Vec<String> {
    let sql = "SELECT name FROM workspaces ORDER BY name";
    db(uri).query(Statement::unscoped(Upkeep::Test, sql, Vec::new()), |row| row.get(0)).await.unwrap()
}

fn rooted(root: &str) -> WorkspaceValues {
    WorkspaceValues { default_artifact_root: Some(root.into()), ..WorkspaceValues::default() }
}

on_each!(the_rows_of_workspaces_are_in_the_other_database);
async fn the_rows_of_workspaces_are_in_the_other_database(Apart { store, tracking, workspaces }: &Apart) {
    store.create_workspace("team", &rooted("s3://b/team")).await.unwrap();
    assert_eq!(
        (rows(tracking).await, rows(workspaces).await),
        (vec!["default".to_owned()], vec!["default".to_owned(), "team".to_owned()])
    );
    assert_eq!(store.list_workspaces().await.unwrap().len(), 2);
    let taken = store.create_workspace("team", &WorkspaceValues::default()).await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::ResourceAlreadyExists);
    // A row of the tracking database is no workspace.
    run(&db(tracking), "INSERT INTO workspaces (name) VALUES ('stale')").await;
    assert_eq!(store.workspace("stale").await.unwrap_err().message, "Workspace 'stale' not found");

    let team = store.workspace("team").await.unwrap();
    let there = store.within(&team);
    let one = there.create_experiment("one", None, Vec::new()).await.unwrap();
    assert_eq!(location(there, &one).await, format!("s3://b/team/{one}"));
    store.update_workspace("team", &rooted("")).await.unwrap();
    let two = there.create_experiment("two", None, Vec::new()).await.unwrap();
    assert_eq!(location(there, &two).await, format!("mlflow-artifacts:/workspaces/team/{two}"));
    there.create_registered_model("m", "", &[]).await.unwrap();
    there.create_webhook(webhook()).await.unwrap();
    there.create_dataset(&NewDataset { name: "d".into(), ..Default::default() }).await.unwrap();

    store.update_workspace("default", &rooted("s3://b/home")).await.unwrap();
    let default = store.within(store.default_workspace());
    let three = default.create_experiment("three", None, Vec::new()).await.unwrap();
    assert_eq!(location(default, &three).await, format!("s3://b/home/{three}"));
    assert_eq!(store.adopt_workspace("adopted").await.unwrap().name(), "adopted");
    assert_eq!(rows(workspaces).await, ["adopted", "default", "team"]);

    let roots = store.unscoped(Upkeep::Locations).workspace_roots().await.unwrap();
    assert_eq!(roots.iter().map(|roots| roots.name.as_str()).collect::<Vec<_>>(), ["default"]);
    let existing =
        store.unscoped(Upkeep::Gc).existing_workspaces(vec!["adopted".into(), "stale".into()]).await.unwrap();
    assert_eq!(existing, ["adopted"]);
    let summary = workspace_summary::workspaces(tracking, Some(workspaces)).await.unwrap();
    assert_eq!((summary.missing, summary.resources["team"]["experiments"]), (Vec::new(), 2));
    assert_eq!(workspace_summary::workspaces(tracking, None).await.unwrap().missing, ["team"]);
    store.ping().await.unwrap();
}

on_each!(a_workspace_is_deleted_in_both_databases);
async fn a_workspace_is_deleted_in_both_databases(Apart { store, workspaces, .. }: &Apart) {
    let default = store.within(store.default_workspace());
    for (name, mode) in [("gone", DeletionMode::Cascade), ("moved", DeletionMode::SetDefault)] {
        let workspace = create(store, name).await;
        let there = store.within(&workspace);
        there.create_experiment(name, None, Vec::new()).await.unwrap();
        let refused = store.delete_workspace(name, DeletionMode::Restrict).await.unwrap_err();
        assert!(refused.message.contains("table 'experiments' still contains 1 resource(s)"), "{refused}");
        assert!(store.workspace(name).await.is_ok());
        store.delete_workspace(name, mode).await.unwrap();
        assert_eq!(rows(workspaces).await, ["default"]);
        let late = there.create_experiment("late", None, Vec::new()).await.unwrap_err();
        assert_eq!(late.message, format!("Workspace '{name}' not found"));
        let again = store.delete_workspace(name, mode).await.unwrap_err();
        assert_eq!(again.code, ErrorCode::ResourceDoesNotExist);
    }
    assert!(default.get_experiment_by_name("gone").await.unwrap().is_none());
    assert!(default.get_experiment_by_name("moved").await.unwrap().is_some());
}

on_each!(a_deletion_that_stops_between_the_databases_can_be_repeated);
async fn a_deletion_that_stops_between_the_databases_can_be_repeated(Apart { store, workspaces, .. }: &Apart) {
    let team = create(store, "team").await;
    let there = store.within(&team);
    there.create_experiment("one", None, Vec::new()).await.unwrap();
    let other = db(workspaces);
    run(&other, match other.dialect() {
        Dialect::Sqlite => {
            "CREATE TRIGGER stop BEFORE DELETE ON workspaces BEGIN SELECT RAISE(ABORT, 'stopped'); END"
        }
        Dialect::Postgres => {
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'stopped'; END $$; \
             CREATE TRIGGER stop BEFORE DELETE ON workspaces FOR EACH ROW EXECUTE FUNCTION stop()"
        }
    })
    .await;
    store.delete_workspace("team", DeletionMode::Cascade).await.unwrap_err();
    // It exists, and has nothing.
    assert_eq!(store.workspace("team").await.unwrap(), team);
    assert!(there.get_experiment_by_name("one").await.unwrap().is_none());
    there.create_experiment("two", None, Vec::new()).await.unwrap();
    run(
        &other,
        match other.dialect() {
            Dialect::Sqlite => "DROP TRIGGER stop",
            Dialect::Postgres => "DROP TRIGGER stop ON workspaces",
        },
    )
    .await;
    store.delete_workspace("team", DeletionMode::Cascade).await.unwrap();
    create(store, "team").await;
    assert!(there.get_experiment_by_name("two").await.unwrap().is_none());
}

on_each!(what_another_server_has_left_is_not_in_a_new_workspace);
async fn what_another_server_has_left_is_not_in_a_new_workspace(Apart { store, workspaces, .. }: &Apart) {
    let team = create(store, "team").await;
    store.within(&team).create_experiment("of old", None, Vec::new()).await.unwrap();
    // As a server with another tracking database and the same workspaces does it.
    run(&db(workspaces), "DELETE FROM workspaces WHERE name = 'team'").await;
    let refused = store.create_workspace("team", &WorkspaceValues::default()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidState);
    assert!(refused.message.contains("table 'experiments' of the tracking database still contains 1"), "{refused}");
    let refused = store.delete_workspace("team", DeletionMode::Restrict).await.unwrap_err();
    assert!(refused.message.contains("table 'experiments' still contains 1 resource(s)"), "{refused}");
    store.delete_workspace("team", DeletionMode::Cascade).await.unwrap();
    let team = create(store, "team").await;
    assert!(store.within(&team).get_experiment_by_name("of old").await.unwrap().is_none());
}

on_each!(nothing_is_created_in_a_workspace_that_is_deleted, flavor = "multi_thread");
async fn nothing_is_created_in_a_workspace_that_is_deleted(Apart { store, .. }: &Apart) {
    race_a_deletion(store).await;
}

on_each!(resources_move_between_workspaces_of_the_other_database);
async fn resources_move_between_workspaces_of_the_other_database(Apart { store, .. }: &Apart) {
    store.create_workspace("team", &rooted("s3://b/team")).await.unwrap();
    let default = store.within(store.default_workspace());
    let id = default.create_experiment("one", None, Vec::new()).await.unwrap();
    let mut wanted = Move {
        kind: MovableType::Experiments,
        from: "default".into(),
        to: "none".into(),
        chosen: Chosen::Named(vec!["one".into()]),
        artifacts: ArtifactPolicy::Retarget(None),
        names_in_errors: 9,
    };
    let upkeep = store.unscoped(Upkeep::Move);
    let refused = upkeep.move_resources(&wanted, false).await.unwrap_err();
    assert_eq!(refused.message, "Workspace 'none' not found");
    wanted.to = "team".into();
    assert_eq!(upkeep.move_resources(&wanted, false).await.unwrap().rows, 1);
    let team = store.workspace("team").await.unwrap();
    assert_eq!(location(store.within(&team), &id).await, format!("s3://b/team/{id}"));
}

on_each!(another_database_that_is_too_old_is_refused);
async fn another_database_that_is_too_old_is_refused(Apart { store, tracking, workspaces }: &Apart) {
    store.close().await.unwrap();
    run(&db(workspaces), "UPDATE alembic_version SET version_num = 'cc1f77228345'").await;
    let Err(SchemaError::Refused(reason)) = open(tracking, workspaces).await else { panic!("it opens") };
    assert!(reason.starts_with(&format!("the workspace store {workspaces} cannot be opened: ")), "{reason}");
    assert!(reason.contains("ferroflow db upgrade"), "{reason}");
}
