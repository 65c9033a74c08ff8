//! Requests of OpenTelemetry's clients, and what a store makes of them.

use ferroflow_model::{Result, validation};
use ferroflow_otlp::{Batch, Encoding, Limits, Prices, Settings};
use ferroflow_store::{
    Joins, SpansLogged, Store,
    db::{Statement, Upkeep, Value as Bound},
};
use serde_json::{Map, Value, json};

use super::Here as _;

/// The start of the traces in milliseconds.
pub(crate) const START: u64 = 1_760_000_000_000;

/// A span of a trace, with these fields of OTLP/JSON. It starts `id` milliseconds after [`START`] and ends at `END`.
pub(crate) fn span(trace: u64, id: u64, fields: &Value) -> Value {
    let mut span = json!({
        "traceId": format!("{trace:032x}"),
        "spanId": format!("{id:016x}"),
        "name": format!("span {id}"),
        "startTimeUnixNano": ((START + id) * 1_000_000).to_string(),
        "endTimeUnixNano": ((START + 100 + id) * 1_000_000).to_string(),
    });
    span.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
    span
}

/// The id of a span as a parent.
pub(crate) fn parent(id: u64) -> String {
    format!("{id:016x}")
}

/// Attributes with texts.
pub(crate) fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

/// The id of a trace in the database.
pub(crate) fn trace_id(trace: u64) -> String {
    format!("tr-{trace:032x}")
}

/// The spans as a request, each with a resource of its own if `resources` has one.
pub(crate) fn batch(spans: &[Value], resource: &Value) -> Batch {
    let request = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    read(&request)
}

/// Reads a request.
pub(crate) fn read(request: &Value) -> Batch {
    let prices = Prices::default();
    let settings = Settings { limits: Limits::default(), tags: validation::Limits::default(), prices: &prices };
    Batch::read(request.to_string().as_bytes(), Encoding::Json, &settings).expect("a request")
}

/// Writes spans to the default experiment.
pub(crate) async fn log(store: &Store, spans: &[Value]) -> Result<SpansLogged> {
    store.here().log_spans("0", Joins::Any, None, batch(spans, &json!({}))).await
}

/// The rows of a query by their columns' names.
async fn rows(store: &Store, table: &'static str, columns: &'static [&'static str], order: &str) -> Vec<Value> {
    let sql = format!("SELECT {} FROM {table} ORDER BY {order}", columns.join(", "));
    let statement = Statement::unscoped(Upkeep::Test, sql, Vec::new());
    let read = store.db().query(statement, move |row| {
        let mut object = Map::new();
        for (index, column) in columns.iter().enumerate() {
            let value = match row.get::<Bound>(index)? {
                Bound::Null => continue,
                Bound::Int(value) => json!(value),
                Bound::Real(value) => json!(value),
                Bound::Text(value) => json!(value),
                other => panic!("{other:?}"),
            };
            object.insert((*column).to_owned(), value);
        }
        Ok(Value::Object(object))
    });
    read.await.expect("rows")
}

/// The rows of traces without those columns that are NULL.
pub(crate) async fn traces(store: &Store) -> Vec<Value> {
    const COLUMNS: &[&str] = &[
        "request_id",
        "experiment_id",
        "timestamp_ms",
        "execution_time_ms",
        "status",
        "request_preview",
        "response_preview",
        "trace_name",
        "session_id",
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "cache_read_input_tokens",
        "input_cost",
        "output_cost",
        "total_cost",
    ];
    rows(store, "trace_info", COLUMNS, "request_id").await
}

/// All that is stored of traces.
pub(crate) async fn everything(store: &Store) -> Value {
    const SPANS: &[&str] = &[
        "trace_id",
        "span_id",
        "experiment_id",
        "parent_span_id",
        "name",
        "type",
        "status",
        "start_time_unix_nano",
        "end_time_unix_nano",
        "content",
        "total_cost",
        "model_name",
    ];
    const PAIRS: &[&str] = &["request_id", "key", "value"];
    json!({
        "traces": traces(store).await,
        "spans": rows(store, "spans", SPANS, "trace_id, span_id").await,
        "tags": rows(store, "trace_tags", PAIRS, "request_id, key").await,
        "metadata": rows(store, "trace_request_metadata", PAIRS, "request_id, key").await,
    })
}

/// The tags of a trace.
pub(crate) async fn tags(store: &Store, trace: u64) -> Value {
    let all = rows(store, "trace_tags", &["request_id", "key", "value"], "request_id, key").await;
    let own = all.into_iter().filter(|row| row["request_id"] == trace_id(trace));
    own.map(|row| (row["key"].as_str().expect("a key").to_owned(), row["value"].clone())).collect::<Map<_, _>>().into()
}

/// Changes rows.
pub(crate) async fn change(store: &Store, sql: &str) {
    store.db().batch(sql.to_owned()).await.expect("a change");
}
