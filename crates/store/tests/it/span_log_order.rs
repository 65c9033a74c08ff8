//! The spans of a trace may arrive in any order, in any requests, repeatedly and at the same time: the result is that of
//! one writer that sends them one after the other.

use ferroflow_model::messages::service::TraceInfoV3;
use ferroflow_store::{Joins, Store, db::BackendUri};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    support::{
        Here as _, on_each, open,
        spans::{START, attributes, everything, parent, read, span, trace_id, traces},
    },
    traces::info,
};

/// Number of interleavings.
const ROUNDS: u64 = 60;

/// A generator of numbers: `SplitMix64`, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, usize::try_from(self.below(last as u64 + 1)).unwrap());
        }
    }
}

/// The spans of some traces, in the order of their starts. Some come in two versions, as a client sends them that
/// reports running spans.
fn spans(random: &mut Random, first_trace: u64) -> Vec<(Value, Value)> {
    let mut all = Vec::new();
    for trace in first_trace..first_trace + 1 + random.below(3) {
        let count = 1 + random.below(7);
        for id in 1..=count {
            let mut pairs = Vec::new();
            if random.below(2) == 0 {
                let usage = json!({"input_tokens": random.below(50), "output_tokens": random.below(9)});
                pairs.push(("mlflow.chat.tokenUsage", usage.to_string()));
            }
            if random.below(3) == 0 {
                let cost = json!({"input_cost": 1.0 / (3.0 + f64::from(u32::try_from(random.below(1000)).unwrap())), "total_cost": 0.3});
                pairs.push(("mlflow.llm.cost", cost.to_string()));
            }
            if random.below(3) == 0 {
                pairs.push(("session.id", format!("session {}", random.below(3))));
            }
            if random.below(3) == 0 {
                pairs.push(("user.id", format!("user {}", random.below(3))));
            }
            let mut fields = json!({"status": {"code": random.below(3)}});
            // Now and then a trace has two roots, or none.
            if id > 1 && random.below(9) > 0 || random.below(9) == 0 {
                fields["parentSpanId"] = parent(1 + random.below(count + 1)).into();
            } else {
                pairs.push(("mlflow.spanInputs", format!("\"question {id}\"")));
                pairs.push(("mlflow.traceTag.team", format!("team {id}")));
                pairs.push(("mlflow.traceTag.mlflow.traceName", format!("trace {id}")));
            }
            if fields["parentSpanId"] == parent(id) {
                fields["parentSpanId"] = parent(99).into();
            }
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
            fields["attributes"] = attributes(&pairs);
            let resource = json!({"attributes": attributes(&[("service.name", &format!("service {id}"))])});
            if random.below(4) == 0 {
                let mut running = fields.clone();
                running["endTimeUnixNano"] = "0".into();
                running["attributes"] = attributes(&[("mlflow.chat.tokenUsage", "{\"input_tokens\": 1000}")]);
                all.push((span(trace, id, &running), resource.clone()));
            }
            all.push((span(trace, id, &fields), resource));
        }
    }
    all
}

fn request(spans: &[(Value, Value)]) -> Value {
    let resources =
        spans.iter().map(|(span, resource)| json!({"resource": resource, "scopeSpans": [{"spans": [span]}]}));
    json!({"resourceSpans": resources.collect::<Vec<_>>()})
}

/// What a client says of some of the traces when they end.
fn starts(random: &mut Random, traces: u64) -> Vec<Message> {
    let mut all = Vec::new();
    for trace in 1..=traces {
        if random.below(2) == 0 {
            continue;
        }
        let mut start = info(&trace_id(trace), "0");
        start.request_preview = Some("what the client asked".into());
        start.tags.insert("mlflow.traceName".into(), "the client's".into());
        let mut metadata = vec![("mlflow.trace.session", "own".to_owned()), ("mlflow.trace.user", "own".to_owned())];
        if random.below(2) == 0 {
            let usage = json!({"input_tokens": 7777, "output_tokens": 1, "total_tokens": 7778});
            metadata.push(("mlflow.trace.tokenUsage", usage.to_string()));
        }
        start.trace_metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        all.push(Message::Start(Box::new(start)));
    }
    all
}

/// What a client sends.
#[derive(Clone)]
enum Message {
    Spans(Value),
    Start(Box<TraceInfoV3>),
}

impl Message {
    async fn send(&self, store: &Store) {
        match self {
            Self::Spans(request) => send(store, request).await,
            Self::Start(info) => drop(store.here().start_trace((**info).clone()).await.unwrap()),
        }
    }
}

async fn send(store: &Store, request: &Value) {
    let logged = store.here().log_spans("0", Joins::Any, None, read(request)).await.unwrap();
    assert_eq!(logged.rejected, 0);
}

/// Removes all traces.
async fn empty(store: &Store) {
    let tables = ["trace_tags", "trace_request_metadata", "spans", "trace_info"];
    store.db().batch(tables.map(|table| format!("DELETE FROM {table}")).join("; ")).await.unwrap();
}

on_each!(interleavings_are_the_same_as_one_ordered_writer, flavor = "multi_thread");
async fn interleavings_are_the_same_as_one_ordered_writer(store: &Store) {
    for seed in 0..ROUNDS {
        let mut random = Random(seed);
        let mut all = spans(&mut random, 1);
        let starts = starts(&mut random, 3);
        for one in &all {
            send(store, &request(std::slice::from_ref(one))).await;
        }
        for start in &starts {
            start.send(store).await;
        }
        let expected = everything(store).await;
        empty(store).await;

        // Some are sent twice.
        for place in 0..all.len() {
            if random.below(4) == 0 {
                all.push(all[place].clone());
            }
        }
        random.shuffle(&mut all);
        let mut requests = Vec::new();
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let size = (1 + random.below(3)).min(rest.len() as u64);
            let (next, behind) = rest.split_at(usize::try_from(size).unwrap());
            requests.push(Message::Spans(request(next)));
            rest = behind;
        }
        requests.extend(starts);
        random.shuffle(&mut requests);
        // Several writers send their requests at the same time.
        let writers = usize::try_from(1 + random.below(4)).unwrap();
        let of_writer = |writer: usize| {
            let own: Vec<&Message> = requests.iter().skip(writer).step_by(writers).collect();
            async move {
                for message in own {
                    message.send(store).await;
                }
            }
        };
        join_all((0..writers).map(of_writer)).await;
        let found = everything(store).await;
        for table in ["spans", "traces", "tags", "metadata"] {
            assert_eq!(found[table], expected[table], "{table}, seed {seed}");
        }
        empty(store).await;
    }
}

on_each!(writers_of_the_same_traces_do_not_deadlock, flavor = "multi_thread");
async fn writers_of_the_same_traces_do_not_deadlock(uri: &BackendUri) {
    const TRACES: u64 = 6;
    const REQUESTS: u64 = 12;
    const WRITERS: u64 = 8;
    // Two servers.
    let stores = [open(uri).await, open(uri).await];
    let usage = attributes(&[("mlflow.chat.tokenUsage", "{\"input_tokens\": 1}")]);
    let writer = |writer: u64| {
        let store = &stores[usize::from(writer.is_multiple_of(2))];
        let usage = usage.clone();
        async move {
            let mut random = Random(writer);
            for number in 0..REQUESTS {
                let mut traces: Vec<u64> = (1..=TRACES).collect();
                random.shuffle(&mut traces);
                let id = 2 + writer * REQUESTS + number;
                let fields = json!({"parentSpanId": parent(1), "attributes": usage});
                let own: Vec<_> = traces.iter().map(|trace| (span(*trace, id, &fields), json!({}))).collect();
                send(store, &request(&own)).await;
            }
        }
    };
    join_all((0..WRITERS).map(writer)).await;
    let rows = traces(&stores[0]).await;
    assert_eq!(rows.len(), usize::try_from(TRACES).unwrap());
    for row in rows {
        assert_eq!(row["input_tokens"], json!(REQUESTS * WRITERS), "{row}");
        assert_eq!(row["timestamp_ms"], json!(START + 2));
    }
}
