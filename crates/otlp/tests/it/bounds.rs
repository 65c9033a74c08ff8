//! Bounds and faults: what is refused as a whole, what costs one span, and how the answer says so.

use ferroflow_otlp::{Batch, Encoding, Limits, Node, RequestError, SpanError, response};
use serde_json::{Value, json};

use crate::{encode, read, read_within, request, span};

/// The fault of a span, in both encodings, while a valid one beside it is stored.
fn fault(fields: Value) -> Option<SpanError> {
    let request = request(vec![span(1, json!({})), span(2, fields)]);
    let json = read(&request).unwrap();
    let protobuf = read_within(&encode::request(&request), Encoding::Protobuf, Limits::default()).unwrap();
    assert_eq!(json, protobuf);
    assert_eq!(json.spans.len(), if json.fault.is_some() { 1 } else { 2 });
    assert_eq!(json.rejected, u64::from(json.fault.is_some()));
    json.fault
}

/// A value of nested lists, or of nested maps.
fn nested(depth: usize, is_map: bool) -> Value {
    (1..depth).fold(json!({"intValue": "1"}), |inner, _| {
        if is_map {
            json!({"kvlistValue": {"values": [{"key": "k", "value": inner}]}})
        } else {
            json!({"arrayValue": {"values": [inner]}})
        }
    })
}

fn with(key: &str, value: Value) -> Value {
    json!({"attributes": [{"key": key, "value": value}]})
}

#[test]
fn a_span_that_is_wrong_is_refused_and_the_others_are_stored() {
    for (fields, error) in [
        (json!({"traceId": ""}), SpanError::Id("trace_id")),
        (json!({"traceId": "00".repeat(16)}), SpanError::Id("trace_id")),
        (json!({"traceId": "01".repeat(17)}), SpanError::Id("trace_id")),
        (json!({"spanId": "01"}), SpanError::Id("span_id")),
        (json!({"parentSpanId": "01".repeat(16)}), SpanError::Id("parent_span_id")),
        (json!({"parentSpanId": "0000000000000002"}), SpanError::OwnParent),
        (json!({"links": [{"traceId": "01".repeat(65), "spanId": ""}]}), SpanError::Id("trace_id")),
        (json!({"name": "a\0"}), SpanError::Nul),
        (json!({"endTimeUnixNano": "1"}), SpanError::EndsBeforeStart),
        (json!({"startTimeUnixNano": u64::MAX.to_string()}), SpanError::Time("start_time_unix_nano")),
        (json!({"endTimeUnixNano": u64::MAX.to_string()}), SpanError::Time("end_time_unix_nano")),
        (with("session.id", json!({"stringValue": "s".repeat(251)})), SpanError::Session),
        (with("mlflow.traceTag.mlflow.traceName", json!({"stringValue": "s".repeat(4097)})), SpanError::TraceName),
        (with("a", nested(49, false)), SpanError::TooDeep),
        (with("a", nested(33, true)), SpanError::TooDeep),
    ] {
        if fields.get("links").is_some() {
            assert_eq!(read(&request(vec![span(2, fields)])).unwrap().fault, Some(error));
        } else {
            assert_eq!(fault(fields.clone()), Some(error), "{fields}");
        }
    }
}

#[test]
fn very_deep_values_are_refused_without_recursion() {
    let value = (0..3000).fold(Vec::new(), |inner, _| {
        let (mut list, mut value) = (Vec::new(), Vec::new());
        encode::message(1, &inner, &mut list);
        encode::message(5, &list, &mut value);
        value
    });
    let body = [value].iter().fold(Vec::new(), |_, value| {
        let (mut pair, mut span, mut scope, mut group, mut body) = (vec![], vec![], vec![], vec![], vec![]);
        encode::message(2, value, &mut pair);
        encode::message(9, &pair, &mut span);
        encode::message(2, &span, &mut scope);
        encode::message(2, &scope, &mut group);
        encode::message(1, &group, &mut body);
        body
    });
    assert_eq!(read_within(&body, Encoding::Protobuf, Limits::default()).unwrap().fault, Some(SpanError::TooDeep));
}

#[test]
fn what_protobuf_decoders_can_read_is_not_too_deep() {
    assert_eq!(fault(with("a", nested(48, false))), None);
    assert_eq!(fault(with("a", nested(32, true))), None);
}

#[test]
fn json_that_is_no_request_is_refused() {
    for (body, error) in [
        ("", RequestError::Malformed),
        ("{", RequestError::Malformed),
        ("[]", RequestError::Malformed),
        ("{}", RequestError::Empty),
        (r#"{"resourceSpans": []}"#, RequestError::Empty),
        (r#"{"resourceSpans": {}}"#, RequestError::Malformed),
        (r#"{"resourceSpans": [1]}"#, RequestError::Malformed),
        (r#"{"resourceSpans": [{"scopeSpans": [{"spans": 1}]}]}"#, RequestError::Malformed),
        (r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\ud800"}]}]}]}"#, RequestError::Malformed),
    ] {
        assert_eq!(read_within(body.as_bytes(), Encoding::Json, Limits::default()), Err(error), "{body}");
    }
    assert_eq!(read_within(b"\xff", Encoding::Json, Limits::default()), Err(RequestError::Malformed));
    let deep = format!("{{\"resourceSpans\": {}", "[".repeat(1_000_000));
    assert_eq!(read_within(deep.as_bytes(), Encoding::Json, Limits::default()), Err(RequestError::Malformed));
}

#[test]
fn protobuf_that_is_no_request_is_refused() {
    for body in [
        &b"\x0a"[..],
        b"\x0a\x05",
        b"\x0a\x02\x12",
        b"\x08\x01",
        b"\x0b",
        b"\x00\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        assert_eq!(read_within(body, Encoding::Protobuf, Limits::default()), Err(RequestError::Malformed), "{body:?}");
    }
    assert_eq!(read_within(b"", Encoding::Protobuf, Limits::default()), Err(RequestError::Empty));
    // An unknown field is skipped.
    assert_eq!(read_within(b"\x0a\x00\x7a\x00", Encoding::Protobuf, Limits::default()), Ok(Batch::default()));
}

#[test]
fn json_of_another_type_is_a_fault_of_the_span() {
    for (fields, error) in [
        (json!({"name": 5}), SpanError::Type("name")),
        (json!({"attributes": {}}), SpanError::Type("attributes")),
        (json!({"attributes": [{"key": "a", "value": {"intValue": "x"}}]}), SpanError::Type("value")),
        (json!({"attributes": [{"key": "a", "value": 5}]}), SpanError::Type("value")),
        (json!({"startTimeUnixNano": "soon"}), SpanError::Time("start_time_unix_nano")),
        (json!({"traceId": "0g"}), SpanError::Id("trace_id")),
        (json!({"traceId": "+1".repeat(16)}), SpanError::Id("trace_id")),
        (json!({"status": {"code": "BAD"}}), SpanError::Type("code")),
    ] {
        assert_eq!(read(&request(vec![span(1, fields.clone())])).unwrap().fault, Some(error), "{fields}");
    }
}

#[test]
fn json_may_be_in_snake_case_with_numbers_and_unknown_fields() {
    let body = json!({"resource_spans": [{"resource": null, "x": 1, "scope_spans": [{"spans": [{
        "trace_id": "000102030405060708090A0B0C0D0E0F", "span_id": "0000000000000001", "parent_span_id": null,
        "name": "n", "start_time_unix_nano": 5, "end_time_unix_nano": 6, "flags": 1, "new": {"a": []},
        "attributes": [{"key": "a", "value": {"int_value": 5}}, {"key": "b", "value": {"double_value": "NaN", "other": 1}},
            {"key": "c", "value": {"bytesValue": "-_8"}}],
        "status": {"code": "STATUS_CODE_ERROR"},
    }]}]}]});
    let batch = read(&body).unwrap();
    assert_eq!((batch.fault, batch.spans[0].start_ns, batch.spans[0].status), (None, 5, "ERROR"));
    assert!(
        batch.spans[0].content.contains(r#""a": "5", "b": "NaN", "c": "\"b'\\\\xfb\\\\xff'\"""#),
        "{}",
        batch.spans[0].content
    );
}

#[test]
fn spans_and_values_are_counted() {
    let limits = Limits { spans: 2, values: 8, span_values: 3 };
    let attributes = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|key| json!({"key": key.to_string(), "value": {"intValue": "1"}})).collect();
        json!({"attributes": pairs})
    };
    let both = |spans: Vec<Value>| {
        let request = request(spans);
        let json = read_within(request.to_string().as_bytes(), Encoding::Json, limits);
        assert_eq!(json, read_within(&encode::request(&request), Encoding::Protobuf, limits));
        json
    };
    assert_eq!(both(vec![span(1, attributes(3)), span(2, attributes(3))]).unwrap().fault, None);
    assert_eq!(
        both(vec![span(1, attributes(4)), span(2, attributes(3))]).unwrap().fault,
        Some(SpanError::TooManyValues(3))
    );
    let three = vec![span(1, json!({})), span(2, json!({})), span(3, json!({}))];
    assert_eq!(both(three), Err(RequestError::TooManySpans(2)));
    let items = json!({"arrayValue": {"values": vec![json!({"intValue": "1"}); 4]}});
    assert_eq!(both(vec![span(1, with("a", items))]).unwrap().fault, Some(SpanError::TooManyValues(3)));
    let events = json!({"events": vec![json!({"name": "e"}); 4]});
    assert_eq!(both(vec![span(1, events)]).unwrap().fault, Some(SpanError::TooManyValues(3)));
    let many = Limits { spans: 9, values: 3, span_values: 9 };
    let body = encode::request(&request(vec![span(1, attributes(2)), span(2, attributes(2))]));
    assert_eq!(read_within(&body, Encoding::Protobuf, many), Err(RequestError::TooManyValues(3)));
    let huge = format!("{{\"resourceSpans\": [{}1]}}", "1,".repeat(1000));
    assert_eq!(read_within(huge.as_bytes(), Encoding::Json, many), Err(RequestError::TooManyValues(3)));
}

#[test]
fn texts_that_are_not_utf8_are_a_fault_of_the_span() {
    let mut body = encode::request(&request(vec![span(1, json!({"name": "QQQQ"})), span(2, json!({}))]));
    let at = body.windows(4).position(|window| window == b"QQQQ").unwrap();
    // A lone surrogate.
    body[at..at + 3].copy_from_slice(b"\xed\xa0\x80");
    let batch = read_within(&body, Encoding::Protobuf, Limits::default()).unwrap();
    assert_eq!((batch.fault, batch.spans.len()), (Some(SpanError::Utf8), 1));
}

#[test]
fn nul_characters_do_not_reach_columns() {
    let nul = json!({"stringValue": "a\0b"});
    let keys = [
        "session.id",
        "user.id",
        "gen_ai.request.model",
        "gen_ai.system",
        "mlflow.spanType",
        "mlflow.traceTag.t",
        "input.value",
    ];
    let attributes: Vec<_> = keys.iter().map(|key| json!({"key": key, "value": nul})).collect();
    let batch = read(&request(vec![span(1, json!({"attributes": attributes}))])).unwrap();
    assert_eq!(batch.fault, None);
    assert!(!format!("{batch:?}").contains("\\0"), "{batch:?}");
    assert!(batch.spans[0].content.contains(r#""session.id": "\"a\\u0000b\"""#), "{}", batch.spans[0].content);
}

#[test]
fn tags_that_only_the_server_writes_are_left_out() {
    let tag = |key: &str| json!({"key": format!("mlflow.traceTag.{key}"), "value": {"stringValue": "x"}});
    let keys = [
        "mlflow.artifactLocation",
        "mlflow.trace.spansLocation",
        "mlflow.trace.archiveLocation",
        "mlflow.trace.archivalFailure",
        "bad$",
        "good",
    ];
    let batch = read(&request(vec![span(1, json!({"attributes": keys.map(tag)}))])).unwrap();
    let tags: Vec<_> = batch.traces.values().flat_map(|trace| trace.tags.keys()).collect();
    assert_eq!(tags, ["good"]);
}

#[test]
fn a_stored_span_has_the_node_that_it_had_when_it_arrived() {
    let usage = json!({"stringValue": "{\"input_tokens\": 2}"});
    let cost = json!({"stringValue": "{\"total_cost\": 0.5}"});
    let attributes =
        json!([{"key": "mlflow.chat.tokenUsage", "value": usage}, {"key": "mlflow.llm.cost", "value": cost}]);
    for fields in [json!({"attributes": attributes, "parentSpanId": "00000000000000ff"}), json!({})] {
        let batch = read(&request(vec![span(1, fields)])).unwrap();
        let (row, trace) = (&batch.spans[0], batch.traces.values().next().unwrap());
        let node = Node::stored(row.parent, row.end_ns.unwrap().cast_unsigned(), &row.content);
        assert_eq!(trace.nodes[&row.span], node);
    }
}

#[test]
fn of_two_versions_of_a_span_the_later_one_is_stored_once() {
    let ended = span(1, json!({"name": "ended"}));
    let running = span(1, json!({"name": "running", "endTimeUnixNano": "0"}));
    for spans in [vec![ended.clone(), running.clone()], vec![running, ended]] {
        let batch = read(&request(spans)).unwrap();
        assert_eq!(batch.spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["ended"]);
    }
}

#[test]
fn the_answer_says_how_many_spans_are_refused_and_why() {
    let response = |batch: &Batch, encoding| response(batch.rejected, &batch.message(), encoding);
    let good = read(&request(vec![span(1, json!({}))])).unwrap();
    assert_eq!(response(&good, Encoding::Json), b"{}");
    assert_eq!(response(&good, Encoding::Protobuf), b"");
    let bad = read(&request(vec![span(1, json!({"name": "\0"})), span(2, json!({}))])).unwrap();
    let answer: Value = serde_json::from_slice(&response(&bad, Encoding::Json)).unwrap();
    let message = "the name contains a NUL character";
    assert_eq!(answer, json!({"partialSuccess": {"rejectedSpans": "1", "errorMessage": message}}));
    let mut partial = vec![0x08, 1];
    encode::message(2, message.as_bytes(), &mut partial);
    let mut expected = Vec::new();
    encode::message(1, &partial, &mut expected);
    assert_eq!(response(&bad, Encoding::Protobuf), expected);
}
