//! Issues.

use ferroflow_model::{ErrorCode, messages::issues::Issue};
use ferroflow_store::{
    IssueChange, IssueSearch, Store,
    db::{Op, Statement, Upkeep},
};

use crate::support::{self, Here as _, on_each};

fn new(name: &str, severity: Option<&str>) -> Issue {
    Issue {
        experiment_id: Some("0".into()),
        name: Some(name.into()),
        description: Some("é".into()),
        severity: severity.map(Into::into),
        ..Issue::default()
    }
}

async fn names(store: &Store, mut search: IssueSearch) -> String {
    let mut names = Vec::new();
    loop {
        let (found, next) = store.here().search_issues(search.clone()).await.unwrap();
        names.extend(found.iter().map(|issue| issue.name().to_owned()));
        search.page_token = next;
        if search.page_token.is_none() {
            return names.join(" ");
        }
    }
}

on_each!(an_issue_is_stored_and_changed);
async fn an_issue_is_stored_and_changed(store: &Store) {
    let here = store.here();
    let run = support::run(store, "0").await;
    let given = Issue {
        source_run_id: Some(run),
        root_causes: vec!["a \"b\"".into(), "雪".into()],
        categories: vec!["c".into()],
        created_by: Some("ann".into()),
        ..new("slow", Some("low"))
    };
    let made = here.create_issue(given).await.unwrap();
    assert_eq!((made.status(), here.get_issue(made.issue_id()).await.unwrap()), ("pending", made.clone()));
    let change = IssueChange { status: Some("resolved".into()), severity: Some("high".into()), ..Default::default() };
    let changed = here.update_issue(made.issue_id(), &change).await.unwrap();
    let stamp = changed.last_updated_timestamp;
    let expected =
        Issue { status: Some("resolved".into()), severity: Some("high".into()), last_updated_timestamp: stamp, ..made };
    assert_eq!(changed, expected);

    let invalid = IssueChange { status: Some("closed".into()), ..Default::default() };
    let error = here.update_issue(changed.issue_id(), &invalid).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    assert_eq!(here.update_issue("iss-x", &change).await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
    assert_eq!(here.get_issue("iss-x").await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
    for (issue, code) in [
        (new("x", Some("worst")), ErrorCode::InvalidParameterValue),
        (new(&"x".repeat(251), None), ErrorCode::InvalidParameterValue),
        (Issue { experiment_id: Some("12345".into()), ..new("x", None) }, ErrorCode::ResourceDoesNotExist),
        (Issue { source_run_id: Some("0".repeat(32)), ..new("x", None) }, ErrorCode::BadRequest),
    ] {
        assert_eq!(here.create_issue(issue).await.unwrap_err().code, code);
    }
}

on_each!(issues_are_searched_the_most_severe_first);
async fn issues_are_searched_the_most_severe_first(store: &Store) {
    let here = store.here();
    let mut ids = Vec::new();
    for (name, severity) in [
        ("a", None),
        ("b", Some("not_an_issue")),
        ("c", Some("high")),
        ("d", Some("medium")),
        ("e", Some("low")),
        ("f", Some("high")),
    ] {
        ids.push(here.create_issue(new(name, severity)).await.unwrap().issue_id().to_owned());
        // The order of issues of one severity is that of their times.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let rejected = IssueChange { status: Some("rejected".into()), ..Default::default() };
    here.update_issue(&ids[3], &rejected).await.unwrap();
    let search = |filter: &str| IssueSearch {
        experiment_id: Some("0".into()),
        filter: filter.into(),
        max_results: 2,
        ..IssueSearch::default()
    };
    assert_eq!(names(store, search("")).await, "f c d e b a");
    assert_eq!(names(store, search("status != 'rejected'")).await, "f c e b a");
    assert_eq!(names(store, search("source_run_id = 'x'")).await, "");
    assert_eq!(names(store, IssueSearch { experiment_id: Some("77".into()), ..search("") }).await, "");

    // Two references of one trace to c, and one to a.
    let insert = |number: usize, issue: &str| {
        let sql = format!(
            "INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, \
             last_updated_timestamp, source_type, valid) \
             VALUES ('a-{number}', 'tr-1', '{issue}', 'issue', '{{}}', 1, 1, 'HUMAN', TRUE)"
        );
        Op::Execute(Statement::unscoped(Upkeep::Test, sql, Vec::new()))
    };
    let trace = "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('tr-1', 0, 1, 'OK')";
    let trace = Op::Execute(Statement::unscoped(Upkeep::Test, trace, Vec::new()));
    store.db().unit(vec![trace, insert(1, &ids[2]), insert(2, &ids[2]), insert(3, &ids[0])]).await.unwrap();
    let counted = IssueSearch { with_trace_count: true, ..search("") };
    assert_eq!(names(store, counted.clone()).await, "c f d e b a");
    let (found, _) = here.search_issues(counted).await.unwrap();
    assert_eq!(found.iter().map(|issue| issue.trace_count).collect::<Vec<_>>(), [Some(1), Some(0)]);
}
