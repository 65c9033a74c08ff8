//! Increments of a trace give the same result in any order, in any grouping, and if some arrive twice.

use ferroflow_otlp::{Batch, TraceDelta};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use crate::{read, request, span};

/// Spans of one trace with small ids, so that they are parents, duplicates and loops of each other.
fn any_span() -> impl Strategy<Value = Value> {
    (1_u64..6, 0_u64..6, 0_u64..4, 0_u64..3, 0_u8..8, 0_i64..3).prop_map(|(id, parent, start, length, what, amount)| {
        let mut attributes = vec![json!({"key": "input.value", "value": {"stringValue": amount.to_string()}})];
        let mut add = |key: &str, value: String| attributes.push(json!({"key": key, "value": {"stringValue": value}}));
        if what & 1 != 0 {
            add("mlflow.chat.tokenUsage", json!({"input_tokens": amount, "total_tokens": amount}).to_string());
            add("mlflow.llm.cost", json!({"input_cost": amount, "total_cost": 0.1}).to_string());
        }
        if what & 2 != 0 {
            add("session.id", format!("session {amount}"));
            add("user.id", format!("user {id}"));
        }
        if what & 4 != 0 {
            add("mlflow.traceTag.team", amount.to_string());
            add("mlflow.traceTag.mlflow.traceName", format!("trace {amount}"));
        }
        let start = 1_760_000_000_000_000_000 + start * 1_000_000;
        let end = if length == 0 { 0 } else { start + length * 1_000_000 };
        span(
            id,
            json!({
                "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
                "startTimeUnixNano": start.to_string(),
                "endTimeUnixNano": end.to_string(),
                "attributes": attributes,
                "status": {"code": amount},
            }),
        )
    })
}

fn merged(deltas: impl IntoIterator<Item = TraceDelta>) -> TraceDelta {
    let mut all = TraceDelta::empty();
    deltas.into_iter().for_each(|delta| all.merge(delta));
    all
}

fn delta(batch: Batch) -> Option<TraceDelta> {
    batch.traces.into_values().next()
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (spans, shuffled) in vec(any_span(), 1..8).prop_flat_map(|spans| (Just(spans.clone()), Just(spans).prop_shuffle())),
        split in 0_usize..8,
    ) {
        let one = |span: &Value| delta(read(&request(vec![span.clone()])).unwrap());
        let ordered = merged(spans.iter().filter_map(one));
        let at = split.min(shuffled.len());
        let (front, back) = shuffled.split_at(at);
        let whole = |spans: &[Value]| delta(read(&request(spans.to_vec())).unwrap());
        let grouped = merged([whole(front), whole(back)].into_iter().flatten());
        prop_assert_eq!(&ordered, &grouped);
        let back_first = merged([merged(back.iter().filter_map(one)), merged(front.iter().filter_map(one))]);
        prop_assert_eq!(&ordered, &back_first);
        prop_assert_eq!(&ordered, &merged([ordered.clone(), back_first]));
    }
}

#[test]
fn usage_below_a_span_with_usage_is_counted_once_whatever_arrives_first() {
    let usage = |tokens: i64| json!([{"key": "mlflow.chat.tokenUsage", "value": {"stringValue": json!({"input_tokens": tokens}).to_string()}}]);
    let parent = span(1, json!({"attributes": usage(10)}));
    let between = span(2, json!({"parentSpanId": "0000000000000001"}));
    let child = span(3, json!({"parentSpanId": "0000000000000002", "attributes": usage(9)}));
    for order in [[&child, &between, &parent], [&parent, &child, &between], [&between, &parent, &child]] {
        let all = merged(order.map(|span| delta(read(&request(vec![span.clone()])).unwrap()).unwrap()));
        assert_eq!(all.usage().unwrap().0, [Some(10), Some(0), Some(0), None, None, None]);
    }
}

#[test]
fn usage_in_a_loop_of_parents_is_counted() {
    let usage = json!([{"key": "mlflow.chat.tokenUsage", "value": {"stringValue": "{\"input_tokens\": 2}"}}]);
    let one = span(1, json!({"parentSpanId": "0000000000000002", "attributes": usage}));
    let two = span(2, json!({"parentSpanId": "0000000000000001"}));
    let all = delta(read(&request(vec![one, two])).unwrap()).unwrap();
    assert_eq!(all.usage().unwrap().0[0], Some(2));
}
