//! Searches for runs that start from the index of a condition, or read a part of the runs, find what they find without
//! that, on random runs.

use ferroflow_model::messages::service::ViewType;
use ferroflow_store::{
    RunReach, RunSearch, Scope, Store, Visible,
    db::dialect::Dialect,
    schema::tune::{self, Extra},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::support::{Here as _, on_each};

const RUNS: usize = 160;

/// Texts of which some are longer than what is in an index, and differ behind that.
fn texts() -> Vec<String> {
    let long = |end: &str| format!("{}{end}", "ä".repeat(199));
    ["alpha", "Alpha", "i t", ""].map(str::to_owned).into_iter().chain(["", "x", "xy", "xyz"].map(long)).collect()
}

/// The statements that insert the runs.
fn rows(random: &mut StdRng) -> String {
    let texts = texts();
    let mut sql = "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active'), \
                   (8, 'eight', 'active');\n\
                   INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source) \
                   VALUES ('d', 0, 'wine', 'abc', 'local', '{}');\n"
        .to_owned();
    for number in 0..RUNS {
        let id = format!("run-{number}");
        let experiment = [0, 0, 0, 7, 8][random.random_range(0..5)];
        let start = (!random.random_bool(0.1)).then(|| random.random_range(-3..60));
        // No run of experiment 7 ends before it begins.
        let least = if experiment == 7 { start.unwrap_or(0) } else { 0 };
        let end = (!random.random_bool(0.3)).then(|| random.random_range(least..60.max(least + 1)));
        let [start, end] =
            [start, end].map(|time| time.map_or_else(|| "NULL".to_owned(), |time: i32| time.to_string()));
        let status = ["'FINISHED'", "'FINISHED'", "'FAILED'", "'RUNNING'", "NULL"][random.random_range(0..5)];
        let user = ["'ann'", "'ann'", "'bob'", "''", "NULL"][random.random_range(0..5)];
        let stage = if random.random_bool(0.2) { "deleted" } else { "active" };
        let name = texts.choose(random).unwrap();
        sql += &format!(
            "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, experiment_id, user_id) \
             VALUES ('{id}', '{name}', {status}, {start}, {end}, '{stage}', {experiment}, {user});\n\
             INSERT INTO tags (run_uuid, key, value) VALUES ('{id}', 'mlflow.runName', '{name}');\n"
        );
        for (table, keys) in [("tags", ["env", "mlflow.note.content"]), ("params", ["p", "a b"])] {
            for key in keys {
                if random.random_bool(0.5) {
                    let value = texts.choose(random).unwrap();
                    sql +=
                        &format!("INSERT INTO {table} (run_uuid, key, value) VALUES ('{id}', '{key}', '{value}');\n");
                }
            }
        }
        // No text of these keys is longer than what is in an index.
        for table in ["tags", "params"] {
            if random.random_bool(0.8) {
                let value = ["a", "a", "a", "B", "c", "i t", ""][random.random_range(0..7)];
                sql += &format!("INSERT INTO {table} (run_uuid, key, value) VALUES ('{id}', 'short', '{value}');\n");
            }
        }
        for metric in ["m", "n"] {
            let (value, is_nan) = [
                ("0.5", false),
                ("0.5", false),
                ("-1", false),
                ("0", true),
                ("1.7976931348623157e308", false),
                ("7", false),
            ][random.random_range(0..6)];
            if random.random_bool(0.6) {
                sql += &format!(
                    "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan) \
                     VALUES ('{id}', '{metric}', {value}, 1, 1, {is_nan});\n"
                );
            }
        }
        if random.random_bool(0.2) {
            sql += &format!(
                "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id) \
                 VALUES ('i-{number}', 'DATASET', 'd', 'RUN', '{id}');\n"
            );
        }
    }
    sql
}

/// A condition; the first five kinds are that a text is equal.
fn condition(random: &mut StdRng, kinds: usize) -> String {
    let texts = texts();
    let text = texts.choose(random).unwrap();
    let order = ["<", "<=", ">", ">=", "=", "!="][random.random_range(0..6)];
    let pattern = ["al%", "AL%", "%a", "i_t", "%xyz", "%", "none%"][random.random_range(0..7)];
    let like = ["LIKE", "ILIKE"][random.random_range(0..2)];
    match random.random_range(0..kinds) {
        0 => format!("params.p = '{text}'"),
        1 => format!("params.`a b` = '{text}'"),
        2 => format!("tags.env = '{text}'"),
        3 => format!("tags.`mlflow.note.content` = '{text}'"),
        4 => format!("attributes.run_name = '{text}'"),
        5 => format!("attributes.run_name {like} '{pattern}'"),
        6 => format!("metrics.m {order} {}", [-1.0, 0.5, 0.0, 7.0][random.random_range(0..4)]),
        7 => format!("metrics.n {order} {}", [-1.0, 0.5, 0.0, 6.5][random.random_range(0..4)]),
        8 => format!("attributes.start_time {order} {}", random.random_range(0..60)),
        9 => format!("attributes.end_time {order} {}", random.random_range(0..60)),
        10 => format!("params.p != '{text}'"),
        11 => format!("tags.env {like} '{pattern}'"),
        12 => "dataset.name = 'wine'".to_owned(),
        13 => "attributes.run_id IN ('run-1', 'run-2', 'run-3', 'run-50')".to_owned(),
        _ => [
            "attributes.status = 'FAILED'",
            "attributes.status = 'FINISHED'",
            "attributes.user_id = 'ann'",
            "tags.env IS NULL",
            "tags.env IS NOT NULL",
            "params.none = 'x'",
            "metrics.none > 1",
        ][random.random_range(0..7)]
        .to_owned(),
    }
}

const ORDERS: [&[&str]; 22] = [
    &[],
    &["attributes.start_time ASC"],
    &["attributes.start_time DESC", "metrics.m ASC"],
    &["metrics.m DESC"],
    &["metrics.m ASC"],
    &["metrics.m DESC", "params.p ASC"],
    &["metrics.none DESC"],
    &["metrics.n ASC", "attributes.start_time ASC"],
    &["params.p DESC"],
    &["tags.env ASC", "metrics.m DESC"],
    &["attributes.end_time ASC"],
    &["attributes.run_name DESC"],
    &["attributes.run_name ASC", "attributes.start_time ASC"],
    &["attributes.end_time DESC"],
    &["attributes.status ASC"],
    &["attributes.status DESC"],
    &["attributes.user_id ASC", "metrics.m DESC"],
    &["attributes.user_id DESC"],
    &["params.short ASC"],
    &["params.short DESC"],
    &["tags.short ASC"],
    &["tags.short DESC", "params.p ASC"],
];

/// The ids of all pages.
async fn found(store: &Store, scope: &Scope, mut search: RunSearch, reaches: &[RunReach]) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let (runs, next) = store.here().search_runs_reaching(scope, &search, reaches).await.unwrap();
        all.extend(runs.into_iter().map(|run| run.info.unwrap().run_id.unwrap()));
        assert!(all.len() <= RUNS, "{search:?} {reaches:?}");
        search.page_token = next;
        if search.page_token.is_none() {
            return all;
        }
    }
}

on_each!(parts_and_indexes_find_what_the_plain_search_finds);
async fn parts_and_indexes_find_what_the_plain_search_finds(store: &Store) {
    let mut random = StdRng::seed_from_u64(20);
    store.db().batch(rows(&mut random)).await.unwrap();
    for index in tune::plan(store.db(), &Extra::ALL).await.unwrap() {
        tune::create(store.db(), &index, |_, _| ()).await.unwrap();
    }
    // A page ends in any attempt, or in none.
    let reach = |rows, runs| RunReach { rows, runs };
    let reaches = [
        vec![reach(2, 2), reach(6, 8), reach(20, 30)],
        vec![reach(0, 3), reach(0, 40)],
        vec![reach(0, 1); 8],
        vec![reach(2, 4), reach(40, 4)],
        vec![reach(500, 500)],
    ];
    let (mut nonempty, mut most) = (0, 0);
    // How many of the plans compare runs with a list, look names up by trigrams, read all rows of a key, and walk an order.
    let steps = [
        "hashed SubPlan",
        "ff_tags_run_name_trigrams",
        "Hash Join",
        "ff_runs_end_time",
        "ff_runs_name",
        "ff_runs_status",
        "ff_runs_user",
        "ff_params_value on params l",
    ];
    let mut taken = [0; 8];
    for round in 0..240 {
        // Every fourth search is for runs of a text, newest first.
        let is_of_text = round % 4 == 3;
        let count = if is_of_text { 1 } else { random.random_range(0..3) };
        let kinds = if is_of_text { 5 } else { 15 };
        let filter = (0..count).map(|_| condition(&mut random, kinds)).collect::<Vec<_>>().join(" AND ");
        let experiments: &[&str] =
            [&["0"][..], &["0", "7", "8"], &["7"], &["8", "0", "0", "4000000000"]][round / 4 % 4];
        let order = if is_of_text { 0 } else { random.random_range(0..ORDERS.len()) };
        let search = RunSearch {
            experiment_ids: if is_of_text { &["0"] } else { experiments }.iter().map(|&id| id.to_owned()).collect(),
            filter,
            view: [ViewType::ActiveOnly, ViewType::All, ViewType::ActiveOnly, ViewType::DeletedOnly][round / 16 % 4],
            max_results: [1000, 7, 2][if is_of_text { 2 } else { round % 3 }],
            order_by: ORDERS[order].iter().map(|&clause| clause.to_owned()).collect(),
            page_token: None,
        };
        let mut scope = Scope::everything();
        if round % 5 == 0 {
            scope.experiments = Visible::Only(vec!["0".to_owned(), "8".to_owned()]);
        }
        let plain = found(store, &scope, RunSearch { max_results: 1000, ..search.clone() }, &[]).await;
        let reaches = &reaches[if is_of_text { 3 } else { round % reaches.len() }];
        let parts = found(store, &scope, search.clone(), reaches).await;
        assert_eq!(parts, plain, "{search:?}");
        let unlimited = found(store, &scope, search.clone(), &[reach(400, 400)]).await;
        assert_eq!(unlimited, plain, "{search:?}");
        let plans = store.here().explain_run_search_reaching(&scope, &search, reaches).await.unwrap().join("\n");
        for (taken, step) in taken.iter_mut().zip(steps) {
            *taken += usize::from(plans.contains(step));
        }
        nonempty += usize::from(!plain.is_empty());
        most = most.max(plain.len());
    }
    assert!(nonempty > 100 && most > 60, "{nonempty} filters find runs, at most {most}");
    let is_rare = |taken: &usize| *taken < 3;
    assert!(store.db().dialect() == Dialect::Sqlite || !taken.iter().any(is_rare), "{steps:?}: {taken:?}");
}
