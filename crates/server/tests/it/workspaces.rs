//! Workspaces over HTTP: their calls, and the header that names the workspace of a request.

use std::path::Path;

use ferroflow_artifacts::{ArtifactRepository, Buckets, LocalRepository, Locations};
use ferroflow_model::Environment;
use ferroflow_server::App;
use ferroflow_store::{Store, StoreOptions, db::BackendUri};
use serde_json::{Value, json};

use crate::support::{Running, app};

/// A running server.
struct Server(Running);

/// A request of each kind that an endpoint may have, with a body for those that need one.
const KINDS: [(&str, &str, &str); 9] = [
    ("POST", "/api/2.0/mlflow/experiments/search", r#"{"max_results": 9}"#),
    ("GET", "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0", ""),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=", ""),
    ("GET", "/get-artifact?run_id=none&path=x", ""),
    ("GET", "/ajax-api/2.0/mlflow/gateway-proxy", ""),
    ("POST", "/graphql", r#"{"query": "query { test(inputString: \"a\") { output } }"}"#),
    ("POST", "/v1/traces", "{}"),
    ("POST", "/api/3.0/mlflow/demo/generate", r#"{"features": ["none"]}"#),
    ("GET", "/api/3.0/mlflow/workspaces/default", ""),
];

impl Server {
    async fn start(folder: &Path, workspaces: bool) -> Self {
        Self::with(folder, StoreOptions { workspaces, ..StoreOptions::default() }).await
    }

    async fn with(folder: &Path, options: StoreOptions) -> Self {
        let store = Store::open(&BackendUri::Sqlite(folder.join("test.db")), options).await.unwrap();
        let destination = ArtifactRepository::Local(LocalRepository::new(folder.join("artifacts")));
        let locations =
            Locations { destination: Some(destination), ..Locations::new(Buckets::new(&Environment::default())) };
        Self(Running::start(App { locations, ..app(store) }))
    }

    async fn stop(self) {
        self.0.stop().await;
    }

    /// The status and the text of an answer, in a workspace if one is given.
    async fn text(&self, workspace: Option<&str>, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut request = self.0.client.request(method.parse().unwrap(), format!("{}{path}", self.0.url));
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        if path == "/v1/traces" {
            request = request.header("x-mlflow-experiment-id", "0");
        }
        if let Some(workspace) = workspace {
            request = request.header("X-MLFLOW-WORKSPACE", workspace);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn call(&self, workspace: Option<&str>, method: &str, path: &str, body: Value) -> (u16, Value) {
        let path = format!("/api/{path}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.text(workspace, method, &path, &body).await;
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }
}

#[tokio::test]
async fn without_workspaces_the_header_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), false).await;
    for (method, path, body) in KINDS {
        let (status, text) = server.text(Some("team"), method, path, body).await;
        assert_eq!(status, 500, "{path}: {text}");
        assert!(text.contains("Workspace APIs are not available"), "{path}: {text}");
        // A header without a name is none.
        let (status, text) = server.text(Some(" "), method, path, body).await;
        assert!(!text.contains("Workspace APIs are not available"), "{path}: {status} {text}");
    }
    let error = server.call(Some("default"), "GET", "2.0/mlflow/experiments/get?experiment_id=0", Value::Null).await.1;
    assert_eq!((&error["error_code"], &error["error_class"]), (&json!("FEATURE_DISABLED"), &json!("FEATURE_DISABLED")));
    let (status, text) = server.text(None, "GET", "/ajax-api/3.0/mlflow/workspaces", "").await;
    assert_eq!(status, 503);
    assert!(text.starts_with("Endpoint: /ajax-api/3.0/mlflow/workspaces disabled because"), "{text}");
    let info = server.call(Some("team"), "GET", "3.0/mlflow/server-info", Value::Null).await;
    assert_eq!((info.0, &info.1["workspaces_enabled"]), (200, &json!(false)));
    server.stop().await;
}

#[tokio::test]
async fn workspaces_may_have_a_database_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("workspaces.db");
    let workspace_store = Some(BackendUri::Sqlite(other.clone()));
    let options = StoreOptions { workspaces: true, workspace_store, ..StoreOptions::default() };
    let server = Server::with(folder.path(), options).await;
    let create =
        |workspace, name| server.call(workspace, "POST", "2.0/mlflow/experiments/create", json!({"name": name}));
    assert_eq!(create(Some("team"), "e").await.0, 404);
    let values = json!({"name": "team", "default_artifact_root": "mlflow-artifacts:/root"});
    assert_eq!(server.call(None, "POST", "3.0/mlflow/workspaces", values).await.0, 201);
    let experiment = create(Some("team"), "e").await.1["experiment_id"].as_str().unwrap().to_owned();
    assert_eq!((create(Some("team"), "e").await.0, create(None, "e").await.0), (400, 200));
    let get = format!("2.0/mlflow/experiments/get?experiment_id={experiment}");
    let found = server.call(Some("team"), "GET", &get, Value::Null).await.1;
    assert_eq!(found["experiment"]["artifact_location"], format!("mlflow-artifacts:/root/{experiment}"));
    assert_eq!(server.call(None, "GET", &get, Value::Null).await.0, 404);
    let listed = server.call(None, "GET", "3.0/mlflow/workspaces", Value::Null).await.1;
    assert_eq!(listed["workspaces"].as_array().unwrap().len(), 2);

    let delete = async |mode: &str| {
        server.call(None, "DELETE", &format!("3.0/mlflow/workspaces/team?mode={mode}"), Value::Null).await.0
    };
    assert_eq!((delete("RESTRICT").await, delete("CASCADE").await, delete("CASCADE").await), (500, 204, 404));
    assert_eq!(create(Some("team"), "late").await.0, 404);

    let ready = async || server.text(None, "GET", "/readyz", "").await.0;
    assert_eq!(ready().await, 200);
    std::fs::rename(&other, folder.path().join("elsewhere.db")).unwrap();
    // The outcome of a check is kept for a moment.
    let not_ready = async { while ready().await != 503 {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), not_ready).await.expect("the missing file is found");
    std::fs::rename(folder.path().join("elsewhere.db"), &other).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_header_names_the_workspace_of_every_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), true).await;
    for (method, path, body) in KINDS {
        let (status, text) = server.text(Some("team"), method, path, body).await;
        assert_eq!(status, 404, "{path}: {text}");
        assert!(text.contains("Workspace 'team' not found"), "{path}: {text}");
        for wrong in ["Team", "a", "workspaces", "a,b", "../x"] {
            let (status, text) = server.text(Some(wrong), method, path, body).await;
            assert_eq!(status, 400, "{path}: {text}");
            assert!(text.contains(&format!("Workspace name '{wrong}'")), "{path}: {text}");
        }
        for right in [None, Some("default"), Some(" default ")] {
            let (_, text) = server.text(right, method, path, body).await;
            assert!(!text.contains("Workspace name") && !text.contains("not available"), "{path}: {text}");
        }
    }
    let info = server.call(Some("team"), "GET", "3.0/mlflow/server-info", Value::Null).await;
    assert_eq!((info.0, &info.1["workspaces_enabled"]), (200, &json!(true)));

    assert_eq!(server.call(None, "POST", "3.0/mlflow/workspaces", json!({"name": "team"})).await.0, 201);
    let create = |workspace| server.call(workspace, "POST", "2.0/mlflow/experiments/create", json!({"name": "e"}));
    let (mine, other) = (create(Some("team")).await, create(None).await);
    assert_eq!((mine.0, other.0), (200, 200));
    let get = format!("2.0/mlflow/experiments/get?experiment_id={}", mine.1["experiment_id"].as_str().unwrap());
    let found = server.call(Some("team"), "GET", &get, Value::Null).await.1;
    assert_eq!(found["experiment"]["workspace"], "team");
    let missing = server.call(None, "GET", &get, Value::Null).await;
    let never = server.call(None, "GET", "2.0/mlflow/experiments/get?experiment_id=999", Value::Null).await;
    assert_eq!((missing.0, never.0), (404, 404));
    let query = r#"{"query": "query Q($data: MlflowSearchRunsInput) { mlflowSearchRuns(input: $data) { runs { info { runId } } } }",
        "variables": {"data": {"experimentIds": ["1", "2"]}}}"#;
    let (status, text) = server.text(Some("team"), "POST", "/graphql", query).await;
    assert_eq!(status, 200, "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_workspace_is_created_changed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), true).await;
    let path = "3.0/mlflow/workspaces";
    let at = |name: &str| format!("{path}/{name}");
    let new = json!({
        "name": "team",
        "description": "d",
        "default_artifact_root": " s3://bucket/team ",
        "trace_archival_config": {"retention": "7d"},
    });
    let (status, made) = server.call(None, "POST", path, new.clone()).await;
    let expected = json!({
        "name": "team",
        "description": "d",
        "default_artifact_root": "s3://bucket/team",
        "trace_archival_config": {"retention": "7d"},
    });
    assert_eq!((status, &made["workspace"]), (201, &expected));
    let (status, taken) = server.call(None, "POST", path, new).await;
    assert_eq!((status, &taken["error_code"]), (400, &json!("RESOURCE_ALREADY_EXISTS")));
    let listed = server.call(None, "GET", path, Value::Null).await.1;
    let names: Vec<_> = listed["workspaces"].as_array().unwrap().iter().map(|found| &found["name"]).collect();
    assert_eq!(names, ["default", "team"]);
    assert_eq!(server.call(Some("team"), "GET", &at("team"), Value::Null).await.1["workspace"], expected);

    let change = json!({"description": "", "default_artifact_root": "  ", "trace_archival_config": {"retention": ""}});
    let changed = server.call(None, "PATCH", &at("team"), change).await;
    assert_eq!(changed, (200, json!({"workspace": {"name": "team", "description": ""}})));

    for (method, path, body, words) in [
        (
            "POST",
            path.to_owned(),
            json!({"name": "default"}),
            "The 'default' workspace is reserved and cannot be created",
        ),
        ("POST", path.to_owned(), json!({}), "Missing value for required parameter 'name'"),
        ("POST", path.to_owned(), json!({"name": null}), "Missing value for required parameter 'name'"),
        ("POST", path.to_owned(), json!({"name": "A"}), "must be between 2 and 63 characters"),
        ("POST", path.to_owned(), json!({"name": "ab", "description": null}), "Value was of type 'NoneType'"),
        ("POST", path.to_owned(), json!({"name": "ab", "trace_archival_config": []}), "Value was of type 'list'"),
        ("PATCH", at("team"), json!({"trace_archival_config": {"location": 1}}), "parameter 'location'"),
        ("PATCH", at("team"), json!({}), "Workspace update must have at least one key"),
        ("PATCH", at("team"), json!({"trace_archival_config": {}}), "Workspace update must have at least one key"),
        ("PATCH", at("team"), json!({"default_artifact_root": "relative"}), "or an absolute path, got 'relative'"),
        ("PATCH", at("team"), json!({"default_artifact_root": "C:team"}), "or an absolute path, got 'C:team'"),
        ("PATCH", at("team"), json!({"default_artifact_root": "s3://b/a#f"}), "can't include fragments or params"),
        ("PATCH", at("team"), json!({"default_artifact_root": "http://host/a"}), "'default_artifact_root' cannot use"),
        ("PATCH", at("team"), json!({"trace_archival_config": {"retention": "1w"}}), "Expected a duration"),
        ("PATCH", at("team"), json!({"trace_archival_config": {"retention": "1".repeat(33)}}), "Maximum length is 32"),
        ("PATCH", at("team"), json!({"trace_archival_config": {"location": "x"}}), "Expected a URI string"),
        (
            "PATCH",
            at("team"),
            json!({"trace_archival_config": {"location": "mlflow-artifacts:/x"}}),
            "cannot use the proxy-only",
        ),
        ("DELETE", at("default"), Value::Null, "The 'default' workspace is reserved and cannot be deleted"),
        ("DELETE", at("team?mode=ALL"), Value::Null, "Invalid deletion mode 'ALL'. Must be one of: SET_DEFAULT,"),
        ("GET", at("A_B"), Value::Null, "must match the pattern"),
    ] {
        let (status, error) = server.call(None, method, &path, body.clone()).await;
        assert_eq!((status, &error["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{path} {body}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{path} {body}: {error}");
    }
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({"description": "x"})), ("DELETE", Value::Null)] {
        let (status, error) = server.call(None, method, &at("none"), body).await;
        assert_eq!((status, &error["message"]), (404, &json!("Workspace 'none' not found")));
    }

    let experiment = json!({"name": "e"});
    assert_eq!(server.call(Some("team"), "POST", "2.0/mlflow/experiments/create", experiment).await.0, 200);
    let (status, error) = server.call(None, "DELETE", &at("team"), Value::Null).await;
    assert_eq!((status, &error["error_code"]), (500, &json!("INVALID_STATE")));
    assert_eq!(server.call(None, "DELETE", &at("team?mode=CASCADE"), Value::Null).await, (204, Value::Null));
    assert_eq!(
        server.call(Some("team"), "GET", "2.0/mlflow/experiments/get?experiment_id=0", Value::Null).await.0,
        404
    );
    server.stop().await;
}
