//! Metric histories.

use axum::response::Response;
use ferroflow_model::{
    Error, Result,
    messages::service::{GetMetricHistory, GetMetricHistoryBulkInterval, GetMetricHistoryBulkIntervalResponse},
    wire::write::Number,
};
use ferroflow_store::{Histories, HistoryPoint, MAX_BULK_HISTORY};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::json;

use crate::{api::tracking::runs::id, app::Cx, rpc};

/// Maximum number of runs in a request for several histories.
const MAX_RUNS: usize = 100;

/// Default and maximum number of points per run in a chart.
const MAX_SAMPLE: i64 = 2500;

/// Serializes points as they are read: a history may have millions of them, and a message would hold them all a second
/// time.
pub(crate) async fn history(cx: Cx, req: GetMetricHistory) -> Result<Response> {
    let max_results = req.max_results.map(i64::from);
    if let Some(max) = max_results.filter(|max| *max <= 0) {
        return Err(Error::invalid(format!(
            "Invalid value {max} for parameter 'max_results' supplied. It must be a positive integer."
        )));
    }
    let run_id = id(req.run_id(), req.run_uuid());
    let json = || HistoryJson::new(req.metric_key());
    let token = req.page_token.as_deref();
    let (json, next_page_token) =
        cx.store().fold_metric_history(run_id, req.metric_key(), max_results, token, json, HistoryJson::push).await?;
    rpc::json_bytes(json.finish(next_page_token.as_deref()))
}

/// The JSON of `mlflow.GetMetricHistory.Response` under construction.
struct HistoryJson {
    key: String,
    /// The points, each preceded by a comma.
    points: serde_json::Result<Vec<u8>>,
}

/// `mlflow.Metric` in a history.
#[derive(Serialize)]
struct PointJson<'a> {
    key: &'a str,
    value: Number,
    timestamp: i64,
    step: i64,
}

impl HistoryJson {
    fn new(key: &str) -> Self {
        Self { key: key.to_owned(), points: Ok(Vec::new()) }
    }

    fn push(&mut self, point: HistoryPoint) {
        if let Ok(points) = &mut self.points {
            points.push(b',');
            let HistoryPoint { value, timestamp, step } = point;
            let point = PointJson { key: &self.key, value: Number(value), timestamp, step };
            if let Err(error) = serde_json::to_writer(points, &point) {
                self.points = Err(error);
            }
        }
    }

    /// Absent fields are omitted, as in every message.
    fn finish(self, next_page_token: Option<&str>) -> serde_json::Result<Vec<u8>> {
        let mut json = self.points?;
        if let Some(comma) = json.first_mut() {
            *comma = b'[';
            json.splice(..0, *b"{\"metrics\":");
            json.push(b']');
        } else {
            json.push(b'{');
        }
        if let Some(token) = next_page_token {
            json.extend(b",\"next_page_token\":");
            serde_json::to_writer(&mut json, token)?;
        }
        json.push(b'}');
        Ok(json)
    }
}

/// The points of several runs. A message would hold the key and the run's id of each.
pub(crate) async fn bulk_interval(cx: Cx, req: GetMetricHistoryBulkInterval) -> Result<Response> {
    let histories = sampled(&cx, &req).await?;
    let points = HistoriesJson { key: req.metric_key.unwrap_or_default(), histories };
    if points.histories.points().next().is_none() { rpc::json(&json!({})) } else { rpc::answer(points).await }
}

/// The same as a message, for GraphQL.
pub(crate) async fn bulk_interval_message(
    cx: Cx,
    req: GetMetricHistoryBulkInterval,
) -> Result<GetMetricHistoryBulkIntervalResponse> {
    let histories = sampled(&cx, &req).await?;
    Ok(GetMetricHistoryBulkIntervalResponse { metrics: histories.messages(req.metric_key()) })
}

async fn sampled(cx: &Cx, req: &GetMetricHistoryBulkInterval) -> Result<Histories> {
    let steps = match (req.start_step, req.end_step) {
        (None, None) => None,
        (Some(start), Some(end)) if start > end => {
            return Err(Error::invalid(format!(
                "end_step must be greater than start_step. Found start_step={start} and end_step={end}."
            )));
        }
        (Some(start), Some(end)) => Some((start.into(), end.into())),
        _ => {
            return Err(Error::invalid("If either start step or end step are specified, both must be specified."));
        }
    };
    let max_results = req.max_results.map_or(MAX_SAMPLE, i64::from).min(MAX_SAMPLE);
    cx.store().sample_metric_history(&req.run_ids, req.metric_key(), max_results, steps).await
}

/// The JSON of histories: the points, each with its key and run.
struct HistoriesJson {
    key: String,
    histories: Histories,
}

/// `mlflow.MetricWithRunId`
#[derive(Serialize)]
struct PointOfRunJson<'a> {
    key: &'a str,
    value: Number,
    timestamp: i64,
    step: i64,
    run_id: &'a str,
}

impl Serialize for HistoriesJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let points = Points(self);
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("metrics", &points)?;
        map.end()
    }
}

struct Points<'a>(&'a HistoriesJson);

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let HistoriesJson { key, histories } = self.0;
        serializer.collect_seq(histories.points().map(|(run_id, point)| {
            let HistoryPoint { value, timestamp, step } = point;
            PointOfRunJson { key, value: Number(value), timestamp, step, run_id }
        }))
    }
}

/// An endpoint without a message: all its parameters are in the query.
pub(crate) async fn bulk(cx: Cx, _: axum::extract::Request) -> Result<Response> {
    let run_ids = cx.query_all("run_id");
    if run_ids.is_empty() {
        return Err(Error::invalid("GetMetricHistoryBulk request must specify at least one run_id."));
    }
    if run_ids.len() > MAX_RUNS {
        return Err(Error::invalid(format!(
            "GetMetricHistoryBulk request cannot specify more than {MAX_RUNS} run_ids. Received {} run_ids.",
            run_ids.len()
        )));
    }
    let Some(key) = cx.query("metric_key") else {
        return Err(Error::invalid("GetMetricHistoryBulk request must specify a metric_key."));
    };
    let max_results = match cx.query("max_results") {
        None => MAX_BULK_HISTORY,
        Some(text) => text.trim().parse::<i64>().ok().filter(|max| *max >= 0).ok_or_else(|| {
            Error::invalid("Invalid value for parameter 'max_results' supplied: it must be a positive integer.")
        })?,
    };
    let histories = cx.store().get_metric_history_bulk(run_ids, &key, max_results).await?;
    rpc::answer(HistoriesJson { key, histories }).await
}
