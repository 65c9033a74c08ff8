//! Evaluation data goes with its experiment.

use ferroflow_model::{
    evaluation::{dataset_records, label_schemas::Input, review_queues::NewQueue, scorers::Scorer},
    messages::{
        issues::Issue,
        label_schemas::{InputText, LabelSchemaType},
        review_queues::ReviewQueueType,
    },
};
use ferroflow_store::{
    NewDataset, NewLabelSchema, Store,
    db::{BackendUri, Op, Statement, Upkeep},
    upkeep::{gc::PurgeOutcome, snapshot},
};

use crate::{
    support::{self, Here as _, on_each},
    traces::{info, rows},
};

/// Rows of an experiment in each table of evaluation data, and those of its parents.
const TABLES: [&str; 12] = [
    "SELECT scorer_id FROM scorers",
    "SELECT scorer_id FROM scorer_versions",
    "SELECT scorer_id FROM online_scoring_configs",
    "SELECT resource_id FROM endpoint_bindings",
    "SELECT schema_id FROM label_schemas",
    "SELECT queue_id FROM review_queues",
    "SELECT queue_id FROM review_queue_users",
    "SELECT queue_id FROM review_queue_items",
    "SELECT queue_id FROM review_queue_label_schemas",
    "SELECT issue_id FROM issues",
    "SELECT destination_id FROM entity_associations",
    "SELECT assessment_id FROM assessments",
];

/// Fills every table for an experiment.
async fn fill(store: &Store, experiment: &str, dataset: &str) {
    let here = store.here();
    let judge = r#"{"builtin_scorer_pydantic_data": {"model": "gateway:/chat"}}"#;
    here.register_scorer(experiment, "judge", judge, &Scorer::parse(judge).unwrap()).await.unwrap();
    here.set_online_scoring(experiment, "judge", 0.5, None).await.unwrap();
    let schema = NewLabelSchema {
        experiment_id: experiment.into(),
        name: "good?".into(),
        kind: Some(LabelSchemaType::Feedback),
        input: Input::Text(InputText::default()),
        instruction: None,
        enable_comment: false,
    };
    let schema = here.create_label_schema(schema).await.unwrap().schema_id().to_owned();
    let users = ["ann".to_owned()];
    let queue = NewQueue::of(Some(ReviewQueueType::Custom), "q", &users, std::slice::from_ref(&schema)).unwrap();
    let queue = here.create_review_queue(experiment, &queue, None).await.unwrap();
    let trace = format!("tr-{experiment}");
    here.start_trace(info(&trace, experiment)).await.unwrap();
    here.add_review_queue_items(queue.queue_id(), std::slice::from_ref(&trace)).await.unwrap();
    let issue = Issue {
        experiment_id: Some(experiment.into()),
        name: Some("slow".into()),
        description: Some("x".into()),
        ..Issue::default()
    };
    let issue = here.create_issue(issue).await.unwrap();
    let issue = issue.issue_id();
    execute(
        store,
        format!(
            "INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, \
             last_updated_timestamp, source_type, valid) \
             VALUES ('a-{experiment}', '{trace}', '{issue}', 'issue', '{{}}', 1, 1, 'HUMAN', TRUE)"
        ),
    )
    .await;
    here.add_dataset_to_experiments(dataset, &[experiment.to_owned()]).await.unwrap();
}

async fn execute(store: &Store, sql: String) {
    store.db().unit(vec![Op::Execute(Statement::unscoped(Upkeep::Test, sql, Vec::new()))]).await.unwrap();
}

on_each!(a_purged_experiment_leaves_nothing_but_shared_datasets);
async fn a_purged_experiment_leaves_nothing_but_shared_datasets(store: &Store) {
    let here = store.here();
    let endpoint =
        "INSERT INTO endpoints (endpoint_id, name, created_at, last_updated_at) VALUES ('e-1', 'chat', 1, 1)";
    execute(store, endpoint.into()).await;
    let one = here.create_experiment("one", None, Vec::new()).await.unwrap();
    let two = here.create_experiment("two", None, Vec::new()).await.unwrap();
    let dataset = here.create_dataset(&NewDataset { name: "set".into(), ..Default::default() }).await.unwrap();
    let records = dataset_records::parse(r#"[{"inputs": {"a": 1}}]"#).unwrap();
    here.upsert_dataset_records(dataset.dataset_id(), &records).await.unwrap();
    for experiment in [&one, &two] {
        fill(store, experiment, dataset.dataset_id()).await;
    }
    for sql in TABLES {
        assert_eq!(rows(store, sql).await.len(), 2, "{sql}");
    }
    here.delete_experiment(&one).await.unwrap();
    let gc = store.upkeep();
    let purged = gc.purge_trace(&format!("tr-{one}"), i64::MAX, async |_, _| Ok(())).await.unwrap();
    assert_eq!(purged, PurgeOutcome::Purged);
    assert_eq!(rows(store, "SELECT item_id FROM review_queue_items").await, [[format!("tr-{two}").into()]]);
    let purged = gc.purge_experiment(one.parse().unwrap(), i64::MAX, async |_| Ok(())).await.unwrap();
    assert_eq!(purged, PurgeOutcome::Purged);
    for sql in TABLES {
        assert_eq!(rows(store, sql).await.len(), 1, "{sql}");
    }
    let ids = vec![dataset.dataset_id().to_owned()];
    assert_eq!(here.experiments_of_datasets(ids).await.unwrap()[dataset.dataset_id()], std::slice::from_ref(&two));
    assert_eq!(rows(store, "SELECT dataset_record_id FROM evaluation_dataset_records").await.len(), 1);
}

on_each!(an_experiment_whose_scorer_guards_an_endpoint_stays);
async fn an_experiment_whose_scorer_guards_an_endpoint_stays(store: &Store) {
    let here = store.here();
    let experiment = here.create_experiment("one", None, Vec::new()).await.unwrap();
    let scorer = here.register_scorer(&experiment, "s", "{}", &Scorer::parse("{}").unwrap()).await.unwrap();
    let id = scorer.version.scorer_id();
    execute(
        store,
        format!(
            "INSERT INTO guardrails (guardrail_id, name, scorer_id, scorer_version, stage, action, created_at, \
             last_updated_at) VALUES ('g-1', 'g', '{id}', 1, 'BEFORE', 'BLOCK', 1, 1)"
        ),
    )
    .await;
    let error = here.delete_scorer(&experiment, "s", None).await.unwrap_err();
    assert_eq!(error.message, "The scorer 's' is used by a guardrail of the gateway.");
    here.delete_experiment(&experiment).await.unwrap();
    let number = experiment.parse().unwrap();
    let outcome = store.upkeep().purge_experiment(number, i64::MAX, async |_| Ok(())).await.unwrap();
    assert_eq!(outcome, PurgeOutcome::NotEmpty);
    assert_eq!(rows(store, "SELECT scorer_id FROM scorer_versions").await.len(), 1);
    execute(store, "DELETE FROM guardrails".into()).await;
    let outcome = store.upkeep().purge_experiment(number, i64::MAX, async |_| Ok(())).await.unwrap();
    assert_eq!(outcome, PurgeOutcome::Purged);
}

on_each!(the_newest_change_may_be_one_of_evaluation_data);
async fn the_newest_change_may_be_one_of_evaluation_data(uri: &BackendUri) {
    let store = support::open(uri).await;
    let at_start = snapshot::newest(uri).await.unwrap().unwrap();
    for (number, (table, column, values)) in [
        ("scorer_versions", "creation_time", "scorer_id, scorer_version, serialized_scorer) VALUES ('s', 1, '{}'"),
        ("issues", "last_updated_timestamp", "issue_id, experiment_id, name, description, status, created_timestamp) VALUES ('i', 0, 'n', 'd', 'pending', 1"),
        ("evaluation_datasets", "last_update_time", "dataset_id, name) VALUES ('d', 'n'"),
    ]
    .into_iter()
    .enumerate()
    {
        if table == "scorer_versions" {
            execute(&store, "INSERT INTO scorers (experiment_id, scorer_name, scorer_id) VALUES (0, 's', 's')".into()).await;
        }
        let newer = at_start + 1000 * (i64::try_from(number).unwrap() + 1);
        let (columns, values) = values.split_once(") VALUES (").unwrap();
        execute(&store, format!("INSERT INTO {table} ({columns}, {column}) VALUES ({values}, {newer})")).await;
        assert_eq!(snapshot::newest(uri).await.unwrap(), Some(newer), "{table}");
    }
}
