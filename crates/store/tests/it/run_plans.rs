//! The plans of searches: indexes that end with the page, on tables of some ten thousand rows, with statistics and without.

use ferroflow_model::messages::service::ViewType;
use ferroflow_store::{
    ExperimentSearch, LoggedModelSearch, ModelVersionSearch, RegisteredModelSearch, RunReach, RunSearch, Scope, Store,
    db::dialect::Dialect,
    schema::tune::{self, Extra},
};

use crate::support::{
    Here as _, on_each,
    plans::{analyze, series},
};

const RUNS: u32 = 12_000;

/// Runs with metrics, params and tags, logged models, and versions of a model. Nothing analyzes them.
async fn fill(store: &Store) {
    let dialect = store.db().dialect();
    let (runs, few) = (series(dialect, RUNS), series(dialect, 6_000));
    let id = dialect.pick("md5(i::text)", "printf('%032x', i)");
    let tables = ["runs", "latest_metrics", "params", "tags", "logged_models", "model_versions", "model_version_tags"];
    let mut sql = String::new();
    if dialect == Dialect::Postgres {
        for table in tables {
            sql += &format!("ALTER TABLE {table} SET (autovacuum_enabled = false);\n");
        }
    }
    sql += "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active');\n";
    sql += &format!(
        "INSERT INTO runs (run_uuid, name, status, user_id, start_time, end_time, lifecycle_stage, experiment_id) \
         SELECT {id}, 'run-' || i, CASE WHEN i <= 60 THEN 'KILLED' ELSE 'FINISHED' END, 'user-' || (i % 7), i, \
         CASE WHEN i % 5 = 0 THEN NULL ELSE i + i * 7919 % 10007 END, 'active', CASE WHEN i % 40 = 0 THEN 7 ELSE 0 END \
         FROM {runs};\n"
    );
    for key in ["a", "b"] {
        sql += &format!(
            "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan) \
             SELECT {id}, 'm{key}', (i * 7919 % 10007) / 10007.0, 1, 1, FALSE FROM {runs};\n\
             INSERT INTO params (run_uuid, key, value) SELECT {id}, 'p{key}', 'v' || (i % 2) FROM {runs};\n\
             INSERT INTO tags (run_uuid, key, value) SELECT {id}, 't{key}', 'v' || (i % 2000) FROM {runs};\n"
        );
    }
    sql +=
        &format!("INSERT INTO tags (run_uuid, key, value) SELECT {id}, 'mlflow.runName', 'run-' || i FROM {runs};\n");
    sql += &format!(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, \
         last_updated_timestamp_ms, status, lifecycle_stage) \
         SELECT 'm-' || i, i % 2 * 7, 'model', '', i, i, 1, 'active' FROM {few};\n\
         INSERT INTO registered_models (name, workspace) VALUES ('one', 'default'), ('two', 'default');\n\
         INSERT INTO registered_models (name, workspace) SELECT 'model-' || i, 'default' FROM {few};\n\
         INSERT INTO registered_model_tags (workspace, name, key, value) \
         SELECT 'default', 'model-' || i, 'team', 'team-' || (i % 7) FROM {few};\n\
         INSERT INTO experiments (experiment_id, name, creation_time, lifecycle_stage, workspace) \
         SELECT 1000 + i, 'e' || i, i, 'active', 'default' FROM {few};\n\
         INSERT INTO model_versions (workspace, name, version, last_updated_time, current_stage) \
         SELECT 'default', CASE WHEN i % 2 = 0 THEN 'one' ELSE 'two' END, i, i, 'None' FROM {few};\n\
         INSERT INTO model_version_tags (workspace, name, version, key, value) \
         SELECT 'default', CASE WHEN i % 2 = 0 THEN 'one' ELSE 'two' END, i, 'env', 'prod' FROM {few};\n"
    );
    store.db().batch(sql).await.unwrap();
    with_extras(store).await;
}

/// Creates the indexes that are not created by themselves.
async fn with_extras(store: &Store) {
    let plan = tune::plan(store.db(), &Extra::ALL).await.unwrap();
    let mut expected = vec![
        "ff_latest_metrics_value",
        "ff_tags_run_name_trigrams",
        "ff_runs_end_time",
        "ff_runs_name",
        "ff_runs_status",
        "ff_runs_user",
        "ff_params_long",
        "ff_tags_long",
        "ff_runs_ended_before_start",
    ];
    if store.db().dialect() == Dialect::Sqlite {
        expected.retain(|name| !name.starts_with("ff_tags") && !name.starts_with("ff_params"));
    }
    assert_eq!(plan.iter().map(|index| index.name).collect::<Vec<_>>(), expected);
    for index in plan {
        tune::create(store.db(), &index, |_, _| ()).await.unwrap();
    }
}

fn search(experiments: &[&str], filter: &str, order: &[&str]) -> RunSearch {
    RunSearch {
        experiment_ids: experiments.iter().map(|&id| id.to_owned()).collect(),
        filter: filter.to_owned(),
        view: ViewType::ActiveOnly,
        max_results: 100,
        order_by: order.iter().map(|&clause| clause.to_owned()).collect(),
        page_token: None,
    }
}

/// A search for runs, and the indexes that serve it.
fn searches() -> Vec<(RunSearch, &'static [&'static str])> {
    let all = RunSearch { view: ViewType::All, ..search(&["0"], "", &[]) };
    vec![
        (search(&["0"], "", &[]), &["ff_runs_page"]),
        (search(&["0", "7"], "", &[]), &["ff_runs_page"]),
        (all, &["ff_runs_page"]),
        (search(&["0"], "", &["attributes.start_time ASC"]), &["ff_runs_page"]),
        (search(&["0"], "attributes.start_time > 11990", &[]), &["ff_runs_page"]),
        (search(&["0"], "params.pa = 'v1'", &[]), &["ff_params_value", "ff_runs_page"]),
        (search(&["0", "7"], "params.pa = 'v1' AND metrics.ma > 0.5", &[]), &["ff_params_value", "ff_runs_page"]),
        (search(&["0"], "metrics.ma > 0.5", &[]), &["ff_latest_metrics_value", "ff_runs_page"]),
        (search(&["0"], "metrics.ma > 0.9999", &[]), &["ff_latest_metrics_value"]),
        (search(&["0"], "tags.ta = 'v5'", &[]), &["ff_tags_value"]),
        (search(&["0"], "tags.ta = 'v5'", &["metrics.ma DESC"]), &["ff_tags_value"]),
        (search(&["0"], "attributes.run_name = 'run-7'", &[]), &["ff_tags_value"]),
        (search(&["0"], "attributes.run_id = 'x'", &[]), &[]),
        (search(&["0"], "", &["metrics.ma DESC"]), &["ff_latest_metrics_value"]),
        (search(&["0"], "", &["metrics.ma ASC", "attributes.start_time DESC"]), &["ff_latest_metrics_value"]),
        // Each index on the order of runs has all runs of an experiment.
        (search(&["7"], "", &["metrics.ma DESC"]), &["ff_runs_"]),
    ]
}

/// Whether a plan reads a whole table.
fn reads_a_table(plan: &str) -> bool {
    let of_table = |line: &str| {
        let line = line.trim_start_matches([' ', '-', '>']);
        line.starts_with("Seq Scan on ")
            || line.starts_with("Parallel Seq Scan on ")
            || (line.starts_with("SCAN ")
                && ["runs", " r", " m", " v", "latest_metrics", "params", "tags"]
                    .iter()
                    .any(|table| line.trim_start_matches("SCAN ").split(' ').next() == Some(table.trim_start()))
                && !line.contains("INDEX ff_"))
    };
    plan.lines().any(of_table)
}

/// A search for runs in the order of a column, or for those with a value, and the index that serves it.
fn ordered() -> Vec<(RunSearch, &'static str)> {
    let all = |order| RunSearch { view: ViewType::All, ..search(&["0", "7"], "", &[order]) };
    vec![
        (search(&["0"], "", &["attributes.end_time DESC"]), "ff_runs_end_time"),
        (search(&["0"], "", &["attributes.end_time ASC", "metrics.ma DESC"]), "ff_runs_end_time"),
        (search(&["0"], "", &["attributes.run_name ASC"]), "ff_runs_name"),
        (search(&["0"], "params.pa = 'v1'", &["attributes.run_name DESC"]), "ff_runs_name"),
        (search(&["0"], "", &["attributes.status ASC"]), "ff_runs_status"),
        (search(&["0"], "", &["attributes.status DESC"]), "ff_runs_status"),
        (search(&["0"], "", &["attributes.user_id DESC"]), "ff_runs_user"),
        (all("attributes.user_id ASC"), "ff_runs_user"),
        (all("attributes.end_time DESC"), "ff_runs_end_time"),
        (search(&["0"], "attributes.status = 'KILLED'", &[]), "ff_runs_status"),
        (search(&["0", "7"], "attributes.status = 'KILLED' AND tags.ta != 'v5'", &[]), "ff_runs_status"),
        (search(&["0"], "attributes.user_id = 'user-3'", &["attributes.start_time ASC"]), "ff_runs_user"),
    ]
}

on_each!(orders_of_runs_are_walks_with_statistics_and_without);
async fn orders_of_runs_are_walks_with_statistics_and_without(store: &Store) {
    fill(store).await;
    let of_postgres = [
        (search(&["0"], "", &["params.pa ASC"]), "ff_params_value"),
        (search(&["0"], "", &["tags.ta DESC"]), "ff_tags_value"),
        (search(&["0"], "metrics.ma > 0.5", &["tags.`mlflow.runName` ASC"]), "ff_tags_value"),
    ];
    let mut searches = ordered();
    if store.db().dialect() == Dialect::Postgres {
        searches.extend(of_postgres);
    }
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        for (search, index) in &searches {
            let (runs, token) = store.here().search_runs(&Scope::everything(), search.clone()).await.unwrap();
            assert!(runs.len() > 50, "{search:?}");
            let next = token.map(|token| RunSearch { page_token: Some(token), ..search.clone() });
            for search in [Some(search.clone()), next].into_iter().flatten() {
                let explained = store.here().explain_run_search(&Scope::everything(), &search).await.unwrap();
                let plan = explained.join("\n");
                assert!(!reads_a_table(&plan), "{has_statistics} {search:?}\n{plan}");
                assert!(plan.contains(index), "{has_statistics} {index} {search:?}\n{plan}");
                // Any other way to the runs reads them in the order of their start, or by a hash table.
                let is_walk = index.starts_with("ff_runs") && !search.filter.contains("params");
                assert!(!is_walk || !plan.contains("ff_runs_page"), "{has_statistics} {search:?}\n{plan}");
                assert!(!plan.contains("Hash Join"), "{has_statistics} {search:?}\n{plan}");
            }
        }
    }
}

on_each!(runs_that_ended_before_a_time_began_before_it);
async fn runs_that_ended_before_a_time_began_before_it(store: &Store) {
    fill(store).await;
    let explain = async || {
        let search = search(&["0"], "attributes.end_time < 3000", &[]);
        let (runs, _) = store.here().search_runs(&Scope::everything(), search.clone()).await.unwrap();
        assert_eq!(runs.len(), 100);
        store.here().explain_run_search(&Scope::everything(), &search).await.unwrap().join("\n")
    };
    let bound = store.db().dialect().pick("<= '3000'::bigint", "<expr>");
    let plan = explain().await;
    assert!(plan.contains("ff_runs_page") && plan.contains(bound), "{plan}");
    let early = "UPDATE runs SET end_time = 1 WHERE start_time = 11999";
    store.db().batch(early.to_owned()).await.unwrap();
    let plan = explain().await;
    assert!(!plan.contains(bound), "{plan}");
}

on_each!(searches_for_runs_read_indexes_with_statistics_and_without);
async fn searches_for_runs_read_indexes_with_statistics_and_without(store: &Store) {
    fill(store).await;
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        for (search, indexes) in searches() {
            let (_, token) = store.here().search_runs(&Scope::everything(), search.clone()).await.unwrap();
            let next = token.map(|token| RunSearch { page_token: Some(token), ..search.clone() });
            for search in [Some(search), next].into_iter().flatten() {
                let plan = store.here().explain_run_search(&Scope::everything(), &search).await.unwrap().join("\n");
                assert!(!reads_a_table(&plan), "{has_statistics} {search:?}\n{plan}");
                for index in indexes {
                    assert!(plan.contains(index), "{has_statistics} {index} {search:?}\n{plan}");
                }
            }
        }
    }
}

/// A search for runs of which no attempt fills the page, how far it goes in each, and what is in its plans: in PostgreSQL,
/// and in SQLite, which plans some itself.
type Rare = (RunSearch, Vec<RunReach>, &'static [&'static str], &'static [&'static str]);

fn rare() -> Vec<Rare> {
    let reach = |rows, runs| RunReach { rows, runs };
    let none = vec![reach(0, 1)];
    let listed: &[&str] = &["hashed SubPlan", "ff_params_value", "ff_runs_page"];
    vec![
        (search(&["0"], "params.pa = 'v1'", &[]), vec![reach(0, 1), reach(20_000, 1)], listed, &["ff_params_value"]),
        (search(&["0"], "attributes.run_name LIKE '%n-1234%'", &[]), none.clone(), &["ff_tags_run_name_trigrams"], &[]),
        (
            search(&["0"], "attributes.run_name ILIKE '%N-1234%'", &["metrics.ma ASC"]),
            none.clone(),
            &["ff_tags_run_name_trigrams"],
            &[],
        ),
        (
            search(&["7"], "attributes.run_name LIKE '%-40'", &[]),
            vec![reach(0, 1), reach(0, 1_000)],
            &["ff_runs_"],
            &["ff_runs_"],
        ),
        (search(&["0"], "params.pa LIKE '%1x'", &[]), none.clone(), &["Hash Join", "ff_runs_"], &[]),
        (
            search(&["0"], "params.pa LIKE '%1x' AND metrics.ma > 0.5", &["tags.ta ASC"]),
            none.clone(),
            &["Hash Join", "ff_runs_"],
            &[],
        ),
        // The metric of the order is read once.
        (search(&["0"], "metrics.mb < 0.0001", &["metrics.mb ASC"]), none, &["Hash Join", "ff_runs_"], &[]),
    ]
}

on_each!(searches_for_rare_runs_read_indexes_with_statistics_and_without);
async fn searches_for_rare_runs_read_indexes_with_statistics_and_without(store: &Store) {
    fill(store).await;
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        for (search, reaches, postgres, sqlite) in rare() {
            let explained = store.here().explain_run_search_reaching(&Scope::everything(), &search, &reaches).await;
            let plan = explained.unwrap().join("\n");
            let steps = store.db().dialect().pick(postgres, sqlite);
            assert!(steps.is_empty() || !reads_a_table(&plan), "{has_statistics} {search:?}\n{plan}");
            for step in steps {
                assert!(plan.contains(step), "{has_statistics} {step} {search:?}\n{plan}");
            }
            let is_listed = plan.contains("hashed SubPlan");
            assert!(!is_listed || !plan.contains("Sort"), "the list ends with the page\n{plan}");
        }
    }
}

on_each!(other_pages_are_read_in_the_order_of_an_index);
async fn other_pages_are_read_in_the_order_of_an_index(store: &Store) {
    fill(store).await;
    let (here, everything) = (store.here(), Scope::everything());
    for has_statistics in [false, true] {
        if has_statistics {
            analyze(store).await;
        }
        for (filter, index) in [("", "ff_model_versions_page"), ("name = 'one'", "ff_model_versions_of_model")] {
            let mut search =
                ModelVersionSearch { filter: filter.to_owned(), max_results: 10, ..ModelVersionSearch::default() };
            for _ in 0..2 {
                let plan = here.explain_model_version_search(&everything, &search).await.unwrap().join("\n");
                let sorts = plan.contains("Sort Key") || plan.contains("TEMP B-TREE");
                assert!(plan.contains(index) && !sorts && !reads_a_table(&plan), "{has_statistics} {filter}\n{plan}");
                search.page_token = here.search_model_versions(&everything, search.clone()).await.unwrap().1;
            }
        }
        let mut search = RegisteredModelSearch {
            filter: "tags.team = 'team-3'".to_owned(),
            max_results: 10,
            ..RegisteredModelSearch::default()
        };
        for _ in 0..2 {
            let plan = here.explain_registered_model_search(&everything, &search).await.unwrap().join("\n");
            let sorts = plan.contains("Sort Key") || plan.contains("TEMP B-TREE");
            assert!(plan.contains("ff_registered_model_tags_value") && !sorts, "{has_statistics}\n{plan}");
            let (models, token) = here.search_registered_models(&everything, search.clone()).await.unwrap();
            assert_eq!(models.len(), 10);
            search.page_token = token;
        }
        let mut search = ExperimentSearch {
            view: ViewType::ActiveOnly,
            max_results: 10,
            filter: String::new(),
            order_by: Vec::new(),
            page_token: None,
        };
        for _ in 0..2 {
            let plan = here.explain_experiment_search(&everything, &search).await.unwrap().join("\n");
            let sorts = plan.contains("Sort Key") || plan.contains("TEMP B-TREE");
            assert!(plan.contains("ff_experiments_page") && !sorts, "{has_statistics}\n{plan}");
            let (experiments, token) = here.search_experiments(&everything, search.clone()).await.unwrap();
            assert_eq!(experiments.len(), 10);
            search.page_token = token;
        }
        for experiments in [&["0"][..], &["0", "7"]] {
            let mut search = LoggedModelSearch {
                experiment_ids: experiments.iter().map(|&id| id.to_owned()).collect(),
                filter: String::new(),
                datasets: Vec::new(),
                max_results: 10,
                order_by: Vec::new(),
                page_token: None,
            };
            for _ in 0..2 {
                let plan = here.explain_logged_model_search(&everything, &search).await.unwrap().join("\n");
                assert!(
                    plan.contains("ff_logged_models_page") && !reads_a_table(&plan),
                    "{has_statistics} {experiments:?}\n{plan}"
                );
                search.page_token = here.search_logged_models(&everything, search.clone()).await.unwrap().1;
            }
        }
    }
}
