//! The traces of the sample data: each item of the data, by each version of the agent.

use std::collections::{BTreeMap, HashMap};

use ferroflow_model::{
    Error, Result,
    messages::service::{
        TraceInfoV3, TraceInfoV3State, TraceLocation, TraceLocationMlflowExperimentLocation,
        TraceLocationTraceLocationType,
    },
    wire::{Duration, Timestamp},
};
use ferroflow_otlp::{Batch, Encoding, Limits, Prices, Settings};
use serde_json::json;

use super::{
    data::{Data, Item, Kind, VERSIONS},
    spans::{Conversations, Draft, Time, draft},
};
use crate::{DoomedTraces, Joins, Scope, Scoped, TraceSearch};

/// The metadata with the version of the agent, by which the traces of the sample data are found.
pub(super) const AGENT_VERSION: &str = "mlflow.demo.version";

/// The metadata with the kind of a trace.
const KIND: &str = "mlflow.demo.trace_type";

/// The metadata with the number of the item in the data.
pub(super) const ITEM: &str = "mlflow.demo.item";

/// The tags of the experiment with the time of the first and the last trace, which the UI shows as its range.
const START_TAG: &str = "mlflow.demo.start_time_ms";
const END_TAG: &str = "mlflow.demo.end_time_ms";

/// The time over which the traces are spread, in milliseconds: seven days.
const SPREAD: i64 = 7 * 24 * 3_600_000;

/// The time between two parts of a conversation, in milliseconds.
const BETWEEN_TURNS: i64 = 150_000;

/// The maximum number of traces of the sample data.
pub(super) const MOST: i64 = 200;

impl Scoped<'_> {
    /// Writes the traces so that the last of them is before `now`.
    pub(super) async fn create_demo_traces(&self, data: &Data, experiment_id: &str, now: i64) -> Result<()> {
        let (mut spans, mut infos, mut prompts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for version in 0..VERSIONS {
            let (mut said, mut turns) = (Conversations::new(), HashMap::<&str, usize>::new());
            for (index, item) in data.traces.iter().enumerate() {
                let group: &str = if item.kind == Kind::Prompt { &item.prompt } else { &item.session };
                let turn = *turns.entry(group).and_modify(|turn| *turn += 1).or_default();
                let time = time(data, item, version, index, turn, now);
                (first, last) = (first.min(time.start_ms), last.max(time.start_ms + time.duration_ms));
                let draft = draft(data, item, version, turn, &mut said, time);
                infos.push(info(&draft, item, version, index, experiment_id, time));
                spans.extend(draft.spans);
                prompts.extend(draft.prompt.map(|prompt| (format!("tr-{}", draft.id), prompt)));
            }
        }
        let request = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string();
        let prices = Prices::default();
        let settings = Settings { limits: Limits::default(), tags: self.limits(), prices: &prices };
        let batch = Batch::read(request.as_bytes(), Encoding::Json, &settings)
            .map_err(|error| Error::internal(format!("The spans of the sample data cannot be read: {error}")))?;
        self.log_spans(experiment_id, Joins::Any, None, batch).await?;
        for info in infos {
            self.start_trace(info).await?;
        }
        for (trace, prompt) in prompts {
            self.link_prompts_to_trace(&trace, &[prompt]).await?;
        }
        self.set_experiment_tag(experiment_id, START_TAG, &first.to_string()).await?;
        self.set_experiment_tag(experiment_id, END_TAG, &last.to_string()).await
    }

    /// The traces of the sample data, at most so many, the oldest first.
    pub(super) async fn demo_traces(&self, experiment_id: &str, most: i64) -> Result<Vec<TraceInfoV3>> {
        let search = TraceSearch {
            experiment_ids: vec![experiment_id.to_owned()],
            filter: format!("metadata.`{AGENT_VERSION}` IS NOT NULL"),
            max_results: most,
            order_by: vec!["timestamp ASC".to_owned()],
            page_token: None,
        };
        Ok(self.search_traces(&Scope::everything(), &search).await?.0)
    }

    /// Deletes them. Returns those that are archived, with the location of their files.
    pub(super) async fn delete_demo_traces(&self, experiment_id: &str) -> Result<Vec<(String, Option<String>)>> {
        let found = self.demo_traces(experiment_id, MOST).await?;
        let ids = found.into_iter().map(|trace| trace.trace_id.unwrap_or_default()).collect();
        Ok(self.delete_traces(experiment_id, &DoomedTraces::Ids(ids), None, 0).await?.archived)
    }
}

/// The traces of the second version follow those of the first. The parts of a conversation follow each other.
fn time(data: &Data, item: &Item, version: usize, index: usize, turn: usize, now: i64) -> Time {
    let place = if item.kind == Kind::Session { index - turn } else { index };
    let number = |count: usize| i64::try_from(count).unwrap_or_default();
    let slot = SPREAD / number(VERSIONS * data.traces.len());
    let place = number(version * data.traces.len() + place);
    // Not at the same minute of each slot.
    let offset = (place * 7_919_000) % (slot / 2);
    let turn = if item.kind == Kind::Session { number(turn) * BETWEEN_TURNS } else { 0 };
    let slowness = if version == 0 { 2 } else { 1 };
    Time {
        start_ms: now - SPREAD + place * slot + offset + turn,
        duration_ms: (400 + (number(index) * 373 + 97) % 1700) * slowness,
    }
}

fn info(draft: &Draft, item: &Item, version: usize, index: usize, experiment_id: &str, time: Time) -> TraceInfoV3 {
    let mut metadata = BTreeMap::from([
        ("mlflow.trace_schema.version".to_owned(), "3".to_owned()),
        (AGENT_VERSION.to_owned(), format!("v{}", version + 1)),
        (KIND.to_owned(), item.kind.name().to_owned()),
        (ITEM.to_owned(), index.to_string()),
    ]);
    if item.kind == Kind::Session {
        metadata.insert("mlflow.trace.session".to_owned(), format!("{}-v{}", item.session, version + 1));
        metadata.insert("mlflow.trace.user".to_owned(), item.user.clone());
    }
    TraceInfoV3 {
        trace_id: Some(format!("tr-{}", draft.id)),
        trace_location: Some(TraceLocation {
            r#type: Some(TraceLocationTraceLocationType::MlflowExperiment),
            mlflow_experiment: Some(TraceLocationMlflowExperimentLocation {
                experiment_id: Some(experiment_id.to_owned()),
            }),
            inference_table: None,
        }),
        request_time: Some(Timestamp::from_millis(time.start_ms)),
        execution_duration: Some(Duration::from_millis(time.duration_ms)),
        state: Some(TraceInfoV3State::Ok),
        tags: BTreeMap::from([("mlflow.traceName".to_owned(), draft.name.clone())]),
        trace_metadata: metadata,
        // Sound and pictures are no preview.
        response_preview: (item.kind == Kind::Media).then(|| item.answers[version].clone()),
        ..TraceInfoV3::default()
    }
}
