//! The plans of what reads registered models, their versions, logged models and samples of histories: indexes that end
//! with the page, on tables of some thousand rows, with statistics and without.

use ferroflow_model::messages::service::SearchLoggedModelsOrderBy;
use ferroflow_store::{
    LoggedModelSearch, ModelVersionSearch, RegisteredModelSearch, Scope, Store,
    db::{Statement, Upkeep, Value, dialect::Dialect},
    statements,
};

use crate::support::{
    Here as _, on_each,
    plans::{analyze, series},
};

/// Nothing analyzes the tables by itself.
async fn fill(store: &Store) {
    let dialect = store.db().dialect();
    let each = series(dialect, 6_000);
    let tables = [
        "registered_models",
        "registered_model_tags",
        "model_versions",
        "model_version_tags",
        "logged_models",
        "logged_model_metrics",
        "logged_model_params",
        "logged_model_tags",
        "metrics",
    ];
    let mut sql = String::new();
    if dialect == Dialect::Postgres {
        for table in tables {
            sql += &format!("ALTER TABLE {table} SET (autovacuum_enabled = false);\n");
        }
    }
    sql += &format!(
        "INSERT INTO registered_models (workspace, name, last_updated_time) \
         SELECT 'default', 'model-' || i, i FROM {each};\n\
         INSERT INTO registered_model_tags (workspace, name, key, value) \
         SELECT 'default', 'model-' || i, 'mlflow.prompt.is_prompt', 'true' FROM {each} WHERE i % 2 = 0;\n\
         INSERT INTO registered_models (workspace, name, last_updated_time) VALUES ('default', 'many', 1);\n\
         INSERT INTO model_versions (workspace, name, version, last_updated_time, current_stage, run_id) \
         SELECT 'default', 'many', i, i, CASE WHEN i % 1000 = 7 THEN 'Staging' ELSE 'None' END, 'run-' || (i / 2) FROM {each};\n\
         INSERT INTO model_version_tags (workspace, name, version, key, value) \
         SELECT 'default', 'many', i, 'env', 'prod' FROM {each};\n\
         INSERT INTO runs (run_uuid, lifecycle_stage, experiment_id) VALUES ('run', 'active', 0);\n\
         INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, \
         last_updated_timestamp_ms, status, lifecycle_stage) \
         SELECT 'm-' || i, 0, 'model-' || (i % 100), '', i, i, 1, 'active' FROM {each};\n\
         INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, \
         experiment_id, run_id) SELECT 'm-' || i, 'acc', 1, 1, (i * 7919 % 10007) / 10007.0, 0, 'run' FROM {each};\n\
         INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value) \
         SELECT 'm-' || i, 0, 'p', 'v' || (i % 50) FROM {each};\n\
         INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) \
         SELECT 'm-' || i, 0, 't', 'v' || (i % 50) FROM {each};\n\
         INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) \
         SELECT 'run', 'm' || (i % 2), 1, i, i / 2, FALSE FROM {each};\n"
    );
    store.db().batch(sql).await.unwrap();
}

/// The plan of a static statement.
async fn plan_of(store: &Store, name: &str, values: Vec<Value>) -> String {
    let mut texts = statements::TRACKING.iter().copied().flatten();
    let text = texts.find(|text| text.name.ends_with(name)).expect("a statement");
    let sql = text.expanded(store.db().dialect(), false);
    store.db().explain(Statement::unscoped(Upkeep::Test, sql, values)).await.unwrap().join("\n")
}

fn assert_reads(plan: &str, indexes: &[&str], may_sort: bool, what: &str) {
    for index in indexes {
        assert!(plan.contains(index), "{what}: {index}\n{plan}");
    }
    let sorts = plan.contains("Sort Key") || plan.contains("TEMP B-TREE");
    assert!(may_sort || !sorts, "{what} sorts\n{plan}");
    for line in plan.lines() {
        let line = line.trim_start_matches([' ', '-', '>']);
        let is_table =
            |name: &str| line == format!("SCAN {name}") || line.starts_with(&format!("SCAN {name} USING INDEX"));
        assert!(!line.starts_with("Seq Scan"), "{what}\n{plan}");
        assert!(!["m", "x", "y", "metrics"].into_iter().any(is_table), "{what}\n{plan}");
    }
}

on_each!(models_and_versions_are_read_from_indexes_with_statistics_and_without);
async fn models_and_versions_are_read_from_indexes_with_statistics_and_without(store: &Store) {
    fill(store).await;
    let (here, everything) = (store.here(), Scope::everything());
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        let updated = "last_updated_timestamp DESC".to_owned();
        let of_names = store.db().dialect().pick("registered_model_pk on registered_models x", "SEARCH m USING");
        let prompts = "tags.`mlflow.prompt.is_prompt` = 'true'";
        for (filter, order, index) in [
            ("", vec![updated.clone()], "ff_registered_models_page"),
            (prompts, vec![updated.clone()], "ff_registered_models_page"),
            ("name ILIKE '%EL-1%'", vec![updated], "ff_registered_models_page"),
            ("name ILIKE '%EL-1%'", Vec::new(), of_names),
            ("name LIKE 'model-1%'", vec!["name DESC".to_owned()], of_names),
        ] {
            let mut search =
                RegisteredModelSearch { filter: filter.to_owned(), order_by: order, max_results: 10, page_token: None };
            for _ in 0..2 {
                let plan = here.explain_registered_model_search(&everything, &search).await.unwrap().join("\n");
                assert_reads(&plan, &[index], false, &format!("{has_statistics} {search:?}"));
                let (models, token) = here.search_registered_models(&everything, search.clone()).await.unwrap();
                assert_eq!(models.len(), 10);
                search.page_token = token;
            }
        }
        let search = |filter: &str, run_ids: Option<&[&str]>| ModelVersionSearch {
            filter: filter.to_owned(),
            run_ids: run_ids.map(|ids| ids.iter().map(|&id| id.to_owned()).collect()),
            max_results: 10,
            ..ModelVersionSearch::default()
        };
        for (search, found) in [
            (search("run_id = 'run-7'", None), 2),
            (search("run_id IN ('run-7', 'run-8')", None), 4),
            (search("name = 'many'", Some(&["run-7"])), 2),
            (search("name = 'none' AND run_id = 'run-7'", None), 0),
            (search("run_id = 'run-8'", Some(&["run-7", "run-8"])), 2),
        ] {
            let plan = here.explain_model_version_search(&everything, &search).await.unwrap().join("\n");
            assert_reads(&plan, &["ff_model_versions_run"], true, &format!("{has_statistics} {search:?}"));
            let (versions, _) = here.search_model_versions(&everything, search).await.unwrap();
            assert_eq!(versions.len(), found);
        }
        let latest = plan_of(store, "::LATEST_OF_STAGES", vec![vec!["many".to_owned()].into()]).await;
        assert_reads(&latest, &["ff_model_versions_stage"], true, "the latest versions");
        let latest = here.get_registered_model("many").await.unwrap().latest_versions;
        let latest: Vec<_> = latest.iter().map(|version| (version.current_stage(), version.version())).collect();
        assert_eq!(latest, [("None", "6000"), ("Staging", "5007")]);
    }
}

on_each!(logged_models_are_read_from_indexes_with_statistics_and_without);
async fn logged_models_are_read_from_indexes_with_statistics_and_without(store: &Store) {
    fill(store).await;
    let (here, everything) = (store.here(), Scope::everything());
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        let metric = |ascending| {
            let clause = SearchLoggedModelsOrderBy {
                field_name: Some("metrics.acc".into()),
                ascending: Some(ascending),
                ..Default::default()
            };
            vec![clause]
        };
        for (filter, order_by, index, may_sort) in [
            ("name = 'model-7'", Vec::new(), "ff_logged_models_name", false),
            ("name = 'model-7' AND tags.t LIKE 'v%'", Vec::new(), "ff_logged_models_name", false),
            ("params.p = 'v7'", Vec::new(), "ff_logged_model_params_value", true),
            ("tags.t = 'v7'", Vec::new(), "ff_logged_model_tags_value", true),
            ("tags.t = 'v7' AND params.p != 'v1'", metric(false), "ff_logged_model_tags_value", true),
            ("", metric(false), "ff_logged_model_metrics_value", true),
            ("", metric(true), "ff_logged_model_metrics_value", true),
        ] {
            let mut search = LoggedModelSearch {
                experiment_ids: vec!["0".to_owned()],
                filter: filter.to_owned(),
                datasets: Vec::new(),
                max_results: 10,
                order_by,
                page_token: None,
            };
            for _ in 0..2 {
                let plan = here.explain_logged_model_search(&everything, &search).await.unwrap().join("\n");
                assert_reads(&plan, &[index], may_sort, &format!("{has_statistics} {search:?}"));
                let (models, token) = here.search_logged_models(&everything, search.clone()).await.unwrap();
                assert_eq!(models.len(), 10);
                search.page_token = token;
            }
        }
    }
}

on_each!(histories_of_several_runs_are_read_from_the_index_over_steps);
async fn histories_of_several_runs_are_read_from_the_index_over_steps(store: &Store) {
    fill(store).await;
    let runs: Vec<String> = (0..100).map(|number| format!("run-{number}")).chain(["run".to_owned()]).collect();
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        let values = vec![runs.clone().into(), "m1".into(), 25_000_i64.into()];
        let plan = plan_of(store, "tracking::metrics::BULK", values).await;
        assert_reads(&plan, &["index_metrics_run_uuid_key_step"], true, &format!("{has_statistics}"));
        let found = store.here().get_metric_history_bulk(runs.clone(), "m1", 100).await.unwrap();
        assert_eq!(found.points().filter(|(run, _)| *run == "run").count(), 100);
    }
}

on_each!(samples_of_histories_are_read_from_the_index_over_steps);
async fn samples_of_histories_are_read_from_the_index_over_steps(store: &Store) {
    fill(store).await;
    let of_metric = || -> Vec<Value> { vec!["run".into(), "m1".into()] };
    let range = |rest: &[i64]| -> Vec<Value> {
        let bounds = [i64::MIN, i64::MAX].iter().chain(rest).map(|bound| Value::from(*bound));
        of_metric().into_iter().chain(bounds).collect()
    };
    let statements = match store.db().dialect() {
        Dialect::Postgres => {
            [("metric_samples::READ", range(&[5_000, 100])), ("metric_samples::AT_STEPS", of_metric())]
        }
        Dialect::Sqlite => [("metric_samples::STEPS", range(&[5_000])), ("metric_samples::AT_STEPS", of_metric())],
    };
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        for (name, mut values) in statements.clone() {
            if values.len() == 2 {
                values.push(vec![1_i64, 2].into());
            }
            let plan = plan_of(store, name, values).await;
            assert_reads(&plan, &["index_metrics_run_uuid_key_step"], true, &format!("{has_statistics} {name}"));
        }
    }
}
