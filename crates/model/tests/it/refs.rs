//! Messages say which resources they refer to.

use std::collections::BTreeSet;

use ferroflow_model::{
    messages::{
        RPCS,
        mlflow_artifacts::AbortMultipartUpload,
        model_registry::{CreateModelVersion, ModelVersionDeploymentJobState},
        service::{
            CreateAssessment, CreateExperiment, GetLoggedModel, GetMetricHistoryBulkInterval, GetRun,
            LinkPromptsToTrace, LogBatch, SearchRuns, StartTraceV3,
        },
    },
    wire::{Field, Kind, Message, Ref, RefKind, Rpc},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The references in the message that has this JSON.
fn refs<M: Message + DeserializeOwned>(json: Value) -> Vec<(RefKind, String)> {
    let message: M = serde_json::from_value(json).expect("the JSON of the message");
    let mut found = Vec::new();
    message.refs(&mut |reference| found.push((reference.kind, reference.text.to_owned())));
    found
}

fn pairs<const N: usize>(expected: [(RefKind, &str); N]) -> Vec<(RefKind, String)> {
    expected.map(|(kind, text)| (kind, text.to_owned())).into()
}

#[test]
fn lists_are_followed_and_empty_texts_left_out() {
    let batch = json!({
        "run_id": "r",
        "metrics": [{ "key": "a", "model_id": "m-1" }, { "key": "b", "model_id": "" }, { "key": "c", "model_id": "m-2" }],
        "params": [{ "key": "run_id", "value": "x" }],
    });
    assert_eq!(
        refs::<LogBatch>(batch),
        pairs([(RefKind::Run, "r"), (RefKind::LoggedModel, "m-1"), (RefKind::LoggedModel, "m-2")])
    );
    let history = json!({ "run_ids": ["r1", "", "r2"], "metric_key": "loss" });
    assert_eq!(refs::<GetMetricHistoryBulkInterval>(history), pairs([(RefKind::Run, "r1"), (RefKind::Run, "r2")]));
    assert_eq!(refs::<LogBatch>(json!({})), pairs([]));
}

#[test]
fn a_reference_has_the_name_and_the_place_of_its_field() {
    let batch = json!({ "run_id": "r", "metrics": [{ "key": "a", "model_id": "m-1" }] });
    let batch: LogBatch = serde_json::from_value(batch).expect("a batch");
    let search: SearchRuns = serde_json::from_value(json!({ "experiment_ids": ["7"] })).expect("a search");
    let mut found = Vec::new();
    batch.refs(&mut |reference| found.push(reference));
    search.refs(&mut |reference| found.push(reference));
    let plain = |kind, field, text| Ref { kind, field, text, is_listed: false, is_nested: false };
    assert_eq!(
        found,
        [
            plain(RefKind::Run, "run_id", "r"),
            Ref { is_nested: true, ..plain(RefKind::LoggedModel, "model_id", "m-1") },
            Ref { is_listed: true, ..plain(RefKind::Experiment, "experiment_ids", "7") },
        ]
    );
}

#[test]
fn both_names_of_a_run_are_references() {
    let run = json!({ "run_id": "r1", "run_uuid": "r2" });
    let mut found = refs::<GetRun>(run);
    found.sort();
    assert_eq!(found, pairs([(RefKind::Run, "r1"), (RefKind::Run, "r2")]));
}

#[test]
fn nested_messages_are_followed() {
    let assessment =
        json!({ "assessment": { "assessment_name": "n", "trace_id": "tr-1", "source": { "source_id": "s" } } });
    assert_eq!(refs::<CreateAssessment>(assessment), pairs([(RefKind::Trace, "tr-1")]));
    let location = json!({ "mlflow_experiment": { "experiment_id": "7" } });
    let trace = json!({ "trace": { "trace_info": { "trace_id": "tr-2", "trace_location": location } } });
    assert_eq!(refs::<StartTraceV3>(trace), pairs([(RefKind::Trace, "tr-2"), (RefKind::Experiment, "7")]));
    let prompts = json!({ "trace_id": "tr-3", "prompt_versions": [{ "name": "p", "version": "1" }] });
    assert_eq!(refs::<LinkPromptsToTrace>(prompts), pairs([(RefKind::Trace, "tr-3"), (RefKind::RegisteredModel, "p")]));
}

#[test]
fn a_name_is_a_reference_in_calls_of_the_registry_only() {
    let version = json!({ "name": "n", "source": "s", "run_id": "r", "model_id": "m-1" });
    let mut found = refs::<CreateModelVersion>(version);
    found.sort();
    assert_eq!(found, pairs([(RefKind::Run, "r"), (RefKind::LoggedModel, "m-1"), (RefKind::RegisteredModel, "n")]));
    assert_eq!(refs::<CreateExperiment>(json!({ "name": "n" })), pairs([(RefKind::Name, "n")]));
}

#[test]
fn ids_that_are_no_references_are_not_reported() {
    let batch = json!({ "run_id": "r", "metrics": [{ "key": "a", "run_id": "where it was read" }] });
    assert_eq!(refs::<LogBatch>(batch), pairs([(RefKind::Run, "r")]));
    assert_eq!(refs::<ModelVersionDeploymentJobState>(json!({ "job_id": "1", "run_id": "2" })), pairs([]));
}

#[test]
fn parameters_of_paths_are_references_too() {
    assert_eq!(CreateAssessment::PATH_REFS, [("assessment.trace_id", RefKind::Trace)]);
    assert_eq!(GetLoggedModel::PATH_REFS, [("model_id", RefKind::LoggedModel)]);
    assert_eq!(AbortMultipartUpload::PATH_REFS, [("artifact_path", RefKind::ArtifactPath)]);
    assert!(LogBatch::PATH_REFS.is_empty());
}

/// A new id must be decided on: it is known to `names.rs` of `ferroflow-model-derive`, or listed here with the reason.
#[test]
fn every_id_in_a_request_refers_to_something_or_is_known_not_to() {
    let mut found = BTreeSet::new();
    for rpc in RPCS {
        collect(rpc.fields, 6, &mut found);
    }
    let expected = BTreeSet::from([
        // Chosen by the client.
        "client_request_id",
        "source_id",
        "user_id",
        // Of another system.
        "deployment_job_id",
        "source_databricks_request_id",
        "sql_warehouse_id",
        // Of something that only the resource named beside it has.
        "dataset_record_ids",
        "span_id",
        "upload_id",
        // Its kind is in another field.
        "item_id",
        "item_ids",
        "resource_id",
        // Of a metric, see `refs.rs` of the generator.
        "run_id",
    ]);
    assert_eq!(found, expected);
}

/// Adds the names of ids that refer to nothing. Messages that contain themselves are followed for a few levels.
fn collect(fields: &[Field], levels: u32, found: &mut BTreeSet<&'static str>) {
    for field in fields {
        let is_id = field.name.ends_with("_id") || field.name.ends_with("_ids");
        if is_id && matches!(field.kind, Kind::String) && field.refers_to.is_none() {
            found.insert(field.name);
        }
        if let Kind::Message(nested) = field.kind
            && levels > 0
        {
            collect(nested(), levels - 1, found);
        }
    }
}
