//! Databases at a head after the first one, such as MLflow 3.18 leaves them.

use ferroflow_model::messages::issues::Issue;
use ferroflow_store::{
    DeletionMode, IssueChange, Store, StoreOptions, UserStore, WorkspaceValues,
    db::{BackendUri, Db, DbOptions, Statement, Upkeep},
    migrations::{self, AUTH, Done, MigrationError, Options, State, TRACKING},
    upkeep::{
        gc::PurgeOutcome,
        move_resources::{ArtifactPolicy, Chosen, MovableType, Move},
    },
};

use crate::support::{self, Here as _, on_each};

const FIRST: &str = "dc11669786a5";
const BETWEEN: &str = "e7d1f4b2a9c6";
const LATER: &str = "f4a9b2c7d1e6";

/// The revision of MLflow 1.30.
const OLD: &str = "cc1f77228345";

async fn upgrade(uri: &BackendUri, to: Option<&str>) -> Result<Done, MigrationError> {
    let options = Options { to: to.map(str::to_owned), backup: false, ..Options::default() };
    migrations::upgrade(uri, &TRACKING, &options, &mut |_| {}).await
}

async fn revision(uri: &BackendUri) -> State {
    migrations::state(uri, &TRACKING).await.unwrap()
}

fn db(uri: &BackendUri) -> Db {
    Db::open(uri, DbOptions { pool_size: 2, ..DbOptions::default() }).unwrap()
}

async fn run(uri: &BackendUri, sql: &str) {
    db(uri).batch(sql.to_owned()).await.unwrap();
}

async fn texts(uri: &BackendUri, sql: &str) -> Vec<String> {
    db(uri).query(Statement::unscoped(Upkeep::Test, sql.to_owned(), vec![]), |row| row.get::<String>(0)).await.unwrap()
}

/// Experiments 7 and 8 with a run each, and issues of both.
const ISSUES: &str = r#"
    INSERT INTO experiments (experiment_id, name, lifecycle_stage, last_update_time)
        VALUES (7, 'seven', 'active', 0), (8, 'eight', 'active', 0);
    INSERT INTO runs (run_uuid, status, lifecycle_stage, experiment_id)
        VALUES ('a', 'FINISHED', 'active', 7), ('b', 'FINISHED', 'active', 8);
    INSERT INTO issues (issue_id, experiment_id, name, description, status, source_run_id, categories,
            created_timestamp, last_updated_timestamp)
        VALUES ('i1', 7, 'slow', '', 'pending', 'a', '["Latency", " latency ", "ΟΔΟΣ"]', 1, 2),
               ('i2', 7, 'odd', '', 'pending', NULL, '[]', 3, 4),
               ('i3', 8, 'gone', '', 'pending', 'b', '["cost"]', 5, 6),
               ('i4', 8, 'none', '', 'resolved', NULL, NULL, 7, 8)"#;

/// Rows that only a newer server writes.
const NEWER: &str = "
    UPDATE issues SET last_seen_timestamp = 99, last_updated_by = 'ada', metadata = '{\"k\": \"v\"}' WHERE issue_id = 'i1';
    INSERT INTO skills (name, organization, created_at, last_updated_at) VALUES ('review', 'acme', 1, 2);
    INSERT INTO skill_versions (name, organization, version, created_at, last_updated_at)
        VALUES ('review', 'acme', 1, 1, 2);
    INSERT INTO skill_tags (name, organization, key, value) VALUES ('review', 'acme', 'k', 'v');
    INSERT INTO skill_version_tags (name, organization, version, key, value) VALUES ('review', 'acme', 1, 'k', 'v');
    INSERT INTO skill_aliases (name, organization, alias, version) VALUES ('review', 'acme', 'best', 1)";

/// Everything that the later head adds, one line a row.
async fn added(uri: &BackendUri) -> Vec<String> {
    let mut found = Vec::new();
    for sql in [
        "SELECT issue_id || ' ' || CAST(last_seen_timestamp AS VARCHAR(20)) || ' ' || COALESCE(last_updated_by, '-') \
         || ' ' || COALESCE(metadata, '-') FROM issues ORDER BY issue_id",
        "SELECT issue_id || ' ' || category_hash || ' ' || category FROM issue_categories ORDER BY issue_id, category_hash",
        "SELECT workspace || ' ' || organization || ' ' || name FROM skills",
        "SELECT name || ' ' || CAST(version AS VARCHAR(20)) || ' ' || status FROM skill_versions",
        "SELECT name || ' ' || key || ' ' || value FROM skill_tags",
        "SELECT name || ' ' || key || ' ' || value FROM skill_version_tags",
        "SELECT name || ' ' || alias FROM skill_aliases",
    ] {
        found.extend(texts(uri, sql).await);
    }
    found
}

#[test]
fn every_revision_after_the_first_head_works_with_the_server_of_the_one_before() {
    for chain in [&TRACKING, &AUTH] {
        let after: Vec<_> = chain.revisions().skip_while(|revision| revision.id != chain.head()).skip(1).collect();
        assert!(after.iter().all(|revision| revision.rolling), "{}", chain.name);
        assert_eq!(after.len(), if chain.name == TRACKING.name { 3 } else { 0 });
    }
}

#[test]
fn a_target_is_a_revision_or_a_release() {
    for (target, revision) in [("3.17", FIRST), ("3.17.2", FIRST), ("3.18", LATER), ("3.18.0", LATER), (OLD, OLD)] {
        assert_eq!(TRACKING.target(target).unwrap(), revision);
    }
    assert_eq!(AUTH.target("3.18").unwrap(), AUTH.head());
    for target in ["", "3", "3.1", "3.19", "f1a2b3c4d5e6"] {
        let error = TRACKING.target(target).unwrap_err().to_string();
        assert!(error.ends_with(&format!("{FIRST} (MLflow 3.17.2), {LATER} (MLflow 3.18.0)")), "{error}");
    }
}

on_each!(without_a_target_a_database_stays_at_its_head_or_goes_on_to_the_next_one);
async fn without_a_target_a_database_stays_at_its_head_or_goes_on_to_the_next_one(uri: &BackendUri) {
    upgrade(uri, Some(OLD)).await.unwrap();
    assert_eq!(upgrade(uri, None).await.unwrap().to, FIRST);
    let plan = migrations::plan(uri, &TRACKING, None).await.unwrap();
    assert_eq!((plan.target, plan.steps.len()), (FIRST, 0));
    let plan = migrations::plan(uri, &TRACKING, Some("3.18")).await.unwrap();
    assert_eq!((plan.target, plan.steps.len()), (LATER, 3));
    assert!(plan.steps.iter().all(|step| step.rolling && !step.rewrites));
    assert_eq!(upgrade(uri, Some("3.18")).await.unwrap().applied, 3);

    // It neither goes back nor has anything to do.
    let done = upgrade(uri, None).await.unwrap();
    assert_eq!((done.to, done.applied), (LATER, 0));
    let back = upgrade(uri, Some("3.17")).await.unwrap_err().to_string();
    assert!(back.contains(LATER) && back.contains(FIRST) && back.contains("no downgrade"), "{back}");
    assert_eq!(migrations::check(uri, &TRACKING).await.unwrap().differences, Vec::<String>::new());
}

on_each!(an_empty_database_gets_the_later_head_on_request);
async fn an_empty_database_gets_the_later_head_on_request(uri: &BackendUri) {
    let done = upgrade(uri, Some("3.18")).await.unwrap();
    assert_eq!((done.from, done.to), (State::Empty, LATER));
    assert_eq!(migrations::check(uri, &TRACKING).await.unwrap().differences, Vec::<String>::new());
    run(uri, "DROP INDEX ix_skill_versions_digest; ALTER TABLE issues DROP COLUMN metadata; DROP TABLE skill_tags")
        .await;
    let found = migrations::check(uri, &TRACKING).await.unwrap().differences;
    let expected = [
        "missing: column issues.metadata",
        "missing: index skill_versions.ix_skill_versions_digest",
        "missing: table skill_tags",
    ];
    assert_eq!(found, expected);
}

on_each!(an_upgrade_that_ends_between_two_heads_is_served_and_completed);
async fn an_upgrade_that_ends_between_two_heads_is_served_and_completed(uri: &BackendUri) {
    upgrade(uri, Some(BETWEEN)).await.unwrap();
    let found = migrations::check(uri, &TRACKING).await.unwrap().differences;
    assert_eq!(found.len(), 1);
    assert!(found[0].contains(BETWEEN) && found[0].contains("f4a9b2c7d1e6 (MLflow 3.18.0)"), "{found:?}");
    let store = support::open(uri).await;
    support::run(&store, "0").await;
    assert_eq!(migrations::plan(uri, &TRACKING, None).await.unwrap().target, LATER);
    assert_eq!(upgrade(uri, None).await.unwrap().to, LATER);
    support::run(&store, "0").await;
}

on_each!(two_upgrades_to_different_heads_at_once_both_end_well);
async fn two_upgrades_to_different_heads_at_once_both_end_well(uri: &BackendUri) {
    upgrade(uri, Some(OLD)).await.unwrap();
    let (first, later) = tokio::join!(upgrade(uri, None), upgrade(uri, Some("3.18")));
    let (first, later) = (first.unwrap(), later.unwrap());
    assert!(first.to == FIRST || first.to == LATER, "{first:?}");
    assert_eq!((later.to, revision(uri).await), (LATER, State::At(Some(LATER))));
    assert_eq!(migrations::check(uri, &TRACKING).await.unwrap().differences, Vec::<String>::new());
}

on_each!(a_server_keeps_what_the_later_head_adds_through_its_writes);
async fn a_server_keeps_what_the_later_head_adds_through_its_writes(uri: &BackendUri) {
    upgrade(uri, None).await.unwrap();
    run(uri, ISSUES).await;
    // The server runs during the upgrade: the binary comes first, the schema later.
    let store = support::open(uri).await;
    upgrade(uri, Some("3.18")).await.unwrap();
    let categories =
        texts(uri, "SELECT issue_id || ' ' || category FROM issue_categories ORDER BY issue_id, category").await;
    // Of two that differ in case and white space only, the last one.
    assert_eq!(categories, ["i1  latency ", "i1 ΟΔΟΣ", "i3 cost"]);
    assert_eq!(
        texts(uri, "SELECT issue_id FROM issues WHERE last_seen_timestamp = created_timestamp ORDER BY issue_id").await,
        ["i1", "i2", "i3", "i4"]
    );

    run(uri, NEWER).await;
    let before = added(uri).await;
    assert_eq!(before.len(), 4 + 3 + 5);
    write(&store, "7").await;
    // Started on it, as well.
    write(&support::open(uri).await, "7").await;
    assert_eq!(added(uri).await, before);

    // What is deleted takes its own rows with it, and no others.
    store.here().delete_run("a").await.unwrap();
    assert_eq!(store.upkeep().purge_run("a", i64::MAX, async |_| Ok(())).await.unwrap(), PurgeOutcome::Purged);
    assert_eq!(added(uri).await, before);
    assert_eq!(texts(uri, "SELECT issue_id FROM issues WHERE source_run_id IS NOT NULL").await, ["i3"]);
    store.here().delete_experiment("8").await.unwrap();
    assert_eq!(store.upkeep().purge_run("b", i64::MAX, async |_| Ok(())).await.unwrap(), PurgeOutcome::Purged);
    assert_eq!(store.upkeep().purge_experiment(8, i64::MAX, async |_| Ok(())).await.unwrap(), PurgeOutcome::Purged);
    let kept: Vec<String> =
        before.into_iter().filter(|row| !row.starts_with("i3 ") && !row.starts_with("i4 ")).collect();
    assert_eq!(added(uri).await, kept);

    // What it creates has what the later server writes.
    let new = Issue {
        experiment_id: Some("7".into()),
        name: Some("new".into()),
        description: Some("x".into()),
        categories: [" Cost", "latency", "cost"].map(Into::into).to_vec(),
        created_by: Some("grace".into()),
        ..Issue::default()
    };
    let made = store.here().create_issue(new.clone()).await.unwrap();
    assert_eq!(store.here().get_issue(made.issue_id()).await.unwrap(), made);
    let (id, time) = (made.issue_id(), made.created_timestamp.unwrap());
    let found = added(uri).await.into_iter().filter_map(|row| Some(row.strip_prefix(id)?.trim().to_owned()));
    // Of two categories that differ in case and white space only, the last one.
    let expected = [
        format!("{time} grace -"),
        "3fdb7e873db12844fd1c1064932fe36f39148927c31fdac71a09695c7bb157be latency".to_owned(),
        "9f82f7b375f4aa1bd7d50abe0f760c4ca5a8f0208aa68555489c39dd7c7aeeaa cost".to_owned(),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);

    let resolved = IssueChange { author: Some("ada".into()), ..Default::default() };
    store.here().update_issue(id, &resolved).await.unwrap();
    store.here().update_issue(id, &IssueChange::default()).await.unwrap();
    assert!(added(uri).await.contains(&format!("{id} {time} ada -")));

    // One without categories or author.
    let bare = Issue { categories: Vec::new(), created_by: None, ..new };
    let made = store.here().create_issue(bare).await.unwrap();
    let (id, time) = (made.issue_id(), made.created_timestamp.unwrap());
    let rows = added(uri).await;
    assert_eq!(rows.iter().filter(|row| row.starts_with(id)).collect::<Vec<_>>(), [&format!("{id} {time} - -")]);
}

/// Writes of every family.
async fn write(store: &Store, experiment: &str) {
    store.here().set_experiment_tag(experiment, "team", "a").await.unwrap();
    store.here().rename_experiment(experiment, "renamed").await.unwrap();
    let run = support::run(store, experiment).await;
    store.here().log_param(&run, "p", "1").await.unwrap();
    store.here().set_tag(&run, "t", "1").await.unwrap();
    store.here().delete_run(&run).await.unwrap();
    store.here().restore_run(&run).await.unwrap();
    store.here().delete_experiment(experiment).await.unwrap();
    store.here().restore_experiment(experiment).await.unwrap();
    let resolved = IssueChange { status: Some("resolved".into()), severity: Some("low".into()), ..Default::default() };
    store.here().update_issue("i1", &resolved).await.unwrap();
}

on_each!(categories_that_are_no_list_stop_the_upgrade_before_anything_is_changed);
async fn categories_that_are_no_list_stop_the_upgrade_before_anything_is_changed(uri: &BackendUri) {
    upgrade(uri, None).await.unwrap();
    run(uri, ISSUES).await;
    for categories in ["null", "{\"a\": 1}", "\"cost\"", "[1]", "no JSON", ""] {
        run(uri, &format!("UPDATE issues SET categories = '{categories}' WHERE issue_id = 'i3'")).await;
        let error = upgrade(uri, Some("3.18")).await.unwrap_err().to_string();
        assert!(error.contains("8b6ad64cb8f5") && error.contains("the issue i3 are not a JSON list"), "{error}");
        assert_eq!(revision(uri).await, State::At(Some(BETWEEN)));
    }
    support::open(uri).await;
    run(uri, "UPDATE issues SET categories = '[\"cost\"]' WHERE issue_id = 'i3'").await;
    assert_eq!(upgrade(uri, None).await.unwrap().to, LATER);
}

on_each!(a_revision_before_or_unknown_is_refused_with_the_heads_named);
async fn a_revision_before_or_unknown_is_refused_with_the_heads_named(uri: &BackendUri) {
    upgrade(uri, None).await.unwrap();
    for (found, named) in [("75868b020152", &[FIRST][..]), ("ffffffffffff", &[FIRST, LATER, "MLflow 3.18.0"])] {
        run(uri, &format!("UPDATE alembic_version SET version_num = '{found}'")).await;
        let options = StoreOptions::default();
        let error = Store::open(uri, options).await.err().unwrap().to_string();
        assert!(error.contains(found) && named.iter().all(|name| error.contains(name)), "{error}");
    }
}

on_each!(the_users_stay_as_they_are);
async fn the_users_stay_as_they_are(uri: &BackendUri) {
    upgrade(uri, Some("3.18")).await.unwrap();
    let options = Options { to: Some("3.18".to_owned()), backup: false, ..Options::default() };
    assert_eq!(migrations::upgrade(uri, &AUTH, &options, &mut |_| {}).await.unwrap().to, AUTH.head());
    UserStore::open(uri, None, DbOptions::default(), false).await.unwrap();
    assert_eq!(migrations::check(uri, &AUTH).await.unwrap().differences, Vec::<String>::new());
    assert_eq!(migrations::check(uri, &TRACKING).await.unwrap().differences, Vec::<String>::new());
}

/// A skill of a workspace with one of each child.
async fn skill(uri: &BackendUri, workspace: &str, name: &str, source: &str) {
    let key = format!("'{workspace}', 'acme', '{name}'");
    let columns = "workspace, organization, name";
    run(
        uri,
        &format!(
            "INSERT INTO skills ({columns}, created_at, last_updated_at) VALUES ({key}, 1, 2);
             INSERT INTO skill_versions ({columns}, version, source_type, created_at, last_updated_at)
                 VALUES ({key}, 1, '{source}', 1, 2);
             INSERT INTO skill_tags ({columns}, key, value) VALUES ({key}, 'k', 'v');
             INSERT INTO skill_version_tags ({columns}, version, key, value) VALUES ({key}, 1, 'k', 'v');
             INSERT INTO skill_aliases ({columns}, alias, version) VALUES ({key}, 'best', 1)"
        ),
    )
    .await;
}

/// The workspace of each row of a skill, without repetition.
async fn places_of_skill(uri: &BackendUri, name: &str) -> Vec<String> {
    let tables = ["skills", "skill_versions", "skill_tags", "skill_version_tags", "skill_aliases"];
    let each = tables.map(|table| format!("SELECT workspace FROM {table} WHERE name = '{name}'"));
    texts(uri, &each.join(" UNION ")).await
}

on_each!(skills_move_between_workspaces);
async fn skills_move_between_workspaces(uri: &BackendUri) {
    let open = async || Store::open(uri, StoreOptions { workspaces: true, ..StoreOptions::default() }).await.unwrap();
    let wanted = |chosen: Chosen| Move {
        kind: MovableType::Skills,
        from: "default".into(),
        to: "team".into(),
        chosen,
        artifacts: ArtifactPolicy::Preserve,
        names_in_errors: 9,
    };
    let named = |names: &[&str]| wanted(Chosen::Named(names.iter().map(|name| (*name).to_owned()).collect()));
    upgrade(uri, Some(FIRST)).await.unwrap();
    let store = open().await;
    store.create_workspace("team", &WorkspaceValues::default()).await.unwrap();
    let refused = async |store: &Store, wanted: &Move| {
        let dry = store.upkeep().move_resources(wanted, true).await.unwrap_err();
        assert_eq!(dry, store.upkeep().move_resources(wanted, false).await.unwrap_err());
        dry.message
    };
    let message = refused(&store, &wanted(Chosen::All)).await;
    assert!(message.starts_with("The database has no skills"), "{message}");
    store.close().await.unwrap();

    upgrade(uri, Some(BETWEEN)).await.unwrap();
    for (name, source) in [("one", "git"), ("two", "mlflow"), ("three", "git")] {
        skill(uri, "default", name, source).await;
    }
    skill(uri, "team", "three", "git").await;
    run(uri, "INSERT INTO skills (name, created_at, last_updated_at) VALUES ('one', 1, 2)").await;
    let store = open().await;
    let moved = async |wanted: &Move| {
        let dry = store.upkeep().move_resources(wanted, true).await.unwrap();
        assert_eq!(dry, store.upkeep().move_resources(wanted, false).await.unwrap());
        (dry.names, dry.rows, dry.missing)
    };
    let text = |text: &str| text.to_owned();
    let places = async |organization: &str, name: &str| {
        let of = format!("organization = '{organization}' AND name = '{name}'");
        texts(uri, &format!("SELECT workspace FROM skills WHERE {of} ORDER BY 1")).await
    };

    // What would collide, and what would lose its files, is reported before anything moves.
    let message = refused(&store, &wanted(Chosen::All)).await;
    assert!(message.contains("the following skills already exist in workspace 'team'"), "{message}");
    assert!(message.contains("\n  '@acme/three'\nRename or remove"), "{message}");
    let message = refused(&store, &named(&["@acme/two", "@acme/one"])).await;
    assert!(message.contains("lose access to their artifact content in workspace 'team'"), "{message}");
    for wrong in ["@acme", "@/one", "@acme/"] {
        let message = refused(&store, &named(&[wrong])).await;
        assert_eq!(message, "Skill identities must be 'name' or '@organization/name'.");
    }
    assert_eq!(places("acme", "one").await, ["default"]);

    // The organization is a part of the name.
    let done = moved(&named(&["@acme/one", "@none/one"])).await;
    assert_eq!(done, (vec![text("@acme/one")], 1, vec![text("@none/one")]));
    assert_eq!((places("acme", "one").await, places("", "one").await), (vec![text("team")], vec![text("default")]));
    let of_children = texts(
        uri,
        "SELECT workspace FROM skill_versions WHERE name = 'one' UNION SELECT workspace FROM skill_tags WHERE name = 'one' \
         UNION SELECT workspace FROM skill_version_tags WHERE name = 'one' \
         UNION SELECT workspace FROM skill_aliases WHERE name = 'one'",
    );
    assert_eq!(of_children.await, ["team"]);

    // By tags, and all of them.
    run(uri, "UPDATE skill_versions SET source_type = 'git'").await;
    run(uri, "UPDATE skill_tags SET value = 'w' WHERE name = 'three'").await;
    let done = moved(&wanted(Chosen::Tagged(vec![(text("k"), text("v"))]))).await;
    assert_eq!((done.0, places("acme", "two").await), (vec![text("@acme/two")], vec![text("team")]));
    run(uri, "DELETE FROM skills WHERE workspace = 'team' AND name = 'three'").await;
    assert_eq!(moved(&wanted(Chosen::All)).await.0, ["@acme/three", "one"]);
    let back = Move { from: "team".into(), to: "default".into(), ..wanted(Chosen::All) };
    assert_eq!(moved(&back).await.1, 4);
    store.close().await.unwrap();
}

on_each!(a_workspace_is_deleted_at_every_head, flavor = "multi_thread");
async fn a_workspace_is_deleted_at_every_head(uri: &BackendUri) {
    const CATEGORIES: &str = "8b6ad64cb8f5";
    for head in [FIRST, BETWEEN, CATEGORIES, LATER] {
        upgrade(uri, Some(head)).await.unwrap();
        let (has_skills, has_categories) = (head != FIRST, [CATEGORIES, LATER].contains(&head));
        let store = Store::open(uri, StoreOptions { workspaces: true, ..StoreOptions::default() }).await.unwrap();
        for name in ["restricted", "moved", "gone"] {
            store.create_workspace(name, &WorkspaceValues::default()).await.unwrap();
        }
        for name in ["moved", "gone"] {
            let workspace = store.workspace(name).await.unwrap();
            let within = store.within(&workspace);
            let experiment = within.create_experiment(&format!("{name} at {head}"), None, Vec::new()).await.unwrap();
            let issue = Issue {
                experiment_id: Some(experiment),
                name: Some(head.into()),
                description: Some("d".into()),
                categories: vec![name.to_owned()],
                ..Issue::default()
            };
            within.create_issue(issue).await.unwrap();
        }
        let refused =
            async |name: &str, mode: DeletionMode| store.delete_workspace(name, mode).await.unwrap_err().message;
        if has_skills {
            skill(uri, "restricted", "kept", "git").await;
            let message = refused("restricted", DeletionMode::Restrict).await;
            assert!(message.contains("table 'skills' still contains 1 resource(s)"), "{message}");
            run(uri, "DELETE FROM skills WHERE name = 'kept'").await;

            skill(uri, "moved", head, "mlflow").await;
            let message = refused("moved", DeletionMode::SetDefault).await;
            assert!(message.contains("MLflow-backed skill versions"), "{message}");
            run(uri, "UPDATE skill_versions SET source_type = 'git'").await;
            skill(uri, "default", head, "git").await;
            let message = refused("moved", DeletionMode::SetDefault).await;
            let line = format!("  - skills: organization='acme', name='{head}'");
            assert!(message.contains(&line), "{message}");
            run(uri, "DELETE FROM skills WHERE workspace = 'default'").await;
            skill(uri, "gone", "gone", "mlflow").await;
        }
        store.delete_workspace("restricted", DeletionMode::Restrict).await.unwrap();
        store.delete_workspace("moved", DeletionMode::SetDefault).await.unwrap();
        store.delete_workspace("gone", DeletionMode::Cascade).await.unwrap();
        if has_skills {
            assert_eq!(places_of_skill(uri, head).await, ["default"]);
            assert_eq!(places_of_skill(uri, "gone").await, [""; 0]);
        }
        if has_categories {
            // Those of the revisions before were added by the upgrade.
            assert!(texts(uri, "SELECT category FROM issue_categories").await.iter().all(|found| found == "moved"));
            assert!(!texts(uri, "SELECT issue_id FROM issue_categories").await.is_empty());
        }
        assert_eq!(texts(uri, "SELECT name FROM workspaces").await, ["default"]);
        store.close().await.unwrap();
    }
    // The way back to a server without workspaces.
    let store = Store::open(uri, StoreOptions { workspaces: true, ..StoreOptions::default() }).await.unwrap();
    store.create_workspace("team", &WorkspaceValues::default()).await.unwrap();
    skill(uri, "team", "late", "mlflow").await;
    let message = store.upkeep().move_to_default_workspace(false, 9).await.unwrap_err().message;
    assert!(message.contains("MLflow-backed skill versions"), "{message}");
    run(uri, "UPDATE skill_versions SET source_type = 'git'").await;
    skill(uri, "default", "late", "git").await;
    let message = store.upkeep().move_to_default_workspace(false, 9).await.unwrap_err().message;
    assert!(message.contains("name='acme/late', workspace='team'"), "{message}");
    run(uri, "DELETE FROM skills WHERE workspace = 'default' AND name = 'late'").await;
    let moved = store.upkeep().move_to_default_workspace(false, 9).await.unwrap();
    assert!(moved.contains(&("skills", 1)), "{moved:?}");
    assert_eq!(places_of_skill(uri, "late").await, ["default"]);
    store.close().await.unwrap();
}
