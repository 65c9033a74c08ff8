//! Searches for logged models: the same models whichever index they are read from.

use ferroflow_model::messages::service::SearchLoggedModelsOrderBy;
use ferroflow_store::{
    LoggedModelSearch, Scope, Store,
    db::{Statement, Upkeep, dialect::Dialect},
};

use crate::support::{Here as _, on_each};

/// 1,500 models of experiment 0 and 300 of experiment 7. Of each, up to three points of a metric with few values, some
/// NULL, on two datasets; the newest point is not always the last one.
async fn fill(store: &Store) {
    let each = store.db().dialect().pick(
        "generate_series(1, 1800) i",
        "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1800) SELECT i FROM s) s",
    );
    let mut sql = format!(
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active');\n\
         INSERT INTO runs (run_uuid, lifecycle_stage, experiment_id) VALUES ('a', 'active', 0), ('b', 'active', 0);\n\
         INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, \
         last_updated_timestamp_ms, status, lifecycle_stage) SELECT 'm-' || i, CASE WHEN i % 6 = 0 THEN 7 ELSE 0 END, \
         'model-' || (i % 9), '', i / 3, i, 1, CASE WHEN i % 11 = 0 THEN 'deleted' ELSE 'active' END FROM {each};\n\
         INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value) \
         SELECT 'm-' || i, 0, 'p', 'v' || (i % 13) FROM {each};\n\
         INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) \
         SELECT 'm-' || i, 0, 't', 'v' || (i % 5) FROM {each} WHERE i % 4 <> 0;\n"
    );
    for (place, (time, step, run)) in
        [("i % 2", "i % 3", "a"), ("i % 2", "i % 3", "b"), ("1", "1", "a")].into_iter().enumerate()
    {
        sql += &format!(
            "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, \
             experiment_id, run_id, dataset_name, dataset_digest) SELECT 'm-' || i, 'acc', {time}, {step}, \
             CASE WHEN i % 17 = 3 THEN NULL ELSE (i * 7919 + {place} * 31) % 40 / 8.0 END, 0, '{run}', \
             CASE WHEN (i + {place}) % 2 = 0 THEN 'd' ELSE 'e' END, '1' FROM {each} \
             WHERE i % 3 <> {place} AND i % 19 <> 0 ON CONFLICT DO NOTHING;\n"
        );
    }
    store.db().batch(sql).await.unwrap();
}

fn search(filter: &str, experiments: &[&str], order_by: Vec<SearchLoggedModelsOrderBy>) -> LoggedModelSearch {
    LoggedModelSearch {
        experiment_ids: experiments.iter().map(|&id| id.to_owned()).collect(),
        filter: filter.to_owned(),
        datasets: Vec::new(),
        max_results: 1_000,
        order_by,
        page_token: None,
    }
}

/// The ids of all pages.
async fn ids(store: &Store, mut search: LoggedModelSearch) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let (models, token) = store.here().search_logged_models(&Scope::everything(), search.clone()).await.unwrap();
        ids.extend(models.into_iter().map(|model| model.info.unwrap().model_id.unwrap()));
        search.page_token = token;
        if search.page_token.is_none() {
            return ids;
        }
    }
}

async fn expected(store: &Store, sql: String) -> Vec<String> {
    store.db().query(Statement::unscoped(Upkeep::Test, sql, Vec::new()), |row| row.get(0)).await.unwrap()
}

on_each!(the_order_of_a_metric_is_that_of_the_newest_points);
async fn the_order_of_a_metric_is_that_of_the_newest_points(store: &Store) {
    fill(store).await;
    let dialect = store.db().dialect();
    for (experiments, listed) in [(&["0"][..], "0"), (&["7"], "7"), (&["0", "7"], "0, 7")] {
        for (dataset, on) in [(None, "TRUE"), (Some("d"), "dataset_name = 'd'")] {
            for ascending in [false, true] {
                let all = expected(
                    store,
                    format!(
                        "SELECT m.model_id FROM logged_models m LEFT JOIN (SELECT model_id, metric_value, \
                         row_number() OVER (PARTITION BY model_id ORDER BY metric_timestamp_ms DESC, metric_step DESC, run_id) AS at \
                         FROM logged_model_metrics WHERE metric_name = 'acc' AND {on}) o ON o.model_id = m.model_id AND o.at = 1 \
                         WHERE m.experiment_id IN ({listed}) AND m.lifecycle_stage <> 'deleted' \
                         ORDER BY o.metric_value IS NULL, o.metric_value {}, m.creation_timestamp_ms DESC, m.model_id",
                        if ascending { "ASC" } else { "DESC" }
                    ),
                )
                .await;
                assert!(all.len() > 200);
                let order = SearchLoggedModelsOrderBy {
                    field_name: Some("metrics.acc".into()),
                    ascending: Some(ascending),
                    dataset_name: dataset.map(str::to_owned),
                    dataset_digest: None,
                };
                let what = format!("{dialect:?} {experiments:?} {dataset:?} {ascending}");
                for size in [30, 1_000] {
                    let search =
                        LoggedModelSearch { max_results: size, ..search("", experiments, vec![order.clone()]) };
                    assert_eq!(ids(store, search).await, all, "{what} in pages of {size}");
                }
            }
        }
    }
}

on_each!(models_by_name_param_and_tag_are_those_of_the_tables);
async fn models_by_name_param_and_tag_are_those_of_the_tables(store: &Store) {
    fill(store).await;
    let having = |table: &str, key: &str, test: &str| {
        format!(
            "EXISTS (SELECT 1 FROM logged_model_{table}s x WHERE x.model_id = m.model_id AND x.{table}_key = '{key}' AND x.{table}_value {test})"
        )
    };
    for (filter, test) in [
        ("name = 'model-4'", "m.name = 'model-4'".to_owned()),
        ("name = 'model-4' AND params.p = 'v3'", format!("m.name = 'model-4' AND {}", having("param", "p", "= 'v3'"))),
        (
            "name = 'model-4' AND params.p != 'v3'",
            format!("m.name = 'model-4' AND {}", having("param", "p", "<> 'v3'")),
        ),
        ("params.p = 'v3'", having("param", "p", "= 'v3'")),
        ("tags.t = 'v2'", having("tag", "t", "= 'v2'")),
        (
            "tags.t = 'v2' AND params.p = 'v3'",
            format!("{} AND {}", having("tag", "t", "= 'v2'"), having("param", "p", "= 'v3'")),
        ),
        ("params.p = 'none'", "1 = 0".to_owned()),
    ] {
        for experiments in [&["0"][..], &["0", "7"]] {
            let all = expected(
                store,
                format!(
                    "SELECT m.model_id FROM logged_models m WHERE {test} AND m.experiment_id IN ({}) \
                     AND m.lifecycle_stage <> 'deleted' ORDER BY m.creation_timestamp_ms DESC, m.model_id",
                    experiments.join(", ")
                ),
            )
            .await;
            for size in [9, 1_000] {
                let search = LoggedModelSearch { max_results: size, ..search(filter, experiments, Vec::new()) };
                assert_eq!(ids(store, search).await, all, "{filter} of {experiments:?} in pages of {size}");
            }
        }
    }
}

#[tokio::test]
async fn without_own_indexes_models_are_the_same() {
    crate::support::on_postgres(async |store: &Store| {
        fill(store).await;
        store.here().create_registered_model("one", "", &[]).await.unwrap();
        let sql = "INSERT INTO model_versions (workspace, name, version, current_stage) SELECT 'default', 'one', i, \
                   (ARRAY['None', 'Archived', 'Deleted_Internal', 'Production', 'Archived'])[1 + i % 5] \
                   FROM generate_series(1, 40) i";
        store.db().batch(sql.to_owned()).await.unwrap();
        let order = SearchLoggedModelsOrderBy { field_name: Some("metrics.acc".into()), ..Default::default() };
        let searches = || {
            vec![
                search("", &["0"], vec![order.clone()]),
                search("name = 'model-4'", &["0"], Vec::new()),
                search("params.p = 'v3'", &["0"], Vec::new()),
                search("tags.t = 'v2' AND name = 'model-4'", &["0"], Vec::new()),
            ]
        };
        let sql = "SELECT CAST(current_database() AS TEXT), host(inet_server_addr()), inet_server_port()";
        let statement = Statement::unscoped(Upkeep::Test, sql, Vec::new());
        let address =
            store.db().query(statement, |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?)));
        let (name, host, port) = address.await.unwrap().remove(0);
        ferroflow_store::schema::own::drop_all(store.db()).await.unwrap();
        // A server that starts now knows that the indexes are missing.
        let uri = crate::support::postgres::parse(&format!("postgresql://postgres@{host}:{port}/{name}"));
        let without = crate::support::open(&uri).await;
        assert_eq!(without.db().dialect(), Dialect::Postgres);
        for search in searches() {
            let (found, expected) = (ids(&without, search.clone()).await, ids(store, search.clone()).await);
            assert!(!found.is_empty());
            assert_eq!(found, expected, "{search:?}");
        }
        let latest = async |store: &Store| store.here().get_registered_model("one").await.unwrap();
        assert_eq!(latest(&without).await, latest(store).await);
        assert_eq!(latest(store).await.latest_versions.len(), 3);
    })
    .await;
}
