//! A workspace hides the data of the others: what is there is not found, never changed, and never listed.

use ferroflow_model::{
    evaluation::{dataset_records, review_queues::NewQueue, scorers::Scorer},
    messages::{
        issues::Issue,
        model_registry::RegisteredModelTag,
        review_queues::{ReviewQueueType, ReviewStatus},
        service::{Experiment, Metric, Param, RunTag, ViewType},
    },
    webhook::EventType,
};
use ferroflow_store::{
    DatasetSearch, ExperimentSearch, IssueChange, IssueSearch, Joins, LabelSchemaChange, ModelVersionSearch,
    NewDataset, NewModelVersion, NewRun, NewWebhook, RegisteredModelSearch, ReviewQueueChange, ReviewQueueList,
    RunSearch, Scope, Scoped, Store, TraceSearch, Workspace,
};
use serde_json::json;

use crate::{
    support::{
        on_each,
        spans::{self, span, trace_id},
    },
    traces::info,
};

/// Two workspaces of a server that has several.
async fn two(store: &Store) -> [Workspace; 2] {
    store.db().batch("INSERT INTO workspaces (name) VALUES ('team')".into()).await.unwrap();
    [store.workspace("default").await.unwrap(), store.workspace("team").await.unwrap()]
}

fn metric(value: f64) -> Metric {
    let (key, timestamp, step) = (Some("m".into()), Some(1), Some(1));
    Metric { key, value: Some(value), timestamp, step, ..Metric::default() }
}

async fn run_in(store: Scoped<'_>, experiment: &str) -> String {
    let new = NewRun { experiment_id: experiment.into(), ..NewRun::default() };
    store.create_run(new).await.unwrap().info.unwrap().run_id.unwrap()
}

async fn runs_of(store: Scoped<'_>, experiments: &[String]) -> usize {
    let search = RunSearch {
        experiment_ids: experiments.to_vec(),
        filter: String::new(),
        view: ViewType::All,
        max_results: 10,
        order_by: Vec::new(),
        page_token: None,
    };
    store.search_runs(&Scope::everything(), search).await.unwrap().0.len()
}

async fn points(store: Scoped<'_>, run: &str, limit: Option<i64>) -> usize {
    store.fold_metric_history(run, "m", limit, None, Vec::new, Vec::push).await.unwrap().0.len()
}

on_each!(a_workspace_must_exist);
async fn a_workspace_must_exist(store: &Store) {
    assert_eq!(store.workspace("default").await.unwrap().name(), "default");
    let error = store.workspace("team").await.unwrap_err();
    assert!(error.message.contains("team"), "{}", error.message);
}

on_each!(runs_of_another_workspace_are_not_found);
async fn runs_of_another_workspace_are_not_found(store: &Store) {
    let [default, team] = two(store).await;
    let (mine, other) = (store.within(&team), store.within(&default));
    let experiment = mine.create_experiment("one", None, Vec::new()).await.unwrap();
    let run = run_in(mine, &experiment).await;
    mine.log_metric(&run, metric(1.0)).await.unwrap();
    mine.log_param(&run, "p", "1").await.unwrap();

    // The same name is free in the other workspace, whose own run is written in the same batch.
    let others = other.create_experiment("one", None, Vec::new()).await.unwrap();
    let theirs = run_in(other, &others).await;
    let (refused, done) = tokio::join!(other.log_metric(&run, metric(2.0)), other.log_metric(&theirs, metric(3.0)));
    assert!(refused.unwrap_err().message.contains("not found"));
    done.unwrap();
    let params = vec![Param { key: Some("q".into()), value: Some("1".into()) }];
    let tags = vec![RunTag { key: Some("t".into()), value: Some("1".into()) }];
    assert!(other.log_batch(&run, Vec::new(), params, tags).await.unwrap_err().message.contains("not found"));
    assert!(other.get_run(&run).await.unwrap_err().message.contains("not found"));
    assert!(other.update_run(&run, None, None, Some("renamed".into())).await.is_err());
    assert!(other.delete_tag(&run, "mlflow.runName").await.is_err());
    assert!(other.delete_run(&run).await.is_err() && other.restore_run(&run).await.is_err());
    assert!(other.log_inputs(&run, Vec::new(), Vec::new()).await.is_err());
    assert!(other.get_experiment(&experiment).await.is_err());
    assert!(other.delete_experiment(&experiment).await.is_err());
    assert!(other.create_run(NewRun { experiment_id: experiment.clone(), ..NewRun::default() }).await.is_err());

    let all = [experiment.clone(), others];
    assert_eq!((runs_of(mine, &all).await, runs_of(other, &all).await), (1, 1));
    for limit in [None, Some(5)] {
        assert_eq!((points(mine, &run, limit).await, points(other, &run, limit).await), (1, 0));
    }
    let runs = vec![run.clone()];
    assert_eq!(mine.get_metric_history_bulk(runs.clone(), "m", 5).await.unwrap().points().count(), 1);
    assert_eq!(other.get_metric_history_bulk(runs.clone(), "m", 5).await.unwrap().points().count(), 0);
    assert_eq!(mine.sample_metric_history(&runs, "m", 5, None).await.unwrap().points().count(), 1);
    assert_eq!(other.sample_metric_history(&runs, "m", 5, None).await.unwrap().points().count(), 0);

    let run = mine.get_run(&run).await.unwrap().data.unwrap();
    assert_eq!((run.metrics[0].value, run.params.len(), run.tags.len()), (Some(1.0), 1, 1));
    let search = ExperimentSearch {
        view: ViewType::All,
        max_results: 10,
        filter: String::new(),
        order_by: Vec::new(),
        page_token: None,
    };
    let (found, _) = mine.search_experiments(&Scope::everything(), search).await.unwrap();
    assert_eq!(found.iter().map(Experiment::experiment_id).collect::<Vec<_>>(), [experiment]);
}

on_each!(models_of_one_name_in_two_workspaces_are_two);
async fn models_of_one_name_in_two_workspaces_are_two(store: &Store) {
    let [default, team] = two(store).await;
    let (mine, other) = (store.within(&team), store.within(&default));
    let tag = |value: &str| RegisteredModelTag { key: Some("owner".into()), value: Some(value.into()) };
    for (store, owner) in [(mine, "me"), (other, "they")] {
        store.create_registered_model("m", owner, &[tag(owner)]).await.unwrap();
        let new = NewModelVersion { name: "m".into(), source: "s3://b/m".into(), ..NewModelVersion::default() };
        store.create_model_version(new).await.unwrap();
    }
    mine.set_registered_model_alias("m", "best", "1").await.unwrap();
    mine.set_registered_model_tag("m", "mine", "1").await.unwrap();
    mine.set_model_version_tag("m", "1", "mine", "1").await.unwrap();
    mine.update_model_version("m", "1", Some("mine")).await.unwrap();
    assert!(other.get_model_version_by_alias("m", "best").await.is_err());
    for (store, owner, tags) in [(mine, "me", 2), (other, "they", 1)] {
        let model = store.get_registered_model("m").await.unwrap();
        assert_eq!((model.description(), model.tags.len(), model.latest_versions.len()), (owner, tags, 1));
        for filter in ["", "tags.owner != ''", "name = 'm'"] {
            let search = RegisteredModelSearch {
                filter: filter.into(),
                max_results: 10,
                order_by: vec!["name".into()],
                page_token: None,
            };
            let (found, _) = store.search_registered_models(&Scope::everything(), search).await.unwrap();
            let found: Vec<_> = found.iter().map(|model| (model.description(), model.tags.len())).collect();
            assert_eq!(found, [(owner, tags)], "{filter}");
        }
        let search = ModelVersionSearch { max_results: 10, ..ModelVersionSearch::default() };
        let (found, _) = store.search_model_versions(&Scope::everything(), search).await.unwrap();
        assert_eq!(found.iter().map(|version| version.tags.len()).collect::<Vec<_>>(), [tags - 1]);
    }
    other.delete_registered_model("m").await.unwrap();
    assert_eq!(mine.rename_registered_model("m", "n").await.unwrap().latest_versions.len(), 1);
}

on_each!(webhooks_hear_of_their_workspace_only);
async fn webhooks_hear_of_their_workspace_only(store: &Store) {
    let [default, team] = two(store).await;
    let (mine, other) = (store.within(&team), store.within(&default));
    let event = EventType::from_stored("registered_model", "created").unwrap();
    let new = NewWebhook {
        name: "w".into(),
        url: "https://example.com".into(),
        events: vec![event],
        description: None,
        secret: None,
        status: None,
    };
    let webhook = mine.create_webhook(new).await.unwrap();
    assert!(other.get_webhook(webhook.webhook_id()).await.is_err());
    assert!(other.delete_webhook(webhook.webhook_id()).await.is_err());
    assert!(other.list_webhooks(10, None).await.unwrap().0.is_empty());
    other.create_registered_model("theirs", "", &[]).await.unwrap();
    let upkeep = store.unscoped(ferroflow_store::db::Upkeep::Test);
    assert_eq!(upkeep.waiting_deliveries().await.unwrap(), 0);
    mine.create_registered_model("mine", "", &[]).await.unwrap();
    assert_eq!(upkeep.waiting_deliveries().await.unwrap(), 1);
}

on_each!(evaluation_data_of_another_workspace_is_not_found);
async fn evaluation_data_of_another_workspace_is_not_found(store: &Store) {
    let [default, team] = two(store).await;
    let (mine, other) = (store.within(&team), store.within(&default));
    let experiment = mine.create_experiment("one", None, Vec::new()).await.unwrap();
    let others = other.create_experiment("one", None, Vec::new()).await.unwrap();

    let new = |experiment: &str| NewDataset {
        name: "d".into(),
        tags: String::new(),
        experiment_ids: vec![experiment.to_owned()],
    };
    assert!(other.create_dataset(&new(&experiment)).await.is_err());
    let dataset = mine.create_dataset(&new(&experiment)).await.unwrap().dataset_id.unwrap();
    let records = dataset_records::parse(r#"[{"inputs": {"a": 1}}]"#).unwrap();
    mine.upsert_dataset_records(&dataset, &records).await.unwrap();
    assert!(other.get_dataset(&dataset).await.is_err());
    assert!(other.upsert_dataset_records(&dataset, &records).await.is_err());
    assert!(other.dataset_records(&dataset, 10, "").await.is_err());
    assert!(other.delete_dataset_records(&dataset, &["dr".into()]).await.is_err());
    assert!(other.set_dataset_tags(&dataset, "{\"k\": \"v\"}").await.is_err());
    assert!(other.add_dataset_to_experiments(&dataset, std::slice::from_ref(&others)).await.is_err());
    assert!(mine.add_dataset_to_experiments(&dataset, &[others]).await.is_err());
    assert!(other.remove_dataset_from_experiments(&dataset, std::slice::from_ref(&experiment)).await.is_err());
    assert!(other.dataset_experiment_ids(&dataset).await.unwrap().is_empty());
    other.delete_dataset_tag(&dataset, "k").await.unwrap();
    other.delete_dataset(&dataset).await.unwrap();
    let search = DatasetSearch { max_results: 10, ..DatasetSearch::default() };
    assert!(other.search_datasets_of(search.clone()).await.unwrap().0.is_empty());
    assert_eq!(mine.search_datasets_of(search).await.unwrap().0.len(), 1);
    assert_eq!(mine.dataset_experiment_ids(&dataset).await.unwrap(), vec![experiment.clone()]);

    let (schemas, _) = mine.list_label_schemas(&experiment, 10, None).await.unwrap();
    let schema = schemas[0].schema_id();
    assert!(other.list_label_schemas(&experiment, 10, None).await.is_err());
    assert!(other.get_label_schema(schema).await.is_err());
    assert!(other.get_label_schema_by_name(&experiment, "Feedback").await.is_err());
    assert!(other.update_label_schema(schema, &LabelSchemaChange::default()).await.is_err());
    other.delete_label_schema(schema).await.unwrap();
    assert!(mine.get_label_schema(schema).await.is_ok());

    let issue = Issue {
        experiment_id: Some(experiment.clone()),
        name: Some("n".into()),
        description: Some("d".into()),
        ..Issue::default()
    };
    assert!(other.create_issue(issue.clone()).await.is_err());
    let issue = mine.create_issue(issue).await.unwrap().issue_id.unwrap();
    assert!(other.get_issue(&issue).await.is_err());
    assert!(other.update_issue(&issue, &IssueChange::default()).await.is_err());
    for with_trace_count in [false, true] {
        let search = IssueSearch { max_results: 10, with_trace_count, ..IssueSearch::default() };
        assert!(other.search_issues(search.clone()).await.unwrap().0.is_empty());
        assert_eq!(mine.search_issues(search).await.unwrap().0.len(), 1);
    }
}

on_each!(scorers_and_review_queues_of_another_workspace_are_not_found);
async fn scorers_and_review_queues_of_another_workspace_are_not_found(store: &Store) {
    let [default, team] = two(store).await;
    let (mine, other) = (store.within(&default), store.within(&team));
    let experiment = mine.create_experiment("mine", None, Vec::new()).await.unwrap();
    let scorer = Scorer::parse("{}").unwrap();
    assert!(other.register_scorer(&experiment, "s", "{}", &scorer).await.is_err());
    let made = mine.register_scorer(&experiment, "s", "{}", &scorer).await.unwrap().version;
    let id = [made.scorer_id().to_owned()];
    mine.set_online_scoring(&experiment, "s", 0.0, None).await.unwrap();
    let all = Scope::everything();
    assert!(other.get_scorer(&experiment, "s", None).await.is_err());
    assert!(other.list_scorer_versions(&experiment, "s").await.is_err());
    assert!(other.list_scorers(&all, &experiment).await.is_err());
    assert!(other.set_online_scoring(&experiment, "s", 0.0, None).await.is_err());
    assert!(other.delete_scorer(&experiment, "s", None).await.is_err());
    let numbers = Some(vec![experiment.parse().unwrap()]);
    for experiments in [None, numbers] {
        assert!(other.list_scorers_across(&all, experiments.clone()).await.unwrap().is_empty());
        assert_eq!(mine.list_scorers_across(&all, experiments).await.unwrap().len(), 1);
    }
    assert!(other.online_scoring(&id).await.unwrap().is_empty());
    assert_eq!(mine.online_scoring(&id).await.unwrap().len(), 1);

    let new = NewQueue::of(Some(ReviewQueueType::Custom), "q", &[], &[]).unwrap();
    assert!(other.create_review_queue(&experiment, &new, None).await.is_err());
    assert!(other.get_or_create_user_queue(&experiment, "ann").await.is_err());
    let queue = mine.create_review_queue(&experiment, &new, None).await.unwrap().queue_id.unwrap();
    mine.start_trace(info("tr-1", &experiment)).await.unwrap();
    let (items, list) = (
        ["tr-1".to_owned()],
        ReviewQueueList { experiment_id: experiment.clone(), max_results: 9, ..Default::default() },
    );
    assert!(other.add_review_queue_items(&queue, &items).await.is_err());
    mine.add_review_queue_items(&queue, &items).await.unwrap();
    assert!(other.get_review_queue(&queue).await.is_err());
    assert!(other.find_review_queue(&experiment, "q").await.unwrap().is_none());
    assert!(other.list_review_queues(&list).await.is_err());
    assert!(other.update_review_queue(&queue, &ReviewQueueChange::default()).await.is_err());
    assert!(other.list_review_queue_items(&queue, None, 9, None).await.is_err());
    assert!(other.remove_review_queue_items(&queue, &items).await.is_err());
    let done = Some(ReviewStatus::Complete);
    assert!(other.set_review_queue_item_status(&queue, "tr-1", done, Some("ann")).await.is_err());
    other.delete_review_queue(&queue).await.unwrap();
    assert_eq!(mine.list_review_queue_items(&queue, Some(ReviewStatus::Pending), 9, None).await.unwrap().0.len(), 1);
    assert_eq!(mine.list_review_queues(&list).await.unwrap().0.len(), 1);
}

on_each!(a_page_token_belongs_to_its_workspace);
async fn a_page_token_belongs_to_its_workspace(store: &Store) {
    let [default, team] = two(store).await;
    let (mine, other) = (store.within(&team), store.within(&default));
    let scope = Scope::everything();
    let mut experiments = Vec::new();
    for store in [mine, other] {
        let made = [
            store.create_experiment("one", None, Vec::new()).await.unwrap(),
            store.create_experiment("two", None, Vec::new()).await.unwrap(),
        ];
        for name in ["a", "b"] {
            run_in(store, &made[0]).await;
            store.create_registered_model(name, "", &[]).await.unwrap();
            store.create_dataset(&NewDataset { name: name.into(), ..NewDataset::default() }).await.unwrap();
        }
        experiments.push(made[0].clone());
    }
    let experiments_page = |token: Option<String>| ExperimentSearch {
        view: ViewType::All,
        max_results: 1,
        filter: String::new(),
        order_by: Vec::new(),
        page_token: token,
    };
    let runs_page = |token: Option<String>| RunSearch {
        experiment_ids: experiments.clone(),
        filter: String::new(),
        view: ViewType::All,
        max_results: 1,
        order_by: Vec::new(),
        page_token: token,
    };
    let models_page =
        |token: Option<String>| RegisteredModelSearch { max_results: 1, page_token: token, ..Default::default() };
    let datasets_page =
        |token: Option<String>| DatasetSearch { max_results: 1, page_token: token, ..Default::default() };
    let traces_page = |token: Option<String>| TraceSearch {
        experiment_ids: experiments.clone(),
        max_results: 1,
        page_token: token,
        ..TraceSearch::default()
    };
    for (number, experiment) in [(1, &experiments[0]), (3, &experiments[1])] {
        let store = if number == 1 { mine } else { other };
        for number in number..number + 2 {
            store.start_trace(info(&format!("tr-{number}"), experiment)).await.unwrap();
        }
    }
    let tokens = [
        mine.search_experiments(&scope, experiments_page(None)).await.unwrap().1,
        mine.search_runs(&scope, runs_page(None)).await.unwrap().1,
        mine.search_registered_models(&scope, models_page(None)).await.unwrap().1,
        mine.search_datasets_of(datasets_page(None)).await.unwrap().1,
        mine.search_traces(&scope, &traces_page(None)).await.unwrap().1,
    ];
    assert!(tokens.iter().all(Option::is_some), "{tokens:?}");
    for (place, store) in [("its own", mine), ("another", other)] {
        let [experiments, runs, models, datasets, traces] = tokens.clone();
        let outcomes = [
            store.search_experiments(&scope, experiments_page(experiments)).await.map(drop),
            store.search_runs(&scope, runs_page(runs)).await.map(drop),
            store.search_registered_models(&scope, models_page(models)).await.map(drop),
            store.search_datasets_of(datasets_page(datasets)).await.map(drop),
            store.search_traces(&scope, &traces_page(traces)).await.map(drop),
        ];
        for (kind, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(()) => assert_eq!(place, "its own", "{kind}"),
                Err(error) => {
                    assert_eq!(place, "another", "{kind}: {}", error.message);
                    assert!(error.message.starts_with("Invalid page token"), "{kind}: {}", error.message);
                }
            }
        }
    }
    // Offsets of the reference belong to no workspace.
    let offset = Some("eyJvZmZzZXQiOiAxfQ==".to_owned());
    for store in [mine, other] {
        assert_eq!(store.search_registered_models(&scope, models_page(offset.clone())).await.unwrap().0.len(), 1);
        assert_eq!(store.search_datasets_of(datasets_page(offset.clone())).await.unwrap().0.len(), 1);
    }
    // Without workspaces a list's token has nothing but its keys.
    let only = store.within(Workspace::only());
    let token = only.search_datasets_of(datasets_page(None)).await.unwrap().1;
    assert!(only.search_datasets_of(datasets_page(token.clone())).await.is_ok());
    assert!(mine.search_datasets_of(datasets_page(token)).await.is_ok());
}

on_each!(spans_of_a_taken_trace_are_not_found);
async fn spans_of_a_taken_trace_are_not_found(store: &Store) {
    let [default, team] = two(store).await;
    let (mine, other) = (store.within(&team), store.within(&default));
    let experiment = mine.create_experiment("one", None, Vec::new()).await.unwrap();
    let theirs = other.create_experiment("one", None, Vec::new()).await.unwrap();
    let batch = |traces: &[u64]| {
        let spans: Vec<_> = traces.iter().map(|trace| span(*trace, 1, &json!({}))).collect();
        spans::batch(&spans, &json!({}))
    };
    other.log_spans(&theirs, Joins::Any, None, batch(&[1])).await.unwrap();
    // Nothing is said of the trace where the experiment is not there.
    for trace in [1, 2] {
        let error = mine.log_spans("987", Joins::Any, None, batch(&[trace])).await.unwrap_err();
        assert_eq!(error.message, "No Experiment with id=987 exists");
    }
    let taken = mine.log_spans(&experiment, Joins::Any, None, batch(&[1])).await.unwrap_err();
    let started = mine.start_trace(info(&trace_id(1), &experiment)).await.unwrap_err();
    assert_eq!((taken.code, &taken.message), (started.code, &started.message));
    let part = mine.log_spans(&experiment, Joins::Any, None, batch(&[1, 2])).await.unwrap();
    assert_eq!((part.rejected, part.fault.map(|fault| fault.message)), (1, Some(taken.message)));
    assert_eq!(mine.span_places(&[trace_id(1), trace_id(2)]).await.unwrap().len(), 1);
    assert_eq!(other.span_places(&[trace_id(1), trace_id(2)]).await.unwrap().len(), 1);
}
