//! The spans of an archived trace: a file `traces.pb` in the archive, with one OTLP `TracesData`
//! (<https://github.com/open-telemetry/opentelemetry-proto>) that has one resource and one scope. Decoding returns the
//! same JSON as for spans in the database, in the form of the reference.

mod json;
mod message_json;
mod messages;
mod span_type;
mod write;

use bytes::Bytes;
use prost::Message as _;

use self::messages::{ResourceSpans, ScopeSpans, Span, TracesData};
pub use self::{
    message_json::span_message,
    write::{Malformed, payload},
};

/// The encoded spans of an archived trace.
#[derive(Debug, Clone)]
pub struct ArchivedTrace {
    spans: Vec<Bytes>,
}

/// Not a payload of an archived trace: not OTLP, without spans, or with several groups or traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload of the archived trace is corrupt")]
pub struct CorruptPayload;

impl From<prost::DecodeError> for CorruptPayload {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

impl ArchivedTrace {
    /// Validates every span of a payload and orders them: the root first, then by start time and id.
    ///
    /// # Errors
    /// The payload is damaged.
    pub fn parse(payload: Bytes) -> Result<Self, CorruptPayload> {
        let [group] =
            <[Bytes; 1]>::try_from(TracesData::decode(payload)?.resource_spans).map_err(|_| CorruptPayload)?;
        let [group] = <[Bytes; 1]>::try_from(ResourceSpans::decode(group)?.scope_spans).map_err(|_| CorruptPayload)?;
        let mut spans = Vec::new();
        let mut trace = None;
        for bytes in ScopeSpans::decode(group)?.spans {
            let span = Span::decode(bytes.clone())?;
            let ids = Ids::of(&span)?;
            if *trace.get_or_insert(ids.trace) != ids.trace {
                return Err(CorruptPayload);
            }
            spans.push(((ids.parent.is_some(), span.start_time_unix_nano, ids.span), bytes));
        }
        if spans.is_empty() {
            return Err(CorruptPayload);
        }
        spans.sort_by_key(|(sort_key, _)| *sort_key);
        Ok(Self { spans: spans.into_iter().map(|(_, bytes)| bytes).collect() })
    }

    /// Decodes the spans to JSON, lazily: only one of them is in memory in both forms.
    pub fn into_json(self) -> impl Iterator<Item = Result<String, CorruptPayload>> {
        self.spans.into_iter().map(|bytes| {
            let span = Span::decode(bytes)?;
            let ids = Ids::of(&span)?;
            Ok(json::span(&span, &ids))
        })
    }
}

/// The ids of a span as integers, as in the reference.
struct Ids {
    trace: u128,
    span: u64,
    /// `None` if it is zero.
    parent: Option<u64>,
}

impl Ids {
    fn of(span: &Span) -> Result<Self, CorruptPayload> {
        if span.trace_id.is_empty() || span.span_id.is_empty() {
            return Err(CorruptPayload);
        }
        let trace = u128::from_be_bytes(padded(&span.trace_id)?);
        let parent = u64::from_be_bytes(padded(&span.parent_span_id)?);
        Ok(Self { trace, span: u64::from_be_bytes(padded(&span.span_id)?), parent: (parent != 0).then_some(parent) })
    }
}

/// Left-pads a big-endian integer to `N` bytes, or removes leading zeros.
fn padded<const N: usize>(bytes: &[u8]) -> Result<[u8; N], CorruptPayload> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    let mut out = [0; N];
    let from = N.checked_sub(digits.len()).ok_or(CorruptPayload)?;
    out[from..].copy_from_slice(digits);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::messages::{AnyValue, ArrayValue, Event, KeyValue, KeyValueList, Link, Status, Value};
    use super::*;

    fn attribute(key: &str, value: impl Into<Option<Value>>) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: value.into() }) }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn span(id: u8, parent: u8, start: u64) -> Span {
        Span {
            trace_id: Bytes::from(vec![1; 16]),
            span_id: Bytes::from(vec![0, 0, 0, 0, 0, 0, 0, id]),
            parent_span_id: Bytes::from(vec![parent; usize::from(parent > 0)]),
            name: format!("span {id}"),
            start_time_unix_nano: start,
            ..Span::default()
        }
    }

    fn payload(spans: &[Span]) -> Bytes {
        let group = ScopeSpans { spans: spans.iter().map(|span| span.encode_to_vec().into()).collect() };
        let group = ResourceSpans { resource: None, scope_spans: vec![group.encode_to_vec().into()] };
        TracesData { resource_spans: vec![group.encode_to_vec().into()] }.encode_to_vec().into()
    }

    fn json(spans: &[Span]) -> Vec<String> {
        ArchivedTrace::parse(payload(spans)).unwrap().into_json().map(Result::unwrap).collect()
    }

    #[test]
    fn a_span_is_written_as_the_reference_writes_it() {
        let full = Span {
            end_time_unix_nano: 9,
            attributes: vec![
                attribute(
                    "mlflow.spanInputs",
                    Value::KeyValues(KeyValueList {
                        values: vec![
                            attribute("größe", text("\"模\"\u{7f}\n")),
                            attribute(
                                "b",
                                Value::Array(ArrayValue {
                                    values: [
                                        Some(Value::Double(1e16)),
                                        Some(Value::Int(-2)),
                                        Some(Value::Bool(true)),
                                        None,
                                    ]
                                    .map(|value| AnyValue { value })
                                    .into(),
                                }),
                            ),
                            attribute("größe", text("later")),
                        ],
                    }),
                ),
                attribute("mlflow.traceRequestId", text("tr-x")),
            ],
            events: vec![Event {
                time_unix_nano: 3,
                name: "é".into(),
                attributes: vec![attribute("nan", Value::Double(f64::NAN)), attribute("s", text("x"))],
            }],
            links: vec![Link {
                trace_id: Bytes::from(vec![2; 16]),
                span_id: Bytes::from(vec![3; 8]),
                attributes: vec![attribute("bytes", Value::Bytes(Bytes::from_static(b"\x00\xff")))],
            }],
            status: Some(Status { message: "no".into(), code: 2 }),
            ..span(1, 0, 5)
        };
        let expected = concat!(
            r#"{"trace_id":"AQEBAQEBAQEBAQEBAQEBAQ==","span_id":"AAAAAAAAAAE=","parent_span_id":null,"name":"span 1","#,
            r#""start_time_unix_nano":5,"end_time_unix_nano":9,"#,
            r#""events":[{"name":"\u00e9","time_unix_nano":3,"attributes":{"nan":NaN,"s":"x"}}],"#,
            r#""status":{"code":"STATUS_CODE_ERROR","message":"no"},"#,
            r#""attributes":{"mlflow.spanInputs":"{\"gr\u00f6\u00dfe\": \"later\", \"b\": [1e+16, -2, true, null]}","#,
            r#""mlflow.traceRequestId":"\"tr-x\""},"#,
            r#""links":[{"trace_id":"tr-02020202020202020202020202020202","span_id":"0303030303030303","#,
            r#""attributes":{"bytes":"AP8="}}]}"#,
        );
        assert_eq!(json(&[full]), [expected]);
    }

    #[test]
    fn missing_fields_of_a_span_get_defaults() {
        let plain = Span { status: Some(Status { message: "lost".into(), code: 1 }), ..span(2, 7, 0) };
        let expected = concat!(
            r#"{"trace_id":"AQEBAQEBAQEBAQEBAQEBAQ==","span_id":"AAAAAAAAAAI=","parent_span_id":"AAAAAAAAAAc=","#,
            r#""name":"span 2","start_time_unix_nano":0,"end_time_unix_nano":0,"events":[],"#,
            r#""status":{"code":"STATUS_CODE_OK","message":""},"#,
            r#""attributes":{"mlflow.traceRequestId":"\"tr-01010101010101010101010101010101\""},"links":[]}"#,
        );
        assert_eq!(json(&[plain]), [expected]);
    }

    #[test]
    fn links_have_the_location_of_their_trace() {
        let linked = Span {
            attributes: vec![attribute("mlflow.traceRequestId", text("trace:/catalog.schema/abc"))],
            links: vec![Link {
                trace_id: Bytes::from_static(&[4]),
                span_id: Bytes::from_static(&[5]),
                ..Link::default()
            }],
            ..span(1, 0, 0)
        };
        let link = r#"{"trace_id":"trace:/catalog.schema/tr-00000000000000000000000000000004","span_id":"0000000000000005","attributes":null}"#;
        assert!(json(&[linked])[0].contains(link));
    }

    #[test]
    fn spans_are_ordered_root_first_then_by_start_and_id() {
        let spans = [span(4, 1, 3), span(3, 1, 3), span(2, 1, 2), span(1, 0, 9)];
        let order: Vec<_> =
            json(&spans).iter().map(|span| span.split("span ").nth(1).unwrap()[..1].to_owned()).collect();
        assert_eq!(order, ["1", "2", "3", "4"]);
    }

    #[test]
    fn corrupt_payloads_are_refused() {
        let whole = payload(&[span(1, 0, 0)]);
        assert!(ArchivedTrace::parse(whole.clone()).is_ok());
        let twice = [whole.as_ref(), whole.as_ref()].concat();
        let other = Span { trace_id: Bytes::from_static(&[9]), ..span(2, 1, 0) };
        let long = Span { span_id: Bytes::from(vec![1; 9]), ..span(1, 0, 0) };
        for corrupt in [
            Bytes::new(),
            Bytes::from_static(b"{\"spans\":[]}"),
            whole.slice(..whole.len() - 3),
            twice.into(),
            payload(&[]),
            payload(&[span(1, 0, 0), other]),
            payload(&[Span { trace_id: Bytes::new(), ..span(1, 0, 0) }]),
            payload(&[long]),
        ] {
            assert_eq!(ArchivedTrace::parse(corrupt.clone()).map(drop), Err(CorruptPayload), "{corrupt:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in Just(payload(&[span(1, 0, 0), span(2, 1, 1)]).to_vec()),
                                         changes in prop::collection::vec((0_usize..100, any::<u8>()), 1..6)) {
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(trace) = ArchivedTrace::parse(bytes.into()) {
                for span in trace.into_json() {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&span.unwrap()).is_ok());
                }
            }
        }
    }
}
