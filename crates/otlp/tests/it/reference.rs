//! Every request in `../data/` is stored as the reference stores it, from JSON and from protobuf.
//! `../record_reference.py` writes what the reference makes of them into `../data/reference.json`. [`DIFFERENCES`]
//! names each value that is another one on purpose.

use std::collections::{BTreeMap, BTreeSet};

use ferroflow_model::validation;
use ferroflow_otlp::{Batch, COSTS, Encoding, Limits, Settings, TOKENS, TraceDelta};
use serde_json::{Map, Value, json};

use crate::{differences::DIFFERENCES, encode, prices::prices};

/// Requests by name.
type Cases = BTreeMap<String, Vec<Value>>;

const FILES: [(&str, &str); 14] = [
    ("claude_code", include_str!("../data/claude_code.json")),
    ("gemini_cli", include_str!("../data/gemini_cli.json")),
    ("genai", include_str!("../data/genai.json")),
    ("google_adk", include_str!("../data/google_adk.json")),
    ("laminar", include_str!("../data/laminar.json")),
    ("langfuse", include_str!("../data/langfuse.json")),
    ("livekit", include_str!("../data/livekit.json")),
    ("mixed", include_str!("../data/mixed.json")),
    ("mlflow", include_str!("../data/mlflow.json")),
    ("openinference", include_str!("../data/openinference.json")),
    ("spring_ai", include_str!("../data/spring_ai.json")),
    ("traceloop", include_str!("../data/traceloop.json")),
    ("vercel_ai", include_str!("../data/vercel_ai.json")),
    ("voltagent", include_str!("../data/voltagent.json")),
];

/// The requests of the corpus.
pub(crate) fn corpus() -> Vec<(&'static str, Cases)> {
    FILES.iter().map(|(name, text)| (*name, serde_json::from_str(text).unwrap())).collect()
}

#[test]
fn every_request_is_stored_as_by_the_reference() {
    let recorded: Value = serde_json::from_str(include_str!("../data/reference.json")).unwrap();
    let mut unexpected = Vec::new();
    let mut unseen: BTreeSet<(&str, &str)> =
        DIFFERENCES.iter().flat_map(|(case, paths, _)| paths.iter().map(move |path| (*case, *path))).collect();
    for (file, cases) in corpus() {
        for (name, requests) in cases {
            let case = format!("{file}: {name}");
            let expected = with_types(columns(&recorded[file][&name]));
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                let mut found = BTreeMap::new();
                compare("", &stored(&requests, encoding), &expected, &mut found);
                for (path, values) in found {
                    let listed =
                        DIFFERENCES.iter().find(|(other, paths, _)| *other == case && paths.contains(&path.as_str()));
                    match listed {
                        Some((case, paths, _)) => {
                            unseen.retain(|(other, seen)| !(other == case && paths.contains(seen) && *seen == path));
                        }
                        None => unexpected.push(format!("{case} {encoding:?}\n  {path}\n    {values}")),
                    }
                }
            }
        }
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    assert!(unseen.is_empty(), "these are no differences any more: {unseen:?}");
}

/// The reference leaves the column with the type of a span empty where a dialect has it, and quotes it twice where the
/// SDK sent it. Here it has what the content says (mlflow/mlflow#24237).
fn with_types(mut expected: Value) -> Value {
    for row in expected["spans"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let found = row["parsed"]["attributes"]["mlflow.spanType"].as_str();
        if let Some(found) = found.map(|text| serde_json::from_str(text).unwrap_or(json!(text))) {
            row["type"] = found;
        }
    }
    expected
}

/// What the database would contain after these requests.
fn stored(requests: &[Value], encoding: Encoding) -> Value {
    let prices = prices();
    let settings = Settings { limits: Limits::default(), tags: validation::Limits::default(), prices: &prices };
    let (mut spans, mut traces) = (BTreeMap::new(), BTreeMap::new());
    for request in requests {
        let body = match encoding {
            Encoding::Json => request.to_string().into_bytes(),
            Encoding::Protobuf => encode::request(request),
        };
        let batch = Batch::read(&body, encoding, &settings).unwrap();
        if let Some(fault) = batch.fault {
            return json!({"error": fault.to_string()});
        }
        for span in batch.spans {
            spans.insert((span.trace, span.span), span);
        }
        for (id, delta) in batch.traces {
            traces.entry(id).or_insert_with(TraceDelta::empty).merge(delta);
        }
    }
    let spans = spans.into_values().map(|span| {
        let mut row = Map::new();
        for (name, value) in [
            ("trace_id", json!(span.trace.to_string())),
            ("span_id", json!(span.span.to_string())),
            ("parent_span_id", json!(span.parent.map(|id| id.to_string()))),
            ("name", json!(span.name)),
            ("type", json!(span.span_type)),
            ("status", json!(span.status)),
            ("start_time_unix_nano", json!(span.start_ns)),
            ("end_time_unix_nano", json!(span.end_ns)),
            ("content", json!(span.content)),
            ("model_name", json!(span.model)),
            ("model_provider", json!(span.provider)),
        ] {
            row.insert(name.to_owned(), value);
        }
        for (name, cost) in COSTS.iter().zip(span.cost.unwrap_or_default().0) {
            row.insert((*name).to_owned(), json!(cost));
        }
        Value::Object(row)
    });
    let spans: Vec<Value> = spans.collect();
    let (mut rows, mut tags, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
    for (id, trace) in &traces {
        let id = id.to_string();
        let root = trace.root.as_ref().map(|root| &root.value);
        let mut row = json!({
            "request_id": id,
            "timestamp_ms": trace.start_ms,
            "execution_time_ms": trace.duration_ms(),
            "status": trace.state(),
            "request_preview": root.and_then(|root| root.request_preview.as_ref()),
            "response_preview": root.and_then(|root| root.response_preview.as_ref()),
            "session_id": trace.session.as_ref().map(|pick| &pick.value),
            "trace_name": trace.name.as_ref().map(|pick| &pick.value),
        });
        for (name, count) in TOKENS.iter().zip(trace.usage().unwrap_or_default().0) {
            row[*name] = json!(count);
        }
        for (name, cost) in COSTS.iter().zip(trace.cost().unwrap_or_default().0) {
            row[*name] = json!(cost);
        }
        rows.push(row);
        for (key, tag) in &trace.tags {
            tags.push(json!({"request_id": id, "key": key, "value": tag.value}));
        }
        if let Some(user) = &trace.user {
            metadata.push(json!({"request_id": id, "key": "mlflow.trace.user", "value": user.value}));
        }
    }
    columns(&json!({"spans": spans, "traces": rows, "tags": tags, "metadata": metadata}))
}

/// The rows by their keys, without columns that follow from others and without absent values.
fn columns(tables: &Value) -> Value {
    let Value::Object(tables) = tables else { panic!("an object") };
    if let Some(error) = tables.get("error") {
        return json!({"error": error});
    }
    let mut out = Map::new();
    for (table, rows) in tables {
        let mut found = Map::new();
        for row in rows.as_array().unwrap() {
            let mut row = row.as_object().unwrap().clone();
            for name in ["duration_ns", "db_payload_generation"] {
                row.remove(name);
            }
            row.retain(|_, value| !value.is_null());
            let id = |name: &str| {
                row.get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .trim_start_matches("tr-")
                    .trim_start_matches('0')
                    .to_owned()
            };
            let key = match table.as_str() {
                "spans" => format!("{}/{}", id("trace_id"), id("span_id")),
                "traces" => id("request_id"),
                _ => format!("{}/{}", id("request_id"), id("key")),
            };
            if let Some(Value::String(content)) = row.get("content") {
                let parsed: Value = serde_json::from_str(content).unwrap_or_default();
                row.insert("parsed".to_owned(), parsed);
            }
            found.insert(key, Value::Object(row));
        }
        out.insert(table.clone(), Value::Object(found));
    }
    Value::Object(out)
}

/// Collects the paths at which two values differ. The text of a content is compared only if what it says is the same.
fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut BTreeMap<String, String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let (ours, theirs) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                if key != "content" || a.get("parsed") == b.get("parsed") {
                    compare(format!("{path}.{key}").trim_start_matches('.'), ours, theirs, found);
                }
            }
        }
        _ if ours == theirs || is_near(ours, theirs) => {}
        _ => {
            found.insert(path.to_owned(), format!("ours:   {ours}\n    theirs: {theirs}"));
        }
    }
}

/// Sums of floats depend on the order of the spans.
fn is_near(ours: &Value, theirs: &Value) -> bool {
    ours.as_f64().zip(theirs.as_f64()).is_some_and(|(a, b)| (a - b).abs() < 1e-12 * a.abs())
}
