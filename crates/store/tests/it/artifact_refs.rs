//! Artifacts that a database refers to.

use ferroflow_model::messages::service::{LoggedModelStatus, LoggedModelTag};
use ferroflow_store::{
    NewLoggedModel, Store,
    db::BackendUri,
    upkeep::artifact_refs::{self, ArtifactRefs},
};

use crate::support::{self, Here as _, on_each};

async fn model(store: &Store, name: &str, status: LoggedModelStatus) -> String {
    let new = NewLoggedModel { experiment_id: "0".into(), name: Some(name.into()), ..NewLoggedModel::default() };
    let id = store.here().create_logged_model(new).await.unwrap().info.unwrap().model_id().to_owned();
    store.here().finalize_logged_model(&id, status).await.unwrap();
    id
}

on_each!(of_the_newest_runs_and_of_models_that_are_complete);
async fn of_the_newest_runs_and_of_models_that_are_complete(uri: &BackendUri) {
    let store = support::open(uri).await;
    let [plain, tagged, odd, deleted] = [
        support::run(&store, "0").await,
        support::run(&store, "0").await,
        support::run(&store, "0").await,
        support::run(&store, "0").await,
    ];
    let listed = r#"[{"path": "a/t.json", "type": "table"}, {"type": "no path"}, {"path": 5}]"#;
    store.here().set_tag(&tagged, "mlflow.loggedArtifacts", listed).await.unwrap();
    store.here().set_tag(&odd, "mlflow.loggedArtifacts", "no list").await.unwrap();
    store.here().delete_run(&deleted).await.unwrap();
    let ready = model(&store, "ready", LoggedModelStatus::LoggedModelReady).await;
    model(&store, "failed", LoggedModelStatus::LoggedModelUploadFailed).await;
    let external = model(&store, "external", LoggedModelStatus::LoggedModelReady).await;
    let tag = LoggedModelTag { key: Some("mlflow.model.isExternal".into()), value: Some("True".into()) };
    store.here().set_logged_model_tags(&external, &[tag]).await.unwrap();

    let all = artifact_refs::artifacts(uri, 10).await.unwrap();
    let find = |owner: &str| all.iter().find(|one| one.owner == owner);
    assert_eq!(all.len(), 4, "{all:?}");
    for (run, files) in [(&plain, vec![]), (&tagged, vec!["a/t.json".to_owned()]), (&odd, vec![])] {
        let owner = format!("run {run}");
        let location = format!("mlflow-artifacts:/0/{run}/artifacts");
        assert_eq!(find(&owner), Some(&ArtifactRefs { owner: owner.clone(), location, files, must_have_files: false }));
    }
    let found = find(&format!("logged model {ready}")).unwrap();
    assert!(found.must_have_files && found.location.contains(&ready), "{found:?}");

    let few = artifact_refs::artifacts(uri, 1).await.unwrap();
    assert_eq!(few.len(), 2, "{few:?}");
    store.close().await.unwrap();
}
