//! Searches of the registry: results, pages, and query plans for many rows.

use ferroflow_model::messages::model_registry::{ModelVersionTag, RegisteredModel, RegisteredModelTag};
use ferroflow_store::{
    ModelVersionSearch, NewModelVersion, RegisteredModelSearch, Scope, Store,
    db::{Insert, Op, Value, dialect::Dialect, int, text},
};

use crate::support::{Here as _, on_each};

const PROMPTS: &str = "tags.`mlflow.prompt.is_prompt` = 'true'";

fn models(filter: &str, order: &[&str]) -> RegisteredModelSearch {
    let order_by = order.iter().map(|clause| (*clause).to_owned()).collect();
    RegisteredModelSearch { filter: filter.into(), max_results: 100, order_by, ..RegisteredModelSearch::default() }
}

fn versions(filter: &str, order: &[&str]) -> ModelVersionSearch {
    let RegisteredModelSearch { filter, max_results, order_by, .. } = models(filter, order);
    ModelVersionSearch { filter, max_results, order_by, ..ModelVersionSearch::default() }
}

fn tag(key: &str, value: &str) -> RegisteredModelTag {
    RegisteredModelTag { key: Some(key.into()), value: Some(value.into()) }
}

/// Models m0 … m6 and prompts p0 … p3, with ties in time, versions and tags.
async fn fill(store: &Store) {
    for index in 0..11 {
        let (name, is_prompt) =
            if index < 7 { (format!("m{index}"), false) } else { (format!("p{}", index - 7), true) };
        let mut tags = vec![tag("parity", ["even", "odd"][index % 2])];
        if is_prompt {
            tags.push(tag("mlflow.prompt.is_prompt", "true"));
        }
        store.here().create_registered_model(&name, "", &tags).await.unwrap();
        for number in 0..index % 3 {
            let mut tags = vec![ModelVersionTag { key: Some("n".into()), value: Some(number.to_string()) }];
            if is_prompt {
                tags.push(ModelVersionTag { key: Some("mlflow.prompt.is_prompt".into()), value: Some("true".into()) });
            }
            let new = NewModelVersion { name: name.clone(), source: "dummy-source".into(), tags, ..Default::default() };
            store.here().create_model_version(new).await.unwrap();
        }
    }
}

async fn names(store: &Store, search: RegisteredModelSearch) -> Vec<String> {
    let (found, _) = store.here().search_registered_models(&Scope::everything(), search).await.unwrap();
    found.into_iter().map(|model| model.name.unwrap()).collect()
}

async fn keys(store: &Store, search: ModelVersionSearch) -> Vec<String> {
    let (found, _) = store.here().search_model_versions(&Scope::everything(), search).await.unwrap();
    found.into_iter().map(|version| format!("{}/{}", version.name(), version.version())).collect()
}

on_each!(a_search_gives_models_or_prompts);
async fn a_search_gives_models_or_prompts(store: &Store) {
    fill(store).await;
    let all = ["m0", "m1", "m2", "m3", "m4", "m5", "m6"];
    assert_eq!(names(store, models("", &[])).await, all);
    assert_eq!(names(store, models("tags.`mlflow.prompt.is_prompt` = 'false'", &[])).await, all);
    assert_eq!(names(store, models(PROMPTS, &["name DESC"])).await, ["p3", "p2", "p1", "p0"]);
    assert_eq!(names(store, models(&format!("{PROMPTS} AND tags.parity = 'odd'"), &[])).await, ["p0", "p2"]);
    assert_eq!(names(store, models("tags.parity = 'odd' AND name != 'm3'", &[])).await, ["m1", "m5"]);
    assert_eq!(names(store, models("tags.nope != 'x'", &[])).await, Vec::<String>::new());
    assert_eq!(
        keys(store, versions("", &["name", "version_number"])).await,
        ["m1/1", "m2/1", "m2/2", "m4/1", "m5/1", "m5/2"]
    );
    assert_eq!(keys(store, versions(PROMPTS, &["name"])).await, ["p0/1", "p1/2", "p1/1", "p3/1"]);
    assert_eq!(keys(store, versions("tags.n = '1'", &["name"])).await, ["m2/2", "m5/2"]);
}

on_each!(one_prompt_among_versions_makes_all_of_them_prompts);
async fn one_prompt_among_versions_makes_all_of_them_prompts(store: &Store) {
    fill(store).await;
    store.here().set_model_version_tag("m2", "2", "mlflow.prompt.is_prompt", "true").await.unwrap();
    assert_eq!(keys(store, versions("name = 'm2'", &[])).await, Vec::<String>::new());
    assert_eq!(keys(store, versions(&format!("name = 'm2' AND {PROMPTS}"), &[])).await, ["m2/2"]);
}

on_each!(a_page_comes_with_all_that_hangs_on_its_models);
async fn a_page_comes_with_all_that_hangs_on_its_models(store: &Store) {
    fill(store).await;
    store.here().transition_model_version_stage("m5", "1", "Staging", false).await.unwrap();
    store.here().set_registered_model_alias("m5", "best", "2").await.unwrap();
    let (page, _) = store
        .here()
        .search_registered_models(&Scope::everything(), models("name IN ('m4', 'm5', 'm6')", &[]))
        .await
        .unwrap();
    let [m4, m5, m6] = page.as_slice() else { panic!("{page:?}") };
    assert_eq!(m6.latest_versions.len() + m6.aliases.len(), 0);
    assert_eq!(m4.latest_versions[0].tags.len(), 1);
    let stages: Vec<_> = m5.latest_versions.iter().map(|v| (v.version(), v.current_stage())).collect();
    assert_eq!(stages, [("1", "Staging"), ("2", "None")]);
    assert_eq!((m5.aliases[0].alias(), m5.aliases[0].version()), ("best", "2"));
    assert_eq!(*m5, store.here().get_registered_model("m5").await.unwrap());
}

on_each!(pages_put_together_are_the_whole_in_every_order);
async fn pages_put_together_are_the_whole_in_every_order(store: &Store) {
    fill(store).await;
    for filter in ["", PROMPTS, "tags.parity LIKE '%'"] {
        for order in [&[] as &[&str], &["name DESC"], &["timestamp"], &["last_updated_timestamp DESC", "name DESC"]] {
            let all = names(store, models(filter, order)).await;
            for size in [1, 2, 3, 7] {
                let mut pages = Vec::new();
                let mut search = RegisteredModelSearch { max_results: size, ..models(filter, order) };
                loop {
                    let (found, next) =
                        store.here().search_registered_models(&Scope::everything(), search.clone()).await.unwrap();
                    pages.extend(found.into_iter().map(|model| model.name.unwrap()));
                    search.page_token = next;
                    if search.page_token.is_none() {
                        break;
                    }
                }
                assert_eq!(pages, all, "{filter:?} {order:?} in pages of {size}");
            }
        }
        let orders: [&[&str]; 4] =
            [&[], &["version_number ASC"], &["creation_timestamp DESC", "name ASC"], &["name DESC"]];
        for order in orders {
            let all = keys(store, versions(filter, order)).await;
            for size in [1, 2, 5] {
                let mut pages = Vec::new();
                let mut search = ModelVersionSearch { max_results: size, ..versions(filter, order) };
                loop {
                    let (found, next) =
                        store.here().search_model_versions(&Scope::everything(), search.clone()).await.unwrap();
                    pages.extend(found.into_iter().map(|v| format!("{}/{}", v.name(), v.version())));
                    search.page_token = next;
                    if search.page_token.is_none() {
                        break;
                    }
                }
                assert_eq!(pages, all, "{filter:?} {order:?} in pages of {size}");
            }
        }
    }
}

/// 50,000 registered models, every second one a prompt, with one version each.
async fn fill_with_many(store: &Store) {
    const COUNT: i64 = 50_000;
    const CHUNK: i64 = 10_000;
    if store.db().dialect() == Dialect::Postgres {
        // No statistics: a plan must not depend on whether ANALYZE has run.
        for table in ["registered_models", "registered_model_tags", "model_versions", "model_version_tags"] {
            let sql = format!("ALTER TABLE {table} SET (autovacuum_enabled = false)");
            store.db().batch(sql).await.unwrap();
        }
    }
    for start in (0..COUNT).step_by(usize::try_from(CHUNK).unwrap()) {
        let of = |range: std::ops::Range<i64>| range.map(|index| (index, format!("name-{:05}", index * 7919 % COUNT)));
        let range = start..start + CHUNK;
        let workspace = || Value::from("default");
        let models = of(range.clone()).map(|(index, name)| vec![workspace(), name.into(), index.into(), index.into()]);
        let versions = of(range.clone()).map(|(index, name)| {
            vec![workspace(), name.into(), 1.into(), index.into(), index.into(), "None".into(), "READY".into()]
        });
        let is_prompt = |(index, _): &(i64, String)| index % 2 == 0;
        let tag_of = |key: &str, value: String, name: String| vec![workspace(), name.into(), key.into(), value.into()];
        let tags = of(range.clone())
            .flat_map(|(index, name)| {
                let team = tag_of("team", (index % 1000).to_string(), name.clone());
                let prompt = tag_of("mlflow.prompt.is_prompt", "true".into(), name);
                if index % 2 == 0 { vec![team, prompt] } else { vec![team] }
            })
            .collect();
        let version_tags = of(range)
            .filter(is_prompt)
            .map(|(_, name)| vec![workspace(), name.into(), 1.into(), "mlflow.prompt.is_prompt".into(), "true".into()])
            .collect();
        let insert = |table, columns, rows| Op::Insert(Insert { table, columns, only_if: None, on_conflict: "", rows });
        store
            .db()
            .unit(vec![
                insert(
                    "registered_models",
                    &const { [text("workspace"), text("name"), int("creation_time"), int("last_updated_time")] },
                    models.collect(),
                ),
                insert(
                    "model_versions",
                    &const {
                        [
                            text("workspace"),
                            text("name"),
                            int("version"),
                            int("creation_time"),
                            int("last_updated_time"),
                            text("current_stage"),
                            text("status"),
                        ]
                    },
                    versions.collect(),
                ),
                insert(
                    "registered_model_tags",
                    &const { [text("workspace"), text("name"), text("key"), text("value")] },
                    tags,
                ),
                insert(
                    "model_version_tags",
                    &const { [text("workspace"), text("name"), int("version"), text("key"), text("value")] },
                    version_tags,
                ),
            ])
            .await
            .unwrap();
    }
}

/// Asserts that every table is read by an index that also gives the order, without statistics.
fn assert_indexed(plan: &[String], what: &str) {
    assert_not_scanned(plan, what);
    let text = plan.join("\n");
    for word in ["TEMP B-TREE", "Sort", "Materialize"] {
        assert!(!text.contains(word), "{what}: {word}\n{text}");
    }
}

/// Asserts that no table is scanned.
fn assert_not_scanned(plan: &[String], what: &str) {
    // The list of an IN is not a table.
    let text = plan.iter().filter(|line| !line.contains("json_each")).cloned().collect::<Vec<_>>().join("\n");
    // SQLite's and PostgreSQL's names for scans and hash tables.
    for word in ["SCAN", "Seq Scan", "Hash", "Bitmap"] {
        assert!(!text.contains(word), "{what}: {word}\n{text}");
    }
}

on_each!(models_and_prompts_are_told_apart_by_an_index);
async fn models_and_prompts_are_told_apart_by_an_index(store: &Store) {
    fill_with_many(store).await;
    for (filter, order) in [
        (PROMPTS, &[] as &[&str]),
        (PROMPTS, &["name DESC"]),
        ("name LIKE 'name-1%'", &[]),
        ("tags.team = '7'", &[]),
        (&format!("{PROMPTS} AND tags.team LIKE '%7%'"), &[]),
        ("name = 'name-00001'", &[]),
    ] {
        let search = models(filter, order);
        assert_indexed(
            &store.here().explain_registered_model_search(&Scope::everything(), &search).await.unwrap(),
            filter,
        );
        let (first, token) = store.here().search_registered_models(&Scope::everything(), search.clone()).await.unwrap();
        assert!(!first.is_empty(), "{filter}");
        if token.is_some() {
            let next = RegisteredModelSearch { page_token: token, ..search };
            assert_indexed(
                &store.here().explain_registered_model_search(&Scope::everything(), &next).await.unwrap(),
                filter,
            );
        }
    }
    // All models: a merge of the indexes of models and prompts, without a lookup per row.
    for order in [&[] as &[&str], &["name DESC"]] {
        let mut search = models("", order);
        let mut odd: Vec<String> = (0..25_000).map(|number| format!("name-{:05}", number * 2 + 1)).collect();
        if !order.is_empty() {
            odd.reverse();
        }
        for expected in odd.chunks(100).take(2) {
            let plan =
                store.here().explain_registered_model_search(&Scope::everything(), &search).await.unwrap().join("\n");
            assert!(plan.contains("MERGE (EXCEPT)") || plan.contains("Merge Anti Join"), "{plan}");
            for word in ["SCAN registered", "Seq Scan", "Hash", "Bitmap", "Sort", "Materialize"] {
                assert!(!plan.contains(word), "{word}\n{plan}");
            }
            let (page, token) =
                store.here().search_registered_models(&Scope::everything(), search.clone()).await.unwrap();
            assert_eq!(page.iter().map(RegisteredModel::name).collect::<Vec<_>>(), expected);
            search.page_token = token;
        }
    }
    // The few rows with one of the names may be sorted.
    let search = models(&format!("{PROMPTS} AND name IN ('name-00001', 'name-00002')"), &[]);
    assert_not_scanned(
        &store.here().explain_registered_model_search(&Scope::everything(), &search).await.unwrap(),
        "names in a list",
    );
    for filter in ["name = 'name-00001'", &format!("name = 'name-00000' AND {PROMPTS}"), PROMPTS] {
        let search = versions(filter, &["name", "version_number"]);
        let plan = store.here().explain_model_version_search(&Scope::everything(), &search).await.unwrap();
        assert_indexed(&plan, filter);
    }
    assert_eq!(
        store.here().search_registered_models(&Scope::everything(), models("", &[])).await.unwrap().0.len(),
        100
    );
}
