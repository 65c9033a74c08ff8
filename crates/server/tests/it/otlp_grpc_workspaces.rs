//! OTLP/gRPC in workspaces: the metadata names one, and tells nothing of the others.

use std::path::Path;

use ferroflow_store::{Store, Workspace, WorkspaceValues};

use crate::{
    otlp_grpc::{Client, EXPORT, access, login, open, plain, serve_store, users},
    span_log::protobuf,
};

/// The workspaces besides the default one.
const NAMES: [&str; 2] = ["ours", "theirs"];

/// A number that no experiment has.
const NEVER: &str = "987654";

async fn create(store: &Store, name: &str) -> (Workspace, String) {
    store.create_workspace(name, &WorkspaceValues::default()).await.unwrap();
    let workspace = store.workspace(name).await.unwrap();
    let experiment = store.within(&workspace).create_experiment("traced", None, Vec::new()).await.unwrap();
    (workspace, experiment)
}

/// A second store on the database, with the workspaces and their experiments.
async fn two(folder: &Path) -> (Store, [(Workspace, String); 2]) {
    let store = open(folder, true).await;
    let made = [create(&store, NAMES[0]).await, create(&store, NAMES[1]).await];
    (store, made)
}

fn id(trace: u8) -> String {
    format!("tr-{trace:032x}")
}

async fn is_stored(store: &Store, workspace: &Workspace, trace: u8) -> bool {
    !store.within(workspace).span_places(&[id(trace)]).await.unwrap().is_empty()
}

/// Exports spans, and returns the code, the message and the body of the answer.
async fn export(
    client: &Client,
    headers: &[(&str, &str)],
    experiment: &str,
    traces: &[u8],
) -> (String, String, Vec<u8>) {
    let spans: Vec<u8> = traces.iter().flat_map(|trace| protobuf(*trace)).collect();
    let headers = [headers, &[("x-mlflow-experiment-id", experiment)]].concat();
    let answer = client.call(EXPORT, &headers, plain(&spans)).await;
    let (code, message) = answer.outcome_owned();
    (code, message.replace(&format!("id={experiment} "), "id=<experiment> "), answer.body.to_vec())
}

fn done() -> (String, String, Vec<u8>) {
    ("0".into(), String::new(), plain(b""))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_names_the_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let (store, [(ours, mine), (theirs, other)]) = two(folder.path()).await;
    let server = serve_store(open(folder.path(), true).await, None).await;
    let client = Client::connect(server.grpc).await;
    let within = |name: &'static str| [("x-mlflow-workspace", name)];
    assert_eq!(export(&client, &within("ours"), &mine, &[1]).await, done());
    assert_eq!(export(&client, &[], "0", &[2]).await, done());
    assert_eq!(export(&client, &within(" "), "0", &[3]).await, done());
    let default = store.default_workspace();
    for (trace, place) in [(1, &ours), (2, default), (3, default)] {
        for workspace in [&ours, &theirs, default] {
            assert_eq!(is_stored(&store, workspace, trace).await, workspace == place, "{trace} {workspace:?}");
        }
    }
    // A workspace that is not there, and names that no workspace has.
    let (code, message, _) = export(&client, &within("nowhere"), &mine, &[9]).await;
    assert_eq!((code.as_str(), message.as_str()), ("5", "Workspace 'nowhere' not found"));
    for wrong in ["Ours", "a", "../ours"] {
        let (code, message, _) = export(&client, &within(wrong), &mine, &[9]).await;
        assert_eq!(code, "3", "{message}");
    }
    let several = [("x-mlflow-workspace", "ours"), ("x-mlflow-workspace", "theirs")];
    assert_eq!(export(&client, &several, &mine, &[9]).await.0, "3");
    // An experiment of another workspace is as one that is not there.
    let missing = export(&client, &within("ours"), NEVER, &[9]).await;
    assert_eq!((missing.0.as_str(), missing.1.as_str()), ("5", "No Experiment with id=<experiment> exists"));
    for (name, foreign) in [("ours", other.as_str()), ("ours", "0"), ("default", mine.as_str())] {
        assert_eq!(export(&client, &within(name), foreign, &[9]).await, missing, "{name} {foreign}");
    }
    for workspace in [&ours, &theirs, default] {
        assert!(!is_stored(&store, workspace, 9).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_id_is_told_to_those_who_may_write_only() {
    let folder = tempfile::tempdir().unwrap();
    let (store, [(ours, mine), (theirs, other)]) = two(folder.path()).await;
    let server = serve_store(open(folder.path(), true).await, None).await;
    let client = Client::connect(server.grpc).await;
    let [here, there] = NAMES.map(|name| [("x-mlflow-workspace", name)]);
    assert_eq!(export(&client, &there, &other, &[1]).await, done());
    // The experiment is not there: nothing is said of the trace.
    let missing = export(&client, &here, NEVER, &[9]).await;
    assert_eq!(export(&client, &here, NEVER, &[1]).await, missing);
    assert_eq!(export(&client, &here, &other, &[1]).await, missing);
    let (code, message, _) = export(&client, &here, &mine, &[1]).await;
    assert_eq!((code, message), ("5".to_owned(), format!("Trace with ID '{}' no longer exists.", id(1))));
    // The other spans of a request are stored.
    let (code, _, body) = export(&client, &here, &mine, &[1, 2]).await;
    assert_eq!(code, "0");
    assert!(String::from_utf8_lossy(&body).contains("no longer exists"), "{body:?}");
    assert!(is_stored(&store, &ours, 2).await && !is_stored(&store, &ours, 1).await);
    assert!(is_stored(&store, &theirs, 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_workspaces_the_metadata_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve_store(open(folder.path(), false).await, None).await;
    let client = Client::connect(server.grpc).await;
    for name in ["default", "ours"] {
        let (code, message, _) = export(&client, &[("x-mlflow-workspace", name)], "0", &[1]).await;
        assert_eq!(code, "13");
        assert!(message.starts_with("Workspace APIs are not available"), "{message}");
    }
    assert_eq!(export(&client, &[("x-mlflow-workspace", "")], "0", &[1]).await, done());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_one_workspace_learns_nothing_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (store, [(ours, mine), (theirs, other)]) = two(folder.path()).await;
    let auth = Box::pin(users(folder.path(), true)).await;
    let role = auth.users().create_role("writer", NAMES[0], None).await.unwrap();
    for (kind, permission) in [("workspace", "USE"), ("experiment", "EDIT")] {
        auth.users().add_role_permission(role.id, kind, "*", permission).await.unwrap();
    }
    let ann = auth.users().get_user("ann").await.unwrap().id;
    auth.users().assign_role(ann, role.id).await.unwrap();
    let server = serve_store(open(folder.path(), true).await, Some(access(folder.path(), auth))).await;
    let client = Client::connect(server.grpc).await;
    let login = login("ann", "password of ann");
    let within = |name: &'static str| [("authorization", login.as_str()), ("x-mlflow-workspace", name)];
    assert_eq!(export(&client, &within("ours"), &mine, &[1]).await, done());
    assert!(is_stored(&store, &ours, 1).await);

    // Without a login nobody learns whether there is such a workspace.
    let unknown = export(&client, &[("x-mlflow-workspace", "nowhere")], NEVER, &[9]).await;
    assert_eq!(unknown.0, "16");
    assert_eq!(export(&client, &[("x-mlflow-workspace", "theirs")], &other, &[9]).await, unknown);
    let nowhere = export(&client, &within("nowhere"), NEVER, &[9]).await;
    let (code, message, _) = export(&client, &within("theirs"), &other, &[9]).await;
    assert_eq!((code, message.replace("theirs", "nowhere")), (nowhere.0, nowhere.1));
    let missing = export(&client, &within("ours"), NEVER, &[9]).await;
    assert_ne!(missing.0, "0");
    for foreign in [other.as_str(), "0"] {
        assert_eq!(export(&client, &within("ours"), foreign, &[9]).await, missing);
    }
    // A trace of theirs, by an experiment that Ann may not write to, and by her own.
    store.within(&theirs).start_trace(trace(9, &other)).await.unwrap();
    assert_eq!(export(&client, &within("ours"), &other, &[9]).await, missing);
    assert_eq!(export(&client, &within("ours"), &mine, &[9]).await.0, "5");
}

fn trace(number: u8, experiment: &str) -> ferroflow_model::messages::service::TraceInfoV3 {
    use ferroflow_model::messages::service::{
        TraceInfoV3, TraceLocation, TraceLocationMlflowExperimentLocation, TraceLocationTraceLocationType,
    };

    let location = TraceLocation {
        r#type: Some(TraceLocationTraceLocationType::MlflowExperiment),
        mlflow_experiment: Some(TraceLocationMlflowExperimentLocation { experiment_id: Some(experiment.to_owned()) }),
        ..TraceLocation::default()
    };
    TraceInfoV3 { trace_id: Some(id(number)), trace_location: Some(location), ..TraceInfoV3::default() }
}
