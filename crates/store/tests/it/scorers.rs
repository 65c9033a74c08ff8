//! Scorers, their versions and configurations for online scoring.

use std::collections::BTreeSet;

use ferroflow_model::{ErrorCode, Result, evaluation::scorers::Scorer as Serialized, messages::service::Scorer};
use ferroflow_store::{
    RegisteredScorer, Scope, Store, Visible,
    db::{Op, Statement, Upkeep},
};

use crate::{
    support::{Here as _, on_each},
    traces::rows,
};

const PLAIN: &str = r#"{"name":"good", "threshold": 1.50, "text": "größe"}"#;

async fn register(store: &Store, experiment: &str, name: &str, text: &str) -> Result<RegisteredScorer> {
    store.here().register_scorer(experiment, name, text, &Serialized::parse(text).unwrap()).await
}

fn judge(model: &str, instructions: &str) -> String {
    format!(r#"{{"instructions_judge_pydantic_data": {{"instructions": "{instructions}", "model": "{model}"}}}}"#)
}

/// Creates an endpoint of the gateway.
async fn endpoint(store: &Store, id: &str, name: &str) {
    run(
        store,
        format!(
            "INSERT INTO endpoints (endpoint_id, name, created_at, last_updated_at) VALUES ('{id}', '{name}', 1, 1)"
        ),
    )
    .await;
}

async fn run(store: &Store, sql: String) {
    store.db().unit(vec![Op::Execute(Statement::unscoped(Upkeep::Test, sql, Vec::new()))]).await.unwrap();
}

fn summary(scorers: &[Scorer]) -> Vec<String> {
    scorers
        .iter()
        .map(|scorer| {
            let (experiment, version) = (scorer.experiment_id.unwrap(), scorer.scorer_version.unwrap());
            format!("{experiment}/{} {version}", scorer.scorer_name())
        })
        .collect()
}

on_each!(versions_are_registered_read_and_deleted);
async fn versions_are_registered_read_and_deleted(store: &Store) {
    let here = store.here();
    let first = register(store, "0", "good", PLAIN).await.unwrap();
    assert!(first.is_new);
    assert_eq!(here.get_scorer("0", "good", None).await.unwrap(), first.version);
    assert_eq!(first.version.serialized_scorer(), PLAIN);
    let second = register(store, "0", "good", "{}").await.unwrap();
    assert!(!second.is_new);
    assert_eq!(second.version.scorer_id, first.version.scorer_id);
    assert_eq!(here.get_scorer("0", "good", Some(1)).await.unwrap(), first.version);
    assert_eq!(here.get_scorer("0", "good", None).await.unwrap(), second.version);
    let versions = here.list_scorer_versions("0", "good").await.unwrap();
    assert_eq!(summary(&versions), ["0/good 1", "0/good 2"]);
    // A list is written as Python writes it.
    assert_eq!(versions[0].serialized_scorer(), r#"{"name": "good", "threshold": 1.5, "text": "gr\u00f6\u00dfe"}"#);
    assert_eq!(here.list_scorers(&Scope::everything(), "0").await.unwrap(), [second.version]);

    here.delete_scorer("0", "good", Some(2)).await.unwrap();
    assert_eq!(here.get_scorer("0", "good", None).await.unwrap(), first.version);
    let error = here.delete_scorer("0", "good", Some(2)).await.unwrap_err();
    assert_eq!(error.message, "Scorer with name 'good' and version 2 not found for experiment 0.");
    here.delete_scorer("0", "good", None).await.unwrap();
    for outcome in [
        here.delete_scorer("0", "good", None).await.map(drop),
        here.get_scorer("0", "good", None).await.map(drop),
        here.list_scorer_versions("0", "good").await.map(drop),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.message, "Scorer with name 'good' not found for experiment 0.");
        assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
    }
    assert!(rows(store, "SELECT scorer_id FROM scorer_versions").await.is_empty());
}

on_each!(one_name_gets_its_versions_one_after_another);
async fn one_name_gets_its_versions_one_after_another(store: &Store) {
    let all = futures_util::future::join_all((0..12).map(|_| register(store, "0", "good", PLAIN))).await;
    let all: Vec<RegisteredScorer> = all.into_iter().map(Result::unwrap).collect();
    let numbers: BTreeSet<i32> = all.iter().filter_map(|made| made.version.scorer_version).collect();
    assert_eq!(numbers, (1..=12).collect());
    assert_eq!(all.iter().filter(|made| made.is_new).count(), 1);
    assert_eq!(all.iter().map(|made| made.version.scorer_id()).collect::<BTreeSet<_>>().len(), 1);
}

on_each!(what_is_wrong_is_said);
async fn what_is_wrong_is_said(store: &Store) {
    let gone = store.here().create_experiment("gone", None, Vec::new()).await.unwrap();
    store.here().delete_experiment(&gone).await.unwrap();
    let (long, blank) = ("x".repeat(257), judge(" ", "x"));
    for (experiment, name, text, code) in [
        ("0", "", "{}", ErrorCode::InvalidParameterValue),
        ("0", " \u{1f}", "{}", ErrorCode::InvalidParameterValue),
        ("0", long.as_str(), "{}", ErrorCode::InvalidParameterValue),
        ("x", "good", "{}", ErrorCode::InvalidParameterValue),
        ("12345", "good", "{}", ErrorCode::ResourceDoesNotExist),
        (&gone, "good", "{}", ErrorCode::InvalidParameterValue),
        ("0", "good", &blank, ErrorCode::InvalidParameterValue),
        ("0", "good", &judge("gateway:/nothing", "x"), ErrorCode::ResourceDoesNotExist),
    ] {
        assert_eq!(register(store, experiment, name, text).await.unwrap_err().code, code, "{experiment} {name}");
    }
    assert!(rows(store, "SELECT scorer_id FROM scorers").await.is_empty());
    assert!(register(store, "0", &"é".repeat(256), "{}").await.is_ok());
}

on_each!(an_endpoint_is_stored_by_its_id_and_shown_by_its_name);
async fn an_endpoint_is_stored_by_its_id_and_shown_by_its_name(store: &Store) {
    let here = store.here();
    endpoint(store, "e-1", "chat").await;
    let made = register(store, "0", "judge", &judge("gateway:/chat", "x")).await.unwrap().version;
    assert_eq!(made.serialized_scorer(), judge("gateway:/chat", "x"));
    let stored = rows(store, "SELECT serialized_scorer FROM scorer_versions").await;
    assert_eq!(stored, [[judge("gateway:/e-1", "x").into()]]);
    let bindings = "SELECT endpoint_id, resource_type, display_name FROM endpoint_bindings";
    assert_eq!(rows(store, bindings).await, [["e-1".into(), "scorer".into(), "judge".into()]]);
    assert_eq!(here.get_scorer("0", "judge", None).await.unwrap(), made);
    assert_eq!(here.list_scorers(&Scope::everything(), "0").await.unwrap(), std::slice::from_ref(&made));

    run(store, "UPDATE endpoints SET name = 'talk'".into()).await;
    assert_eq!(here.get_scorer("0", "judge", None).await.unwrap().serialized_scorer(), judge("gateway:/talk", "x"));
    endpoint(store, "e-2", "other").await;
    register(store, "0", "judge", &judge("gateway:/other", "x")).await.unwrap();
    assert_eq!(rows(store, bindings).await, [["e-2".into(), "scorer".into(), "judge".into()]]);

    run(store, "DELETE FROM endpoints".into()).await;
    let without = judge("x", "x").replace("\"x\"}", "null}");
    for version in here.list_scorer_versions("0", "judge").await.unwrap() {
        assert_eq!(version.serialized_scorer(), without);
    }
    assert_eq!(here.get_scorer("0", "judge", Some(1)).await.unwrap().serialized_scorer(), without);
    assert!(rows(store, bindings).await.is_empty());
}

on_each!(a_list_has_the_scorers_that_its_caller_may_see);
async fn a_list_has_the_scorers_that_its_caller_may_see(store: &Store) {
    let here = store.here();
    let (one, gone) = (here.create_experiment("one", None, Vec::new()).await.unwrap(), "gone");
    let gone = here.create_experiment(gone, None, Vec::new()).await.unwrap();
    for (experiment, name) in [("0", "b"), ("0", "Z"), ("0", "é"), ("0", "a/b"), (one.as_str(), "a"), (&gone, "a")] {
        register(store, experiment, name, "{}").await.unwrap();
    }
    register(store, "0", "b", "{}").await.unwrap();
    here.delete_experiment(&gone).await.unwrap();
    let all = here.list_scorers_across(&Scope::everything(), None).await.unwrap();
    assert_eq!(summary(&all), ["0/Z 1", "0/a/b 1", "0/b 2", "0/é 1", &format!("{one}/a 1")]);
    let ids = |id: &str| Some(vec![id.parse::<i64>().unwrap()]);
    assert_eq!(here.list_scorers_across(&Scope::everything(), ids(&gone)).await.unwrap(), []);
    assert_eq!(
        summary(&here.list_scorers_across(&Scope::everything(), ids(&one)).await.unwrap()),
        [format!("{one}/a 1")]
    );

    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (scope, expected) in [
        (Scope { scorers: Visible::Only(names(&["0/a/b", "0/é"])), ..Scope::everything() }, vec!["0/a/b 1", "0/é 1"]),
        (Scope { scorers: Visible::Except(names(&["0/b"])), ..Scope::everything() }, vec!["0/Z 1", "0/a/b 1", "0/é 1"]),
        (Scope { experiments: Visible::Except(names(&["0"])), ..Scope::everything() }, vec![]),
        (Scope::nothing(), vec![]),
    ] {
        assert_eq!(summary(&here.list_scorers(&scope, "0").await.unwrap()), expected, "{scope:?}");
    }
    assert_eq!(
        here.list_scorers(&Scope::everything(), &gone).await.unwrap_err().code,
        ErrorCode::InvalidParameterValue
    );
}

on_each!(online_scoring_is_for_judges_behind_the_gateway);
async fn online_scoring_is_for_judges_behind_the_gateway(store: &Store) {
    let here = store.here();
    endpoint(store, "e-1", "chat").await;
    register(store, "0", "plain", PLAIN).await.unwrap();
    let judged = register(store, "0", "judge", &judge("gateway:/chat", "{{ outputs }}")).await.unwrap();
    let judged = judged.version.scorer_id().to_owned();
    register(store, "0", "truth", &judge("gateway:/chat", "{{ expectations }}")).await.unwrap();
    let filter = "status = 'OK'";
    let set = here.set_online_scoring("0", "judge", 0.25, Some(filter)).await.unwrap();
    assert_eq!((set.scorer_id(), set.sample_rate, set.filter_string()), (judged.as_str(), Some(0.25), filter));
    assert_eq!(here.online_scoring(&[judged.clone(), "x".into()]).await.unwrap(), [set]);
    let off = here.set_online_scoring("0", "judge", 0.0, None).await.unwrap();
    assert_eq!(here.online_scoring(std::slice::from_ref(&judged)).await.unwrap(), [off]);
    assert!(here.set_online_scoring("0", "plain", 0.0, None).await.is_ok());
    for (name, rate, filter, message) in [
        ("plain", 0.5, None, "Scorer 'plain' does not use a gateway model."),
        ("truth", 0.5, None, "Scorer 'truth' requires expectations, but"),
        ("judge", 1.5, None, "sample_rate must be between 0.0 and 1.0, got 1.5"),
        ("judge", f64::NAN, None, "sample_rate must be between 0.0 and 1.0, got nan"),
        ("judge", 0.5, Some("nonsense"), "Invalid clause"),
        ("nothing", 0.5, None, "Scorer with name 'nothing' not found for experiment 0."),
    ] {
        let error = here.set_online_scoring("0", name, rate, filter).await.unwrap_err();
        assert!(error.message.starts_with(message), "{}", error.message);
    }
    // One configuration, however many set it at once.
    let all = (0..8).map(|number| here.set_online_scoring("0", "judge", f64::from(number) / 10.0, None));
    futures_util::future::join_all(all).await.into_iter().for_each(|set| drop(set.unwrap()));
    assert_eq!(here.online_scoring(std::slice::from_ref(&judged)).await.unwrap().len(), 1);
    here.delete_scorer("0", "judge", None).await.unwrap();
    assert!(here.online_scoring(&[judged]).await.unwrap().is_empty());
}
