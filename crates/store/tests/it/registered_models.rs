//! Registered models with their versions, tags and aliases.

use ferroflow_model::{
    ErrorCode,
    messages::{
        model_registry::{ModelVersion, ModelVersionTag, RegisteredModelTag},
        service::LoggedModelTag,
    },
};
use ferroflow_store::{NewLoggedModel, NewModelVersion, Store};
use futures_util::future::join_all;

use crate::support::{Here as _, on_each};

fn version_of(name: &str) -> NewModelVersion {
    let tag = ModelVersionTag { key: Some("k".into()), value: Some("v".into()) };
    NewModelVersion {
        name: name.into(),
        source: "s3://bucket/x".into(),
        run_id: Some("run".into()),
        run_link: "link".into(),
        description: "words".into(),
        tags: vec![tag],
        model_id: None,
    }
}

/// A model with versions 1 to `count`.
async fn model(store: &Store, name: &str, count: usize) {
    let tag = RegisteredModelTag { key: Some("team".into()), value: Some("a".into()) };
    store.here().create_registered_model(name, "", &[tag]).await.unwrap();
    for _ in 0..count {
        store.here().create_model_version(version_of(name)).await.unwrap();
    }
}

fn numbers(versions: &[ModelVersion]) -> Vec<&str> {
    versions.iter().map(ModelVersion::version).collect()
}

on_each!(versions_created_together_get_a_number_each, flavor = "multi_thread");
async fn versions_created_together_get_a_number_each(store: &Store) {
    model(store, "m", 0).await;
    model(store, "other", 0).await;
    let names = (0..24).map(|index| if index % 3 == 0 { "other" } else { "m" });
    let here = store.here();
    let created = join_all(names.map(|name| here.create_model_version(version_of(name)))).await;
    let mut found: Vec<(String, i64)> = created
        .into_iter()
        .map(|version| version.unwrap())
        .map(|version| (version.name().to_owned(), version.version().parse().unwrap()))
        .collect();
    found.sort_unstable();
    let expected = (1..=16).map(|n| ("m".to_owned(), n)).chain((1..=8).map(|n| ("other".to_owned(), n)));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

on_each!(a_number_is_never_given_again);
async fn a_number_is_never_given_again(store: &Store) {
    model(store, "m", 2).await;
    store.here().delete_model_version("m", "2").await.unwrap();
    assert_eq!(store.here().create_model_version(version_of("m")).await.unwrap().version(), "3");
}

on_each!(a_name_is_given_once);
async fn a_name_is_given_once(store: &Store) {
    let here = store.here();
    let results = join_all((0..8).map(|_| here.create_registered_model("m", "", &[]))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
    }
}

on_each!(renaming_takes_everything_along);
async fn renaming_takes_everything_along(store: &Store) {
    model(store, "old", 2).await;
    store.here().set_registered_model_alias("old", "best", "1").await.unwrap();
    let renamed = store.here().rename_registered_model("old", "new").await.unwrap();
    assert_eq!(renamed.tags.len(), 1);
    assert_eq!(renamed.aliases[0].alias(), "best");
    assert_eq!(numbers(&renamed.latest_versions), ["2"]);
    let version = store.here().get_model_version_by_alias("new", "best").await.unwrap();
    assert_eq!((version.version(), version.tags.len()), ("1", 1));
    assert!(version.last_updated_timestamp >= version.creation_timestamp);
    let error = store.here().get_registered_model("old").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
    model(store, "old", 0).await;
    let error = store.here().rename_registered_model("old", "new").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
    assert_eq!(store.here().rename_registered_model("old", "old").await.unwrap().name(), "old");
}

on_each!(two_models_do_not_rename_into_each_other, flavor = "multi_thread");
async fn two_models_do_not_rename_into_each_other(store: &Store) {
    model(store, "a", 1).await;
    model(store, "b", 1).await;
    let here = store.here();
    for _ in 0..10 {
        let renames = [("a", "b"), ("b", "a")].map(|(from, to)| here.rename_registered_model(from, to));
        for outcome in join_all(renames).await {
            let error = outcome.unwrap_err();
            assert_eq!(error.code, ErrorCode::ResourceAlreadyExists, "{error}");
        }
    }
}

on_each!(deleting_a_model_takes_everything_along);
async fn deleting_a_model_takes_everything_along(store: &Store) {
    model(store, "m", 2).await;
    model(store, "stays", 1).await;
    store.here().set_registered_model_alias("m", "best", "1").await.unwrap();
    store.here().delete_model_version("m", "2").await.unwrap();
    store.here().delete_registered_model("m").await.unwrap();
    for error in [
        store.here().get_registered_model("m").await.map(drop).unwrap_err(),
        store.here().get_model_version("m", "1").await.map(drop).unwrap_err(),
        store.here().get_model_version_by_alias("m", "best").await.map(drop).unwrap_err(),
        store.here().delete_registered_model("m").await.unwrap_err(),
    ] {
        assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
    }
    // No rows are left for a later model of the same name.
    model(store, "m", 1).await;
    let again = store.here().get_registered_model("m").await.unwrap();
    assert_eq!((numbers(&again.latest_versions), again.aliases.len()), (vec!["1"], 0));
    assert_eq!(store.here().get_registered_model("stays").await.unwrap().latest_versions.len(), 1);
}

on_each!(writers_of_one_model_take_turns, flavor = "multi_thread");
async fn writers_of_one_model_take_turns(store: &Store) {
    for round in 0..6 {
        model(store, "m", 3).await;
        let writes = async |index: usize| {
            // The model may already be deleted; no other error is allowed.
            let outcome = match index % 6 {
                0 => store.here().create_model_version(version_of("m")).await.map(drop),
                1 => store.here().set_registered_model_alias("m", "best", "2").await,
                2 => store.here().set_model_version_tag("m", "1", "t", "x").await,
                3 => store.here().transition_model_version_stage("m", "3", "Staging", true).await.map(drop),
                4 => store.here().delete_model_version("m", "2").await,
                _ => store.here().set_registered_model_tag("m", "t", "x").await,
            };
            if let Err(error) = outcome {
                assert_eq!(error.code, ErrorCode::ResourceDoesNotExist, "round {round}: {error}");
            }
        };
        let here = store.here();
        let (_, deleted) = tokio::join!(join_all((0..18).map(writes)), here.delete_registered_model("m"));
        deleted.unwrap();
        assert!(store.here().get_registered_model("m").await.is_err());
    }
}

on_each!(an_alias_follows_and_goes_with_its_version);
async fn an_alias_follows_and_goes_with_its_version(store: &Store) {
    model(store, "m", 2).await;
    store.here().set_registered_model_alias("m", "best", "1").await.unwrap();
    store.here().set_registered_model_alias("m", "best", "2").await.unwrap();
    assert_eq!(store.here().get_model_version_by_alias("m", "best").await.unwrap().version(), "2");
    assert!(store.here().get_model_version("m", "1").await.unwrap().aliases.is_empty());
    assert_eq!(store.here().get_model_version("m", "2").await.unwrap().aliases, ["best"]);
    assert_eq!(store.here().get_model_version_by_alias("m", "Latest").await.unwrap().aliases, ["best"]);
    store.here().delete_model_version("m", "2").await.unwrap();
    let error = store.here().get_model_version_by_alias("m", "best").await.unwrap_err();
    assert_eq!(error.message, "Registered model alias best not found.");
    assert!(store.here().get_registered_model("m").await.unwrap().aliases.is_empty());
    let error = store.here().set_registered_model_alias("m", "best", "2").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
}

on_each!(a_transition_archives_the_others_of_its_stage);
async fn a_transition_archives_the_others_of_its_stage(store: &Store) {
    model(store, "m", 4).await;
    store.here().transition_model_version_stage("m", "1", "production", false).await.unwrap();
    store.here().transition_model_version_stage("m", "2", "Production", false).await.unwrap();
    store.here().transition_model_version_stage("m", "3", "Staging", true).await.unwrap();
    let moved = store.here().transition_model_version_stage("m", "4", "PRODUCTION", true).await.unwrap();
    assert_eq!(moved.current_stage(), "Production");
    let stages =
        join_all(["1", "2", "3", "4"].map(async |version| {
            store.here().get_model_version("m", version).await.unwrap().current_stage().to_owned()
        }));
    assert_eq!(stages.await, ["Archived", "Archived", "Staging", "Production"]);
    let latest = store.here().get_latest_versions("m", &["archived".into(), "Staging".into()]).await.unwrap();
    assert_eq!(numbers(&latest), ["2", "3"]);
    // A failed transition archives nothing.
    assert!(store.here().transition_model_version_stage("m", "9", "Production", true).await.is_err());
    assert_eq!(store.here().get_model_version("m", "4").await.unwrap().current_stage(), "Production");
}

on_each!(a_deleted_version_says_nothing_any_more);
async fn a_deleted_version_says_nothing_any_more(store: &Store) {
    model(store, "m", 1).await;
    store.here().delete_model_version("m", "1").await.unwrap();
    let sql = "SELECT current_stage, source, run_id, run_link FROM model_versions";
    let statement = ferroflow_store::db::Statement::unscoped(ferroflow_store::db::Upkeep::Test, sql, Vec::new());
    let left: Vec<[String; 4]> =
        store.db().query(statement, |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])).await.unwrap();
    assert_eq!(left, [["Deleted_Internal", "REDACTED-SOURCE-PATH", "REDACTED-RUN-ID", "REDACTED-RUN-LINK"]]);
    assert!(store.here().get_registered_model("m").await.unwrap().latest_versions.is_empty());
}

on_each!(a_logged_model_knows_its_versions);
async fn a_logged_model_knows_its_versions(store: &Store) {
    model(store, "m", 0).await;
    let logged = NewLoggedModel { experiment_id: "0".into(), source_run_id: "maker".into(), ..Default::default() };
    let info = store.here().create_logged_model(logged).await.unwrap().info.unwrap();
    let id = info.model_id.unwrap();
    let from = |source: &str| NewModelVersion {
        source: source.into(),
        run_id: Some(String::new()),
        model_id: Some(id.clone()),
        ..version_of("m")
    };
    let first = store.here().create_model_version(from(&format!("models:/{id}"))).await.unwrap();
    assert_eq!(first.run_id(), "maker");
    assert_eq!(store.here().get_model_version_download_uri("m", "1").await.unwrap(), info.artifact_uri.unwrap());
    store.here().create_model_version(from("s3://bucket/x")).await.unwrap();
    let tags = store.here().get_logged_model(&id, false).await.unwrap().info.unwrap().tags;
    let list = r#"[{"name": "m", "version": 1}, {"name": "m", "version": 2}]"#;
    let tag = LoggedModelTag { key: Some("mlflow.modelVersions".into()), value: Some(list.into()) };
    assert_eq!(tags, [tag]);
    // If the logged model does not exist, no version is created.
    store.here().delete_logged_model(&id).await.unwrap();
    assert_eq!(
        store.here().create_model_version(from("s3://x/y")).await.unwrap_err().code,
        ErrorCode::ResourceDoesNotExist
    );
    assert!(store.here().get_model_version("m", "3").await.is_err());
}

on_each!(a_copy_leads_to_the_files_of_the_first);
async fn a_copy_leads_to_the_files_of_the_first(store: &Store) {
    model(store, "m", 1).await;
    model(store, "copy", 0).await;
    let of = |source: &str| NewModelVersion { source: source.into(), ..version_of("copy") };
    store.here().create_model_version(of("models:/m/1")).await.unwrap();
    let second = store.here().create_model_version(of("models:/copy/1")).await.unwrap();
    assert_eq!(second.source(), "models:/copy/1");
    assert_eq!(store.here().get_model_version_download_uri("copy", "2").await.unwrap(), "s3://bucket/x");
}
