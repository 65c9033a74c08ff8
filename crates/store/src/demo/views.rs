//! Views of traces, which the UI keeps in tags of the experiment.

use ferroflow_model::{
    Result,
    messages::service::{Experiment, ExperimentTag},
    python,
};
use serde_json::json;

use super::{
    DemoFeature,
    data::{self, Data},
};

/// The beginning of tags with a view of one trace.
const CUSTOM_VIEW: &str = "mlflow.customView.view.v1.";

/// The beginning of tags with a view of the table.
const SAVED_VIEW: &str = "mlflow.tracesV4ViewState.";

/// What the ids of the sample data's views begin with, those of the reference included.
const IDS: [&str; 2] = ["demo-", "mlflow-demo-"];

/// The tag with the view of a feature.
pub(super) fn tag(data: &Data, feature: DemoFeature, now: i64) -> Result<(String, String)> {
    if feature == DemoFeature::CustomView {
        let (id, view) = data::view()?;
        return Ok((format!("{CUSTOM_VIEW}{id}"), view));
    }
    let view = &data.saved_view;
    let value = json!({ "name": view.name, "createdAt": now, "state": view.state });
    Ok((format!("{SAVED_VIEW}{}", view.id), python::json_dumps_compact(&value)))
}

/// The keys of the tags with views of a feature.
pub(super) fn keys(experiment: &Experiment, feature: DemoFeature) -> impl Iterator<Item = &str> {
    let prefix = if feature == DemoFeature::CustomView { CUSTOM_VIEW } else { SAVED_VIEW };
    let is_own =
        move |key: &&str| key.strip_prefix(prefix).is_some_and(|id| IDS.iter().any(|start| id.starts_with(start)));
    experiment.tags.iter().map(ExperimentTag::key).filter(is_own)
}

pub(super) fn has(experiment: &Experiment, feature: DemoFeature) -> bool {
    keys(experiment, feature).next().is_some()
}
