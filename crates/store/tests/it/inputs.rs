//! Datasets and models of runs, and logged models.

use ferroflow_model::{
    ErrorCode,
    messages::service::{
        Dataset, DatasetInput, InputTag, LoggedModelParameter, LoggedModelStatus, LoggedModelTag, Metric, ModelInput,
        ModelOutput,
    },
};
use ferroflow_store::{NewLoggedModel, Store};

use crate::support::{self, Here as _, on_each};

fn dataset(name: &str, digest: &str, context: &str) -> DatasetInput {
    DatasetInput {
        dataset: Some(Dataset {
            name: Some(name.into()),
            digest: Some(digest.into()),
            source_type: Some("local".into()),
            source: Some("/data".into()),
            ..Dataset::default()
        }),
        tags: vec![InputTag { key: Some("mlflow.data.context".into()), value: Some(context.into()) }],
    }
}

on_each!(a_dataset_is_stored_once_and_linked_to_each_run);
async fn a_dataset_is_stored_once_and_linked_to_each_run(store: &Store) {
    let runs = [support::run(store, "0").await, support::run(store, "0").await];
    for run in &runs {
        // Logging is idempotent, also within one request.
        for _ in 0..2 {
            let inputs = vec![dataset("d", "1", "train"), dataset("d", "1", "other"), dataset("e", "2", "eval")];
            store.here().log_inputs(run, inputs, Vec::new()).await.unwrap();
        }
        let inputs = store.here().get_run(run).await.unwrap().inputs.unwrap().dataset_inputs;
        let mut found: Vec<(String, String)> = inputs
            .iter()
            .map(|input| (input.dataset.as_ref().unwrap().name().to_owned(), input.tags[0].value().to_owned()))
            .collect();
        found.sort();
        assert_eq!(found, [("d".into(), "train".into()), ("e".into(), "eval".into())]);
    }
    let mut summaries = store.here().search_datasets(&["0".into()]).await.unwrap();
    summaries.sort_by_key(|summary| summary.name.clone());
    let found: Vec<_> = summaries.iter().map(|s| (s.name(), s.digest(), s.context())).collect();
    assert_eq!(found, [("d", "1", "train"), ("e", "2", "eval")]);
}

on_each!(datasets_of_a_run_come_back_in_the_order_in_which_they_were_logged);
async fn datasets_of_a_run_come_back_in_the_order_in_which_they_were_logged(store: &Store) {
    let (run, other) = (support::run(store, "0").await, support::run(store, "0").await);
    let log = async |run: &str, names: &[&str]| {
        let inputs = names.iter().map(|name| dataset(name, "1", "train")).collect();
        store.here().log_inputs(run, inputs, Vec::new()).await.unwrap();
    };
    // Some are stored already, in another order.
    log(&other, &["c", "train", "eval"]).await;
    log(&run, &["train", "eval", "d", "b"]).await;
    log(&run, &["b", "f", "a", "e", "c"]).await;
    let inputs = store.here().get_run(&run).await.unwrap().inputs.unwrap().dataset_inputs;
    let names: Vec<&str> = inputs.iter().map(|input| input.dataset.as_ref().unwrap().name()).collect();
    assert_eq!(names, ["train", "eval", "d", "b", "f", "a", "e", "c"]);
}

on_each!(models_go_into_runs_and_come_out_of_them);
async fn models_go_into_runs_and_come_out_of_them(store: &Store) {
    let run = support::run(store, "0").await;
    let input = ModelInput { model_id: Some("m-in".into()) };
    store.here().log_inputs(&run, Vec::new(), vec![input.clone()]).await.unwrap();
    store.here().log_inputs(&run, Vec::new(), vec![input.clone()]).await.unwrap();
    let output = ModelOutput { model_id: Some("m-out".into()), step: Some(7) };
    store.here().log_outputs(&run, vec![output.clone()]).await.unwrap();
    assert_eq!(store.here().log_outputs(&run, vec![output.clone()]).await.unwrap_err().code, ErrorCode::BadRequest);
    let found = store.here().get_run(&run).await.unwrap();
    assert_eq!(found.inputs.unwrap().model_inputs, [input]);
    assert_eq!(found.outputs.unwrap().model_outputs, [output]);
}

on_each!(a_logged_model_lives_from_pending_to_deleted);
async fn a_logged_model_lives_from_pending_to_deleted(store: &Store) {
    let run = support::run(store, "0").await;
    let new = NewLoggedModel {
        experiment_id: "0".into(),
        name: Some("net".into()),
        source_run_id: run.clone(),
        params: vec![LoggedModelParameter { key: Some("lr".into()), value: Some("0.1".into()) }],
        tags: vec![LoggedModelTag { key: Some("a".into()), value: Some("1".into()) }],
        ..NewLoggedModel::default()
    };
    let model = store.here().create_logged_model(new).await.unwrap().info.unwrap();
    let id = model.model_id();
    assert_eq!(model.status, Some(LoggedModelStatus::LoggedModelPending));
    assert_eq!(model.artifact_uri(), format!("mlflow-artifacts:/0/models/{id}/artifacts"));

    let metric = Metric {
        key: Some("acc".into()),
        value: Some(0.5),
        timestamp: Some(1),
        model_id: Some(id.into()),
        dataset_name: Some("d".into()),
        ..Metric::default()
    };
    store.here().log_metric(&run, metric).await.unwrap();
    let tag = LoggedModelTag { key: Some("a".into()), value: Some("2".into()) };
    store.here().set_logged_model_tags(id, std::slice::from_ref(&tag)).await.unwrap();
    let ready = store.here().finalize_logged_model(id, LoggedModelStatus::LoggedModelReady).await.unwrap();
    let (info, data) = (ready.info.unwrap(), ready.data.unwrap());
    assert_eq!((info.status, info.tags), (Some(LoggedModelStatus::LoggedModelReady), vec![tag]));
    assert_eq!((data.metrics[0].value, data.metrics[0].dataset_name()), (Some(0.5), "d"));
    assert_eq!(data.params.len(), 1);

    store.here().delete_logged_model_tag(id, "a").await.unwrap();
    let gone = store.here().delete_logged_model_tag(id, "a").await.unwrap_err();
    assert_eq!(gone.message, format!("No tag with key 'a' found for model with ID '{id}'."));
    store.here().delete_logged_model(id).await.unwrap();
    assert_eq!(store.here().get_logged_model(id, false).await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
    assert!(store.here().get_logged_model(id, true).await.is_ok());
}
