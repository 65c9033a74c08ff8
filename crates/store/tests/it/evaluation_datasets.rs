//! Evaluation datasets and their records.

use ferroflow_model::{
    Error, ErrorCode, Result, evaluation::dataset_records, messages::datasets::Dataset, python_json::Json,
};
use ferroflow_store::{
    DatasetSearch, NewDataset, Store,
    db::{Plan, Statement, Upkeep},
};
use serde_json::{Value, json};

use crate::support::{Here as _, on_each};

async fn create(store: &Store, name: &str) -> String {
    let new = NewDataset { name: name.into(), tags: "{\"team\": \"a\"}".into(), experiment_ids: vec!["0".into()] };
    store.here().create_dataset(&new).await.unwrap().dataset_id.unwrap()
}

async fn upsert(store: &Store, id: &str, records: &Value) -> Result<(usize, usize)> {
    store.here().upsert_dataset_records(id, &dataset_records::parse(&records.to_string())?).await
}

/// All records of a dataset, by pages.
async fn records(store: &Store, id: &str, page: i64) -> Vec<Value> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let (json, next) = store.here().dataset_records(id, page, &token).await.unwrap();
        found.extend(serde_json::from_str::<Vec<Value>>(&json).unwrap());
        let Some(next) = next else { return found };
        token = next;
    }
}

async fn dataset(store: &Store, id: &str) -> Dataset {
    store.here().get_dataset(id).await.unwrap()
}

fn code<T>(outcome: Result<T>) -> ErrorCode {
    outcome.err().map(|error: Error| error.code).expect("an error")
}

on_each!(a_dataset_is_created_changed_and_deleted);
async fn a_dataset_is_created_changed_and_deleted(store: &Store) {
    let id = create(store, "first").await;
    let found = dataset(store, &id).await;
    assert_eq!((found.name(), found.tags()), ("first", "{\"team\": \"a\"}"));
    assert_eq!(found.digest().len(), 8);
    assert!(found.experiment_ids.is_empty() && found.schema.is_none() && found.profile.is_none());

    store.here().set_dataset_tags(&id, r#"{"n": 1.5, "flag": true, "none": null, "team": "b"}"#).await.unwrap();
    store.here().delete_dataset_tag(&id, "n").await.unwrap();
    store.here().delete_dataset_tag(&id, "unknown").await.unwrap();
    assert_eq!(dataset(store, &id).await.tags(), r#"{"flag": "True", "team": "b"}"#);

    let other = store.here().create_experiment("other", None, Vec::new()).await.unwrap();
    let twice = [other.clone(), "0".to_owned(), other.clone()];
    store.here().add_dataset_to_experiments(&id, &twice).await.unwrap();
    let ids = async || store.here().dataset_experiment_ids(&id).await;
    assert_eq!(ids().await.unwrap(), ["0", &other]);
    store.here().remove_dataset_from_experiments(&id, &["0".into(), "999".into()]).await.unwrap();
    assert_eq!(ids().await.unwrap(), [other]);
    for unknown in ["999", "x", "00"] {
        let outcome = store.here().add_dataset_to_experiments(&id, &[unknown.to_owned()]).await;
        assert_eq!(code(outcome), ErrorCode::ResourceDoesNotExist, "{unknown}");
    }

    upsert(store, &id, &json!([{ "inputs": { "q": 1 } }])).await.unwrap();
    store.here().delete_dataset(&id).await.unwrap();
    store.here().delete_dataset(&id).await.unwrap();
    assert_eq!(code(store.here().get_dataset(&id).await), ErrorCode::ResourceDoesNotExist);
    assert_eq!(code(store.here().dataset_records(&id, 10, "").await), ErrorCode::ResourceDoesNotExist);
    assert!(ids().await.unwrap().is_empty());
    for table in ["evaluation_dataset_records", "evaluation_dataset_tags", "entity_associations"] {
        let left = Statement::unscoped(Upkeep::Test, format!("SELECT COUNT(*) FROM {table}"), Vec::new());
        assert_eq!(store.db().query(left, |row| row.get::<i64>(0)).await.unwrap(), [0], "{table}");
    }
}

on_each!(records_with_the_same_inputs_are_merged);
async fn records_with_the_same_inputs_are_merged(store: &Store) {
    let id = create(store, "d").await;
    let first = json!([
        { "inputs": { "q": "é", "n": 1 }, "expectations": { "a": 1, "b": 2 }, "tags": { "mlflow.user": "ann" } },
        { "inputs": { "q": "other" } },
        { "inputs": { "n": 1, "q": "é" }, "expectations": { "b": 3 }, "outputs": "text" },
    ]);
    assert_eq!(upsert(store, &id, &first).await.unwrap(), (2, 1));
    let of = |found: &[Value], name: &str| found.iter().find(|record| record["inputs"]["q"] == name).cloned().unwrap();
    let found = records(store, &id, 1).await;
    assert_eq!(found.len(), 2);
    let one = of(&found, "é");
    assert_eq!(one["expectations"], json!({ "a": 1, "b": 3 }));
    assert_eq!((&one["outputs"], &one["created_by"]), (&json!("text"), &json!("ann")));
    let other = of(&found, "other");
    assert_eq!((&other["outputs"], &other["tags"]), (&json!({}), &json!({})));
    assert!(other.get("expectations").is_none() && other.get("source").is_none());

    let second = json!([
        { "inputs": { "q": "é", "n": 1 }, "outputs": null, "tags": { "x": [1], "mlflow.user": "bob" } },
        { "inputs": { "q": "new" }, "source": { "source_type": "trace", "source_data": { "trace_id": "tr-1" } } },
        { "inputs": { "q": "other" }, "expectations": { "late": true } },
    ]);
    assert_eq!(upsert(store, &id, &second).await.unwrap(), (1, 2));
    let found = records(store, &id, 2).await;
    let one = of(&found, "é");
    assert_eq!(one["expectations"], json!({ "a": 1, "b": 3 }), "kept");
    assert_eq!(one["tags"], json!({ "mlflow.user": "bob", "x": [1] }));
    assert_eq!((&one["created_by"], &one["last_updated_by"]), (&json!("ann"), &json!("bob")));
    assert!(one.get("outputs").is_none());
    let new = of(&found, "new");
    assert_eq!((&new["source_id"], &new["source_type"]), (&json!("tr-1"), &json!("TRACE")));
    assert_eq!(of(&found, "other")["expectations"], json!({ "late": true }));

    let state = dataset(store, &id).await;
    assert_eq!(state.profile(), "{\"num_records\": 3}");
    assert_eq!(state.last_updated_by(), "bob");
    let schema = Json::parse(state.schema(), 100).unwrap();
    assert_eq!(schema.get("inputs").unwrap().dumps(), r#"{"n": "integer", "q": "string"}"#);
    assert_eq!(schema.get("expectations").unwrap().dumps(), r#"{"a": "integer", "b": "integer", "late": "boolean"}"#);
}

on_each!(values_are_stored_as_they_are_written);
async fn values_are_stored_as_they_are_written(store: &Store) {
    let id = create(store, "d").await;
    let text = r#"[{"inputs": {"b": 123456789012345678901234567890, "a": [1e100, 1.0, -0.0], "c": "\ud800\u0000"}}]"#;
    let given = dataset_records::parse(text).unwrap();
    store.here().upsert_dataset_records(&id, &given).await.unwrap();
    let (found, _) = store.here().dataset_records(&id, 10, "").await.unwrap();
    let expected =
        r#""inputs": {"b": 123456789012345678901234567890, "a": [1e+100, 1.0, -0.0], "c": "\ud800\u0000"}, "#;
    assert!(found.contains(expected), "{found}");
}

on_each!(records_are_deleted_and_pages_follow_each_other);
async fn records_are_deleted_and_pages_follow_each_other(store: &Store) {
    let id = create(store, "d").await;
    let many: Vec<Value> = (0..2500).map(|number| json!({ "inputs": { "n": number } })).collect();
    assert_eq!(upsert(store, &id, &Value::Array(many.clone())).await.unwrap(), (2500, 0));
    assert_eq!(upsert(store, &id, &Value::Array(many)).await.unwrap(), (0, 2500));
    let found = records(store, &id, 700).await;
    let mut numbers: Vec<i64> = found.iter().filter_map(|record| record["inputs"]["n"].as_i64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2500).collect::<Vec<_>>());
    let ids: Vec<String> = found.iter().map(|record| record["dataset_record_id"].as_str().unwrap().into()).collect();
    // An offset, as tokens of old servers have it.
    let (rest, next) = store.here().dataset_records(&id, 10, "2495").await.unwrap();
    assert_eq!((serde_json::from_str::<Vec<Value>>(&rest).unwrap(), next), (found[2495..].to_vec(), None));
    for token in ["x", "!!", "-1", "YTpi"] {
        assert_eq!(
            code(store.here().dataset_records(&id, 10, token).await),
            ErrorCode::InvalidParameterValue,
            "{token}"
        );
    }
    let delete = |ids: &[String]| {
        let ids = ids.to_vec();
        let id = id.clone();
        async move { store.here().delete_dataset_records(&id, &ids).await.unwrap() }
    };
    assert_eq!(delete(&["dr-unknown".to_owned()]).await, 0);
    assert_eq!(delete(&ids[..1500]).await, 1500);
    assert_eq!(dataset(store, &id).await.profile(), "{\"num_records\": 1000}");
    assert_eq!(delete(&ids).await, 1000);
    assert_eq!(dataset(store, &id).await.profile(), "null");
    assert_eq!(delete(&ids).await, 0);
    upsert(store, &id, &json!([])).await.unwrap();
    assert!(records(store, &id, 10).await.is_empty());
}

on_each!(a_page_is_read_in_the_order_of_an_index);
async fn a_page_is_read_in_the_order_of_an_index(store: &Store) {
    let page = "SELECT dataset_record_id FROM evaluation_dataset_records WHERE dataset_id = $1 \
                AND (created_time, dataset_record_id) > ($2, $3) ORDER BY created_time, dataset_record_id LIMIT 10";
    let values = vec!["d".into(), 5_i64.into(), "dr".into()];
    let statement = Statement::unscoped(Upkeep::Test, page, values).planned(Plan::IndexOrder);
    let plan = store.db().explain(statement).await.unwrap().join("\n");
    assert!(plan.contains("ff_evaluation_dataset_records_page"), "{plan}");
    assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
}

on_each!(writers_of_one_dataset_lose_nothing);
async fn writers_of_one_dataset_lose_nothing(store: &Store) {
    let id = create(store, "d").await;
    let writes = (0..8).map(|writer| {
        let name = format!("e{writer}");
        let records = json!([
            { "inputs": { "shared": 1 }, "expectations": { name: writer } },
            { "inputs": { "own": writer } },
        ]);
        let id = &id;
        async move { upsert(store, id, &records).await.unwrap() }
    });
    let counts = futures_util::future::join_all(writes).await;
    assert_eq!(counts.iter().map(|(inserted, _)| inserted).sum::<usize>(), 9);
    let found = records(store, &id, 100).await;
    let shared = found.iter().find(|record| record["inputs"].get("shared").is_some()).unwrap();
    assert_eq!(shared["expectations"].as_object().unwrap().len(), 8);
    assert_eq!(dataset(store, &id).await.profile(), "{\"num_records\": 9}");
}

on_each!(datasets_are_searched_by_experiment_attributes_and_tags);
async fn datasets_are_searched_by_experiment_attributes_and_tags(store: &Store) {
    let here = store.here();
    let other = here.create_experiment("other", None, Vec::new()).await.unwrap();
    for number in 0..7 {
        let new = NewDataset {
            name: format!("set {number}"),
            tags: json!({ "parity": if number % 2 == 0 { "even" } else { "odd" }, "mlflow.user": "ann" }).to_string(),
            experiment_ids: vec![if number < 4 { "0".into() } else { other.clone() }],
        };
        here.create_dataset(&new).await.unwrap();
    }
    let search = |experiments: &[&str], filter: &str| DatasetSearch {
        experiment_ids: experiments.iter().map(|id| (*id).to_owned()).collect(),
        filter: filter.to_owned(),
        max_results: 2,
        order_by: vec!["name".to_owned()],
        ..DatasetSearch::default()
    };
    let all = async |mut search: DatasetSearch| {
        let mut names = Vec::new();
        loop {
            let (found, next) = here.search_datasets_of(search.clone()).await.unwrap();
            assert!(found.iter().all(|dataset| dataset.tags().contains("parity")));
            names.extend(found.iter().map(|dataset| dataset.name()[4..].to_owned()));
            if next.is_none() {
                return names.concat();
            }
            search.page_token = next;
        }
    };
    assert_eq!(all(search(&["0"], "")).await, "0123");
    assert_eq!(all(search(&["0", &other], "tags.parity = 'odd'")).await, "135");
    assert_eq!(all(search(&[&other, "77"], "name LIKE 'set %' AND tags.parity != 'odd'")).await, "46");
    assert_eq!(all(search(&[], "created_by = 'ann' AND name IN ('set 1', 'set 6')")).await, "16");
    assert_eq!(all(search(&[], "created_time < 5")).await, "");
    assert_eq!(all(search(&["77"], "")).await, "");
    // Those that a caller may read, by their names.
    let named = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let of = |names| DatasetSearch { names: named(names), ..search(&["0"], "") };
    assert_eq!(all(of(&["set 0", "set 2", "set 3", "set 6"])).await, "023");
    assert_eq!(all(of(&[])).await, "");
    let (newest, _) =
        here.search_datasets_of(DatasetSearch { max_results: 100, ..DatasetSearch::default() }).await.unwrap();
    let times: Vec<i64> = newest.iter().map(|dataset| dataset.created_time.unwrap()).collect();
    assert!(times.len() == 7 && times.is_sorted_by(|one, next| one >= next), "{times:?}");
}

on_each!(what_cannot_be_stored_is_refused);
async fn what_cannot_be_stored_is_refused(store: &Store) {
    let id = create(store, "d").await;
    let new = |name: &str, tags: &str, experiment: &str| NewDataset {
        name: name.to_owned(),
        tags: tags.to_owned(),
        experiment_ids: vec![experiment.to_owned()],
    };
    let long = "x".repeat(5001);
    let cases = [
        (new(&long[..256], "", "0"), ErrorCode::InvalidParameterValue),
        (new("n", "[]", "0"), ErrorCode::InvalidParameterValue),
        (new("n", "{", "0"), ErrorCode::InvalidParameterValue),
        (new("n", &json!({ "k": long }).to_string(), "0"), ErrorCode::InvalidParameterValue),
        (new("n", &json!({ &long[..256]: "v" }).to_string(), "0"), ErrorCode::InvalidParameterValue),
        (new("n", "", "12345"), ErrorCode::ResourceDoesNotExist),
    ];
    for (new, expected) in cases {
        assert_eq!(code(store.here().create_dataset(&new).await), expected, "{new:?}");
    }
    assert_eq!(code(store.here().set_dataset_tags("d-unknown", "{}").await), ErrorCode::ResourceDoesNotExist);
    assert_eq!(code(upsert(store, "d-unknown", &json!([])).await), ErrorCode::ResourceDoesNotExist);
    // Nothing of a request with a fault is stored.
    let half = json!([{ "inputs": { "a": 1 } }, { "inputs": 1 }]);
    assert_eq!(code(upsert(store, &id, &half).await), ErrorCode::InvalidParameterValue);
    assert!(records(store, &id, 10).await.is_empty());
}
