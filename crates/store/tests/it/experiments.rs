//! Experiments, as a user sees them.

use ferroflow_model::{ErrorCode, messages::service::ExperimentTag};
use ferroflow_store::Store;

use crate::support::{self, Here as _, on_each};

on_each!(the_default_experiment_is_there_from_the_start);
async fn the_default_experiment_is_there_from_the_start(store: &Store) {
    let default = store.here().get_experiment("0").await.unwrap();
    assert_eq!(default.name.as_deref(), Some("Default"));
    assert_eq!(default.artifact_location.as_deref(), Some("mlflow-artifacts:/0"));
    assert_eq!(default.lifecycle_stage.as_deref(), Some("active"));
}

on_each!(a_name_can_be_used_once_even_when_its_owner_is_deleted);
async fn a_name_can_be_used_once_even_when_its_owner_is_deleted(store: &Store) {
    let id = store.here().create_experiment("résumé 雪", None, Vec::new()).await.unwrap();
    store.here().delete_experiment(&id).await.unwrap();
    let error = store.here().create_experiment("résumé 雪", None, Vec::new()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
    assert_eq!(store.here().get_experiment_by_name("résumé 雪").await.unwrap().unwrap().experiment_id, Some(id));
}

on_each!(deleting_and_restoring_takes_the_runs_along);
async fn deleting_and_restoring_takes_the_runs_along(store: &Store) {
    let id = store.here().create_experiment("e", None, Vec::new()).await.unwrap();
    let run = support::run(store, &id).await;
    store.here().delete_experiment(&id).await.unwrap();
    assert_eq!(store.here().get_run_info(&run).await.unwrap().lifecycle_stage.as_deref(), Some("deleted"));
    assert_eq!(store.here().delete_experiment(&id).await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
    store.here().restore_experiment(&id).await.unwrap();
    assert_eq!(store.here().get_run_info(&run).await.unwrap().lifecycle_stage.as_deref(), Some("active"));
}

on_each!(tags_are_written_over_and_deleted);
async fn tags_are_written_over_and_deleted(store: &Store) {
    let tag = ExperimentTag { key: Some("team".into()), value: Some("a".into()) };
    let id = store.here().create_experiment("e", None, vec![tag]).await.unwrap();
    store.here().set_experiment_tag(&id, "team", "b").await.unwrap();
    let tags = store.here().get_experiment(&id).await.unwrap().tags;
    assert_eq!(tags, [ExperimentTag { key: Some("team".into()), value: Some("b".into()) }]);
    store.here().delete_experiment_tag(&id, "team").await.unwrap();
    let error = store.here().delete_experiment_tag(&id, "team").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
}

on_each!(an_id_that_no_database_can_hold_is_not_found);
async fn an_id_that_no_database_can_hold_is_not_found(store: &Store) {
    for id in ["9999999999", "-1", "9223372036854775807"] {
        assert_eq!(store.here().get_experiment(id).await.unwrap_err().code, ErrorCode::ResourceDoesNotExist, "{id}");
    }
    for id in ["99999999999999999999999", "x", "1.5"] {
        let code = store.here().get_experiment(id).await.unwrap_err().code;
        assert!(matches!(code, ErrorCode::InvalidParameterValue | ErrorCode::ResourceDoesNotExist), "{id}");
    }
}
