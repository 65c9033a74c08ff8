//! Databases of older releases: upgraded, refused, compared.

use std::{path::Path, time::Duration};

use ferroflow_store::{
    db::{BackendUri, Db, DbOptions, Statement, Upkeep},
    migrations::{self, AUTH, Chain, Done, Event, MigrationError, Options, State, TRACKING},
};

use crate::support::on_each;

/// The revision of MLflow 1.30.
const MLFLOW_1_30: &str = "cc1f77228345";

async fn upgrade_to(uri: &BackendUri, chain: &'static Chain, to: &str) -> Result<Done, MigrationError> {
    let options = Options { to: Some(to.to_owned()), backup: false, ..Options::default() };
    migrations::upgrade(uri, chain, &options, &mut |_| {}).await
}

async fn upgrade(uri: &BackendUri, chain: &'static Chain) -> Result<Done, MigrationError> {
    upgrade_to(uri, chain, chain.head()).await
}

fn db(uri: &BackendUri) -> Db {
    Db::open(uri, DbOptions { pool_size: 2, ..DbOptions::default() }).unwrap()
}

async fn run(uri: &BackendUri, sql: &str) {
    db(uri).batch(sql.to_owned()).await.unwrap();
}

async fn number(uri: &BackendUri, sql: &str) -> i64 {
    db(uri).query(Statement::unscoped(Upkeep::Test, sql.to_owned(), vec![]), |row| row.get::<i64>(0)).await.unwrap()[0]
}

async fn differences(uri: &BackendUri, chain: &'static Chain) -> Vec<String> {
    migrations::check(uri, chain).await.unwrap().differences
}

#[test]
fn the_chains_are_those_of_the_reference_up_to_the_last_known_head() {
    let recorded = include_str!("../fixtures/revisions.txt").lines().filter(|line| !line.starts_with('#'));
    let mut ours = Vec::new();
    for chain in [&TRACKING, &AUTH] {
        let mut before = "-";
        for revision in chain.revisions() {
            ours.push(format!("{} {} {before}", chain.name, revision.id));
            before = revision.id;
        }
        assert_eq!(chain.heads.last().unwrap().revision, before);
    }
    assert_eq!(ours, recorded.collect::<Vec<_>>());
}

on_each!(all_steps_lead_to_the_tables_that_an_empty_database_gets_at_once);
async fn all_steps_lead_to_the_tables_that_an_empty_database_gets_at_once(uri: &BackendUri) {
    let first = TRACKING.revisions().next().unwrap().id;
    upgrade_to(uri, &TRACKING, first).await.unwrap();
    let done = upgrade(uri, &TRACKING).await.unwrap();
    assert_eq!((done.from, done.to), (State::At(Some(first)), TRACKING.head()));
    assert_eq!(differences(uri, &TRACKING).await, Vec::<String>::new());
}

on_each!(an_empty_database_gets_the_tables_of_the_head_at_once);
async fn an_empty_database_gets_the_tables_of_the_head_at_once(uri: &BackendUri) {
    let done = upgrade(uri, &TRACKING).await.unwrap();
    assert_eq!((done.from, done.applied), (State::Empty, 0));
    assert_eq!(differences(uri, &TRACKING).await, Vec::<String>::new());
    let again = upgrade(uri, &TRACKING).await.unwrap();
    assert_eq!((again.from, again.applied), (State::At(Some(TRACKING.head())), 0));
}

on_each!(every_revision_is_what_its_check_expects_and_the_two_chains_share_a_database);
async fn every_revision_is_what_its_check_expects_and_the_two_chains_share_a_database(uri: &BackendUri) {
    for revision in TRACKING.revisions().step_by(16) {
        upgrade_to(uri, &TRACKING, revision.id).await.unwrap();
        let found = differences(uri, &TRACKING).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("different: revision: {}, expected", revision.id)), "{found:?}");
    }
    upgrade(uri, &TRACKING).await.unwrap();
    upgrade(uri, &AUTH).await.unwrap();
    for chain in [&TRACKING, &AUTH] {
        assert_eq!(differences(uri, chain).await, Vec::<String>::new(), "{}", chain.name);
    }
}

on_each!(a_check_names_what_is_missing_added_and_changed);
async fn a_check_names_what_is_missing_added_and_changed(uri: &BackendUri) {
    upgrade(uri, &TRACKING).await.unwrap();
    run(
        uri,
        "DROP INDEX index_tags_run_uuid; DROP TABLE trace_metrics; ALTER TABLE params ADD COLUMN mine TEXT; \
         CREATE TABLE mine (id INTEGER); CREATE INDEX ff_ours ON runs (name); \
         ALTER TABLE jobs RENAME COLUMN creator TO author",
    )
    .await;
    let found = differences(uri, &TRACKING).await;
    let expected = [
        "missing: column jobs.creator",
        "missing: index tags.index_tags_run_uuid",
        "missing: table trace_metrics",
        "not expected: column jobs.author",
        "not expected: column params.mine",
        "not expected: table mine",
    ];
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!(sorted, expected);
}

on_each!(users_become_tags_and_the_newest_points_become_latest_metrics);
async fn users_become_tags_and_the_newest_points_become_latest_metrics(uri: &BackendUri) {
    // MLflow 0.9 had these tables and no revision.
    upgrade_to(uri, &TRACKING, "451aebb31d03").await.unwrap();
    run(
        uri,
        "DROP TABLE alembic_version; \
         INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'Default', 'active'); \
         INSERT INTO runs (run_uuid, user_id, status, lifecycle_stage, experiment_id) \
         VALUES ('a', 'ada', 'FINISHED', 'active', 0), ('b', 'bob', 'FAILED', 'active', 0), ('c', '', 'RUNNING', 'active', 0); \
         INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.user', 'eve', 'b'); \
         INSERT INTO metrics (key, value, timestamp, run_uuid, step) \
         VALUES ('loss', 1.5, 10, 'a', 0), ('loss', 0.5, 9, 'a', 3), ('loss', 0.25, 9, 'a', 3), ('loss', 9, 8, 'a', 3)",
    )
    .await;
    assert_eq!(migrations::state(uri, &TRACKING).await.unwrap(), State::At(None));
    upgrade(uri, &TRACKING).await.unwrap();
    let tags = "SELECT run_uuid || ' ' || value FROM tags WHERE key = 'mlflow.user' ORDER BY run_uuid";
    let tags =
        db(uri).query(Statement::unscoped(Upkeep::Test, tags, vec![]), |row| row.get::<String>(0)).await.unwrap();
    assert_eq!(tags, ["a ada", "b eve"]);
    let latest =
        "SELECT COUNT(*) FROM latest_metrics WHERE run_uuid = 'a' AND value = 0.5 AND step = 3 AND timestamp = 9";
    assert_eq!(number(uri, latest).await, 1);
    assert_eq!(number(uri, "SELECT COUNT(*) FROM latest_metrics").await, 1);
    assert_eq!(number(uri, "SELECT COUNT(*) FROM metrics").await, 4);
    assert_eq!(differences(uri, &TRACKING).await, Vec::<String>::new());
}

on_each!(what_somebody_added_to_a_table_survives_its_rebuilding);
async fn what_somebody_added_to_a_table_survives_its_rebuilding(uri: &BackendUri) {
    upgrade_to(uri, &TRACKING, "c8d9e0f1a2b3").await.unwrap();
    run(
        uri,
        "ALTER TABLE registered_models ADD COLUMN owner TEXT; CREATE INDEX mine ON registered_models (owner); \
         INSERT INTO registered_models (name, owner) VALUES ('m', 'ada'); \
         INSERT INTO model_versions (name, version) VALUES ('m', 1)",
    )
    .await;
    upgrade(uri, &TRACKING).await.unwrap();
    let kept = "SELECT COUNT(*) FROM registered_models WHERE name = 'm' AND owner = 'ada' AND workspace = 'default'";
    assert_eq!(number(uri, kept).await, 1);
    assert_eq!(
        differences(uri, &TRACKING).await,
        ["not expected: column registered_models.owner", "not expected: index registered_models.mine"]
    );
}

on_each!(a_revision_that_can_not_be_applied_changes_nothing_and_the_same_command_finishes_later);
async fn a_revision_that_can_not_be_applied_changes_nothing_and_the_same_command_finishes_later(uri: &BackendUri) {
    upgrade_to(uri, &TRACKING, "b7e2c1a4d9f3").await.unwrap();
    run(
        uri,
        "INSERT INTO experiments (experiment_id, name) VALUES (0, 'Default'); \
         INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('t', 0, 1, 'OK'); \
         INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content, dimension_attributes) \
         VALUES ('t', 0, 's', 'OK', 1, '{}', '{\"color\": \"red\"}')",
    )
    .await;
    let error = upgrade(uri, &TRACKING).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "revision 75868b020152 (trace analytics in columns) was not applied, the database is still at b7e2c1a4d9f3: \
         spans.dimension_attributes of the span s of the trace t has the key color, for which there is no column"
    );
    assert_eq!(migrations::state(uri, &TRACKING).await.unwrap(), State::At(Some("b7e2c1a4d9f3")));
    assert_eq!(differences(uri, &TRACKING).await.len(), 1);
    run(uri, "UPDATE spans SET dimension_attributes = '{\"mlflow.llm.model\": \"gpt\"}'").await;
    assert_eq!(upgrade(uri, &TRACKING).await.unwrap().applied, 2);
    assert_eq!(number(uri, "SELECT COUNT(*) FROM spans WHERE model_name = 'gpt'").await, 1);
}

on_each!(unknown_later_and_broken_databases_are_refused_with_both_revisions_named);
async fn unknown_later_and_broken_databases_are_refused_with_both_revisions_named(uri: &BackendUri) {
    upgrade_to(uri, &TRACKING, MLFLOW_1_30).await.unwrap();
    let later = upgrade_to(uri, &TRACKING, "451aebb31d03").await.unwrap_err().to_string();
    assert!(later.contains(MLFLOW_1_30) && later.contains("451aebb31d03") && later.contains("no downgrade"), "{later}");

    let target = upgrade_to(uri, &TRACKING, "8606fa83a998").await.unwrap_err();
    assert!(matches!(target, MigrationError::NoSuchTarget { .. }), "{target}");

    run(uri, "ALTER TABLE runs RENAME COLUMN deleted_time TO gone").await;
    let broken = upgrade(uri, &TRACKING).await.unwrap_err().to_string();
    assert!(broken.contains(MLFLOW_1_30) && broken.contains(TRACKING.head()), "{broken}");
    assert!(broken.contains("no column runs.deleted_time"), "{broken}");

    run(uri, "UPDATE alembic_version SET version_num = 'fffffffffff0'").await;
    let unknown = upgrade(uri, &TRACKING).await.unwrap_err().to_string();
    assert!(unknown.contains("fffffffffff0") && unknown.contains(TRACKING.head()), "{unknown}");

    run(uri, "INSERT INTO alembic_version VALUES ('fffffffffff1')").await;
    let several = upgrade(uri, &TRACKING).await.unwrap_err().to_string();
    assert!(several.contains("fffffffffff0 and fffffffffff1") || several.contains("fffffffffff1 and fffffffffff0"));

    run(uri, "DELETE FROM alembic_version").await;
    let lost = upgrade(uri, &TRACKING).await.unwrap_err().to_string();
    assert!(lost.contains("no row in alembic_version"), "{lost}");
}

on_each!(two_upgrades_at_once_apply_every_revision_once);
async fn two_upgrades_at_once_apply_every_revision_once(uri: &BackendUri) {
    upgrade_to(uri, &TRACKING, MLFLOW_1_30).await.unwrap();
    let pending = TRACKING.pending(Some(MLFLOW_1_30)).unwrap();
    let (one, other) = tokio::join!(upgrade(uri, &TRACKING), upgrade(uri, &TRACKING));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.applied + other.applied, pending);
    assert_eq!((one.to, other.to), (TRACKING.head(), TRACKING.head()));
    assert_eq!(differences(uri, &TRACKING).await, Vec::<String>::new());
}

on_each!(two_upgrades_at_once_of_an_empty_database_make_its_tables_once);
async fn two_upgrades_at_once_of_an_empty_database_make_its_tables_once(uri: &BackendUri) {
    let (one, other) = tokio::join!(upgrade(uri, &TRACKING), upgrade(uri, &TRACKING));
    assert_eq!((one.unwrap().to, other.unwrap().to), (TRACKING.head(), TRACKING.head()));
    let (one, other) = tokio::join!(upgrade(uri, &AUTH), upgrade(uri, &AUTH));
    assert_eq!((one.unwrap().to, other.unwrap().to), (AUTH.head(), AUTH.head()));
}

on_each!(a_table_in_use_is_waited_for_and_given_up_in_time);
async fn a_table_in_use_is_waited_for_and_given_up_in_time(uri: &BackendUri) {
    upgrade_to(uri, &TRACKING, MLFLOW_1_30).await.unwrap();
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (is_waiting, waits) = tokio::sync::oneshot::channel();
    let holder = db(uri);
    let held = holder.transaction_once(move |transaction| async move {
        let insert = "INSERT INTO experiments (experiment_id, name) VALUES (7, 'busy')";
        transaction.execute(Statement::unscoped(Upkeep::Test, insert, vec![])).await?;
        locked.send(()).unwrap();
        waits.await.unwrap();
        Ok(())
    });
    let upgrades = async {
        is_locked.await.unwrap();
        let short = Options { lock_timeout: Some(Duration::from_millis(600)), backup: false, to: None };
        let refused = migrations::upgrade(uri, &TRACKING, &short, &mut |_| {}).await.unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, MigrationError::Lock { .. }), "{text}");
        assert!(text.contains(MLFLOW_1_30) && text.contains(TRACKING.head()), "{text}");

        // It continues when the other transaction ends.
        let mut is_waiting = Some(is_waiting);
        let patient = Options { lock_timeout: Some(Duration::from_secs(120)), backup: false, to: None };
        let mut report = |event| {
            if let Event::Waiting { .. } = event
                && let Some(is_waiting) = is_waiting.take()
            {
                let _ = is_waiting.send(());
            }
        };
        migrations::upgrade(uri, &TRACKING, &patient, &mut report).await
    };
    let (held, done) = tokio::join!(held, upgrades);
    held.unwrap();
    assert_eq!(done.unwrap().to, TRACKING.head());
    assert_eq!(number(uri, "SELECT COUNT(*) FROM experiments WHERE name = 'busy'").await, 1);
}

on_each!(a_plan_says_what_would_happen_and_changes_nothing);
async fn a_plan_says_what_would_happen_and_changes_nothing(uri: &BackendUri) {
    upgrade_to(uri, &TRACKING, MLFLOW_1_30).await.unwrap();
    run(uri, "INSERT INTO experiments (experiment_id, name) VALUES (0, 'Default'), (1, 'other')").await;
    let plan = migrations::plan(uri, &TRACKING, None).await.unwrap();
    assert_eq!((plan.current, plan.target), (Some(MLFLOW_1_30), TRACKING.head()));
    let step = |id: &str| plan.steps.iter().find(|step| step.revision == id).unwrap();
    assert_eq!(plan.steps.first().unwrap().revision, "97727af70f4d");
    let creation = step("97727af70f4d");
    assert_eq!((creation.tables[0].name, creation.tables[0].rows), ("experiments", 2));
    assert!(creation.rolling && !creation.rewrites && !creation.locks);
    let workspaces = step("1b5f0d9ad7c1");
    assert!(workspaces.rewrites && workspaces.locks);
    assert!(!step("75868b020152").rolling);
    assert!(step("a5b4c3d2e1f0").locks && step("a5b4c3d2e1f0").rolling);
    assert_eq!(migrations::state(uri, &TRACKING).await.unwrap(), State::At(Some(MLFLOW_1_30)));
    let short = migrations::plan(uri, &TRACKING, Some("97727af70f4d")).await.unwrap();
    assert_eq!(short.steps.len(), 1);
}

on_each!(a_users_database_without_a_revision_keeps_its_permissions_as_roles);
async fn a_users_database_without_a_revision_keeps_its_permissions_as_roles(uri: &BackendUri) {
    upgrade_to(uri, &AUTH, "8606fa83a998").await.unwrap();
    run(
        uri,
        "DROP TABLE alembic_version_auth; \
         INSERT INTO users (username, password_hash) VALUES ('ada', 'x'), ('bob', 'y'); \
         INSERT INTO experiment_permissions (experiment_id, user_id, permission) \
         VALUES ('1', 1, 'EDIT'), ('2', 1, 'NO_PERMISSIONS'), ('1', 2, 'READ'); \
         INSERT INTO registered_model_permissions (name, user_id, permission) VALUES ('m', 2, 'MANAGE')",
    )
    .await;
    let done = upgrade(uri, &AUTH).await.unwrap();
    assert_eq!((done.from, done.applied), (State::At(Some("8606fa83a998")), 6));
    let grants = "SELECT u.username || ' ' || r.name || ' ' || p.resource_type || ' ' || p.resource_pattern || ' ' || p.permission \
                  FROM role_permissions p JOIN roles r ON r.id = p.role_id \
                  JOIN user_role_assignments a ON a.role_id = r.id JOIN users u ON u.id = a.user_id ORDER BY p.id";
    let grants =
        db(uri).query(Statement::unscoped(Upkeep::Test, grants, vec![]), |row| row.get::<String>(0)).await.unwrap();
    assert_eq!(
        grants,
        [
            "ada __user_1__ experiment 1 EDIT",
            "bob __user_2__ experiment 1 READ",
            "bob __user_2__ registered_model m MANAGE"
        ]
    );
    assert_eq!(differences(uri, &AUTH).await, Vec::<String>::new());
}

on_each!(a_role_with_a_reserved_name_that_others_have_is_refused);
async fn a_role_with_a_reserved_name_that_others_have_is_refused(uri: &BackendUri) {
    upgrade_to(uri, &AUTH, "c3d4e5f6a7b8").await.unwrap();
    run(
        uri,
        "INSERT INTO users (username) VALUES ('ada'), ('bob'); \
         INSERT INTO roles (name, workspace) VALUES ('__user_1__', 'default'); \
         INSERT INTO user_role_assignments (user_id, role_id) VALUES (2, 1); \
         INSERT INTO experiment_permissions (experiment_id, user_id, permission) VALUES ('1', 1, 'EDIT')",
    )
    .await;
    let error = upgrade(uri, &AUTH).await.unwrap_err().to_string();
    assert!(error.contains("the role __user_1__ of the workspace default is assigned to other users"), "{error}");
    assert_eq!(number(uri, "SELECT COUNT(*) FROM role_permissions").await, 0);
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_sqlite_file_is_copied_before_its_first_change() {
    let folder = tempfile::tempdir().unwrap();
    let uri = BackendUri::Sqlite(folder.path().join("mlflow.db"));
    upgrade_to(&uri, &TRACKING, MLFLOW_1_30).await.unwrap();
    assert_eq!(files(folder.path()), ["mlflow.db"]);

    let done = migrations::upgrade(&uri, &TRACKING, &Options::default(), &mut |_| {}).await.unwrap();
    let backup = done.backup.unwrap();
    let name = backup.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("mlflow.db.before-cc1f77228345-") && name.ends_with("Z.db"), "{name}");
    assert_eq!(files(folder.path()), ["mlflow.db", name]);
    let copy = BackendUri::Sqlite(backup);
    assert_eq!(migrations::state(&copy, &TRACKING).await.unwrap(), State::At(Some(MLFLOW_1_30)));

    let again = migrations::upgrade(&uri, &TRACKING, &Options::default(), &mut |_| {}).await.unwrap();
    assert_eq!((again.applied, again.backup), (0, None));
}

#[tokio::test]
async fn what_the_reference_left_half_done_on_sqlite_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let uri = BackendUri::Sqlite(folder.path().join("mlflow.db"));
    upgrade_to(&uri, &TRACKING, "bf29a5ff90ea").await.unwrap();
    // Killed in the next revision, whose first statements are committed one by one.
    run(
        &uri,
        "CREATE TABLE secrets (secret_id VARCHAR(36) NOT NULL, secret_name VARCHAR(255) NOT NULL, \
         encrypted_value BLOB NOT NULL, wrapped_dek BLOB NOT NULL, kek_version INTEGER NOT NULL, \
         masked_value VARCHAR(500) NOT NULL, provider VARCHAR(64), auth_config TEXT, description TEXT, \
         created_by VARCHAR(255), created_at BIGINT NOT NULL, last_updated_by VARCHAR(255), last_updated_at BIGINT NOT NULL, \
         CONSTRAINT secrets_pk PRIMARY KEY (secret_id)); \
         CREATE UNIQUE INDEX unique_secret_name ON secrets (secret_name); \
         CREATE TABLE _alembic_tmp_jobs (id VARCHAR(36) NOT NULL)",
    )
    .await;
    upgrade(&uri, &TRACKING).await.unwrap();
    assert_eq!(differences(&uri, &TRACKING).await, Vec::<String>::new());
}
