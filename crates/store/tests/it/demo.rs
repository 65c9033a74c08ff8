//! Sample data.

use ferroflow_model::messages::service::{TraceInfoV3, ViewType};
use ferroflow_store::{
    DEMO_EXPERIMENT, DatasetSearch, DemoFeature, IssueSearch, RegisteredModelSearch, RunSearch, Scope, Store,
    TraceSearch,
};

use crate::support::{Here as _, on_each};

async fn traces(store: &Store, experiment: &str) -> Vec<TraceInfoV3> {
    let search =
        TraceSearch { experiment_ids: vec![experiment.to_owned()], max_results: 500, ..TraceSearch::default() };
    store.here().search_traces(&Scope::everything(), &search).await.unwrap().0
}

/// The numbers of traces, runs, datasets, issues and prompts that can be seen.
async fn counts(store: &Store, experiment: &str) -> [usize; 5] {
    let here = store.here();
    let runs = RunSearch {
        experiment_ids: vec![experiment.to_owned()],
        filter: String::new(),
        view: ViewType::ActiveOnly,
        max_results: 100,
        order_by: Vec::new(),
        page_token: None,
    };
    let datasets =
        DatasetSearch { experiment_ids: vec![experiment.to_owned()], max_results: 100, ..DatasetSearch::default() };
    let issues = IssueSearch {
        experiment_id: Some(experiment.to_owned()),
        filter: "status = 'pending'".into(),
        max_results: 100,
        ..IssueSearch::default()
    };
    let prompts = RegisteredModelSearch {
        filter: "tags.`mlflow.prompt.is_prompt` = 'true'".into(),
        max_results: 100,
        ..RegisteredModelSearch::default()
    };
    [
        traces(store, experiment).await.len(),
        here.search_runs(&Scope::everything(), runs).await.unwrap().0.len(),
        here.search_datasets_of(datasets).await.unwrap().0.len(),
        here.search_issues(issues).await.unwrap().0.len(),
        here.search_registered_models(&Scope::everything(), prompts).await.unwrap().0.len(),
    ]
}

/// What there is afterwards.
const ALL: [usize; 5] = [42, 5, 2, 4, 3];

on_each!(sample_data_is_generated_once_and_deleted);
async fn sample_data_is_generated_once_and_deleted(store: &Store) {
    let here = store.here();
    let made = here.generate_demo(None).await.unwrap();
    let id = made.experiment_id.clone().unwrap();
    assert!(!made.existed && made.features.len() == 8);
    assert_eq!(counts(store, &id).await, ALL);

    let again = here.generate_demo(None).await.unwrap();
    assert_eq!((again.existed, again.experiment_id.as_ref(), again.features.len()), (true, Some(&id), 0));
    assert_eq!(counts(store, &id).await, ALL);

    let deleted = here.delete_demo().await.unwrap();
    assert_eq!((deleted.features, deleted.archived), (made.features.clone(), Vec::new()));
    assert_eq!(counts(store, &id).await, [0; 5]);
    let experiment = here.get_experiment_by_name(DEMO_EXPERIMENT).await.unwrap().unwrap();
    assert_eq!(experiment.lifecycle_stage(), "deleted");
    assert!(here.delete_demo().await.unwrap().features.is_empty());

    let third = here.generate_demo(None).await.unwrap();
    assert_eq!((third.experiment_id.as_ref(), &third.features), (Some(&id), &made.features));
    assert_eq!(counts(store, &id).await, ALL);
}

on_each!(requests_at_the_same_time_generate_it_once);
async fn requests_at_the_same_time_generate_it_once(store: &Store) {
    let here = store.here();
    let (one, other, third) =
        tokio::join!(here.generate_demo(None), here.generate_demo(None), here.generate_demo(None));
    let mut existed = [one, other, third].map(|made| made.unwrap().existed);
    existed.sort_unstable();
    assert_eq!(existed, [false, true, true]);
    let experiment = here.get_experiment_by_name(DEMO_EXPERIMENT).await.unwrap().unwrap();
    assert_eq!(counts(store, experiment.experiment_id()).await, ALL);
}

on_each!(an_interrupted_feature_is_generated_again);
async fn an_interrupted_feature_is_generated_again(store: &Store) {
    let here = store.here();
    let id = here.generate_demo(None).await.unwrap().experiment_id.unwrap();
    // As after a server that was killed before it wrote the version.
    here.delete_experiment_tag(&id, "mlflow.demo.version.traces").await.unwrap();
    let made = here.generate_demo(Some(&["traces".into(), "unknown".into()])).await.unwrap();
    assert_eq!((made.existed, made.features), (false, vec![DemoFeature::Traces]));
    assert_eq!(traces(store, &id).await.len(), ALL[0]);
    // The reference's tag with Python 3.11.
    here.delete_experiment_tag(&id, "mlflow.demo.version.traces").await.unwrap();
    here.set_experiment_tag(&id, "mlflow.demo.version.DemoFeature.TRACES", "3").await.unwrap();
    assert!(here.generate_demo(Some(&["traces".into()])).await.unwrap().existed);
}

on_each!(a_feature_brings_those_that_it_is_made_from);
async fn a_feature_brings_those_that_it_is_made_from(store: &Store) {
    let here = store.here();
    let none = here.generate_demo(Some(&["unknown".into()])).await.unwrap();
    assert_eq!((none.existed, none.experiment_id, none.features.len()), (false, None, 0));
    let made = here.generate_demo(Some(&["issues".into()])).await.unwrap();
    let expected = [DemoFeature::Prompts, DemoFeature::Traces, DemoFeature::Evaluation, DemoFeature::Issues];
    assert_eq!(made.features, expected);
}

on_each!(traces_of_users_are_left);
async fn traces_of_users_are_left(store: &Store) {
    let here = store.here();
    let id = here.generate_demo(Some(&["traces".into()])).await.unwrap().experiment_id.unwrap();
    let own = TraceInfoV3 {
        trace_id: Some("tr-own".into()),
        tags: [].into(),
        trace_metadata: [].into(),
        ..traces(store, &id).await[0].clone()
    };
    here.start_trace(own).await.unwrap();
    here.delete_demo().await.unwrap();
    let left: Vec<_> = traces(store, &id).await.into_iter().filter_map(|trace| trace.trace_id).collect();
    assert_eq!(left, ["tr-own"]);
}

on_each!(the_traces_are_complete_and_in_the_past);
async fn the_traces_are_complete_and_in_the_past(store: &Store) {
    let here = store.here();
    let now = ferroflow_model::clock::unix_millis();
    let id = here.generate_demo(None).await.unwrap().experiment_id.unwrap();
    for trace in traces(store, &id).await {
        let start = trace.request_time.unwrap().to_millis();
        assert!(start < now && start > now - 8 * 24 * 3_600_000);
        assert!(trace.request_preview.is_some_and(|text| !text.is_empty()));
        assert!(trace.response_preview.is_some_and(|text| !text.is_empty()));
        for key in ["mlflow.trace.tokenUsage", "mlflow.trace.cost", "mlflow.demo.trace_type"] {
            assert!(trace.trace_metadata.contains_key(key), "{key}");
        }
        // What is expected, and four scorers.
        assert!(trace.assessments.len() >= 5, "{:?}", trace.tags);
    }
}
