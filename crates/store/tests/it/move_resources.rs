//! Resources move between workspaces as a whole, or not at all.

use ferroflow_model::messages::{model_registry::RegisteredModelTag, service::ExperimentTag};
use ferroflow_store::{
    NewDataset, NewModelVersion, NewRun, Scoped, Store, Workspace,
    db::Upkeep,
    upkeep::{
        gc::{PurgeLimits, Purgeable},
        move_resources::{ArtifactPolicy, Chosen, MovableType, Move, Moved},
    },
};

use crate::support::{Here as _, on_each};

async fn two(store: &Store) -> [Workspace; 2] {
    store.db().batch("INSERT INTO workspaces (name) VALUES ('team')".into()).await.unwrap();
    [store.workspace("default").await.unwrap(), store.workspace("team").await.unwrap()]
}

fn to_team(kind: MovableType, chosen: Chosen) -> Move {
    Move {
        kind,
        from: "default".into(),
        to: "team".into(),
        chosen,
        artifacts: ArtifactPolicy::Preserve,
        names_in_errors: 1,
    }
}

fn named(names: &[&str]) -> Chosen {
    Chosen::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

async fn moved(store: &Store, wanted: &Move) -> Moved {
    let dry = store.unscoped(Upkeep::Move).move_resources(wanted, true).await.unwrap();
    let moved = store.unscoped(Upkeep::Move).move_resources(wanted, false).await.unwrap();
    assert_eq!(dry, moved, "a dry run says what is moved");
    moved
}

async fn refused(store: &Store, wanted: &Move) -> String {
    let dry = store.unscoped(Upkeep::Move).move_resources(wanted, true).await.unwrap_err();
    let error = store.unscoped(Upkeep::Move).move_resources(wanted, false).await.unwrap_err();
    assert_eq!(dry, error, "a dry run says what prevents it");
    error.message
}

async fn run_in(store: Scoped<'_>, experiment: &str) -> String {
    let new = NewRun { experiment_id: experiment.into(), ..NewRun::default() };
    store.create_run(new).await.unwrap().info.unwrap().run_id.unwrap()
}

fn experiment_tag(key: &str, value: &str) -> ExperimentTag {
    ExperimentTag { key: Some(key.into()), value: Some(value.into()) }
}

on_each!(experiments_move_with_what_is_in_them);
async fn experiments_move_with_what_is_in_them(store: &Store) {
    let [default, team] = two(store).await;
    let (source, target) = (store.within(&default), store.within(&team));
    let tags = vec![experiment_tag("team", "a"), experiment_tag("env", "prod")];
    let one = source.create_experiment("one", None, tags).await.unwrap();
    let two = source.create_experiment("two", None, vec![experiment_tag("team", "a")]).await.unwrap();
    let run = run_in(source, &one).await;

    let chosen = Chosen::Tagged(vec![("team".into(), "a".into()), ("env".into(), "prod".into())]);
    let done = moved(store, &to_team(MovableType::Experiments, chosen)).await;
    assert_eq!((done.names.as_slice(), done.rows, done.root), (&["one".to_owned()][..], 1, None));
    assert!(source.get_experiment(&one).await.is_err() && source.get_run(&run).await.is_err());
    assert_eq!(target.get_run(&run).await.unwrap().info.unwrap().experiment_id(), one);
    let location = target.get_experiment(&one).await.unwrap().artifact_location.unwrap();
    assert!(source.get_experiment(&two).await.is_ok());

    // A name that is taken stops all of them.
    source.create_experiment("one", None, Vec::new()).await.unwrap();
    let message = refused(store, &to_team(MovableType::Experiments, named(&["one", "two"]))).await;
    assert!(message.contains("already exist in workspace 'team' and would conflict: \n  'one'\nRename"), "{message}");
    assert!(source.get_experiment(&two).await.is_ok());

    let mut wanted = to_team(MovableType::Experiments, named(&["two", "nowhere"]));
    wanted.artifacts = ArtifactPolicy::Retarget(None);
    assert!(refused(store, &wanted).await.starts_with("Cannot determine the artifact root for workspace 'team'."));
    wanted.artifacts = ArtifactPolicy::Retarget(Some("s3://bucket/root?x=y".into()));
    let done = moved(store, &wanted).await;
    assert_eq!((done.names, done.missing), (vec!["two".to_owned()], vec!["nowhere".to_owned()]));
    let there = target.get_experiment(&two).await.unwrap().artifact_location.unwrap();
    assert_eq!(there, format!("s3://bucket/root/workspaces/team/{two}?x=y"));
    assert_eq!(target.get_experiment(&one).await.unwrap().artifact_location.unwrap(), location);
}

on_each!(a_model_moves_with_its_versions_tags_and_aliases);
async fn a_model_moves_with_its_versions_tags_and_aliases(store: &Store) {
    let [default, team] = two(store).await;
    let (source, target) = (store.within(&default), store.within(&team));
    let experiment = source.create_experiment("one", None, Vec::new()).await.unwrap();
    let run = run_in(source, &experiment).await;
    for name in ["m", "other"] {
        let tag = RegisteredModelTag { key: Some("k".into()), value: Some(name.into()) };
        source.create_registered_model(name, "", &[tag]).await.unwrap();
        let new = NewModelVersion {
            name: name.into(),
            source: "s3://b/m".into(),
            run_id: Some(run.clone()),
            ..NewModelVersion::default()
        };
        source.create_model_version(new).await.unwrap();
        source.set_registered_model_alias(name, "best", "1").await.unwrap();
        source.set_model_version_tag(name, "1", "t", name).await.unwrap();
    }
    let done = moved(store, &to_team(MovableType::RegisteredModels, named(&["m"]))).await;
    assert_eq!((done.rows, done.separated.len(), done.separated[0].0), (1, 1, 1));
    assert!(source.get_registered_model("m").await.is_err());
    assert!(source.get_model_version_by_alias("m", "best").await.is_err());
    let version = target.get_model_version_by_alias("m", "best").await.unwrap();
    assert_eq!(version.tags[0].value(), "m");
    assert_eq!(target.get_registered_model("m").await.unwrap().tags[0].value(), "m");
    assert_eq!(source.get_model_version_by_alias("other", "best").await.unwrap().tags[0].value(), "other");

    // The experiment of its run follows; the other model's version stays without it.
    let done = moved(store, &to_team(MovableType::Experiments, Chosen::All)).await;
    assert_eq!(done.names, ["Default", "one"]);
    let [(1, zero), (1, versions)] = done.separated[..] else { panic!("{:?}", done.separated) };
    assert!(zero.contains("experiment 0") && versions.starts_with("model versions that stay"));
}

on_each!(datasets_move_by_a_name_that_is_not_unique);
async fn datasets_move_by_a_name_that_is_not_unique(store: &Store) {
    let [default, team] = two(store).await;
    let (source, target) = (store.within(&default), store.within(&team));
    let experiment = source.create_experiment("one", None, Vec::new()).await.unwrap();
    let new = NewDataset { name: "d".into(), tags: String::new(), experiment_ids: vec![experiment] };
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(source.create_dataset(&new).await.unwrap().dataset_id.unwrap());
    }
    let done = moved(store, &to_team(MovableType::EvaluationDatasets, Chosen::All)).await;
    assert_eq!((done.names, done.rows, done.separated[0].0), (vec!["d".to_owned()], 2, 2));
    for id in &ids {
        assert!(source.get_dataset(id).await.is_err() && target.get_dataset(id).await.is_ok());
    }
    let nothing = moved(store, &to_team(MovableType::Webhooks, Chosen::All)).await;
    assert_eq!(nothing, Moved::default());
}

on_each!(a_move_that_makes_no_sense_is_refused);
async fn a_move_that_makes_no_sense_is_refused(store: &Store) {
    two(store).await;
    let kind = MovableType::Experiments;
    let same = Move { to: "default".into(), ..to_team(kind, Chosen::All) };
    assert_eq!(refused(store, &same).await, "Source and target workspaces must be different.");
    for (from, to) in [("nowhere", "team"), ("team", "nowhere")] {
        let wanted = Move { from: from.into(), to: to.into(), ..to_team(kind, Chosen::All) };
        assert_eq!(refused(store, &wanted).await, "Workspace 'nowhere' not found");
    }
    let tagged = to_team(MovableType::Jobs, Chosen::Tagged(vec![("a".into(), "b".into())]));
    assert_eq!(refused(store, &tagged).await, "Resource type 'jobs' does not support tag filtering.");
    let retarget = ArtifactPolicy::Retarget(Some("s3://b".into()));
    let wanted = Move { artifacts: retarget, ..to_team(MovableType::Webhooks, Chosen::All) };
    assert!(refused(store, &wanted).await.starts_with("--artifact-policy retarget is only supported"));
    let message = MovableType::parse("runs").unwrap_err().message;
    assert!(message.starts_with("Unknown resource type 'runs'. Valid types: evaluation_datasets, experiments"));
}

on_each!(everything_moves_into_the_default_workspace);
async fn everything_moves_into_the_default_workspace(store: &Store) {
    let [default, team] = two(store).await;
    let (home, team) = (store.within(&default), store.within(&team));
    let upkeep = store.unscoped(Upkeep::Move);
    let experiment = team.create_experiment("one", None, Vec::new()).await.unwrap();
    team.create_registered_model("m", "", &[]).await.unwrap();
    let new = NewModelVersion { name: "m".into(), source: "s3://b/m".into(), ..NewModelVersion::default() };
    team.create_model_version(new).await.unwrap();
    let twin = home.create_experiment("one", None, Vec::new()).await.unwrap();
    let message = upkeep.move_to_default_workspace(false, 1).await.unwrap_err().message;
    let expected = format!("\n  name='one', workspace='default', experiment_id={twin}\n  ... (1 more)");
    assert!(message.ends_with(&expected), "{message}");
    assert!(message.contains("duplicate experiments with the same name."), "{message}");

    home.rename_experiment(&twin, "twin").await.unwrap();
    let dry = upkeep.move_to_default_workspace(true, 1).await.unwrap();
    assert!(home.get_experiment(&experiment).await.is_err());
    let done = upkeep.move_to_default_workspace(false, 1).await.unwrap();
    assert_eq!(dry, done);
    let counts: Vec<_> = done.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, [("registered_models", 1), ("experiments", 1), ("model_versions", 1)]);
    assert!(home.get_experiment(&experiment).await.is_ok());
    assert_eq!(home.get_model_version("m", "1").await.unwrap().name(), "m");
    assert!(upkeep.move_to_default_workspace(false, 1).await.unwrap().iter().all(|(_, count)| *count == 0));
}

on_each!(a_purge_of_a_workspace_leaves_the_others);
async fn a_purge_of_a_workspace_leaves_the_others(store: &Store) {
    let [default, team] = two(store).await;
    let mut deleted = Vec::new();
    for workspace in [&default, &team] {
        let here = store.within(workspace);
        let experiment = here.create_experiment("one", None, Vec::new()).await.unwrap();
        let run = run_in(here, &experiment).await;
        here.delete_run(&run).await.unwrap();
        let gone = here.create_experiment("gone", None, Vec::new()).await.unwrap();
        here.delete_experiment(&gone).await.unwrap();
        deleted.push((run, gone));
    }
    let gc = store.upkeep();
    let found = async |what, workspace| {
        let found = gc.purgeable(what, workspace, i64::MAX, None).await.unwrap();
        found.into_iter().map(|found| (found.id, found.workspace)).collect::<Vec<_>>()
    };
    let [(mine, _), (theirs, gone)] = &deleted[..] else { panic!("two") };
    assert_eq!(found(Purgeable::Runs, Some("team")).await, [(theirs.clone(), "team".to_owned())]);
    assert_eq!(found(Purgeable::Experiments, Some("team")).await, [(gone.clone(), "team".to_owned())]);
    assert_eq!(found(Purgeable::Runs, None).await.len(), 2);
    let limits = PurgeLimits { workspace: Some("team"), before: i64::MAX, age: None };
    assert!(gc.check_purgeable_runs(std::slice::from_ref(theirs), limits).await.is_ok());
    let error = gc.check_purgeable_runs(std::slice::from_ref(mine), limits).await.unwrap_err();
    assert_eq!(error.message, format!("Run with id={mine} not found"));
    assert!(gc.check_purgeable_experiments(std::slice::from_ref(gone), limits).await.is_ok());
}
