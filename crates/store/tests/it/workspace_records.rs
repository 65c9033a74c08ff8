//! Workspaces themselves: their rows, where they keep artifacts, and what is left when one is deleted.

use std::collections::BTreeMap;

use ferroflow_model::{
    ErrorCode,
    evaluation::scorers::Scorer,
    messages::service::{
        Dataset, DatasetInput, InputTag, LoggedModelParameter, LoggedModelTag, Metric, ModelInput, Param, RunTag,
        TraceArchivalConfig, ViewType, Workspace as WorkspaceRecord,
    },
    webhook::EventType,
};
use ferroflow_store::{
    DeletionMode, ExperimentSearch, NewDataset, NewLoggedModel, NewRun, NewWebhook, Scope, Scoped, Store, StoreOptions,
    Workspace, WorkspaceValues,
    db::{BackendUri, DbOptions, Statement, Upkeep, dialect::Dialect},
    schema::SchemaError,
    upkeep::gc::Purgeable,
};

use crate::{
    support::{Fixture, on_each},
    traces::info,
};

/// A store with workspaces.
struct Many(Store);

impl Fixture for Many {
    const TEMPLATE: Option<&str> = Some("workspaces");

    async fn open(uri: &BackendUri) -> Self {
        Self(open(uri, "mlflow-artifacts:/").await.expect("the store opens"))
    }
}

async fn open(uri: &BackendUri, root: &str) -> Result<Store, SchemaError> {
    let db = DbOptions { pool_size: 8, ..DbOptions::default() };
    let options = StoreOptions { artifact_root: root.into(), db, workspaces: true, ..StoreOptions::default() };
    Store::open(uri, options).await
}

pub(crate) async fn create(store: &Store, name: &str) -> Workspace {
    store.create_workspace(name, &WorkspaceValues::default()).await.unwrap();
    store.workspace(name).await.unwrap()
}

pub(crate) async fn location(store: Scoped<'_>, experiment: &str) -> String {
    store.get_experiment(experiment).await.unwrap().artifact_location.unwrap()
}

fn by_name() -> ExperimentSearch {
    ExperimentSearch {
        view: ViewType::All,
        max_results: 100,
        filter: String::new(),
        order_by: vec!["name".into()],
        page_token: None,
    }
}

async fn names(store: Scoped<'_>) -> Vec<String> {
    let (found, _) = store.search_experiments(&Scope::everything(), by_name()).await.unwrap();
    found.into_iter().map(|experiment| experiment.name.unwrap()).collect()
}

pub(crate) fn webhook() -> NewWebhook {
    NewWebhook {
        name: "w".into(),
        url: "https://example.com".into(),
        events: vec![EventType::from_stored("registered_model", "created").unwrap()],
        description: None,
        secret: None,
        status: None,
    }
}

on_each!(a_workspace_is_created_changed_and_listed);
async fn a_workspace_is_created_changed_and_listed(Many(store): &Many) {
    let values = WorkspaceValues {
        description: Some(String::new()),
        default_artifact_root: Some("s3://bucket/team".into()),
        trace_archival_location: Some(String::new()),
        trace_archival_retention: Some("7d".into()),
    };
    let made = store.create_workspace("team-b", &values).await.unwrap();
    assert_eq!((made.name(), made.description.as_deref()), ("team-b", Some("")));
    assert_eq!(made.default_artifact_root(), "s3://bucket/team");
    let archival = TraceArchivalConfig { location: None, retention: Some("7d".into()) };
    assert_eq!(made.trace_archival_config, Some(archival));
    create(store, "team-a").await;
    let taken = store.create_workspace("team-b", &WorkspaceValues::default()).await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::ResourceAlreadyExists);

    let listed = store.list_workspaces().await.unwrap();
    assert_eq!(listed.iter().map(WorkspaceRecord::name).collect::<Vec<_>>(), ["default", "team-a", "team-b"]);
    assert_eq!(listed[0].description(), "Default workspace for legacy resources");
    assert_eq!(listed[2], made);
    assert_eq!(store.get_workspace_record("team-b").await.unwrap(), made);

    let values = WorkspaceValues {
        description: Some("text".into()),
        trace_archival_retention: Some(String::new()),
        ..WorkspaceValues::default()
    };
    let changed = store.update_workspace("team-b", &values).await.unwrap();
    assert_eq!((changed.description(), changed.default_artifact_root()), ("text", "s3://bucket/team"));
    assert_eq!(changed.trace_archival_config, None);
    let values = WorkspaceValues { default_artifact_root: Some(String::new()), ..WorkspaceValues::default() };
    let changed = store.update_workspace("team-b", &values).await.unwrap();
    assert_eq!((changed.description(), changed.default_artifact_root.is_none()), ("text", true));

    for error in [
        store.update_workspace("none", &values).await.unwrap_err(),
        store.get_workspace_record("none").await.unwrap_err(),
        store.workspace("none").await.unwrap_err(),
        store.delete_workspace("none", DeletionMode::Cascade).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::ResourceDoesNotExist, "Workspace 'none' not found")
        );
    }
    let error = store.delete_workspace("default", DeletionMode::Cascade).await.unwrap_err();
    assert_eq!(error.message, "Cannot delete the reserved 'default' workspace");
}

on_each!(artifacts_are_in_the_folder_of_the_workspace);
async fn artifacts_are_in_the_folder_of_the_workspace(Many(store): &Many) {
    let default = store.workspace("default").await.unwrap();
    let here = store.within(&default);
    assert_eq!(location(here, "0").await, "mlflow-artifacts:/workspaces/default/0");
    let team = create(store, "team").await;
    let there = store.within(&team);
    let one = there.create_experiment("one", None, Vec::new()).await.unwrap();
    assert_eq!(location(there, &one).await, format!("mlflow-artifacts:/workspaces/team/{one}"));
    assert_eq!(there.artifact_root().await.unwrap(), ("mlflow-artifacts:/workspaces/team".to_owned(), true));

    let own = WorkspaceValues { default_artifact_root: Some("s3://b/r?x=y".into()), ..WorkspaceValues::default() };
    store.update_workspace("team", &own).await.unwrap();
    let two = there.create_experiment("two", None, Vec::new()).await.unwrap();
    assert_eq!(location(there, &two).await, format!("s3://b/r/{two}?x=y"));
    assert_eq!(there.artifact_root().await.unwrap(), ("s3://b/r?x=y".to_owned(), false));
    assert_eq!(location(there, &one).await, format!("mlflow-artifacts:/workspaces/team/{one}"));

    let refused = there.create_experiment("", Some("s3://b/custom".into()), Vec::new()).await.unwrap_err();
    assert_eq!(refused.message, "artifact_location cannot be specified when workspaces are enabled");

    // Without conditions it would reach the data of all workspaces.
    let only = store.within(Workspace::only());
    assert!(only.get_experiment(&one).await.is_err());
    assert_eq!(names(only).await, ["Default"]);
    assert_eq!(store.default_workspace(), &default);
}

on_each!(the_default_workspace_may_have_a_root_of_its_own);
async fn the_default_workspace_may_have_a_root_of_its_own(uri: &BackendUri) {
    let store = open(uri, "s3://b/root").await.unwrap();
    store.db().batch("DELETE FROM experiments; DELETE FROM workspaces".into()).await.unwrap();
    store.close().await.unwrap();
    let store = open(uri, "s3://b/root").await.unwrap();
    let default = store.workspace("default").await.unwrap();
    assert_eq!(location(store.within(&default), "0").await, "s3://b/root/workspaces/default/0");
    let own = WorkspaceValues { default_artifact_root: Some("s3://own".into()), ..WorkspaceValues::default() };
    store.update_workspace("default", &own).await.unwrap();
    store.db().batch("DELETE FROM experiments".into()).await.unwrap();
    store.close().await.unwrap();
    let store = open(uri, "s3://b/root").await.unwrap();
    assert_eq!(location(store.within(&default), "0").await, "s3://own/0");
    store.close().await.unwrap();

    for (root, words) in [
        ("s3://b/workspaces/", "ends with the reserved 'workspaces' segment"),
        ("mlflow-artifacts:/workspaces/team", "already scoped under the reserved 'workspaces/<name>' prefix"),
        ("/srv/workspaces", "ends with the reserved"),
    ] {
        let Err(SchemaError::Refused(reason)) = open(uri, root).await else { panic!("{root}") };
        assert!(reason.contains(words) && reason.contains(root), "{reason}");
    }
}

/// Fills every table with rows of a workspace.
async fn fill(all: &Store, workspace: &Workspace) {
    let (store, name) = (all.within(workspace), workspace.name());
    store.generate_demo(None).await.unwrap();
    store.create_webhook(webhook()).await.unwrap();
    let gone = store.create_webhook(webhook()).await.unwrap();
    store.delete_webhook(gone.webhook_id()).await.unwrap();
    store.create_registered_model("m", "", &[]).await.unwrap();
    let experiment = store.create_experiment("e", None, Vec::new()).await.unwrap();
    let new = NewRun { experiment_id: experiment.clone(), ..NewRun::default() };
    let run = store.create_run(new).await.unwrap().info.unwrap().run_id.unwrap();
    let metric = |key: &str, model: Option<&String>| Metric {
        key: Some(key.into()),
        value: Some(1.0),
        timestamp: Some(1),
        step: Some(1),
        model_id: model.cloned(),
        ..Metric::default()
    };
    let text = |text: &str| Some(text.to_owned());
    let model = NewLoggedModel {
        experiment_id: experiment.clone(),
        source_run_id: run.clone(),
        params: vec![LoggedModelParameter { key: text("p"), value: text("1") }],
        tags: vec![LoggedModelTag { key: text("t"), value: text("1") }],
        ..NewLoggedModel::default()
    };
    let model = store.create_logged_model(model).await.unwrap().info.unwrap().model_id.unwrap();
    let (params, tags) =
        (vec![Param { key: text("p"), value: text("1") }], vec![RunTag { key: text("t"), value: text("1") }]);
    store.log_batch(&run, vec![metric("m", None), metric("n", Some(&model))], params, tags).await.unwrap();
    let dataset = Dataset {
        name: text("d"),
        digest: text("1"),
        source_type: text("local"),
        source: text("{}"),
        ..Dataset::default()
    };
    let tags = vec![InputTag { key: text("mlflow.data.context"), value: text("train") }];
    let inputs = vec![DatasetInput { tags, dataset: Some(dataset) }];
    store.log_inputs(&run, inputs, vec![ModelInput { model_id: Some(model) }]).await.unwrap();
    store.start_trace(info(&format!("tr-{name}"), &experiment)).await.unwrap();
    store.register_scorer(&experiment, "s", "{}", &Scorer::parse("{}").unwrap()).await.unwrap();
    store.set_online_scoring(&experiment, "s", 0.0, None).await.unwrap();
    let sql = format!(
        "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, kek_version, masked_value, \
         created_at, last_updated_at, workspace) VALUES ('s-{name}', 's', '', '', 1, '', 1, 1, '{name}'); \
         INSERT INTO model_definitions (model_definition_id, name, secret_id, provider, model_name, created_at, \
         last_updated_at, workspace) VALUES ('d-{name}', 'd', 's-{name}', 'p', 'm', 1, 1, '{name}'); \
         INSERT INTO endpoints (endpoint_id, name, created_at, last_updated_at, experiment_id, workspace) \
         VALUES ('e-{name}', 'e', 1, 1, {experiment}, '{name}'); \
         INSERT INTO endpoint_model_mappings (mapping_id, endpoint_id, model_definition_id, weight, created_at) \
         VALUES ('m-{name}', 'e-{name}', 'd-{name}', 1, 1); \
         INSERT INTO endpoint_tags (key, value, endpoint_id) VALUES ('k', 'v', 'e-{name}'); \
         INSERT INTO endpoint_bindings (endpoint_id, resource_type, resource_id, created_at, last_updated_at) \
         SELECT 'e-{name}', 'scorer', scorer_id, 1, 1 FROM scorers JOIN experiments USING (experiment_id) \
         WHERE workspace = '{name}'; \
         INSERT INTO guardrails (guardrail_id, name, scorer_id, scorer_version, stage, action, created_at, \
         last_updated_at, workspace) SELECT 'g-{name}', 'g', v.scorer_id, v.scorer_version, 's', 'a', 1, 1, '{name}' \
         FROM scorer_versions v JOIN scorers USING (scorer_id) JOIN experiments USING (experiment_id) \
         WHERE workspace = '{name}' LIMIT 1; \
         INSERT INTO guardrail_configs (endpoint_id, guardrail_id, created_at, workspace) \
         VALUES ('e-{name}', 'g-{name}', 1, '{name}'); \
         INSERT INTO budget_policies (budget_policy_id, budget_unit, budget_amount, duration_unit, duration_value, \
         target_scope, budget_action, created_at, last_updated_at, workspace) \
         VALUES ('b-{name}', 'USD', 1, 'DAYS', 1, 'GLOBAL', 'ALERT', 1, 1, '{name}'); \
         INSERT INTO jobs (id, creation_time, job_name, params, status, retry_count, last_update_time, workspace) \
         VALUES ('j-{name}', 1, 'j', '', 3, 0, 1, '{name}'); \
         INSERT INTO job_locks (lock_key, job_id, acquired_at) VALUES ('l-{name}', 'j-{name}', 1); \
         INSERT INTO mcp_servers (workspace, name, created_at, last_updated_at) VALUES ('{name}', 'm', 1, 1); \
         INSERT INTO mcp_server_tags (workspace, name, key) VALUES ('{name}', 'm', 'k'); \
         INSERT INTO trace_metrics (request_id, key, value) VALUES ('tr-{name}', 'k', 1); \
         INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) \
         VALUES ('tr-{name}', {experiment}, 'a', 'OK', 1, '{{}}'); \
         INSERT INTO span_metrics (trace_id, span_id, key, value) VALUES ('tr-{name}', 'a', 'k', 1); \
         INSERT INTO sql_trace_metric_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, \
         sample_count) VALUES ({experiment}, '2025-01-01', 'm', 'g', 1); \
         INSERT INTO sql_span_cost_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, sample_count) \
         VALUES ({experiment}, '2025-01-01', 'm', 'g', 1); \
         INSERT INTO sql_assessment_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, \
         sample_count) VALUES ({experiment}, '2025-01-01', 'm', 'g', 1); \
         INSERT INTO sql_trace_rollup_rebuild_queue (experiment_id, rollup_day, rollup_family) \
         VALUES ({experiment}, '2025-01-01', 'trace_metric')"
    );
    all.db().batch(sql).await.unwrap();
}

/// The number of rows of each table.
async fn rows(store: &Store) -> BTreeMap<&'static str, i64> {
    let schema = include_str!("../../src/schema/postgres.sql");
    let tables = schema.split("CREATE TABLE ").skip(1).map(|table| table.split(' ').next().unwrap());
    let mut counts = BTreeMap::new();
    for table in tables.chain(["ff_webhook_deliveries"]) {
        let statement = Statement::unscoped(Upkeep::Test, format!("SELECT count(*) FROM {table}"), Vec::new());
        counts.insert(table, store.db().query(statement, |row| row.get(0)).await.unwrap()[0]);
    }
    counts
}

on_each!(a_workspace_is_deleted_with_everything_in_it);
async fn a_workspace_is_deleted_with_everything_in_it(Many(store): &Many) {
    let default = store.workspace("default").await.unwrap();
    fill(store, &default).await;
    let before = rows(store).await;
    let empty: Vec<_> = before.iter().filter(|(_, count)| **count == 0).map(|(table, _)| *table).collect();
    // Nothing fills these: the server does not serve them, and their rows are deleted by foreign keys.
    let by_keys = ["mcp_access_endpoints", "mcp_server_aliases", "mcp_server_version_tags", "mcp_server_versions"];
    let filled: Vec<_> = empty.iter().filter(|table| !by_keys.contains(table)).collect();
    assert_eq!(filled, [&"scheduler_leases"], "tables that the test does not fill");

    let team = create(store, "team").await;
    fill(store, &team).await;
    let refused = store.delete_workspace("team", DeletionMode::Restrict).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidState);
    assert!(refused.message.starts_with("Cannot delete workspace 'team': table 'registered_models' still contains"));
    let both = rows(store).await;
    store.delete_workspace("team", DeletionMode::Cascade).await.unwrap();
    assert_ne!(both, before);
    assert_eq!(rows(store).await, before);
    let gc = store.unscoped(Upkeep::Test);
    for what in [Purgeable::Runs, Purgeable::LoggedModels, Purgeable::Experiments] {
        assert!(gc.purgeable(what, None, i64::MAX, None).await.unwrap().is_empty(), "{what:?}");
    }
    assert!(store.workspace("team").await.is_err());
    let error = store.within(&team).create_experiment("late", None, Vec::new()).await.unwrap_err();
    assert_eq!(error.message, "Workspace 'team' not found");
}

on_each!(the_resources_of_a_workspace_move_to_the_default_one);
async fn the_resources_of_a_workspace_move_to_the_default_one(Many(store): &Many) {
    let default = store.workspace("default").await.unwrap();
    let team = create(store, "team").await;
    fill(store, &team).await;
    let here = store.within(&default);
    here.create_experiment("e", None, Vec::new()).await.unwrap();
    here.create_registered_model("m", "", &[]).await.unwrap();
    here.create_dataset(&NewDataset { name: "set".into(), ..Default::default() }).await.unwrap();
    let refused = store.delete_workspace("team", DeletionMode::SetDefault).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidState);
    assert_eq!(
        refused.message,
        "Cannot reassign resources from workspace 'team' to 'default': the following names already exist in the default \
         workspace and would cause conflicts:\n  - registered_models: 'm'\n  - experiments: 'e'\nRename or remove the \
         conflicting resources before retrying."
    );
    assert!(names(store.within(&team)).await.contains(&"e".to_owned()));

    let team_rows = rows(store).await;
    let experiment = here.get_experiment_by_name("e").await.unwrap().unwrap();
    here.rename_experiment(experiment.experiment_id(), "other").await.unwrap();
    here.delete_registered_model("m").await.unwrap();
    store.delete_workspace("team", DeletionMode::SetDefault).await.unwrap();
    let mut expected = team_rows;
    *expected.get_mut("workspaces").unwrap() -= 1;
    *expected.get_mut("registered_models").unwrap() -= 1;
    assert_eq!(rows(store).await, expected);
    let elsewhere = [
        "registered_models",
        "registered_model_tags",
        "registered_model_aliases",
        "model_versions",
        "model_version_tags",
        "experiments",
        "evaluation_datasets",
        "webhooks",
        "secrets",
        "endpoints",
        "model_definitions",
        "budget_policies",
        "guardrails",
        "guardrail_configs",
        "jobs",
        "mcp_servers",
        "mcp_server_tags",
    ];
    for table in elsewhere {
        let sql = format!("SELECT count(*) FROM {table} WHERE workspace <> 'default'");
        let statement = Statement::unscoped(Upkeep::Test, sql, Vec::new());
        assert_eq!(store.db().query(statement, |row| row.get::<i64>(0)).await.unwrap(), [0], "{table}");
    }
    assert_eq!(names(here).await, ["Default", "MLflow Demo", "e", "other"]);
    assert_eq!(here.get_registered_model("m").await.unwrap().name(), "m");
}

on_each!(an_empty_workspace_is_deleted);
async fn an_empty_workspace_is_deleted(Many(store): &Many) {
    let team = create(store, "team").await;
    let there = store.within(&team);
    let webhook = there.create_webhook(webhook()).await.unwrap();
    let experiment = there.create_experiment("e", None, Vec::new()).await.unwrap();
    let refused = store.delete_workspace("team", DeletionMode::Restrict).await.unwrap_err();
    assert_eq!(
        refused.message,
        "Cannot delete workspace 'team': table 'experiments' still contains 1 resource(s). Remove or reassign them before \
         deleting the workspace."
    );
    there.delete_experiment(&experiment).await.unwrap();
    assert!(store.delete_workspace("team", DeletionMode::Restrict).await.is_err());
    let gc = store.unscoped(Upkeep::Test);
    gc.purge_experiment(experiment.parse().unwrap(), i64::MAX, async |_| Ok(())).await.unwrap();
    let refused = store.delete_workspace("team", DeletionMode::Restrict).await.unwrap_err();
    assert!(refused.message.contains("table 'webhooks' still contains 1 resource(s)"));
    // Nothing but the deletion of the workspace deletes the row of a webhook.
    there.delete_webhook(webhook.webhook_id()).await.unwrap();
    store.delete_workspace("team", DeletionMode::Restrict).await.unwrap();
    assert!(store.workspace("team").await.is_err());
    create(store, "team").await;
    assert_eq!(names(there).await, [""; 0]);
}

on_each!(nothing_is_created_in_a_workspace_that_is_deleted, flavor = "multi_thread");
async fn nothing_is_created_in_a_workspace_that_is_deleted(Many(store): &Many) {
    race_a_deletion(store).await;
}

/// Creates things in a workspace while it is deleted, and finds none of them afterwards.
pub(crate) async fn race_a_deletion(store: &Store) {
    for (round, mode) in
        [DeletionMode::Cascade, DeletionMode::SetDefault, DeletionMode::Cascade].into_iter().enumerate()
    {
        let name = format!("team-{round}");
        let team = &create(store, &name).await;
        let there = store.within(team);
        let experiment = there.create_experiment(&format!("first-{round}"), None, Vec::new()).await.unwrap();
        let creators = (0..8).map(|number| {
            let experiment = experiment.clone();
            async move {
                let unique = format!("{round}-{number}");
                let run = NewRun { experiment_id: experiment, ..NewRun::default() };
                let outcomes = tokio::join!(
                    there.create_experiment(&unique, None, Vec::new()),
                    there.create_registered_model(&unique, "", &[]),
                    there.create_webhook(webhook()),
                    there.create_run(run),
                );
                for error in
                    [outcomes.0.err(), outcomes.1.err(), outcomes.2.err(), outcomes.3.err()].into_iter().flatten()
                {
                    assert!(matches!(error.code, ErrorCode::ResourceDoesNotExist | ErrorCode::BadRequest), "{error}");
                }
            }
        });
        let delete = store.delete_workspace(&name, mode);
        let (deleted, _) = tokio::join!(delete, futures_util::future::join_all(creators));
        deleted.unwrap();
        for table in ["experiments", "registered_models", "webhooks"] {
            let sql = format!("SELECT count(*) FROM {table} WHERE workspace = '{name}'");
            let statement = Statement::unscoped(Upkeep::Test, sql, Vec::new());
            assert_eq!(store.db().query(statement, |row| row.get::<i64>(0)).await.unwrap(), [0], "{table}");
        }
    }
}

on_each!(a_deletion_elsewhere_is_seen);
async fn a_deletion_elsewhere_is_seen(Many(store): &Many) {
    let team = create(store, "team").await;
    // As another server does it.
    store.db().batch("DELETE FROM workspaces WHERE name = 'team'".into()).await.unwrap();
    let there = store.within(&team);
    assert!(there.create_experiment("late", None, Vec::new()).await.is_err());
    assert!(there.create_registered_model("late", "", &[]).await.is_err());
    assert!(there.create_webhook(webhook()).await.is_err());
    assert!(there.create_dataset(&NewDataset { name: "late".into(), ..Default::default() }).await.is_err());
    // An adopted workspace gets a row.
    assert_eq!(store.adopt_workspace("other").await.unwrap().name(), "other");
    assert_eq!(store.adopt_workspace("other").await.unwrap(), store.workspace("other").await.unwrap());
    assert_eq!(store.list_workspaces().await.unwrap().len(), 2);
}

on_each!(events_name_their_workspace);
async fn events_name_their_workspace(Many(store): &Many) {
    let team = create(store, "team").await;
    let there = store.within(&team);
    there.create_webhook(webhook()).await.unwrap();
    there.create_registered_model("m", "", &[]).await.unwrap();
    let upkeep = store.unscoped(Upkeep::Test);
    let deliveries = upkeep.claim_deliveries(9, std::time::Duration::from_secs(60)).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(&deliveries[0].body).unwrap();
    assert_eq!((deliveries.len(), &body["workspace"], &body["data"]["name"]), (1, &"team".into(), &"m".into()));
}

on_each!(archival_knows_the_workspace);
async fn archival_knows_the_workspace(Many(store): &Many) {
    let team = create(store, "team").await;
    let there = store.within(&team);
    let experiment = there.create_experiment("e", None, Vec::new()).await.unwrap();
    let upkeep = store.unscoped(Upkeep::Test);
    let tags = upkeep.archival_tags().await.unwrap();
    let found: Vec<_> = tags.iter().map(|tags| (tags.experiment_id.to_string(), tags.workspace.as_str())).collect();
    assert_eq!(found, [("0".to_owned(), "default"), (experiment.clone(), "team")]);
    let sql = format!(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('t', {experiment}, 1, 'OK'); \
         INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) \
         VALUES ('t', {experiment}, 'a', 'OK', 1, '{{}}')"
    );
    store.db().batch(sql).await.unwrap();
    let mut seen = String::new();
    let outcome = upkeep.archive_trace("t", |spans| {
        seen = spans.workspace;
        async { Ok(Some("file:///archive".into())) }
    });
    outcome.await.unwrap();
    assert_eq!(seen, "team");
}

on_each!(a_thousand_workspaces_do_not_slow_one_down);
async fn a_thousand_workspaces_do_not_slow_one_down(Many(store): &Many) {
    let sql = match store.db().dialect() {
        Dialect::Postgres => {
            "INSERT INTO workspaces (name) SELECT 'w' || n FROM generate_series(1, 300) n; \
             INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time, \
             workspace) SELECT 'e' || x, 's3://b', 'active', x, x, 'w' || n \
             FROM generate_series(1, 300) n, generate_series(1, 30) x"
        }
        Dialect::Sqlite => {
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 300) \
             INSERT INTO workspaces (name) SELECT 'w' || n FROM s; \
             WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 300), \
             t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t WHERE x < 30) \
             INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time, \
             workspace) SELECT 'e' || x, 's3://b', 'active', x, x, 'w' || n FROM s, t"
        }
    };
    store.db().batch(sql.into()).await.unwrap();
    let workspace = store.workspace("w7").await.unwrap();
    let there = store.within(&workspace);
    assert_eq!(names(there).await.len(), 30);
    let plan = there.explain_experiment_search(&Scope::everything(), &by_name()).await.unwrap().join("\n");
    let indexes = ["idx_experiments_workspace", "uq_experiments_workspace_name", "(workspace=?)"];
    assert!(indexes.iter().any(|index| plan.contains(index)) && !plan.contains("Seq Scan"), "{plan}");
}
